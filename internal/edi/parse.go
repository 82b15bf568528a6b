package edi

import (
	"fmt"
	"strings"
)

// Parse reads the first interchange of b. Framing that departs from the standard (byte order mark, line
// breaks, indentation, an ISA of the wrong width) is read over and recorded in Warnings; wrong counts and
// control numbers are recorded in Errors of their set or group, so that one bad set never blocks others.
// The error is an *EnvelopeError: the ISA itself is broken, nothing follows it, or a limit is exceeded.
// A file with several interchanges is read by parsing Rest again.
func Parse(b []byte, limits Limits) (*Interchange, error) {
	limits = limits.orDefault()
	if len(b) > limits.Bytes {
		return nil, limits.exceeded()
	}
	w := &warnings{}
	s := string(b)
	start, odd := skipFraming(s, 0)
	if odd {
		w.add(1, 0, "the document begins with a byte order mark or white space")
	}
	sep, elements, next, err := separators(s, start, w)
	if err != nil {
		return nil, err
	}
	ic, err := newInterchange(elements, start, sep, w)
	if err != nil {
		return nil, err
	}
	t := newTokenizer(s, next, sep, limits, w)
	t.number = 1
	if err := ic.assemble(t); err != nil {
		return nil, err
	}
	if len(ic.Groups) == 0 && len(ic.Advices) == 0 {
		return nil, &EnvelopeError{Offset: next, Reason: "no functional group follows the ISA segment"}
	}
	if end, _ := skipFraming(s, t.pos); strings.HasPrefix(s[end:], "ISA") {
		ic.Rest = b[end:]
	} else if end < len(s) {
		w.add(t.number, end, "there is text after IEA that is no interchange; it was ignored")
	}
	ic.Warnings = w.list
	return ic, nil
}

// ParseBare reads transaction sets that have no envelope, as guides and people quote them, for previews and
// mapping cases. Such a document names no sender, so it can be neither accepted nor acknowledged.
func ParseBare(b []byte, limits Limits) ([]Set, Separators, error) {
	limits = limits.orDefault()
	fail := func(err error) ([]Set, Separators, error) { return nil, Separators{}, err }
	if len(b) > limits.Bytes {
		return fail(limits.exceeded())
	}
	s := string(b)
	start, _ := skipFraming(s, 0)
	if !strings.HasPrefix(s[start:], "ST") || len(s) < start+4 || alphanumeric(s[start+2]) {
		return fail(&EnvelopeError{Reason: "it does not begin with an ST segment"})
	}
	sep := Separators{Element: s[start+2]}
	for i := start + 3; i < len(s); i++ {
		if !alphanumeric(s[i]) && s[i] != sep.Element {
			sep.Segment = s[i]
			break
		}
	}
	if sep.Segment == 0 {
		return fail(&EnvelopeError{Reason: "the segment terminator after ST cannot be made out"})
	}
	t := newTokenizer(s, start, sep, limits, &warnings{})
	g := Group{DeclaredSets: -1}
	a := assembler{t: t}
	for {
		seg, ok, err := t.next()
		if err != nil {
			return fail(err)
		}
		if !ok || seg.ID == "GE" || seg.ID == "IEA" {
			break
		}
		a.inGroup(&g, seg)
	}
	a.closeSet(&g)
	return g.Sets, sep, nil
}

func (l Limits) exceeded() error {
	return &EnvelopeError{Reason: fmt.Sprintf("it is larger than %d bytes", l.Bytes), TooLarge: true}
}

// tokenizer cuts the input into segments. Elements of all segments share one slice that is sized once.
type tokenizer struct {
	s      string
	pos    int
	sep    Separators
	limits Limits
	number int
	w      *warnings
	arena  []string
}

func newTokenizer(s string, pos int, sep Separators, limits Limits, w *warnings) *tokenizer {
	n := strings.Count(s[pos:], string(sep.Element)) + 1
	return &tokenizer{s: s, pos: pos, sep: sep, limits: limits, w: w, arena: make([]string, 0, min(n, 4096))}
}

// next returns the next segment, false at the end of the input. A last segment without terminator counts.
func (t *tokenizer) next() (Segment, bool, error) {
	for {
		start, odd := skipFraming(t.s, t.pos)
		if start >= len(t.s) {
			t.pos = start
			return Segment{}, false, nil
		}
		t.number++
		if t.number > t.limits.Segments {
			return Segment{}, false, &EnvelopeError{Offset: start, TooLarge: true,
				Reason: fmt.Sprintf("it has more than %d segments", t.limits.Segments)}
		}
		if odd {
			t.w.add(t.number, t.pos, "there is white space between segments")
		}
		end := strings.IndexByte(t.s[start:], t.sep.Segment)
		if end < 0 {
			end, t.pos = len(t.s), len(t.s)
			t.w.add(t.number, start, "the last segment has no terminator")
		} else {
			end += start
			t.pos = end + 1
		}
		body := strings.TrimRight(t.s[start:end], "\r\n")
		if body == "" {
			t.number--
			t.w.add(t.number, start, "there is an empty segment")
			continue
		}
		return t.cut(body, start)
	}
}

// cut splits one segment into its elements.
func (t *tokenizer) cut(body string, start int) (Segment, bool, error) {
	sep := t.sep.Element
	i := strings.IndexByte(body, sep)
	if i < 0 {
		return Segment{ID: body, Number: t.number, Offset: start}, true, nil
	}
	seg := Segment{ID: body[:i], Number: t.number, Offset: start}
	if cap(t.arena)-len(t.arena) < t.limits.Elements {
		t.arena = make([]string, 0, max(4096, t.limits.Elements))
	}
	first := len(t.arena)
	from := i + 1
	for j := from; j < len(body); j++ {
		if body[j] == sep {
			t.arena = append(t.arena, body[from:j])
			from = j + 1
			if len(t.arena)-first >= t.limits.Elements {
				return Segment{}, false, &EnvelopeError{Offset: start, TooLarge: true,
					Reason: fmt.Sprintf("a segment has more than %d elements", t.limits.Elements)}
			}
		}
	}
	t.arena = append(t.arena, body[from:])
	seg.Elements = t.arena[first:len(t.arena):len(t.arena)]
	return seg, true, nil
}

// assembler builds groups and sets from segments; open is the set being filled.
type assembler struct {
	t    *tokenizer
	segs []Segment // one block for all segments of sets, cut into sets as they close
	open int       // index in segs where the open set begins, -1 when none is open
	in   bool
}

// assemble reads segments up to IEA.
func (ic *Interchange) assemble(t *tokenizer) error {
	a := assembler{t: t}
	var g *Group
	closeGroup := func() {
		if g != nil {
			a.closeSet(g)
			g.Errors = append(g.Errors, "3")
			g = nil
		}
	}
	for {
		seg, ok, err := t.next()
		if err != nil {
			return err
		}
		if !ok {
			closeGroup()
			t.w.add(t.number, t.pos, "IEA is missing; the document may be cut off")
			return nil
		}
		switch seg.ID {
		case "GS":
			closeGroup()
			ic.Groups = append(ic.Groups, openGroup(&seg, t.w))
			g = &ic.Groups[len(ic.Groups)-1]
		case "GE":
			if g == nil {
				t.w.add(seg.Number, seg.Offset, "there is a GE outside a group; it was ignored")
				continue
			}
			a.closeSet(g)
			g.finish(&seg)
			g = nil
		case "IEA":
			closeGroup()
			ic.finish(&seg, t.w)
			return nil
		case "TA1":
			if g == nil {
				ic.Advices = append(ic.Advices, seg)
				continue
			}
			a.inGroup(g, seg)
		case "ISA":
			// The trailer of the first interchange is missing: leave the second one for Rest.
			closeGroup()
			t.pos = seg.Offset
			t.w.add(seg.Number, seg.Offset, "IEA is missing before the next interchange")
			return nil
		default:
			if g == nil {
				t.w.add(seg.Number, seg.Offset, "there is a segment outside a group; it was ignored")
				continue
			}
			a.inGroup(g, seg)
		}
	}
}

func (a *assembler) inGroup(g *Group, seg Segment) {
	switch {
	case seg.ID == "ST":
		a.closeSet(g)
		a.begin(seg)
	case !a.in:
		g.Stray = append(g.Stray, seg)
	default:
		a.segs = append(a.segs, seg)
		if seg.ID == "SE" {
			a.closeSet(g)
		}
	}
}

func (a *assembler) begin(seg Segment) {
	if cap(a.segs)-len(a.segs) < 64 {
		a.segs = make([]Segment, 0, max(64, min(4096, 2*cap(a.segs))))
	}
	a.open, a.in = len(a.segs), true
	a.segs = append(a.segs, seg)
}

// closeSet ends the open set and checks its envelope (element 718).
func (a *assembler) closeSet(g *Group) {
	if !a.in {
		return
	}
	segs := a.segs[a.open:len(a.segs):len(a.segs)]
	a.in = false
	st := &segs[0]
	set := Set{ID: printable(st.Element(1)), Control: printable(st.Element(2)), Segments: segs, DeclaredSegments: -1}
	if len(set.ID) != 3 || !digits(set.ID) {
		set.Errors = append(set.Errors, "6")
	}
	if set.Control == "" || len(set.Control) > 9 {
		set.Errors = append(set.Errors, "7")
	}
	if se := &segs[len(segs)-1]; se.ID != "SE" {
		set.Errors = append(set.Errors, "2")
	} else {
		if printable(se.Element(2)) != set.Control {
			set.Errors = append(set.Errors, "3")
		}
		if set.DeclaredSegments = count(se.Element(1)); set.DeclaredSegments != len(segs) {
			set.Errors = append(set.Errors, "4")
		}
	}
	for i := len(g.Sets) - 1; i >= 0 && i >= len(g.Sets)-100; i-- {
		if g.Sets[i].Control == set.Control && set.Control != "" {
			a.t.w.add(st.Number, st.Offset, "ST02 is used twice in one group")
			break
		}
	}
	g.Sets = append(g.Sets, set)
}

// printable trims a control value and drops control characters, so that it can be repeated in a 997.
func printable(s string) string {
	s = strings.TrimSpace(s)
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r == 0x7f {
					return -1
				}
				return r
			}, s)
		}
	}
	return s
}

func openGroup(gs *Segment, w *warnings) Group {
	trim := printable
	g := Group{
		FunctionalID: trim(gs.Element(1)), Sender: trim(gs.Element(2)), Receiver: trim(gs.Element(3)),
		Date: trim(gs.Element(4)), Time: trim(gs.Element(5)), Control: trim(gs.Element(6)),
		Agency: trim(gs.Element(7)), Version: trim(gs.Element(8)), DeclaredSets: -1,
	}
	if !digits(g.Control) || len(g.Control) > 9 {
		g.Errors = append(g.Errors, "6")
	}
	if len(gs.Elements) > 8 {
		w.add(gs.Number, gs.Offset, "GS has more than eight elements")
	}
	return g
}

func (g *Group) finish(ge *Segment) {
	g.DeclaredSets = count(ge.Element(1))
	g.TrailerControl = printable(ge.Element(2))
	if g.TrailerControl != g.Control {
		g.Errors = append(g.Errors, "4")
	}
	if g.DeclaredSets != len(g.Sets) {
		g.Errors = append(g.Errors, "5")
	}
}

func (ic *Interchange) finish(iea *Segment, w *warnings) {
	ic.DeclaredGroups = count(iea.Element(1))
	ic.TrailerControl = strings.TrimSpace(iea.Element(2))
	if ic.DeclaredGroups != len(ic.Groups) {
		w.add(iea.Number, iea.Offset, "IEA01 is not the number of groups")
	}
	if ic.TrailerControl != ic.Control {
		w.add(iea.Number, iea.Offset, "IEA02 is not ISA13")
	}
}
