package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mode is what a simulated server does wrong.
type Mode string

// The modes of a Fault.
const (
	// None serves as usual.
	None Mode = "none"
	// Down answers 503 with Retry-After and does no work.
	Down Mode = "down"
	// Slow waits before it works; the work is done even if the caller has left.
	Slow Mode = "slow"
	// Garbage answers 200 with a body that is not JSON and does no work.
	Garbage Mode = "garbage"
	// Refuse drops the connection without an answer and does no work.
	Refuse Mode = "refuse"
	// TimeoutAfterCommit does the work, then (after the delay) drops the connection without an answer.
	TimeoutAfterCommit Mode = "timeout_after_commit"
)

var modes = []Mode{None, Down, Slow, Garbage, Refuse, TimeoutAfterCommit}

// maxDelay bounds how long a fault may hold a call.
const maxDelay = 2 * time.Minute

// Fault is the body of POST /_sim/faults.
type Fault struct {
	Mode Mode `json:"mode"`
	// Count is for how many calls the fault lasts; 0 means until it is set anew.
	Count int `json:"count,omitempty"`
	// DelayMs is the wait of Slow (0 means 1000) and of TimeoutAfterCommit, in milliseconds.
	DelayMs int `json:"delayMs,omitempty"`
}

func (f Fault) delay() time.Duration {
	if f.Mode == Slow && f.DelayMs == 0 {
		return time.Second
	}
	return time.Duration(f.DelayMs) * time.Millisecond
}

// check returns every problem of f.
func (f Fault) check() []string {
	var bad []string
	if !slices.Contains(modes, f.Mode) {
		names := make([]string, len(modes))
		for i, m := range modes {
			names[i] = string(m)
		}
		bad = append(bad, "mode: must be one of "+strings.Join(names, ", "))
	}
	if f.Count < 0 {
		bad = append(bad, "count: must be 0 (until set anew) or more")
	}
	if f.DelayMs < 0 || time.Duration(f.DelayMs)*time.Millisecond > maxDelay {
		bad = append(bad, fmt.Sprintf("delayMs: must be between 0 and %d", maxDelay.Milliseconds()))
	}
	return bad
}

// faultSwitch holds the fault in force and counts it down.
type faultSwitch struct {
	mu  sync.Mutex
	now Fault
}

func (s *faultSwitch) set(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = f
}

func (s *faultSwitch) get() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Mode == "" {
		return Fault{Mode: None}
	}
	return s.now
}

// next returns the fault of one call and uses up one of its count.
func (s *faultSwitch) next() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.now
	if f.Mode == "" {
		f.Mode = None
	}
	if f.Count > 0 {
		s.now.Count--
		if s.now.Count == 0 {
			s.now = Fault{Mode: None}
		}
	}
	return f
}

// SetFault puts f in force as POST /_sim/faults does; the error names every problem of f.
func (s *Server) SetFault(f Fault) error {
	if bad := f.check(); bad != nil {
		return fmt.Errorf("fault: %s", strings.Join(bad, "; "))
	}
	s.faults.set(f)
	s.opts.Log.Info("fault set", "mode", string(f.Mode), "count", f.Count, "delay_ms", f.DelayMs)
	return nil
}

func (s *Server) showFault(w http.ResponseWriter, _ *http.Request) {
	WriteJSON(w, http.StatusOK, s.faults.get())
}

func (s *Server) changeFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if refusal := ReadJSON(r, &f); refusal != nil {
		Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if bad := f.check(); bad != nil {
		Fail(w, http.StatusBadRequest, "the fault is not acceptable", bad)
		return
	}
	if err := s.SetFault(f); err != nil {
		Fail(w, http.StatusBadRequest, err.Error(), nil)
		return
	}
	WriteJSON(w, http.StatusOK, s.faults.get())
}
