// Package catalog turns specs and policies into one immutable Snapshot: the compiled contract of every
// operation and what is enforced for it. A request does no YAML and compiles nothing.
package catalog

import (
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/catalog/response"
	"portway/internal/edi"
	"portway/internal/ident"
	"portway/internal/mapping"
	"portway/internal/openapi"
	"portway/internal/schema"
)

// Snapshot is everything the gateway and the portal know from files, at one moment. It is swapped whole.
// Memory grows with the number of operations and the size of their schemas.
type Snapshot struct {
	Digest   string // hexadecimal SHA-256 of all files, in order of name
	Loaded   time.Time
	APIs     []*API // in order of id
	Plans    map[string]*Plan
	Backends map[string]*Backend
	Events   map[string]*EventType
	Routes   []*DeliveryRoute // in order of id
	Mappings map[string]*mapping.Mapping
	Guides   map[string]*edi.Guide // "x12/945/004010"
	Issuers  map[string]*Issuer    // by the value of iss
	Warnings []openapi.Finding

	tree   routes
	headed map[string][]*API // APIs whose version a header chooses, by the first segment of their base
}

// API is one API with its versions, oldest first.
type API struct {
	ID       string
	Title    string
	Summary  string
	Internal bool // Portway's own and operators' APIs: callable, but not offered in the catalogue
	Versions []*Version

	// VersionHeader is the header that chooses the version, "" when the path does; VersionDefault is the version of calls
	// without it, "" when they are refused.
	VersionHeader, VersionDefault string
	Observe                       bool // calls pass unmodified; they are checked, counted and indexed only
	APIKeys                       bool // calls may carry an API key instead of an access token
}

// Lifecycle is what governance says about a version (RFC 9745, RFC 8594).
type Lifecycle struct {
	State        string    `yaml:"state"`      // "stable", "deprecated" or "retired"
	DeprecatedAt time.Time `yaml:"deprecated"` // when State is deprecated
	SunsetAt     time.Time `yaml:"sunset"`     // zero when no date is set
	Successor    string    `yaml:"successor"`  // "v2"
}

// Deprecated reports whether responses carry the deprecation headers.
func (l *Lifecycle) Deprecated() bool { return l.State == "deprecated" || l.State == "retired" }

// Version is one version of an API: its contract and its operations.
type Version struct {
	API       *API
	Name      string // "v1"
	Base      string // "/orders/v1", "" for paths used as they are
	Document  *openapi.Document
	Lifecycle Lifecycle
	Routes    []*Route // in order of the document
	// Headers are the response headers of the lifecycle, ready to send: Deprecation, Sunset, Link.
	Headers [][2]string

	tree  routes          // when a header chooses the version
	names map[string]bool // declared by the contract; see Generalise
}

// Dispatch is how an operation is answered.
type Dispatch string

// The dispatches.
const (
	Proxy   Dispatch = "proxy"   // by a backend
	Accept  Dispatch = "accept"  // as a statement in the event log
	Builtin Dispatch = "builtin" // by Portway itself
)

// Route is one operation ready to serve.
type Route struct {
	ID        string // "orders/v1/claimOrder"
	API       *API
	Version   *Version
	Operation *openapi.Operation
	Method    string
	Template  string // the whole path template, base included
	Dispatch  Dispatch
	// Scopes are the scopes that suffice, any one of them; empty with Anonymous false means any subscriber.
	Scopes    []string
	Anonymous bool
	InFlight  bool // never refused for work already released (RULES 14)
	Cost      int  // what a call takes from the caller's limits, 1 by default
	BodyLimit int64
	Timeout   time.Duration // of the backend's answer
	// Stream is which bodies are not held in memory; AnswerLimit is the largest answer in bytes, 0 = 16 MiB, or
	// 1 GiB of a streamed one.
	Stream      egress.Stream
	AnswerLimit int64
	Fallback    egress.Fallback
	Idempotency Idempotency

	// Bodies by media type without parameters, lower case; a nil schema means the bytes are not checked.
	Bodies       map[string]*schema.Schema
	BodyRequired bool
	// Parameters holds the compiled schema of each parameter by "in.name".
	Parameters map[string]*schema.Schema
	Responses  []string // media types it can answer with

	Event   *EventType       // accept
	Mapping *mapping.Mapping // accept: request → event data
	Select  *Selector        // proxy: which backend
	// Up turns a call of an older version into the next version's words, Down an answer back; nil leaves them.
	Up, Down *mapping.Mapping
	Handler  string // builtin: its name

	// RequestMode is Report or Enforce ("" is Enforce); ReportFor are the organisations, by slug, whose requests are
	// reported nevertheless. ResponseMode is about a backend's answers ("" is Off); with Off there are no ResponseSchemas.
	RequestMode, ResponseMode Mode
	ReportFor                 map[string]bool
	ResponseSchemas           *response.Schemas
	Refs                      []RefRule // business numbers of a call; pointers from /path, /query, /body or /answer
}

// Selector picks a backend for a proxied call.
type Selector struct {
	Fixed string // a backend id
	// Body is a JSON Pointer whose string value names the backend; PathPrefix is a path parameter whose part
	// before the first "-" does, the rest being the backend's own id of the resource.
	Body       string
	PathPrefix string
}

// EventType is a canonical event type with what Portway must know beyond its schema ("x-portway").
type EventType struct {
	Name        string // "shipment.confirmed.v1"
	Title       string
	Schema      *schema.Schema
	Raw         []byte
	Entity      string
	EntityKey   string // JSON Pointer
	Time        string // JSON Pointer of when it happened, "" = when it was recorded
	Lane        string
	BusinessKey []string // JSON Pointers
	Fingerprint []string // JSON Pointers, "*" for every item
	Refs        []RefRule
}

// RefRule says where an event carries a business number.
type RefRule struct {
	Scheme  string `json:"scheme"`
	Pointer string `json:"pointer"` // JSON Pointer, "*" for every item
	Scope   string `json:"scope"`   // JSON Pointer of who issued it, "" when the scheme says so
}

// DeliveryRoute brings events to a backend.
type DeliveryRoute struct {
	ID       string
	Events   []string
	Backend  *Backend
	Path     string
	Answers  Answers
	Schedule []time.Duration // waits between attempts
}

// Subscribers returns the routes that want an event of this type in this environment.
func (s *Snapshot) Subscribers(eventType string, env ident.Environment) []*DeliveryRoute {
	var out []*DeliveryRoute
	for _, r := range s.Routes {
		if r.Backend.URLs[env] == "" {
			continue
		}
		for _, e := range r.Events {
			if e == eventType {
				out = append(out, r)
				break
			}
		}
	}
	return out
}

// API returns an API by id.
func (s *Snapshot) API(id string) (*API, bool) {
	for _, a := range s.APIs {
		if a.ID == id {
			return a, true
		}
	}
	return nil, false
}

// Version returns a version of the API by name.
func (a *API) Version(name string) (*Version, bool) {
	for _, v := range a.Versions {
		if v.Name == name {
			return v, true
		}
	}
	return nil, false
}

// Route returns a delivery route by id.
func (s *Snapshot) Route(id string) (*DeliveryRoute, bool) {
	for _, r := range s.Routes {
		if r.ID == id {
			return r, true
		}
	}
	return nil, false
}
