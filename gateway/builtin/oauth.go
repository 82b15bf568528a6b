package builtin

import (
	"context"
	"encoding/json"

	"portway/gateway/exchange"
)

// OAuthRefusals is the stage that words refusals of the token and revocation endpoints as RFC 6749 section 5.2 asks,
// whoever made them: clients of those endpoints read "error", not problem details.
type OAuthRefusals struct{}

// Name is "oauth-refusals".
func (OAuthRefusals) Name() string { return "oauth-refusals" }

// Run rewrites the body of a refusal of those endpoints and keeps its headers.
func (OAuthRefusals) Run(_ context.Context, x *exchange.Exchange) error {
	if x.Err == nil || x.Route == nil || x.Route.Handler != "issueToken" && x.Route.Handler != "revokeToken" {
		return nil
	}
	code := "invalid_request"
	switch status := x.Response.Status; {
	case status == 429 || status == 503:
		code = "temporarily_unavailable"
	case status >= 500:
		code = "server_error"
	default:
		x.Response.Status = 400
	}
	body, err := json.Marshal(map[string]string{"error": code, "error_description": x.Err.Detail})
	if err != nil {
		return err
	}
	x.Response.Body = body
	x.Response.Header.Set("Content-Type", "application/json")
	x.Response.Header.Set("Pragma", "no-cache")
	return nil
}
