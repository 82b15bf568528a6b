package throttle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/problem"
)

// Caller is the stage that counts a call against the plan of the caller's subscription.
type Caller struct {
	Memory *Memory
	Clock  ident.Clock
}

// Name is "limit".
func (*Caller) Name() string { return "limit" }

// Run counts the call, sets the rate headers, and refuses with rate.exceeded when a limit is used up. The key
// is application, environment and plan: all credentials of an application share its limits.
func (s *Caller) Run(_ context.Context, x *exchange.Exchange) error {
	if x.Caller == nil || x.Grant == nil {
		return nil
	}
	plan := x.Snapshot.Plans[x.Grant.Plan]
	if plan == nil || len(plan.Limits) == 0 {
		return nil
	}
	key := x.Caller.Application + "/" + string(x.Caller.Environment) + "/" + plan.ID
	decisions, allowed := s.Memory.Decide(key, plan.Limits, max(x.Route.Cost, 1), s.Clock.Now())
	x.RateHeaders = headers(decisions)
	if allowed {
		return nil
	}
	var violated []string
	var wait time.Duration
	for _, d := range decisions {
		if !d.Allowed {
			violated = append(violated, d.Limit.Name)
			wait = max(wait, d.Reset)
		}
	}
	p := problem.New(problem.RateExceeded, "limit %q of plan %q is used up", strings.Join(violated, ", "), plan.ID)
	p.RetryAfter = wait
	p.Extra = map[string]any{"violated_policies": violated, "plan": plan.ID}
	return p
}

// headers renders the decisions as draft-ietf-httpapi-ratelimit-headers-11 lists and as the X-RateLimit trio
// of the limit with the least left.
func headers(decisions []Decision) [][2]string {
	var policy, state strings.Builder
	tightest := decisions[0]
	for i, d := range decisions {
		if i > 0 {
			policy.WriteString(", ")
			state.WriteString(", ")
		}
		t := seconds(d.Reset)
		fmt.Fprintf(&policy, "%q;q=%d;w=%d", d.Limit.Name, d.Limit.Burst, window(&d))
		fmt.Fprintf(&state, "%q;r=%d;t=%d", d.Limit.Name, d.Remaining, t)
		if d.Remaining < tightest.Remaining {
			tightest = d
		}
	}
	return [][2]string{
		{"RateLimit-Policy", policy.String()},
		{"RateLimit", state.String()},
		{"X-RateLimit-Limit", fmt.Sprint(tightest.Limit.Burst)},
		{"X-RateLimit-Remaining", fmt.Sprint(tightest.Remaining)},
		{"X-RateLimit-Reset", fmt.Sprint(seconds(tightest.Reset))},
	}
}

// window is how long the burst takes to refill, in whole seconds, at least 1.
func window(d *Decision) int64 {
	return max(1, seconds(time.Duration(int64(d.Limit.Per)/int64(d.Limit.Rate)*int64(d.Limit.Burst))))
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Headers is the stage that puts the rate headers on every answer, refusals included.
type Headers struct{}

// Name is "rate-headers".
func (Headers) Name() string { return "rate-headers" }

// Run adds the headers.
func (Headers) Run(_ context.Context, x *exchange.Exchange) error {
	for _, h := range x.RateHeaders {
		x.Response.Header.Set(h[0], h[1])
	}
	return nil
}
