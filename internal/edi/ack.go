package edi

import (
	"fmt"
	"strconv"
	"time"
)

// SetResult is what reading one set gave: the errors of its guide, or that no guide serves it.
type SetResult struct {
	Errors      []SetError
	Unsupported bool // AK502 code 1
}

// AckOptions are the decisions the caller has taken for one acknowledgement.
type AckOptions struct {
	Interchange uint64 // ISA13 to write
	Group       uint64 // GS06 of the first group; further groups count up
	Set         uint64 // ST02 of the first set; further sets count up
	Now         time.Time
	// WrongSECount says what a wrong SE01 alone means: "E" (accept and note it, the default) or "R" (reject).
	WrongSECount string
	// Lines writes a line break behind every segment.
	Lines bool
}

// Acknowledgement is a written 997 interchange and what it says.
type Acknowledgement struct {
	Bytes  []byte        // nil when nothing may be acknowledged (only groups of acknowledgements)
	Groups []GroupStatus // by group of the interchange
}

// GroupStatus is one AK1…AK9.
type GroupStatus struct {
	Status   string   // element 715: A accepted, E accepted with errors noted, P partially accepted, R rejected; "" for a group that is not acknowledged
	Codes    []string // element 716
	Accepted int      // AK904
	Sets     []SetStatus
}

// SetStatus is one AK2…AK5.
type SetStatus struct {
	Status string   // element 717: A, E, R
	Codes  []string // element 718
}

// Acknowledge writes the functional acknowledgement of an interchange: one 997 per functional group except
// GS01 FA, from the receiver back to the sender, with the same separators, versions and ISA15.
// results[g][s] belongs to set s of group g. It fails only when results do not fit the interchange or a
// control number is too large.
func Acknowledge(ic *Interchange, results [][]SetResult, opts AckOptions) (*Acknowledgement, error) {
	if len(results) != len(ic.Groups) {
		return nil, fmt.Errorf("acknowledge: %d groups have %d results", len(ic.Groups), len(results))
	}
	if opts.Interchange > 999_999_999 || opts.Group+uint64(len(ic.Groups)) > 999_999_999 || opts.Set+uint64(len(ic.Groups)) > 999_999_999 {
		return nil, fmt.Errorf("acknowledge: a control number has more than nine digits: wrap the counters")
	}
	ack := &Acknowledgement{Groups: make([]GroupStatus, len(ic.Groups))}
	out := &Interchange{
		SenderQualifier: ic.ReceiverQualifier, SenderID: ic.ReceiverID,
		ReceiverQualifier: ic.SenderQualifier, ReceiverID: ic.SenderID,
		Date: opts.Now.Format("060102"), Time: opts.Now.Format("1504"),
		Version: ic.Version, Control: fmt.Sprintf("%09d", opts.Interchange), Usage: ic.Usage,
		Separators: ic.Separators,
	}
	out.ISA.Elements = []string{"00", "", "00", "", "", "", "", "", "", "", ic.ISA.Element(11)}
	n := uint64(0)
	for i := range ic.Groups {
		g := &ic.Groups[i]
		if len(results[i]) != len(g.Sets) {
			return nil, fmt.Errorf("acknowledge: %d sets have %d results", len(g.Sets), len(results[i]))
		}
		if g.FunctionalID == "FA" {
			continue
		}
		status, segs := acknowledgeGroup(g, results[i], opts.WrongSECount == "R")
		ack.Groups[i] = status
		out.Groups = append(out.Groups, Group{
			FunctionalID: "FA", Sender: g.Receiver, Receiver: g.Sender,
			Date: opts.Now.Format("20060102"), Time: opts.Now.Format("1504"),
			Control: strconv.FormatUint(opts.Group+n, 10), Agency: "X", Version: baseVersion(g.Version),
			Sets: []Set{{ID: "997", Control: fmt.Sprintf("%04d", opts.Set+n), Segments: segs}},
		})
		n++
	}
	if n == 0 {
		return ack, nil
	}
	var err error
	ack.Bytes, err = Write(out, opts.Lines)
	return ack, err
}

// baseVersion drops the industry suffix of GS08 ("004010UCS"): the 997 is written to the plain standard.
func baseVersion(v string) string {
	if len(v) > 6 && digits(v[:6]) {
		return v[:6]
	}
	return v
}

func acknowledgeGroup(g *Group, results []SetResult, strictCount bool) (GroupStatus, []Segment) {
	st := GroupStatus{Codes: g.Errors, Sets: make([]SetStatus, len(g.Sets))}
	segs := []Segment{seg("AK1", g.FunctionalID, g.Control)}
	noted := len(g.Errors) > 0
	for i := range g.Sets {
		s := &g.Sets[i]
		set := judge(s, &results[i], strictCount)
		st.Sets[i] = set
		if set.Status != "R" {
			st.Accepted++
		}
		noted = noted || set.Status == "E"
		segs = append(segs, seg("AK2", s.ID, s.Control))
		for j := range results[i].Errors {
			segs = appendError(segs, &results[i].Errors[j])
		}
		segs = append(segs, seg("AK5", append([]string{set.Status}, set.Codes...)...))
	}
	switch {
	case st.Accepted == 0:
		st.Status = "R"
	case st.Accepted < len(g.Sets) || len(g.Stray) > 0:
		st.Status = "P"
	case noted:
		st.Status = "E"
	default:
		st.Status = "A"
	}
	included := g.DeclaredSets
	if included < 0 {
		included = len(g.Sets)
	}
	ak9 := []string{st.Status, strconv.Itoa(included), strconv.Itoa(len(g.Sets)), strconv.Itoa(st.Accepted)}
	segs = append(segs, seg("AK9", append(ak9, atMost(st.Codes, 5)...)...))
	return st, segs
}

// judge decides A, E or R for one set. A wrong SE01 alone is noted or rejected by policy: many senders
// count wrong for years and their documents are complete. Everything else that is wrong rejects the set.
func judge(s *Set, r *SetResult, strictCount bool) SetStatus {
	out := SetStatus{Status: "A"}
	if r.Unsupported {
		out.Codes = append(out.Codes, "1")
	}
	out.Codes = append(out.Codes, s.Errors...)
	if len(r.Errors) > 0 {
		out.Codes = append(out.Codes, "5")
	}
	out.Codes = atMost(out.Codes, 5)
	switch {
	case len(out.Codes) == 1 && out.Codes[0] == "4" && !strictCount:
		out.Status = "E"
	case len(out.Codes) > 0:
		out.Status = "R"
	}
	return out
}

func atMost(codes []string, n int) []string {
	if len(codes) > n {
		return codes[:n]
	}
	return codes
}

// appendError writes one AK3 with its AK4s. AK404, a copy of the bad value, is left out: values do not
// belong into messages that travel and are kept elsewhere.
func appendError(segs []Segment, e *SetError) []Segment {
	segs = append(segs, seg("AK3", e.SegmentID, strconv.Itoa(e.Position), e.Loop, e.Code))
	for _, x := range e.Elements {
		segs = append(segs, seg("AK4", strconv.Itoa(x.Position), x.Ref, x.Code))
	}
	return segs
}

func seg(id string, elements ...string) Segment { return Segment{ID: id, Elements: elements} }
