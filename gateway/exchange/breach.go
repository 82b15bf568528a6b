package exchange

import (
	"strconv"

	"portway/internal/problem"
	"portway/internal/traffic"
)

// Bounds of what one call adds to its record.
const (
	maxBreaches = 50
	maxRefs     = 16
	maxRefBytes = 128
)

// Break keeps what the call, or the answer of its backend, breaks of the contract: counted for its record, and, unless
// the caller reads the violations in the refusal, listed there too. It holds nothing of a backend's document.
func (x *Exchange) Break(d traffic.Direction, violations []problem.Violation, refused bool) {
	backend := ""
	if d == traffic.Response && x.Backend != nil {
		backend = x.Backend.ID
	}
	for i := range violations {
		if len(x.Breaches) >= maxBreaches {
			break
		}
		v := violations[i]
		pointer := x.Route.Version.Generalise(v.Pointer)
		x.Breaches = append(x.Breaches, traffic.Breach{Direction: d, Backend: backend, Pointer: pointer, Keyword: v.Keyword, Refused: refused})
		if d == traffic.Response {
			v.Pointer = pointer
			v.In = "answer"
		}
		if d == traffic.Response || !refused {
			x.Reported = append(x.Reported, v)
		}
	}
	switch n := len(violations); {
	case refused || n == 0:
	case n == 1:
		x.Note("1 violation reported")
	default:
		x.Note(strconv.Itoa(n) + " violations reported")
	}
}

// Refer keeps a business number the call carries. What is too long or not plain text is none.
func (x *Exchange) Refer(scheme, value string) {
	if value == "" || len(value) > maxRefBytes || len(x.Refs) >= maxRefs {
		return
	}
	for i := 0; i < len(value); i++ {
		if value[i] < 0x20 || value[i] == 0x7f {
			return
		}
	}
	for _, r := range x.Refs {
		if r.Scheme == scheme && r.Value == value {
			return
		}
	}
	x.Refs = append(x.Refs, traffic.Ref{Scheme: scheme, Value: value})
}
