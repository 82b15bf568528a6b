package catalog

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"portway/internal/datafile"
	"portway/internal/ident"
)

// The profiles of issuers: which rules their tokens keep.
const (
	ProfileRFC9068 = "rfc9068" // typ at+jwt, and all claims of RFC 9068 section 2.2
	ProfileJWT     = "jwt"     // typ JWT; iss, aud, exp, iat and the identity claim
)

// maxIssuerLifetime is the longest life a policy may grant to another issuer's tokens: 400 days. Long lives are the
// other side's choice; revoking the client here ends them at once.
const maxIssuerLifetime = 400 * 24 * time.Hour

// Issuer is an external authorization server whose access tokens are taken. What a token may do is what the application
// it stands for may do.
type Issuer struct {
	ID         string
	Issuer     string // exact value of iss
	Profile    string
	Audience   string   // exact value of aud
	Algorithms []string // of ES256, PS256, EdDSA, RS256
	JWKS       string   // the one address of its keys
	// MaxLifetime is the longest life of a token, exp minus iat.
	MaxLifetime time.Duration
	Untyped     bool // profile jwt: a token without typ is taken too
	// IdentityClaim names the claim that says who is calling.
	IdentityClaim string
	// Environment is the one all its tokens are for; "" when the claim EnvironmentClaim says it, as sandbox or live.
	Environment      ident.Environment
	EnvironmentClaim string
	// Application is "organisation/application" by slug, for which every identity stands; "" when Clients maps
	// identities to client ids.
	Application string
	Clients     map[string]string
}

type issuerFile struct {
	datafile.Head    `yaml:",inline"`
	Issuer           string            `yaml:"issuer"`
	Profile          string            `yaml:"profile"`
	Audience         string            `yaml:"audience"`
	Algorithms       []string          `yaml:"algorithms"`
	JWKS             string            `yaml:"jwks"`
	MaxLifetime      time.Duration     `yaml:"maxLifetime"` // 1h when absent
	Untyped          bool              `yaml:"untyped"`
	IdentityClaim    string            `yaml:"identityClaim"` // client_id, of profile jwt sub, when absent
	Environment      ident.Environment `yaml:"environment"`
	EnvironmentClaim string            `yaml:"environmentClaim"`
	Application      string            `yaml:"application"`
	Clients          map[string]string `yaml:"clients"`
}

// issuerAlgorithms are the signature algorithms an issuer may use; symmetric ones are never among them.
var issuerAlgorithms = []string{"ES256", "PS256", "EdDSA", "RS256"}

func (l *loader) issuer(id, file string, src []byte) {
	var f issuerFile
	if p := datafile.Decode(file, "issuer", src, &f); p != nil {
		l.problems = append(l.problems, p...)
		return
	}
	is := &Issuer{ID: id, Issuer: f.Issuer, Profile: f.Profile, Audience: f.Audience, Algorithms: f.Algorithms, JWKS: f.JWKS,
		MaxLifetime: f.MaxLifetime, Untyped: f.Untyped, IdentityClaim: f.IdentityClaim, Environment: f.Environment,
		EnvironmentClaim: f.EnvironmentClaim, Application: f.Application, Clients: f.Clients}
	if is.MaxLifetime == 0 {
		is.MaxLifetime = time.Hour
	}
	if is.IdentityClaim == "" {
		is.IdentityClaim = map[string]string{ProfileJWT: "sub"}[f.Profile]
		if f.Profile == ProfileRFC9068 {
			is.IdentityClaim = "client_id"
		}
	}
	bad := func(key, format string, args ...any) { l.fail(file, l.line(key), key+": "+format, args...) }
	if f.Issuer == "" {
		bad("issuer", "name the exact value of iss")
	} else if other := l.snap.Issuers[f.Issuer]; other != nil {
		bad("issuer", "%q has it already", other.ID)
	}
	if f.Profile != ProfileRFC9068 && f.Profile != ProfileJWT {
		bad("profile", "use rfc9068 or jwt")
	}
	if f.Audience == "" {
		bad("audience", "name the exact value of aud")
	}
	if len(f.Algorithms) == 0 {
		bad("algorithms", "list one or more of %s", strings.Join(issuerAlgorithms, ", "))
	}
	for _, a := range f.Algorithms {
		if !slices.Contains(issuerAlgorithms, a) {
			bad("algorithms", "%q: use %s", a, strings.Join(issuerAlgorithms, ", "))
		}
	}
	if !isKeyAddress(f.JWKS) {
		bad("jwks", "not an absolute https address without user and fragment (http is for loopback hosts only)")
	}
	if is.MaxLifetime < time.Minute || is.MaxLifetime > maxIssuerLifetime {
		bad("maxLifetime", "use 1m to 9600h")
	}
	if f.Untyped && f.Profile != ProfileJWT {
		bad("untyped", "only profile jwt has tokens without typ")
	}
	l.issuerIdentity(is, bad)
	l.snap.Issuers[f.Issuer] = is
}

// issuerIdentity checks for whom an issuer's tokens stand, and where.
func (l *loader) issuerIdentity(is *Issuer, bad func(key, format string, args ...any)) {
	switch {
	case (is.Environment == "") == (is.EnvironmentClaim == ""):
		bad("environment", "give either environment (sandbox or live) or environmentClaim")
	case is.Environment != "" && !is.Environment.Valid():
		bad("environment", "%q: use sandbox or live", is.Environment)
	}
	// Without a list, an issuer could name any client of the installation.
	if (is.Application == "") == (len(is.Clients) == 0) {
		bad("application", "give either application or clients")
	}
	if org, app, ok := strings.Cut(is.Application, "/"); is.Application != "" && (!ok || org == "" || app == "" || strings.Contains(app, "/")) {
		bad("application", "write organisation/application")
	}
	for identity, client := range is.Clients {
		if identity == "" || client == "" {
			bad("clients", "an identity or a client id is empty")
		}
	}
}

// isKeyAddress reports whether keys may be fetched from s: https, or http from this machine.
func isKeyAddress(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}
