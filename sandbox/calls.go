package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// keptCalls is how many calls a server remembers.
const keptCalls = 200

// Call is one request that a simulated server received, oldest first in GET /_sim/calls.
type Call struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	// Path includes the query.
	Path string `json:"path"`
	// Status is the status of the work done, also when Fault lost the answer; 0 when no work was done.
	Status int `json:"status"`
	// Fault is the mode that was applied, absent for none.
	Fault Mode `json:"fault,omitempty"`
	// Header holds the request headers without Authorization and cookies, other credentials masked.
	Header map[string][]string `json:"headers"`
}

// callRing remembers the last calls; masked names headers whose values are secrets.
type callRing struct {
	masked []string
	mu     sync.Mutex
	calls  []Call
	next   int
}

func (c *callRing) add(at time.Time, r *http.Request, status int, fault Mode) {
	if fault == None {
		fault = ""
	}
	header := map[string][]string{}
	for name, values := range r.Header {
		switch {
		case name == "Authorization" || name == "Proxy-Authorization" || name == "Cookie":
		case slices.ContainsFunc(c.masked, func(m string) bool { return strings.EqualFold(m, name) }):
			header[name] = []string{"•••"}
		default:
			header[name] = slices.Clone(values)
		}
	}
	call := Call{Time: at.UTC(), Method: r.Method, Path: r.URL.RequestURI(), Status: status, Fault: fault, Header: header}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) < keptCalls {
		c.calls = append(c.calls, call)
		return
	}
	c.calls[c.next] = call
	c.next = (c.next + 1) % keptCalls
}

func (c *callRing) list() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Call, 0, len(c.calls))
	out = append(out, c.calls[c.next:]...)
	return append(out, c.calls[:c.next]...)
}

// Calls returns the last 200 calls, oldest first, as GET /_sim/calls shows them.
func (s *Server) Calls() []Call { return s.calls.list() }

func (s *Server) showCalls(w http.ResponseWriter, _ *http.Request) {
	WriteJSON(w, http.StatusOK, map[string]any{"calls": s.calls.list()})
}
