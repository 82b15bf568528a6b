package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/internal/token/jose"
)

// memory is a Keeper that several rings share, as nodes share a database.
type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	down error
}

func newMemory() *memory { return &memory{m: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[name]
	if m.down != nil {
		return nil, m.down
	}
	if !ok {
		return nil, problem.New(problem.NotFound, "there is no setting %q", name)
	}
	return v, nil
}

func (m *memory) PutOnce(_ context.Context, name string, value []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.m[name]; ok {
		return v, nil
	}
	m.m[name] = value
	return value, m.down
}

func (m *memory) Swap(_ context.Context, name string, old, value []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil || !bytes.Equal(m.m[name], old) {
		return false, m.down
	}
	m.m[name] = value
	return true, nil
}

func sealer(t testing.TB) *secret.Sealer {
	t.Helper()
	s, err := secret.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openRing(t testing.TB, keeper Keeper, clock ident.Clock) *KeyRing {
	t.Helper()
	r, err := OpenKeyRing(context.Background(), RingOptions{Keeper: keeper, Sealer: sealer(t), Clock: clock, Log: slog.New(slog.DiscardHandler), Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestKeyRingIsKept(t *testing.T) {
	t.Parallel()
	keeper, clock := newMemory(), ident.NewManual(time.Unix(1e9, 0))
	var wg sync.WaitGroup
	rings := make([]*KeyRing, 8)
	for i := range rings {
		wg.Go(func() { rings[i] = openRing(t, keeper, clock) })
	}
	wg.Wait()
	for _, r := range rings {
		if string(r.JWKS()) != string(rings[0].JWKS()) {
			t.Error("nodes that started together have different keys")
		}
	}
	set, err := jose.ParseSet(rings[0].JWKS()) // which refuses a private member
	if err != nil || set.Len() != 1 {
		t.Errorf("the published set: %v, %v", set, err)
	}
	for _, kept := range keeper.m {
		if strings.Contains(string(kept), "key") || len(kept) < 100 {
			t.Error("the key is kept in the clear")
		}
	}
	other, err := secret.NewSealer(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyRing(context.Background(), RingOptions{Keeper: keeper, Sealer: other, Clock: clock, Lifetime: time.Hour}); err == nil {
		t.Error("another seal key opened the ring")
	}
}

// The key an earlier release kept goes on signing, so its tokens stay good.
func TestKeyRingTakesTheEarlierKeyOver(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	want, err := jose.NewKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	keeper := newMemory()
	keeper.m[legacyName] = sealer(t).Seal(legacyName, der)
	r := openRing(t, keeper, ident.NewManual(time.Unix(1e9, 0)))
	if r.States()[want.ID] != KeyActive {
		t.Errorf("states %v, want %s active", r.States(), want.ID)
	}
}

func TestRotationStates(t *testing.T) {
	t.Parallel()
	ctx, keeper, clock := context.Background(), newMemory(), ident.NewManual(time.Unix(1e9, 0))
	r := openRing(t, keeper, clock)
	first := r.ring.Load().keys[0].ID
	if err := r.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(ctx); err != nil || len(r.States()) != 2 {
		t.Fatalf("a second rotation while one waits: %v, %v", r.States(), err)
	}
	second := r.ring.Load().keys[1].ID
	published := func(kid string) bool { return strings.Contains(string(r.JWKS()), kid) }
	step := func(d time.Duration, one, two KeyState, signs string) {
		t.Helper()
		clock.Advance(d)
		if s := r.States(); s[first] != one || s[second] != two {
			t.Errorf("after %s: %v, want %s and %s", d, s, one, two)
		}
		if published(first) != (one != KeyGone) || !published(second) || !json.Valid(r.JWKS()) {
			t.Errorf("published: %s", r.JWKS())
		}
		if (r.find(first, clock.Now()) == nil) != (one == KeyGone) {
			t.Errorf("the first key as %s is found: %v", one, r.find(first, clock.Now()) != nil)
		}
		k, err := r.signer(clock.Now())
		if err != nil || k.ID != signs {
			t.Errorf("signer %v, %v, want %s", k, err, signs)
		}
	}
	step(0, KeyActive, KeyNext, first)
	step(defaultLead-time.Second, KeyActive, KeyNext, first)
	step(time.Second, KeyRetiring, KeyActive, second)
	step(defaultLead+time.Hour+2*leeway-time.Second, KeyRetiring, KeyActive, second)
	step(time.Second, KeyGone, KeyActive, second)
	if err := r.Rotate(ctx); err != nil || len(r.States()) != 2 || r.States()[first] != "" {
		t.Errorf("a key that is gone is not kept: %v, %v", r.States(), err)
	}
	keeper.down = errors.New("down")
	if err := r.Rotate(ctx); err == nil {
		t.Error("rotation without a keeper went well")
	}
	if _, err := r.signer(clock.Now()); err != nil {
		t.Errorf("without a keeper the keys stay: %v", err)
	}
}

// A node that is restarted with a longer token life keeps the retiring key for tokens of that life.
func TestLifetimeGrows(t *testing.T) {
	t.Parallel()
	keeper, clock := newMemory(), ident.NewManual(time.Unix(1e9, 0))
	old := openRing(t, keeper, clock)
	first := old.ring.Load().keys[0].ID
	if err := old.Rotate(context.Background()); err != nil {
		t.Fatal(err)
	}
	longer, err := OpenKeyRing(context.Background(), RingOptions{Keeper: keeper, Sealer: sealer(t), Clock: clock, Lifetime: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(2*defaultLead + 24*time.Hour)
	if longer.find(first, clock.Now()) == nil || old.find(first, clock.Now()) != nil {
		t.Error("the retiring key does not live as long as the tokens may")
	}
}

// Nodes that rotate at the same moment make one key.
func TestRotateAtOnce(t *testing.T) {
	t.Parallel()
	keeper, clock := newMemory(), ident.NewManual(time.Unix(1e9, 0))
	var wg sync.WaitGroup
	for range 8 {
		r := openRing(t, keeper, clock)
		wg.Go(func() {
			if err := r.Rotate(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := openRing(t, keeper, clock).States(); len(s) != 2 {
		t.Errorf("%d keys, want 2", len(s))
	}
}

func TestRotateByAge(t *testing.T) {
	t.Parallel()
	clock := ident.NewManual(time.Unix(1e9, 0))
	r, err := OpenKeyRing(context.Background(), RingOptions{Keeper: newMemory(), Sealer: sealer(t), Clock: clock, Lifetime: time.Hour, Every: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{23 * time.Hour, 1}, {time.Hour, 2}, {24 * time.Hour, 2}, {defaultLead, 2}} { // the last two: age is counted from when it signs
		clock.Advance(step.after)
		if err := r.tend(context.Background()); err != nil || len(r.States()) != step.want {
			t.Errorf("%s later: %v, %v, want %d keys", step.after, r.States(), err, step.want)
		}
	}
}

// TestRotationRefusesNoValidToken lets two nodes issue, rotate and verify each other's tokens through ten rotations;
// they read the keeper late, as nodes do. Every token must be good to the last second of its life, on both.
func TestRotationRefusesNoValidToken(t *testing.T) {
	t.Parallel()
	ctx, keeper, clock := context.Background(), newMemory(), ident.NewManual(time.Unix(1e9, 0))
	var nodes []*Verifier
	for range 2 {
		own := &Profile{Issuer: "i", Audience: "i", Lifetime: time.Hour, Ring: openRing(t, keeper, clock), Clock: clock}
		nodes = append(nodes, NewVerifier(VerifierOptions{Own: own, Log: slog.New(slog.DiscardHandler), Cache: 64}))
	}
	var (
		mu      sync.Mutex
		alive   []string
		ends    []int64
		refused atomic.Int64
		checked atomic.Int64
	)
	signers := map[string]bool{}
	check := func() {
		mu.Lock()
		tokens := append([]string{}, alive...)
		mu.Unlock()
		var wg sync.WaitGroup
		for _, v := range nodes {
			wg.Go(func() {
				for _, raw := range tokens {
					checked.Add(1)
					if _, err := v.Verify(ctx, raw); err != nil {
						refused.Add(1)
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() { // while they verify, one rotates or reads
			if err := nodes[0].own.Ring.Refresh(ctx); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	for minute := range 30 * 60 {
		if minute%180 == 7 {
			if err := nodes[minute/180%2].own.Ring.Rotate(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if minute%14 == 0 { // the second node reads 14 minutes late
			if err := nodes[1].own.Ring.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if minute%7 == 0 {
			for i, v := range nodes {
				raw, c, err := v.own.Issue(Grant{ClientID: fmt.Sprint(i), Org: "o", Environment: ident.Live})
				if err != nil {
					t.Fatal(err)
				}
				signers[strings.Split(raw, ".")[0]] = true
				alive, ends = append(alive, raw), append(ends, c.Expires)
			}
		}
		for len(ends) > 0 && ends[0] < clock.Now().Unix() {
			alive, ends = alive[1:], ends[1:]
		}
		if minute%5 == 0 {
			check()
		}
		clock.Advance(time.Minute)
	}
	if len(signers) != 11 {
		t.Errorf("%d keys signed, want 11: ten rotations", len(signers))
	}
	if refused.Load() != 0 || checked.Load() < 5000 {
		t.Errorf("%d of %d checks of valid tokens were refused", refused.Load(), checked.Load())
	}
}
