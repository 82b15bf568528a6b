package portal

import (
	"net/netip"
	"sync"
	"time"

	"portway/internal/ident"
)

// How many wrong passwords an account may be given from one address, and in what time.
const (
	maxAttempts   = 10
	attemptWindow = 15 * time.Minute
	keptAttempts  = 100_000 // more than can be hashed in a window
)

// attempts counts failed sign-ins by account and address, in memory.
type attempts struct {
	clock ident.Clock
	mu    sync.Mutex
	byKey map[string]attempt
}

type attempt struct {
	failed int
	since  time.Time
}

func newAttempts(clock ident.Clock) *attempts {
	return &attempts{clock: clock, byKey: map[string]attempt{}}
}

// left is how long a key is shut out, 0 if it is not.
func (a *attempts) left(key string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.byKey[key]; at.failed >= maxAttempts {
		return max(at.since.Add(attemptWindow).Sub(a.clock.Now()), 0)
	}
	return 0
}

// fail counts a wrong password.
func (a *attempts) fail(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	at := a.byKey[key]
	if now.Sub(at.since) >= attemptWindow {
		at = attempt{since: now}
	}
	at.failed++
	if len(a.byKey) >= keptAttempts {
		for k, old := range a.byKey {
			if now.Sub(old.since) >= attemptWindow {
				delete(a.byKey, k)
			}
		}
	}
	if len(a.byKey) < keptAttempts || at.failed > 1 {
		a.byKey[key] = at
	}
}

// forget ends the count of a key after a right password.
func (a *attempts) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byKey, key)
}

// address is who is at the other end, or whom a trusted proxy names.
func (p *Portal) address(v *visit) string {
	peer, ok := netip.AddrFromSlice(v.Context().RemoteIP())
	if !ok {
		return ""
	}
	var forwarded []string
	for _, value := range v.Request().Header.PeekAll("X-Forwarded-For") {
		forwarded = append(forwarded, string(value))
	}
	return p.Proxies.Client(peer, forwarded).String()
}
