package authn

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/partner"
	"portway/internal/token"
)

// OAuth is the authorization server: client credentials (RFC 6749 section 4.4), revocation (RFC 7009), its keys and its
// metadata.
type OAuth struct {
	Profile   *token.Profile
	Directory *partner.Directory
	// Revocations keeps revoked tokens for all nodes; a partner.Store is one.
	Revocations interface {
		RevokeToken(ctx context.Context, t partner.RevokedToken) error
	}
	// Seen keeps what may be presented once, for all nodes: the ids of client assertions.
	Seen token.Once
	// MutualTLS says that the gateway asks for client certificates, so that clients can authenticate with one.
	MutualTLS bool
	Log       *slog.Logger
}

// maxForm is the largest request that is read.
const maxForm = 16 << 10

// Token answers POST /oauth2/token. Refusals are RFC 6749 section 5.2 JSON, not problem details.
func (o *OAuth) Token(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	form, refusal := o.form(x)
	if refusal != nil {
		return refusal, nil
	}
	c, refusal, err := o.authenticate(ctx, x, form)
	if refusal != nil || err != nil {
		return refusal, err
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return refuse(400, "invalid_request", "grant_type is missing"), nil
	default:
		return refuse(400, "unsupported_grant_type", "only client_credentials is offered"), nil
	}
	caller, refusal := o.onBehalfOf(c.Caller, form.Get("organisation"))
	if refusal != nil {
		return refusal, nil
	}
	x.Caller = caller
	scope, ok := capScopes(caller, form.Get("scope"))
	if !ok {
		return refuse(400, "invalid_scope", "a scope is not part of the application's subscriptions"), nil
	}
	g := token.Grant{ClientID: caller.ClientID, Org: caller.Org, Environment: caller.Environment, Scope: scope, Lifetime: lifetime(x.Snapshot, caller)}
	if caller.Vendor != nil {
		g.Vendor = caller.Vendor.Org
	}
	if c.certificate != nil {
		g.Certificate = token.CertificateThumbprint(c.certificate)
	}
	raw, claims, err := o.Profile.Issue(g)
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

// onBehalfOf is for whom a token is asked: a vendor's application names an organisation that granted it access, any
// other is for its own. Organisations that are unknown, granted nothing or are not active are one answer.
func (o *OAuth) onBehalfOf(c *partner.Caller, slug string) (*partner.Caller, *exchange.Response) {
	const code = "invalid_target" // RFC 8707 section 2
	if c.Kind != partner.KindVendor {
		if slug != "" && slug != c.OrgSlug {
			return nil, refuse(400, code, "only a vendor's application acts for another organisation")
		}
		return c, nil
	}
	if slug == "" {
		return nil, refuse(400, code, "name the organisation you act for in the parameter organisation")
	}
	if org, ok := o.Directory.OrgBySlug(slug); ok {
		if acting, ok := o.Directory.Acting(c, org); ok && acting.Active {
			return acting, nil
		}
	}
	return nil, refuse(400, code, "that organisation grants this application no access")
}

// lifetime is the shortest that the plans of the caller's subscriptions give, zero when none says.
func lifetime(s *catalog.Snapshot, c *partner.Caller) time.Duration {
	var out time.Duration
	for _, g := range c.Subscriptions {
		if p := s.Plans[g.Plan]; p != nil && p.TokenLifetime > 0 && (out == 0 || p.TokenLifetime < out) {
			out = p.TokenLifetime
		}
	}
	return out
}

// Revoke answers POST /oauth2/revoke (RFC 7009): it voids an access token of the client that authenticates, on every
// node. Any other token is answered alike, and nothing is done.
func (o *OAuth) Revoke(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	form, refusal := o.form(x)
	if refusal != nil {
		return refusal, nil
	}
	c, refusal, err := o.authenticate(ctx, x, form)
	if refusal != nil || err != nil {
		return refusal, err
	}
	raw := form.Get("token")
	if raw == "" {
		return refuse(400, "invalid_request", "token is missing"), nil
	}
	done := &exchange.Response{Status: 200}
	done.Header.Set("Cache-Control", "no-store")
	claims, err := o.Profile.Verify(raw)
	if err != nil || claims.ClientID != c.ClientID {
		x.Note("no token of this client")
		return done, nil
	}
	err = o.Revocations.RevokeToken(ctx, partner.RevokedToken{ID: claims.ID, Org: claims.Org, ClientID: claims.ClientID,
		RevokedAt: o.Profile.Clock.Now().UnixMicro(), ExpiresAt: time.Unix(claims.Expires, 0).UnixMicro()})
	if err != nil {
		return nil, err
	}
	if err := o.Directory.Sync(ctx); err != nil { // it is kept; this node learns it a moment later
		o.Log.WarnContext(ctx, "a revocation is not applied yet", "request_id", x.ID, "error", err.Error())
		o.Directory.Hint()
	}
	return done, nil
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
	methods := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	if o.MutualTLS {
		methods = append(methods, "tls_client_auth")
	}
	body, err := json.Marshal(map[string]any{
		"issuer":                                issuer,
		"token_endpoint":                        issuer + "/oauth2/token",
		"revocation_endpoint":                   issuer + "/oauth2/revoke",
		"jwks_uri":                              issuer + "/.well-known/jwks.json",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"token_endpoint_auth_methods_supported": methods,
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES256", "PS256", "EdDSA", "RS256"},
		"tls_client_certificate_bound_access_tokens":       o.MutualTLS,
		"scopes_supported": list,
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
