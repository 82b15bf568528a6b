package edi

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Write renders an interchange with its own separators, one segment per line when lines is true. It computes
// SE01, GE01 and IEA01 and repeats the control numbers of the headers in the trailers, so ST and SE may be
// missing from Segments. It refuses a value that contains a delimiter or a control character: X12 has no
// escape for them. Parse(Write(x)) gives x, except that trailing empty elements are not written.
func Write(ic *Interchange, lines bool) ([]byte, error) {
	w := writer{sep: ic.Separators, lines: lines}
	if w.sep.Component == 0 {
		w.sep.Component = freeSeparator(w.sep)
	}
	if err := w.separators(); err != nil {
		return nil, err
	}
	if err := w.isa(ic); err != nil {
		return nil, err
	}
	for i := range ic.Advices {
		if err := w.segment(ic.Advices[i].ID, ic.Advices[i].Elements...); err != nil {
			return nil, err
		}
	}
	for i := range ic.Groups {
		if err := w.group(&ic.Groups[i]); err != nil {
			return nil, err
		}
	}
	if err := w.segment("IEA", strconv.Itoa(len(ic.Groups)), pad(ic.Control, 9)); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

type writer struct {
	out   bytes.Buffer
	sep   Separators
	lines bool
}

// freeSeparator is a component separator for documents that declare none.
func freeSeparator(s Separators) byte {
	for _, c := range []byte(">:<|") {
		if c != s.Element && c != s.Segment && c != s.Repetition {
			return c
		}
	}
	return '!'
}

func (w *writer) separators() error {
	s := w.sep
	if s.Element == 0 || s.Segment == 0 {
		return fmt.Errorf("the interchange has no element separator or segment terminator")
	}
	all := []byte{s.Element, s.Component, s.Segment}
	if s.Repetition != 0 {
		all = append(all, s.Repetition)
	}
	for i, c := range all {
		if alphanumeric(c) || c == ' ' || c >= 0x80 || bytes.IndexByte(all[i+1:], c) >= 0 {
			return fmt.Errorf("the separators of the interchange are not four different special characters")
		}
	}
	return nil
}

// isa writes the fixed-width header (X12.5): every element has one length.
func (w *writer) isa(ic *Interchange) error {
	e := make([]string, 16)
	copy(e, ic.ISA.Elements)
	for i, d := range [4]string{"00", "", "00", ""} {
		if e[i] == "" {
			e[i] = d
		}
	}
	e[4], e[5], e[6], e[7] = ic.SenderQualifier, ic.SenderID, ic.ReceiverQualifier, ic.ReceiverID
	e[8], e[9], e[11], e[12], e[14] = ic.Date, ic.Time, ic.Version, pad(ic.Control, 9), ic.Usage
	if e[10] == "" {
		e[10] = "U"
	}
	if w.sep.Repetition != 0 {
		e[10] = string(rune(w.sep.Repetition))
	}
	if e[13] == "" {
		e[13] = "0"
	}
	widths := [15]int{2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1}
	w.out.WriteString("ISA")
	for i, width := range widths {
		if len(e[i]) > width {
			return fmt.Errorf("ISA%02d is longer than %d characters", i+1, width)
		}
		if i != 10 {
			if err := w.clean("ISA", i+1, e[i]); err != nil {
				return err
			}
		}
		w.out.WriteByte(w.sep.Element)
		w.out.WriteString(e[i])
		w.out.WriteString(strings.Repeat(" ", width-len(e[i])))
	}
	w.out.WriteByte(w.sep.Element)
	w.out.WriteByte(w.sep.Component)
	w.end()
	return nil
}

func (w *writer) group(g *Group) error {
	err := w.segment("GS", g.FunctionalID, g.Sender, g.Receiver, g.Date, g.Time, g.Control, g.Agency, g.Version)
	if err != nil {
		return err
	}
	for i := range g.Sets {
		if err := w.set(&g.Sets[i]); err != nil {
			return err
		}
	}
	return w.segment("GE", strconv.Itoa(len(g.Sets)), g.Control)
}

func (w *writer) set(s *Set) error {
	body := s.Segments
	header := []string{s.ID, s.Control}
	if len(body) > 0 && body[0].ID == "ST" {
		if len(body[0].Elements) > 2 {
			header = append(header, body[0].Elements[2:]...)
		}
		body = body[1:]
	}
	if n := len(body); n > 0 && body[n-1].ID == "SE" {
		body = body[:n-1]
	}
	if err := w.segment("ST", header...); err != nil {
		return err
	}
	for i := range body {
		if err := w.segment(body[i].ID, body[i].Elements...); err != nil {
			return err
		}
	}
	return w.segment("SE", strconv.Itoa(len(body)+2), s.Control)
}

// segment writes one segment without trailing empty elements.
func (w *writer) segment(id string, elements ...string) error {
	if !segmentID(id) {
		return fmt.Errorf("a segment identifier is not two or three letters and digits")
	}
	n := len(elements)
	for n > 0 && elements[n-1] == "" {
		n--
	}
	w.out.WriteString(id)
	for i, e := range elements[:n] {
		if err := w.clean(id, i+1, e); err != nil {
			return err
		}
		w.out.WriteByte(w.sep.Element)
		w.out.WriteString(e)
	}
	w.end()
	return nil
}

// clean refuses what would change the structure. The component and repetition separators are let through
// outside of ISA because composite and repeated elements are kept as they came.
func (w *writer) clean(id string, pos int, v string) error {
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c == w.sep.Element || c == w.sep.Segment || c < 0x20 || c == 0x7f {
			return fmt.Errorf("%s-%02d contains a delimiter or a control character: choose other separators for this partner", id, pos)
		}
	}
	return nil
}

func (w *writer) end() {
	w.out.WriteByte(w.sep.Segment)
	if w.lines && w.sep.Segment != '\n' && w.sep.Segment != '\r' {
		w.out.WriteByte('\n')
	}
}

func pad(s string, n int) string {
	if len(s) >= n {
		return s
	}
	return strings.Repeat("0", n-len(s)) + s
}
