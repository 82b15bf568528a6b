package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/partner"
	"portway/internal/secret"
	"portway/internal/token"
)

// assertionType is the client_assertion_type of private_key_jwt (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Reasons of refusals, for the log.
const (
	noClient  = "no such client"
	otherKind = "the client is registered with another kind of credential"
)

// client is an authenticated client, with the certificate that proved it, nil without one.
type client struct {
	*partner.Caller
	certificate *x509.Certificate
}

// errAmbiguous says that a client authenticates in two ways, or in half a way.
var errAmbiguous = errors.New("authenticate in one way: an HTTP Basic header, a secret in the form, or an assertion with its type")

// form reads the form of an OAuth request; a refusal is an answer.
func (o *OAuth) form(x *exchange.Exchange) (url.Values, *exchange.Response) {
	if x.MediaType != "application/x-www-form-urlencoded" {
		return nil, refuse(400, "invalid_request", "send application/x-www-form-urlencoded")
	}
	if len(x.Body) > maxForm {
		return nil, refuse(400, "invalid_request", "the request is too large")
	}
	form, err := url.ParseQuery(string(x.Body))
	if err != nil {
		return nil, refuse(400, "invalid_request", "the form is malformed")
	}
	for _, v := range form {
		if len(v) > 1 {
			return nil, refuse(400, "invalid_request", "a parameter is repeated")
		}
	}
	return form, nil
}

// authenticate finds the client that sent a form, by the way it is registered with (RFC 6749 section 2.3, RFC 7523,
// RFC 8705). A refusal is an answer: an unknown client, a wrong proof and a client that may not are one. The error is
// ours: what is needed to judge is not there.
func (o *OAuth) authenticate(ctx context.Context, x *exchange.Exchange, form url.Values) (*client, *exchange.Response, error) {
	if o.Directory.Stale() {
		return nil, nil, unavailable()
	}
	var c *client
	var reason string
	var err error
	assertion, kind := form.Get("client_assertion"), form.Get("client_assertion_type")
	header := x.Request.Header.Values("Authorization")
	switch given := form.Get("client_secret"); {
	case (assertion != "") != (kind == assertionType), assertion != "" && (given != "" || len(header) > 0):
		return nil, refuse(400, "invalid_request", errAmbiguous.Error()), nil
	case assertion != "":
		c, reason, err = o.byAssertion(ctx, assertion, form.Get("client_id"))
	case len(header) == 0 && given == "" && len(x.Request.PeerCertificate) > 0:
		c, reason = o.byCertificate(x.Request.PeerCertificate, form.Get("client_id"))
	default:
		id, given, ok := clientSecret(header, form)
		if !ok {
			return nil, refuse(400, "invalid_request", errAmbiguous.Error()), nil
		}
		c, reason = o.bySecret(id, given)
	}
	if err != nil {
		return nil, nil, err
	}
	if reason == "" && usable(c.Caller, o.Profile.Clock.Now()) != nil {
		reason = "the client is not active"
	}
	if reason != "" {
		known := "" // what callers write themselves is not repeated
		if c != nil {
			known = c.ClientID
		}
		o.Log.InfoContext(ctx, "client refused", "event", "auth.client_refused", "request_id", x.ID, "client", known, "reason", reason)
		r := refuse(401, "invalid_client", "the client, or its proof, is not known here")
		r.Header.Set("WWW-Authenticate", `Basic realm="portway"`)
		return nil, r, nil
	}
	x.Caller, x.Environment = c.Caller, c.Environment
	if !fromAllowedAddress(ctx, o.Log, x, c.Caller) {
		return nil, refuse(400, "unauthorized_client", "this address is not on the application's list"), nil
	}
	return c, nil, nil
}

func (o *OAuth) bySecret(id, given string) (*client, string) {
	caller, known := o.Directory.Client(id)
	hash := strings.Repeat("0", 64) // an unknown client takes the same comparison
	if known {
		hash = caller.SecretHash
	}
	switch match := secret.Matches(given, hash); {
	case !known:
		return nil, noClient
	case caller.CredentialKind != partner.ClientSecret:
		return &client{Caller: caller}, otherKind
	case !match:
		return &client{Caller: caller}, "wrong secret"
	}
	return &client{Caller: caller}, ""
}

func (o *OAuth) byAssertion(ctx context.Context, raw, id string) (*client, string, error) {
	claimed, err := token.AssertionClient(raw)
	if err != nil {
		return nil, err.Error(), nil
	}
	caller, known := o.Directory.Client(claimed)
	switch {
	case id != "" && id != claimed:
		return nil, "client_id and the assertion name two clients", nil
	case !known:
		return nil, noClient, nil
	}
	c := &client{Caller: caller}
	if caller.CredentialKind != partner.PrivateKeyJWT {
		return c, otherKind, nil
	}
	keys, err := token.ParseKeySet([]byte(caller.PublicKeys))
	if err != nil {
		return c, "the client's keys: " + err.Error(), nil
	}
	_, err = token.VerifyAssertion(ctx, raw, token.AssertionRules{Issuer: o.Profile.Issuer, ClientID: claimed, Keys: keys,
		Clock: o.Profile.Clock, Seen: o.Seen})
	if errors.Is(err, token.ErrUnavailable) { // it may be a replay: refused until that can be told
		o.Log.ErrorContext(ctx, "assertions cannot be checked", "error", err.Error())
		return nil, "", unavailable()
	}
	if err != nil {
		return c, err.Error(), nil
	}
	return c, "", nil
}

// byCertificate takes a client whose registered thumbprint the certificate has; its subject too, if one is registered.
func (o *OAuth) byCertificate(der []byte, id string) (*client, string) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, "the certificate of the connection cannot be read"
	}
	caller, known := o.Directory.Client(id)
	if !known {
		return nil, noClient
	}
	c := &client{Caller: caller, certificate: cert}
	sum := sha256.Sum256(der)
	now := o.Profile.Clock.Now()
	switch {
	case caller.CredentialKind != partner.MutualTLS:
		return c, otherKind
	case !slices.Contains(caller.Thumbprints, hex.EncodeToString(sum[:])):
		return c, "another certificate is registered"
	case caller.Subject != "" && cert.Subject.String() != caller.Subject:
		return c, "another subject is registered"
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return c, "the certificate is not valid now"
	}
	return c, ""
}

// clientSecret reads client_secret_basic or client_secret_post; ok is false when both are used. A header that cannot
// be read names no client.
func clientSecret(header []string, form url.Values) (id, given string, ok bool) {
	id, given = form.Get("client_id"), form.Get("client_secret")
	if len(header) == 0 {
		return id, given, true
	}
	scheme, rest, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || !strings.EqualFold(scheme, "Basic") || given != "" {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return "", "", true
	}
	user, pass, _ := strings.Cut(string(b), ":")
	// RFC 6749 section 2.3.1: both parts are form-encoded before they go into the header.
	user, errUser := url.QueryUnescape(user)
	pass, errPass := url.QueryUnescape(pass)
	if errUser != nil || errPass != nil {
		return "", "", true
	}
	if id != "" && id != user {
		return "", "", false
	}
	return user, pass, true
}
