// Package edi turns X12 bytes into interchanges, sets and named trees, and writes them: envelopes with
// exact positions (Parse), transaction sets read by a guide (Guide.Read), functional acknowledgements
// (Acknowledge) and the writer (Write). It is lenient on framing, where it records warnings, and strict on
// content, where it reports the codes of the 997. It knows no partner: guides are data.
package edi

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits bound what Parse accepts; a zero field takes the default below.
type Limits struct {
	Bytes    int // length of the input
	Segments int // segments in one interchange
	Elements int // elements in one segment
}

// The defaults are generous for real documents and small enough for one process.
const (
	defaultBytes    = 64 << 20
	defaultSegments = 2_000_000
	defaultElements = 400
)

func (l Limits) orDefault() Limits {
	if l.Bytes <= 0 {
		l.Bytes = defaultBytes
	}
	if l.Segments <= 0 {
		l.Segments = defaultSegments
	}
	if l.Elements <= 0 {
		l.Elements = defaultElements
	}
	return l
}

// Separators are the delimiters an interchange declares (X12.5 ISA). A zero Component or Repetition says
// that the interchange declares none; ISA11 is a repetition separator from ISA12 00402 on only.
type Separators struct {
	Element, Component, Repetition, Segment byte
}

// Segment is one segment as received: identifier and elements, empty ones included.
// It never owns bytes of its own: its strings are parts of one copy of the input.
type Segment struct {
	ID       string
	Elements []string // Elements[0] is element 01
	Number   int      // position in the interchange, ISA is 1
	Offset   int      // byte offset of ID in the input given to Parse
}

// Element returns element pos (from 1), or "" when the segment is shorter.
func (s *Segment) Element(pos int) string {
	if pos < 1 || pos > len(s.Elements) {
		return ""
	}
	return s.Elements[pos-1]
}

// OffsetOf returns the byte offset in the input of element pos (from 1). Beyond the last element it is the
// end of the segment.
func (s *Segment) OffsetOf(pos int) int {
	n := s.Offset + len(s.ID) + 1
	for i := 0; i < pos-1 && i < len(s.Elements); i++ {
		n += len(s.Elements[i]) + 1
	}
	return n
}

// Warning is a departure from the standard that was read over. There is one per kind: Segment and Offset
// are those of the first occurrence, Count says how often it occurred.
type Warning struct {
	Segment int // position in the interchange (Parse) or in the set (Guide.Read)
	Offset  int // byte offset in the input
	Count   int
	Message string
}

// warnings collects one Warning per message; the map keeps Parse linear on files that are dirty throughout.
type warnings struct {
	list  []Warning
	index map[string]int
}

func (w *warnings) add(segment, offset int, message string) {
	if i, ok := w.index[message]; ok {
		w.list[i].Count++
		return
	}
	if len(w.list) >= maxWarnings {
		return
	}
	if w.index == nil {
		w.index = map[string]int{}
	}
	w.index[message] = len(w.list)
	w.list = append(w.list, Warning{Segment: segment, Offset: offset, Count: 1, Message: message})
}

// maxWarnings bounds the kinds kept: a file that has more is not helped by the rest.
const maxWarnings = 200

// EnvelopeError says that no interchange could be made out: there is nobody to send a 997 to, so the
// bytes go to quarantine. TooLarge marks a refusal by Limits.
type EnvelopeError struct {
	Offset   int
	Reason   string
	TooLarge bool
}

// Error returns the reason with the byte offset; it contains no value of the document.
func (e *EnvelopeError) Error() string {
	return fmt.Sprintf("interchange is not readable at byte %d: %s", e.Offset, e.Reason)
}

// Interchange is one ISA…IEA. Identifiers are trimmed of their padding.
type Interchange struct {
	SenderQualifier, SenderID     string // ISA05, ISA06
	ReceiverQualifier, ReceiverID string // ISA07, ISA08
	Date, Time                    string // ISA09 YYMMDD, ISA10 HHMM
	Version                       string // ISA12, for example 00401
	Control                       string // ISA13, as received
	Usage                         string // ISA15: "P" production, "T" test, "I" information
	Separators                    Separators
	Groups                        []Group
	Advices                       []Segment // TA1 interchange acknowledgements
	ISA                           Segment
	DeclaredGroups                int    // IEA01, -1 when missing or not a number
	TrailerControl                string // IEA02
	Warnings                      []Warning
	Rest                          []byte // what follows IEA when it is another interchange, else nil; a part of the input
}

// Acknowledgements returns how many 997 sets Acknowledge writes for the interchange: one per functional
// group, none for groups of acknowledgements (GS01 FA; the standard forbids acknowledging those).
func (ic *Interchange) Acknowledgements() int {
	n := 0
	for i := range ic.Groups {
		if ic.Groups[i].FunctionalID != "FA" {
			n++
		}
	}
	return n
}

// Group is one functional group, GS…GE.
type Group struct {
	FunctionalID   string // GS01
	Sender         string // GS02
	Receiver       string // GS03
	Date, Time     string // GS04, GS05
	Control        string // GS06, as received
	Agency         string // GS07
	Version        string // GS08, for example 004010
	Sets           []Set
	Stray          []Segment // segments of the group that belong to no set, for example after a broken ST
	DeclaredSets   int       // GE01, -1 when missing or not a number
	TrailerControl string    // GE02
	Errors         []string  // codes of element 716 (AK905): 3, 4, 5, 6
}

// Set is one transaction set, ST…SE. Segments includes both, so the position that a 997 counts
// (AK302, ST is 1) is the index plus one.
type Set struct {
	ID               string // ST01
	Control          string // ST02
	Segments         []Segment
	DeclaredSegments int      // SE01, -1 when missing or not a number
	Errors           []string // codes of element 718 (AK502) the envelope shows: 2, 3, 4, 6, 7
}

func has(codes []string, code string) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// count reads a declared count, -1 when it is none.
func count(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return -1
	}
	return n
}
