// Package egress is how a backend is called, as its policy says it: to which addresses, with which credentials, how
// often, how long, and what keeps it from being called too much.
package egress

import (
	"strings"
	"time"

	"portway/internal/ident"
	"portway/internal/secret"
)

// Policy is how a backend is called. Zero values mean the defaults of each field.
type Policy struct {
	// Targets are all addresses by environment: absolute, without trailing slash. None means the backend's one address.
	Targets map[ident.Environment][]Target `yaml:"targets"`
	// TryTimeout is for one try, 0 = that of the whole call.
	TryTimeout time.Duration `yaml:"tryTimeout"`
	Retries    Retries       `yaml:"retries"`
	Breaker    Breaker       `yaml:"breaker"`
	// MaxInFlight is how many calls may be under way at once in an environment; more are refused. 0 = 256.
	MaxInFlight int    `yaml:"maxInFlight"`
	Health      Health `yaml:"health"`
	Auth        Auth   `yaml:"auth"`
	TLS         TLS    `yaml:"tls"`
	Budget      Budget `yaml:"budget"`
	// HonoursKey says that the backend does a call with one Idempotency-Key once, however often it comes.
	HonoursKey bool `yaml:"honoursKey"`
}

// Target is one address of a backend. Calls are shared out in proportion to the weights.
type Target struct {
	URL    string `yaml:"url"`
	Weight int    `yaml:"weight"` // 1 when absent
}

// Retries is how often and when a call that may be repeated is sent again: reads, and calls with an
// Idempotency-Key to a backend that honours it. The wait before try n is random below min(Max, Base * 2^(n-1)).
type Retries struct {
	Attempts int           `yaml:"attempts"` // tries in all, 1 when absent
	Base     time.Duration `yaml:"base"`     // 50ms when absent
	Max      time.Duration `yaml:"max"`      // 1s when absent
	Budget   int           `yaml:"budget"`   // tries beyond the first, in percent of calls; 10 when absent, and at most
}

// Breaker is when a target that fails is left alone: at Failures percent of at least Requests calls within a minute.
// One probe is let through after Open; each that fails doubles the wait up to Longest.
type Breaker struct {
	Off      bool          `yaml:"off"`
	Requests int           `yaml:"requests"` // 10 when absent
	Failures int           `yaml:"failures"` // 70 when absent
	Open     time.Duration `yaml:"open"`     // 30s when absent
	Longest  time.Duration `yaml:"longest"`  // 10m when absent
}

// Health is the read that shows whether a target is there; none when Path is "".
type Health struct {
	Path  string        `yaml:"path"`
	Every time.Duration `yaml:"every"` // 10s when absent
}

// Auth is how we show who we are, beside Headers. At most one is set; values are secret references but for those
// named otherwise.
type Auth struct {
	Basic *BasicAuth `yaml:"basic"`
	OAuth *OAuth     `yaml:"oauth"`
}

// BasicAuth is a user and a password (RFC 7617).
type BasicAuth struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

// OAuth is a client of the client credentials grant (RFC 6749 section 4.4), which authenticates by client_secret_basic.
type OAuth struct {
	TokenURL string `yaml:"tokenUrl"` // an address, or a reference to one
	ClientID string `yaml:"clientId"`
	Secret   string `yaml:"clientSecret"`
	Scope    string `yaml:"scope"`    // as it is
	Audience string `yaml:"audience"` // as it is
}

// TLS names PEM documents: the authorities to believe instead of the system's, and our own certificate with its key.
type TLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Budget is what the backend lets us call: Rate calls per Per on average, Burst at once. Partners share it.
type Budget struct {
	Rate  int           `yaml:"rate"`
	Per   time.Duration `yaml:"per"`
	Burst int           `yaml:"burst"`
}

// Stream is which bodies of an operation pass without being held in memory: "up" the caller's, "down" the
// backend's, "both". They are neither checked nor mapped; their limits hold.
type Stream string

// Up reports whether the caller's body is streamed.
func (s Stream) Up() bool { return s == "up" || s == "both" }

// Down reports whether the backend's answer is streamed.
func (s Stream) Down() bool { return s == "down" || s == "both" }

// Fallback is what a read answers when its backend cannot. Kind "" fails; "last_good" is the last good answer of at
// most MaxAge, of the same organisation, or of any when Shared.
type Fallback struct {
	Kind   string        `yaml:"kind"`
	MaxAge time.Duration `yaml:"maxAge"`
	Shared bool          `yaml:"shared"`
}

// Meaning is what an answer's status means by data, "" when nothing was said.
type Meaning string

// The meanings.
const (
	MeansDone      Meaning = "done"
	MeansAlready   Meaning = "already"
	MeansRejected  Meaning = "rejected"
	MeansLocked    Meaning = "locked"
	MeansTransient Meaning = "transient"
)

// Check reports every number that makes no sense, and every secret that is written out, with the member of the policy
// it stands under. timeout is that of a whole call.
func (p *Policy) Check(timeout time.Duration, report func(member, message string)) {
	r, k, h, g := p.Retries, p.Breaker, p.Health, p.Budget
	for _, c := range []struct {
		bad     bool
		member  string
		message string
	}{
		{timeout < 0 || p.TryTimeout < 0 || p.TryTimeout > timeout, "tryTimeout", "timeout and tryTimeout are above zero, and a try is not longer than the whole call"},
		{r.Attempts < 0 || r.Attempts > 10, "retries", "retries.attempts is between 1 and 10"},
		{r.Base < 0 || r.Max < 0 || r.Max > 0 && r.Base > r.Max, "retries", "retries: base and max are above zero, and base is not above max"},
		{r.Budget < 0 || r.Budget > 10, "retries", "retries.budget is at most 10 percent of the calls"},
		{k.Requests < 0 || k.Failures < 0 || k.Failures > 100, "breaker", "breaker: requests is above zero, and failures is a percentage"},
		{k.Open < 0 || k.Longest < 0 || k.Longest > 0 && k.Open > k.Longest, "breaker", "breaker: open and longest are above zero, and open is not above longest"},
		{p.MaxInFlight < 0 || p.MaxInFlight > 1<<16, "maxInFlight", "maxInFlight is between 1 and 65536"},
		{h.Path != "" && !strings.HasPrefix(h.Path, "/") || h.Path == "" && h.Every != 0, "health", "health.path begins with a slash"},
		{h.Every < 0 || h.Every > 0 && h.Every < time.Second, "health", "health.every is at least 1s"},
		{g != Budget{} && (g.Rate <= 0 || g.Per <= 0 || g.Burst <= 0 || int64(g.Rate) > int64(g.Per)), "budget", "budget: rate, per and burst are above zero, at most one call a nanosecond"},
	} {
		if c.bad {
			report(c.member, c.message)
		}
	}
	p.checkSecrets(report)
}

// checkSecrets checks that what is secret is a reference, and that what belongs together is there together.
func (p *Policy) checkSecrets(report func(member, message string)) {
	reference := func(value, member, name string, required bool) {
		if value != "" && !secret.IsReference(value) || value == "" && required {
			report(member, name+" is given as env:NAME or file:/path")
		}
	}
	if p.Auth.Basic != nil && p.Auth.OAuth != nil {
		report("auth", "auth: give one of basic and oauth")
	}
	if a := p.Auth.Basic; a != nil {
		reference(a.User, "auth", "auth.basic.user", true)
		reference(a.Password, "auth", "auth.basic.password", true)
	}
	if a := p.Auth.OAuth; a != nil {
		reference(a.ClientID, "auth", "auth.oauth.clientId", true)
		reference(a.Secret, "auth", "auth.oauth.clientSecret", true)
	}
	reference(p.TLS.CA, "tls", "tls.ca", false)
	reference(p.TLS.Cert, "tls", "tls.cert", p.TLS.Key != "")
	reference(p.TLS.Key, "tls", "tls.key", p.TLS.Cert != "")
}
