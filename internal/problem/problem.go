// Package problem is the closed set of things that can go wrong, as callers see them:
// one stable dotted code each, with its HTTP status and title, rendered as RFC 9457 problem details.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Code is a stable name of a refusal, "area.reason". Codes are a contract: they are added, never renamed.
type Code string

// Violation is one place where input breaks its contract. It never contains the offending value.
type Violation struct {
	// In is where: "body", "query", "path", "header", or "document" (EDI, files).
	In string `json:"in"`
	// Pointer is an RFC 6901 JSON Pointer into a body, or the parameter's name, or "segment/element".
	Pointer string `json:"pointer"`
	// Keyword is the schema keyword or check that failed ("required", "type", "AK3/8").
	Keyword string `json:"keyword"`
	// Message says in one sentence what is expected.
	Message string `json:"message"`
}

// Error is a refusal. Detail is a sentence for the caller: lower case, it names the thing and the remedy,
// and never contains a value, a secret or a backend's text. Cause is for our log only.
type Error struct {
	Code       Code
	Detail     string
	Violations []Violation
	// RetryAfter, if positive, becomes the Retry-After header, rounded up to whole seconds.
	RetryAfter time.Duration
	// Header holds further response headers, as name, value pairs.
	Header [][2]string
	// Extra holds further members of the problem body, for example "state" or "duplicate_of".
	Extra map[string]any
	Cause error
}

// New returns a refusal with a formatted detail.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap is New with the cause that only our log sees.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), Cause: cause}
}

// Error returns the code, the detail and the cause; it is written to logs, never to callers.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Detail
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Status is the HTTP status of the refusal; 500 for a code that is not in the table.
func (e *Error) Status() int { return e.Code.Status() }

// From returns err as a refusal: itself if it is one, Internal otherwise. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e == nil { // a nil *Error returned as an error: a mistake of ours, but no reason to fall
			return New(Internal, "the gateway failed; the request id names this call in our log")
		}
		return e
	}
	return Wrap(Internal, err, "the gateway failed; the request id names this call in our log")
}

// Is reports whether err is a refusal with the given code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e != nil && e.Code == code
}

// MaxViolations caps the list of violations in a problem body; the rest are counted in "violations_total".
const MaxViolations = 50

// Body renders the refusal as application/problem+json (RFC 9457 section 3). docs is the base address
// of the page that explains each code; instance is the request path.
func (e *Error) Body(docs, instance, requestID string) []byte {
	m := map[string]any{}
	for k, v := range e.Extra {
		m[k] = v
	}
	m["type"] = docs + string(e.Code)
	m["title"] = e.Code.Title()
	m["status"] = e.Status()
	m["detail"] = e.Detail
	m["code"] = string(e.Code)
	m["request_id"] = requestID
	if instance != "" {
		m["instance"] = instance
	}
	if n := len(e.Violations); n > 0 {
		v := e.Violations
		if n > MaxViolations {
			v = v[:MaxViolations]
			m["violations_total"] = n
		}
		m["violations"] = v
	}
	if e.RetryAfter > 0 {
		m["retry_after"] = RetrySeconds(e.RetryAfter)
	}
	out, err := json.Marshal(m)
	if err != nil {
		return []byte(`{"title":"Internal error","status":500,"code":"internal"}`)
	}
	return out
}

// RetrySeconds is d rounded up to whole seconds, at least 1.
func RetrySeconds(d time.Duration) int64 {
	n := int64((d + time.Second - 1) / time.Second)
	if n < 1 {
		n = 1
	}
	return n
}
