// Package traffic is what is known about calls: one record each, redacted at capture, with the decision
// trail and violations, and hourly usage.
package traffic

import (
	"context"
	"time"

	"portway/internal/partner"
	"portway/internal/problem"
)

// Call is the record of one call. It holds no body, no header value but the client's own request id, and no secret.
type Call struct {
	ID              string // the request id, a UUIDv7
	ClientRequestID string // the caller's X-Request-Id, at most 128 printable characters
	Received        time.Time
	Org             partner.OrgID // "" when the caller is unknown
	Application     string
	Credential      string
	Environment     partner.Environment
	API             string
	Version         string
	Operation       string // operation id, "" when none matched
	Method          string
	Path            string // the path template, or "" when none matched: never the raw path
	Status          int
	Code            problem.Code // "" unless refused
	Duration        time.Duration
	Upstream        time.Duration
	BytesIn         int64
	BytesOut        int64
	EventID         string // the event the call stated, if any
	Trail           []Step
	// Violations are the places of a refused request, and those that were only reported.
	Violations []problem.Violation
	// Breaches are counted as ContractViolations and not kept with the record.
	Breaches []Breach
	Refs     []Ref // business numbers the call carried; a list of calls leaves them out
}

// Step is one stage of the decision trail.
type Step struct {
	Stage  string `json:"stage"`
	Micros int64  `json:"micros"`
	Result string `json:"result"` // "passed", "refused", "answered"
	Note   string `json:"note,omitempty"`
}

// Usage is an hour's count of an application's calls of an operation.
type Usage struct {
	Hour        time.Time
	Org         partner.OrgID
	Application string
	Environment partner.Environment
	API         string
	Version     string
	Operation   string
	Calls       int64
	Failed      int64 // status 400 and above
}

// Filter narrows a list of calls. Zero fields do not narrow.
type Filter struct {
	Application string
	Environment partner.Environment
	Ref         Ref // calls that carried this business number
	MinStatus   int
	MaxStatus   int
	Before      string // calls older than the call with this id
	Limit       int    // 100 when 0, 200 at most
}

// Store keeps call records, usage and contract violations.
type Store interface {
	// Append writes records and adds them to the hourly usage and the contract violations, in one transaction.
	Append(ctx context.Context, calls []Call) error
	// Calls returns an organisation's calls, newest first.
	Calls(ctx context.Context, org partner.OrgID, f Filter) ([]Call, error)
	// Call returns one call of an organisation, or problem.NotFound.
	Call(ctx context.Context, org partner.OrgID, id string) (*Call, error)
	// Usage returns an organisation's hourly usage since a time, oldest first.
	Usage(ctx context.Context, org partner.OrgID, since time.Time) ([]Usage, error)
	// ContractViolations returns what an organisation's requests broke since a time, most calls first.
	ContractViolations(ctx context.Context, org partner.OrgID, since time.Time) ([]ContractViolation, error)
	// BackendViolations returns what the answers of backends broke since a time, most calls first. It is for the
	// operator's staff: it spans organisations and names none.
	BackendViolations(ctx context.Context, since time.Time) ([]ContractViolation, error)
}
