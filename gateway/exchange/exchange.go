// Package exchange is one partner call as the gateway sees it, and the runner that takes it through its
// stages. It knows no web framework.
package exchange

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"portway/internal/catalog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// Stage does one job on one exchange. A returned error ends the inbound phase;
// its problem code decides the status the partner sees.
type Stage interface {
	Name() string
	Run(ctx context.Context, x *Exchange) error
}

// Request is the call in our own type: strings are owned copies and outlive the connection's buffers.
type Request struct {
	Method string
	Path   string // canonical, still percent-encoded
	Query  string // raw
	Host   string
	Header Header
	// Remote is the client: whoever is connected, or whom a trusted proxy names.
	Remote netip.Addr
	// Secure says that the client speaks HTTPS, with us or with a trusted proxy.
	Secure bool
	// PeerCertificate is the DER of the client certificate of the connection, verified against the configured
	// authorities; nil without one.
	PeerCertificate []byte
}

// Header is an ordered list of header fields.
type Header [][2]string

// Get returns the first value of a header, "" if absent. Names compare without case.
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i][0], name) {
			return h[i][1]
		}
	}
	return ""
}

// Values returns all values of a header.
func (h Header) Values(name string) []string {
	var out []string
	for i := range h {
		if strings.EqualFold(h[i][0], name) {
			out = append(out, h[i][1])
		}
	}
	return out
}

// Set replaces a header.
func (h *Header) Set(name, value string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !strings.EqualFold(f[0], name) {
			kept = append(kept, f)
		}
	}
	*h = append(kept, [2]string{name, value})
}

// Add appends a header.
func (h *Header) Add(name, value string) { *h = append(*h, [2]string{name, value}) }

// Response is what the partner gets. Stream, if there is one, is the body instead of Body; whoever replaces such a
// Response closes it.
type Response struct {
	Status int
	Header Header
	Body   []byte
	Stream *Stream
}

// Token is what the caller's access token said, once verified; its ID is "" without one.
type Token struct {
	ID string // the jti, of an external token after its issuer
	// Unlimited says that the token, of an external issuer, names no scopes: the subscription alone limits it.
	Unlimited bool
	Scopes    map[string]bool // shared: nobody changes it
	Expires   time.Time
}

// Exchange is one partner call and what the gateway has learned about it. It pins the Snapshot at its start.
type Exchange struct {
	ID              string // also X-Request-Id; the caller's own is kept as ClientRequestID, never trusted
	ClientRequestID string
	Received        time.Time
	Request         Request
	// ReadBody returns the whole body, at most limit bytes, or body.too_large; set by the edge, called once.
	ReadBody func(limit int64) ([]byte, error)
	Body     []byte
	// OpenBody is ReadBody for operations that stream the caller's body into Stream instead of Body.
	OpenBody func(limit int64) (*Stream, error)
	Stream   *Stream
	// HostEnvironment is set when the host name of the call belongs to one environment.
	HostEnvironment ident.Environment
	Snapshot        *catalog.Snapshot

	Route       *catalog.Route            // set by contract.Match: operation, compiled schemas, policy
	PathParams  map[string]string         // raw path parameters
	Params      map[string]any            // decoded parameters by "in.name", set by contract.Validate
	MediaType   string                    // of the body, lower case, without parameters
	Caller      *partner.Caller           // set by authn
	Token       Token                     // set by authn
	Grant       *partner.Grant            // the caller's subscription to the route's API, set by contract.Authorize
	Backend     *catalog.Backend          // set by mediate for proxied calls
	Call        *catalog.BackendOperation // how that backend serves the operation
	Upstream    *UpstreamRequest          // what to send, set by mediate
	Environment ident.Environment         // the caller's; "" before identification

	Key         *idempotent.Key // set by idempotency.Lookup when the call carries an Idempotency-Key that counts
	Reservation string          // the lease that holds Key, from idempotency.Reserve until Settle

	Response *Response
	Err      *problem.Error
	EventID  string // of the statement this call made
	// Reported are violations that the answer does not list, for the record; Breaches are all, as they are counted.
	Reported []problem.Violation
	Breaches []traffic.Breach
	Refs     []traffic.Ref // business numbers of the call
	// RateHeaders are set by throttle and added to every answer.
	RateHeaders [][2]string
	// UpstreamStatus is the status of the backend's own answer, 0 when there was none.
	UpstreamStatus int
	// UpstreamTook is the time spent waiting for a backend.
	UpstreamTook time.Duration
	Trail        []traffic.Step
	note         string
	mark         time.Time // when the stage under way began
	releases     []func()
}

// UpstreamRequest is the call to a backend, after mediation. Path is below the backend's address, with the query.
type UpstreamRequest struct {
	Method      string
	Path        string
	ContentType string
	Accept      string
	// Key is the Idempotency-Key for a backend that honours one, "" for others: the same for every repetition, and never
	// the same for two callers.
	Key  string
	Body []byte
	// Input is the call as the response mapping sees it: path, query and body.
	Input map[string]any
}

// OnEnd has f called once when the exchange is over, whatever becomes of it: what a stage holds for the time of a call
// is given back there. The last one added is called first.
func (x *Exchange) OnEnd(f func()) { x.releases = append(x.releases, f) }

// Note adds a word to the current stage's step of the decision trail; it holds no value of the caller's.
func (x *Exchange) Note(text string) { x.note = text }
