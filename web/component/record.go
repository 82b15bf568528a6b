package component

import "time"

// Cell is one field of a waybill header.
type Cell struct {
	Label string
	Value string
	// Sub is an optional second line.
	Sub string
	// Mono sets the value in the code face: identifiers, methods, paths.
	Mono bool
	// Boxed sets the last character of Value in a box: only for numbers Portway issues, which end in a check character.
	Boxed bool
	// Full is what is copied and shown on hover when Value is a short form.
	Full string
	// Badge, if it has a word, stands in place of Value.
	Badge Badge
	// Stencil, if it has text, stands in place of Value.
	Stencil Stencil
	// Time, if set, is the machine form of Value.
	Time time.Time
}

// split parts a boxed value into what stands before the box and what stands in it.
func (c Cell) split() (head, last string) {
	r := []rune(c.Value)
	if len(r) == 0 {
		return "", ""
	}
	return string(r[:len(r)-1]), string(r[len(r)-1])
}

// State is how far a node of a route line has come.
type State string

// The states of a node. Done is filled, Now the one to act on, Failed where the line stops.
const (
	Done       State = "done"
	Now        State = "now"
	Waiting    State = "waiting"
	Ahead      State = "ahead"
	Failed     State = "failed"
	Attention  State = "attention"
	NotReached State = "unreached"
	// End is Portway itself, where the line ends in an answer.
	End State = "end"
)

// word is the state for readers that do not see the node.
func (s State) word() string {
	switch s {
	case Done, End:
		return "done"
	case Now:
		return "now"
	case Waiting:
		return "waiting"
	case Failed:
		return "failed"
	case Attention:
		return "attention"
	case NotReached:
		return "not reached"
	default:
		return "ahead"
	}
}

// Stage is one step of the decision trail of a call.
type Stage struct {
	Name string
	// Detail is one line of what was decided.
	Detail string
	State  State
	// Start is counted from the arrival of the call.
	Start, Took time.Duration
	// Upstream marks time spent waiting for a backend.
	Upstream bool
}

// tone is the class of the stage's bar.
func (s Stage) tone() string {
	switch {
	case s.State == Failed:
		return "bad"
	case s.Upstream:
		return "up"
	default:
		return "own"
	}
}

// Trail is the decision trail: what the gateway decided about one call, on one time axis.
type Trail struct {
	Stages []Stage
}

const (
	axisWidth = 88.0
	axisMin   = 2.0
)

func (t Trail) total() time.Duration {
	var end time.Duration
	for _, s := range t.Stages {
		end = max(end, s.Start+s.Took)
	}
	return end
}

// bar is the x and width of a stage on the axis; every stage that ran shows at least 2 units.
func (t Trail) bar(s Stage) (x, width string) {
	total := t.total()
	if total <= 0 {
		return "0", number(axisMin)
	}
	w := max(axisMin, axisWidth*float64(s.Took)/float64(total))
	at := min(axisWidth*float64(s.Start)/float64(total), axisWidth-w)
	return number(max(at, 0)), number(w)
}

// Stop is a node of a horizontal route line.
type Stop struct {
	Label, Sub string
	State      State
}

// waybillClass keeps four to six cells on one row of a wide page.
func waybillClass(n int) string {
	switch {
	case n >= 6:
		return "six"
	case n == 5:
		return "five"
	default:
		return "four"
	}
}
