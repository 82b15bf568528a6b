package token

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"portway/internal/ident"
)

func verifier(t testing.TB, size int) (*Verifier, *ident.Manual) {
	t.Helper()
	p, clock := profile(t)
	return NewVerifier(VerifierOptions{Own: p, Log: slog.New(slog.DiscardHandler), Cache: size}), clock
}

func issue(t testing.TB, v *Verifier, client string) string {
	t.Helper()
	raw, _, err := v.own.Issue(Grant{ClientID: client, Org: "o", Environment: ident.Live, Scope: "orders:read orders:write"})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestCacheSkipsTheSignatureOnly(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	v, clock := verifier(t, 64)
	raw := issue(t, v, "c")
	first, err := v.Verify(ctx, raw)
	if err != nil || !first.Scopes["orders:write"] || len(first.Scopes) != 2 {
		t.Fatal(first, err)
	}
	again, err := v.Verify(ctx, raw)
	if err != nil || again != first {
		t.Fatalf("the second time is not the remembered one: %v", err)
	}
	// A token that differs anywhere is another token.
	for i := range raw {
		b := []byte(raw)
		b[i] ^= 1
		if got := v.cache.get(string(b), clock.Now()); got != nil {
			t.Fatalf("a change at %d was taken for the token", i)
		}
	}
	clock.Advance(time.Hour - time.Second)
	if again, err := v.Verify(ctx, raw); err != nil || again != first {
		t.Errorf("a second before exp: %v", err)
	}
	clock.Advance(time.Second)
	if again, err := v.Verify(ctx, raw); err != nil || again == first {
		t.Errorf("at exp the entry is gone, and the leeway is the full check's: same %v, %v", again == first, err)
	}
	clock.Advance(leeway)
	if _, err := v.Verify(ctx, raw); err != ErrExpired {
		t.Errorf("after the leeway: %v", err)
	}
}

// A remembered token dies with its key.
func TestCacheForgetsWithTheKey(t *testing.T) {
	t.Parallel()
	v, clock := verifier(t, 64)
	raw := issue(t, v, "c")
	if _, err := v.Verify(context.Background(), raw); err != nil {
		t.Fatal(err)
	}
	v.own.Ring.ring.Load().keys[0].until = clock.Now()
	if _, err := v.Verify(context.Background(), raw); err == nil {
		t.Error("the token of a key that is gone was accepted")
	}
}

// A caller may reuse the memory of the request the token came in, and a hash is not a token.
func TestCacheKeepsTheToken(t *testing.T) {
	t.Parallel()
	c := newCache(8)
	now := time.Unix(1e9, 0)
	b := []byte("a.b.c")
	v := &Verified{Claims: Claims{Expires: now.Unix() + 60}}
	c.put(unsafe.String(&b[0], len(b)), v, now)
	copy(b, "x.y.z")
	if c.get("a.b.c", now) != v {
		t.Error("the key changed with the buffer")
	}
	// Two tokens with one hash are two tokens.
	hash := maphash.String(c.seed, "d.e.f")
	c.places[hash&c.mask][0].Store(&remembered{hash: hash, raw: "other", verified: v})
	if c.get("d.e.f", now) != nil {
		t.Error("a token was taken for another with its hash")
	}
}

// A flood of good tokens keeps the cache at its size, and leaves the busy ones of others in it.
func TestCacheUnderFlood(t *testing.T) {
	t.Parallel()
	const size = 1024
	c := newCache(size)
	now := time.Unix(1e9, 0)
	exp := func(s int64) *Verified { return &Verified{Claims: Claims{Expires: now.Unix() + s}} }
	busy := make([]string, 64)
	for i := range busy {
		busy[i] = fmt.Sprintf("busy-%d", i)
		c.put(busy[i], exp(3600), now)
	}
	hits, lookups := 0, 0
	for i := range 50 * size {
		c.put(fmt.Sprintf("flood-%d", i), exp(3600), now)
		b := busy[i%len(busy)]
		lookups++
		if c.get(b, now) != nil {
			hits++
		} else {
			c.put(b, exp(3600), now)
		}
	}
	if rate := float64(hits) / float64(lookups); rate < 0.99 {
		t.Errorf("busy tokens were found %.3f of the time", rate)
	}
	entries := 0
	for i := range c.places {
		for j := range c.places[i] {
			if c.places[i][j].Load() != nil {
				entries++
			}
		}
	}
	if entries > size {
		t.Errorf("%d entries, at most %d", entries, size)
	}
	if c.put("late", exp(0), now); c.get("late", now) != nil {
		t.Error("an expired token was remembered")
	}
}

func TestCacheConcurrently(t *testing.T) {
	t.Parallel()
	v, _ := verifier(t, 16)
	var raws []string
	for i := range 40 {
		raws = append(raws, issue(t, v, fmt.Sprint("c", i)))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 200 {
				i := (n*7 + w) % len(raws)
				got, err := v.Verify(context.Background(), raws[i])
				if err != nil || got.ClientID != fmt.Sprint("c", i) {
					t.Errorf("token %d: %v, %v", i, got, err)
					return
				}
				if n%50 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerifierHit(b *testing.B) {
	p, _ := profile(b)
	p.Clock = ident.System{}
	v := NewVerifier(VerifierOptions{Own: p, Log: slog.New(slog.DiscardHandler)})
	raw := issue(b, v, "c")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifierMiss(b *testing.B) {
	p, _ := profile(b)
	p.Clock = ident.System{}
	v := NewVerifier(VerifierOptions{Own: p, Log: slog.New(slog.DiscardHandler), Cache: 8})
	raw := issue(b, v, "c")
	b.ReportAllocs()
	for b.Loop() {
		v.cache.places[0] = [ways]atomic.Pointer[remembered]{}
		if _, err := v.Verify(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}
