package observe

import (
	"context"
	"time"

	"portway/internal/telemetry"
	"portway/internal/token"
	"portway/internal/token/jwks"
)

// observeTokens shows the keys of external issuers, by the value of iss, and the states of our own. An issuer whose last
// fetch failed degrades the program; its last good keys serve for a day.
func (r *rooms) observeTokens() {
	r.metrics.Add(telemetry.Series{Name: "portway_issuer_keys", Labels: []string{"issuer"}, Help: "Keys known of an external issuer.",
		Read: func(emit telemetry.Emit) { r.issuers(func(iss string, s jwks.Status) { emit(float64(s.Keys), iss) }) }})
	r.metrics.Add(telemetry.Series{Name: "portway_issuer_fetch_failed", Labels: []string{"issuer"}, Help: "1 while the last fetch of an external issuer's keys failed.",
		Read: func(emit telemetry.Emit) {
			r.issuers(func(iss string, s jwks.Status) {
				failed := 0.0
				if s.Problem != nil {
					failed = 1
				}
				emit(failed, iss)
			})
		}})
	r.health.Detail("issuers", func(context.Context) (any, bool) {
		out, degraded := map[string]any{}, false
		r.issuers(func(iss string, s jwks.Status) {
			d := map[string]any{"keys": s.Keys, "url": s.URL}
			if !s.Fetched.IsZero() {
				d["fetched"] = s.Fetched.UTC().Truncate(time.Second)
			}
			if s.Problem != nil {
				d["problem"], degraded = s.Problem.Error(), true
			}
			out[iss] = d
		})
		return out, degraded
	})
	r.health.Detail("signing_keys", func(context.Context) (any, bool) {
		count := map[token.KeyState]int{}
		for _, state := range r.Keys.States() {
			count[state]++
		}
		return count, count[token.KeyActive] != 1
	})
}

func (r *rooms) issuers(each func(iss string, s jwks.Status)) {
	for iss, s := range r.Tokens.Status() {
		each(iss, s)
	}
}
