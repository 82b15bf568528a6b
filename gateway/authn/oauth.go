package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/url"
	"slices"
	"sort"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/partner"
	"portway/internal/secret"
	"portway/internal/token"
)

// OAuth is the authorization server: client credentials (RFC 6749 section 4.4), its keys and its metadata.
type OAuth struct {
	Profile   *token.Profile
	Directory *partner.Directory
	Log       *slog.Logger
}

// maxForm is the largest token request that is read.
const maxForm = 16 << 10

// Token answers POST /oauth2/token. Refusals are RFC 6749 section 5.2 JSON, not problem details. An unknown
// client, a wrong secret and a revoked credential are one answer.
func (o *OAuth) Token(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	if x.MediaType != "application/x-www-form-urlencoded" {
		return refuse(400, "invalid_request", "send application/x-www-form-urlencoded"), nil
	}
	if len(x.Body) > maxForm {
		return refuse(400, "invalid_request", "the request is too large"), nil
	}
	form, err := url.ParseQuery(string(x.Body))
	if err != nil {
		return refuse(400, "invalid_request", "the form is malformed"), nil
	}
	for _, v := range form {
		if len(v) > 1 {
			return refuse(400, "invalid_request", "a parameter is repeated"), nil
		}
	}
	id, given, ok := clientAuthentication(x.Request.Header, form)
	if !ok {
		return refuse(400, "invalid_request", "authenticate by one HTTP Basic header or in the form, not in both"), nil
	}
	if o.Directory.Stale() {
		return nil, unavailable()
	}
	caller, known := o.Directory.Client(id)
	hash := strings.Repeat("0", 64) // an unknown client takes the same comparison
	if known {
		hash = caller.SecretHash
	}
	if match := secret.Matches(given, hash); !known || !match || usable(caller, o.Profile.Clock.Now()) != nil {
		o.Log.InfoContext(ctx, "client refused", "request_id", x.ID, "known", known)
		r := refuse(401, "invalid_client", "the client or its secret is not known here")
		r.Header.Set("WWW-Authenticate", `Basic realm="portway"`)
		return r, nil
	}
	x.Caller, x.Environment = caller, caller.Environment
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return refuse(400, "invalid_request", "grant_type is missing"), nil
	default:
		return refuse(400, "unsupported_grant_type", "only client_credentials is offered"), nil
	}
	scope, ok := capScopes(caller, form.Get("scope"))
	if !ok {
		return refuse(400, "invalid_scope", "a scope is not part of the application's subscriptions"), nil
	}
	raw, claims, err := o.Profile.Issue(caller.ClientID, caller.Org, caller.Environment, scope)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"access_token": raw, "token_type": "Bearer",
		"expires_in": claims.Expires - claims.IssuedAt, "scope": scope})
	if err != nil {
		return nil, err
	}
	return answer(200, body), nil
}

// clientAuthentication reads client_secret_basic or client_secret_post; ok is false when both are used. A header that
// cannot be read names no client.
func clientAuthentication(h exchange.Header, form url.Values) (id, given string, ok bool) {
	id, given = form.Get("client_id"), form.Get("client_secret")
	values := h.Values("Authorization")
	if len(values) == 0 {
		return id, given, true
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Basic") || given != "" {
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

// capScopes returns the scopes asked for, or all the caller has, once each; ok is false if one is not the caller's.
func capScopes(c *partner.Caller, asked string) (string, bool) {
	have := map[string]bool{}
	for _, g := range c.Subscriptions {
		for s := range g.Scopes {
			have[s] = true
		}
	}
	out := strings.Fields(asked)
	for _, s := range out {
		if !have[s] {
			return "", false
		}
	}
	if len(out) == 0 {
		for s := range have {
			out = append(out, s)
		}
	}
	sort.Strings(out)
	return strings.Join(slices.Compact(out), " "), true
}

// Keys answers GET /.well-known/jwks.json.
func (o *OAuth) Keys(context.Context, *exchange.Exchange) (*exchange.Response, error) {
	r := &exchange.Response{Status: 200, Body: o.Profile.Ring.JWKS()}
	r.Header.Set("Content-Type", "application/jwk-set+json")
	r.Header.Set("Cache-Control", "public, max-age=300")
	return r, nil
}

// Metadata answers GET /.well-known/oauth-authorization-server (RFC 8414).
func (o *OAuth) Metadata(_ context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	scopes := map[string]bool{}
	for _, a := range x.Snapshot.APIs {
		for _, v := range a.Versions {
			for _, r := range v.Routes {
				for _, s := range r.Scopes {
					scopes[s] = true
				}
			}
		}
	}
	list := make([]string, 0, len(scopes))
	for s := range scopes {
		list = append(list, s)
	}
	sort.Strings(list)
	issuer := o.Profile.Issuer
	body, err := json.Marshal(map[string]any{
		"issuer":                                issuer,
		"token_endpoint":                        issuer + "/oauth2/token",
		"jwks_uri":                              issuer + "/.well-known/jwks.json",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"scopes_supported":                      list,
	})
	if err != nil {
		return nil, err
	}
	r := &exchange.Response{Status: 200, Body: body}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Cache-Control", "public, max-age=300")
	return r, nil
}

func refuse(status int, code, description string) *exchange.Response {
	body, err := json.Marshal(map[string]string{"error": code, "error_description": description})
	if err != nil {
		body = []byte(`{"error":"server_error"}`)
	}
	return answer(status, body)
}

// answer is a token endpoint response: RFC 6749 section 5.1 asks for no-store and no-cache.
func answer(status int, body []byte) *exchange.Response {
	r := &exchange.Response{Status: status, Body: body}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Cache-Control", "no-store")
	r.Header.Set("Pragma", "no-cache")
	return r
}
