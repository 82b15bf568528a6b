package throttle

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/cluster"
	"portway/internal/ident"
	"portway/internal/problem"
)

// addressWindow is the fixed window of address buckets. Across the edge of two an address may have twice its number.
const addressWindow = time.Minute

// Address is the stage that counts calls by client address, ahead of everything a call costs. It protects this node, so
// it counts in this node. There are two buckets: all calls, and calls that failed with 401, 403 or 404 before anybody
// was identified. Who calls is not known for those, so no partner's limits are charged.
type Address struct {
	rate, failures int64
	counter        *cluster.Counter
	clock          ident.Clock
}

// NewAddress returns the stage: rate calls and failures failed ones a minute, 0 for any number. The rate is not for
// loopback addresses: what comes from there are a proxy's calls of everybody.
func NewAddress(rate, failures int, clock ident.Clock) *Address {
	return &Address{rate: int64(rate), failures: int64(failures), counter: cluster.NewCounter(), clock: clock}
}

// Name is "address".
func (*Address) Name() string { return "address" }

// Run refuses with rate.exceeded what is too much from one address, and has failed calls counted.
func (s *Address) Run(ctx context.Context, x *exchange.Exchange) error {
	who := network(x.Request.Remote)
	if s.failures > 0 {
		x.OnEnd(func() { s.failed(ctx, x, who) })
	}
	if s.rate == 0 || x.Request.Remote.IsLoopback() {
		return nil
	}
	used, until, err := s.counter.Add(ctx, "address:"+who, 1, addressWindow)
	if err == nil && used > s.rate { // memory does not fail
		return s.refuse("too many calls from this address", until)
	}
	return nil
}

// Failures is the stage that refuses an address that failed too often: whatever it brings at operations that need no
// identification, of which the token endpoint is one, where secrets could be guessed; elsewhere calls without a token
// or key, so that other systems behind the same address go on working. It runs when the operation is known, so that
// each refuses in its own words.
func (s *Address) Failures() exchange.Stage { return spent{s} }

type spent struct{ address *Address }

func (spent) Name() string { return "address-failures" }

func (s spent) Run(ctx context.Context, x *exchange.Exchange) error {
	if s.address.failures == 0 {
		return nil
	}
	h := x.Request.Header
	if !x.Route.Anonymous && (h.Get("X-Api-Key") != "" || bearer(h.Get("Authorization"))) {
		return nil
	}
	used, until, err := s.address.counter.Peek(ctx, "failed:"+network(x.Request.Remote), addressWindow)
	if err == nil && used >= s.address.failures {
		return s.address.refuse("too many failed calls from this address", until)
	}
	return nil
}

// failed counts a call that ended without anybody identified.
func (s *Address) failed(ctx context.Context, x *exchange.Exchange, who string) {
	if x.Caller != nil || x.Response == nil {
		return
	}
	switch x.Response.Status {
	case 401, 403, 404:
		// Memory does not fail; and a call that is over cannot.
		_, _, _ = s.counter.Add(ctx, "failed:"+who, 1, addressWindow)
	}
}

func (s *Address) refuse(why string, until time.Time) error {
	p := problem.New(problem.RateExceeded, "%s", why)
	p.RetryAfter = min(max(until.Sub(s.clock.Now()), 1), addressWindow)
	p.Extra = map[string]any{"violated_policies": []string{"address"}}
	return p
}

// network is what one client has of the address space: an IPv4 address, or the /64 of an IPv6 address, all of which is
// one host's to choose from.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

func bearer(authorization string) bool {
	scheme, _, _ := strings.Cut(authorization, " ")
	return strings.EqualFold(scheme, "Bearer")
}
