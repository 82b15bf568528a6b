package edi

import "strings"

// isaSeparators are the offsets of the sixteen element separators of a fixed-width ISA.
var isaSeparators = [16]int{3, 6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103}

const (
	isaWidth    = 106
	isaMaxWidth = 400 // longest variable-width ISA read: padding with two-byte spaces included
	nbsp        = "\u00a0"
	bom         = "\ufeff"
)

// skipFraming returns the offset of the first byte from i on that is not filling between segments:
// white space, no-break space, byte order mark, NUL, or the end-of-file mark of old systems.
// odd says that more than line breaks was skipped.
func skipFraming(s string, i int) (next int, odd bool) {
	for i < len(s) {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
			i++
		case c == ' ' || c == '\t' || c == 0 || c == 0x1a || c == '\v' || c == '\f':
			i, odd = i+1, true
		case c == nbsp[0] && strings.HasPrefix(s[i:], nbsp):
			i, odd = i+len(nbsp), true
		case c == bom[0] && strings.HasPrefix(s[i:], bom):
			i, odd = i+len(bom), true
		default:
			return i, odd
		}
	}
	return i, odd
}

// trimPadding removes the spaces that pad ISA elements, no-break spaces and stray line breaks included.
func trimPadding(s string) string { return strings.Trim(s, " \t\r\n"+nbsp) }

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// separators finds the delimiters from the ISA at s[start:] and the offset just behind its terminator.
func separators(s string, start int, w *warnings) (Separators, []string, int, error) {
	fail := func(at int, reason string) (Separators, []string, int, error) {
		return Separators{}, nil, 0, &EnvelopeError{Offset: at, Reason: reason}
	}
	isa := s[start:]
	if !strings.HasPrefix(isa, "ISA") {
		return fail(start, "it does not begin with an ISA segment")
	}
	if len(isa) < 4 {
		return fail(start, "the ISA segment is cut off")
	}
	sep := Separators{Element: isa[3]}
	if alphanumeric(sep.Element) || sep.Element == ' ' || sep.Element >= 0x80 {
		return fail(start+3, "the byte after ISA cannot be an element separator")
	}
	at, fixed := 0, len(isa) >= isaWidth
	for _, p := range isaSeparators {
		fixed = fixed && isa[p] == sep.Element
	}
	if fixed {
		at = 104
	} else {
		n, limit := 0, min(len(isa), isaMaxWidth)
		for i := 0; i < limit && n < 16; i++ {
			if isa[i] == sep.Element {
				n, at = n+1, i+1
			}
		}
		if n < 16 {
			return fail(start, "the ISA segment does not have sixteen elements")
		}
		w.add(1, start, "ISA is not 106 characters wide; its elements were counted")
	}
	if at >= len(isa) {
		return fail(start+at, "the ISA segment is cut off")
	}
	end := terminator(isa, at, &sep, w, start)
	if end < 0 {
		return fail(start+at, "the segment terminator after ISA cannot be made out")
	}
	elements := strings.Split(isa[4:at-1], string(sep.Element))
	elements = append(elements, "")
	if sep.Component != 0 {
		elements[15] = string(rune(sep.Component))
	}
	if len(elements) != 16 {
		return fail(start, "the ISA segment does not have sixteen elements")
	}
	return sep, elements, start + end, nil
}

// terminator reads ISA16 and the segment terminator at isa[at:]. A sender that leaves ISA16 out puts the
// terminator in its place, which shows when the following segment ends with it too.
func terminator(isa string, at int, sep *Separators, w *warnings, start int) int {
	first := isa[at]
	ok := func(c byte) bool { return !alphanumeric(c) && c != ' ' && c != sep.Element && c < 0x80 }
	if !ok(first) {
		return -1
	}
	left := isa[at+1:]
	missing := func() int {
		sep.Segment = first
		w.add(1, start, "ISA16 is missing; the document has no component separator")
		return at + 1
	}
	if left == "" || strings.HasPrefix(left, "GS") || strings.HasPrefix(left, "TA1") || strings.HasPrefix(left, "IEA") {
		return missing()
	}
	second := left[0]
	if second == '\r' || second == '\n' {
		body := strings.TrimLeft(left, "\r\n")
		line := body
		if i := strings.IndexAny(body, "\r\n"); i >= 0 {
			line = body[:i]
		}
		if strings.HasSuffix(line, string(first)) {
			return missing()
		}
	}
	if !ok(second) || second == first {
		return -1
	}
	sep.Component, sep.Segment = first, second
	return at + 2
}

// newInterchange checks the ISA elements that decide who sent what to whom, in which environment.
func newInterchange(e []string, start int, sep Separators, w *warnings) (*Interchange, error) {
	for i := range e {
		if i != 15 {
			e[i] = trimPadding(e[i])
		}
	}
	ic := &Interchange{
		SenderQualifier: e[4], SenderID: e[5], ReceiverQualifier: e[6], ReceiverID: e[7],
		Date: e[8], Time: e[9], Version: e[11], Control: e[12], Usage: e[14],
		Separators: sep, DeclaredGroups: -1,
		ISA: Segment{ID: "ISA", Elements: e, Number: 1, Offset: start},
	}
	reason := ""
	for i := range e[:15] {
		if i != 10 && e[i] != printable(e[i]) { // ISA11 may be a control character as repetition separator
			reason = "an element of ISA contains a control character"
		}
		if strings.IndexByte(e[i], sep.Segment) >= 0 {
			reason = "an element of ISA contains the segment terminator"
		}
	}
	switch {
	case reason != "":
	case ic.SenderID == "" || ic.ReceiverID == "":
		reason = "ISA06 and ISA08 must name the sender and the receiver"
	case len(ic.SenderID) > 15 || len(ic.ReceiverID) > 15 || len(ic.SenderQualifier) > 2 || len(ic.ReceiverQualifier) > 2 || len(e[10]) > 1:
		reason = "an element of ISA05 to ISA11 is too long"
	case !digits(ic.Version) || len(ic.Version) != 5:
		reason = "ISA12 is not a version number of five digits"
	case !digits(ic.Control) || len(ic.Control) > 9:
		reason = "ISA13 is not a control number of up to nine digits"
	case ic.Usage != "P" && ic.Usage != "T" && ic.Usage != "I":
		reason = "ISA15 is none of P, T and I"
	}
	if reason != "" {
		return nil, &EnvelopeError{Offset: start, Reason: reason}
	}
	if len(ic.Control) != 9 {
		w.add(1, start, "ISA13 is not nine digits")
	}
	if !validDate(ic.Date) || !validTime(ic.Time) {
		w.add(1, start, "ISA09 or ISA10 is not a date and time")
	}
	if ic.Version >= "00402" && len(e[10]) == 1 && !alphanumeric(e[10][0]) {
		ic.Separators.Repetition = e[10][0]
	}
	return ic, nil
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
