package catalog

import (
	"slices"
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/mapping"
)

// Backend is a system we call.
type Backend struct {
	ID   string
	Name string
	// URLs is the address of the first target by environment: absolute, without trailing slash. An environment
	// without one is not served.
	URLs map[ident.Environment]string
	// Headers are sent on every call; values are secret references, resolved when the backend is opened.
	Headers map[string]string
	// Vars are given to mappings as $vars.
	Vars map[string]any
	// Timeout is for a whole call, all tries and waits included.
	Timeout time.Duration
	egress.Policy
	// Answers says what statuses mean (RULES 15); what is not listed means what HTTP says.
	Answers    Answers
	Operations map[string]*BackendOperation // by operation id
}

// Answers classifies a target's HTTP status by data (RULES 15). A delivery takes what is not listed for transient.
type Answers struct {
	Done      []int `yaml:"done"`      // done; 2xx always is
	Already   []int `yaml:"already"`   // the target had it: success
	Rejected  []int `yaml:"rejected"`  // business rejection: final, an exception
	Locked    []int `yaml:"locked"`    // the target's record is in use: again soon; 423 always is in a delivery
	Transient []int `yaml:"transient"` // may change: again with backoff
}

// BackendOperation is how a backend serves one of our operations. Without mappings the caller's bytes pass
// unchanged.
type BackendOperation struct {
	Method   string // "" = as called
	Path     string // template over "{path.<name>}", "{id}" (the backend's own id), "" = as called, below the API's base
	Query    map[string]string
	Request  *mapping.Mapping
	Response *mapping.Mapping
	// Repeatable says that the backend knows a repeated call by its content, for example by a reference in it, and does
	// it once: a call in doubt is sent again with its key (RULES 20).
	Repeatable bool
}

// Meaning looks a status up.
func (a *Answers) Meaning(status int) egress.Meaning {
	switch {
	case slices.Contains(a.Rejected, status):
		return egress.MeansRejected
	case slices.Contains(a.Already, status):
		return egress.MeansAlready
	case slices.Contains(a.Done, status):
		return egress.MeansDone
	case slices.Contains(a.Locked, status):
		return egress.MeansLocked
	case slices.Contains(a.Transient, status):
		return egress.MeansTransient
	}
	return ""
}
