// Package token issues and verifies access tokens: our own (RFC 9068) with keys that rotate, those of external issuers
// by their policies, and the assertions clients sign (RFC 7523). The JOSE layer below it is token/jose.
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
	"sync/atomic"
	"time"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/internal/token/jose"
)

// Keeper keeps installation secrets for all nodes.
type Keeper interface {
	// Get returns a value, or problem.NotFound.
	Get(ctx context.Context, name string) ([]byte, error)
	// PutOnce returns the value kept under name, which is value itself if there was none: nodes that start together
	// agree on one.
	PutOnce(ctx context.Context, name string, value []byte) ([]byte, error)
	// Swap replaces old by value, and reports false when old is no longer what is kept.
	Swap(ctx context.Context, name string, old, value []byte) (bool, error)
}

// KeyState is where a signing key is in its life.
type KeyState string

// The states of a signing key, in order.
const (
	KeyNext     KeyState = "next"     // published, so that verifiers learn it; signs later
	KeyActive   KeyState = "active"   // signs
	KeyRetiring KeyState = "retiring" // signs no more; verifies until every token it signed has expired
	KeyGone     KeyState = "gone"     // neither published nor accepted
)

// RingOptions are what a KeyRing needs.
type RingOptions struct {
	Keeper Keeper
	Sealer *secret.Sealer
	Clock  ident.Clock
	Log    *slog.Logger
	// Lifetime is the longest life of a token, and so how long a key verifies after its last signature.
	Lifetime time.Duration
	// Lead is how long a new key is published before it signs: longer than verifiers and nodes keep the old set. Zero
	// is 15 minutes.
	Lead time.Duration
	// Every is how old the signing key may become before Run rotates it; zero is never.
	Every time.Duration
}

const (
	ringName   = "token/signing-keys"
	legacyName = "token/signing-key/1" // one key, as releases before rotation kept it

	defaultLead = 15 * time.Minute
	pollEvery   = 10 * time.Second
)

// signing is one signing key with its times.
type signing struct {
	*jose.Key
	private *ecdsa.PrivateKey
	shown   []byte    // its public JWK
	signs   time.Time // from when it signs
	until   time.Time // when it is gone; zero while it has no successor
}

// ring is the keys at one reading, in order of when they sign.
type ring struct {
	sealed []byte // as kept
	keys   []*signing
	byID   map[string]*signing
}

// KeyRing holds the signing keys of this installation. Every node reads the same ones from the keeper; which of them
// signs is a matter of time, so nodes agree without talking. It is safe for concurrent use.
type KeyRing struct {
	options RingOptions
	ring    atomic.Pointer[ring]
}

// kept is how a key is kept, inside the seal.
type kept struct {
	Key   []byte `json:"key"`             // PKCS #8
	Signs int64  `json:"signs"`           // Unix seconds
	Until int64  `json:"until,omitempty"` // Unix seconds, 0 while it has no successor
}

// OpenKeyRing reads the signing keys from the keeper, making the first one the first time. They are kept sealed.
func OpenKeyRing(ctx context.Context, o RingOptions) (*KeyRing, error) {
	if o.Lead == 0 {
		o.Lead = defaultLead
	}
	r := &KeyRing{options: o}
	err := r.Refresh(ctx)
	if !problem.Is(err, problem.NotFound) {
		return r, err
	}
	der, err := r.first(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := r.seal([]kept{{Key: der, Signs: o.Clock.Now().Unix()}})
	if err != nil {
		return nil, err
	}
	if sealed, err = o.Keeper.PutOnce(ctx, ringName, sealed); err != nil {
		return nil, err
	}
	return r, r.take(sealed)
}

// first is the key to begin with: the one an earlier release signed with, or a fresh one.
func (r *KeyRing) first(ctx context.Context) ([]byte, error) {
	sealed, err := r.options.Keeper.Get(ctx, legacyName)
	switch {
	case problem.Is(err, problem.NotFound):
		return freshKey()
	case err != nil:
		return nil, err
	}
	der, err := r.options.Sealer.Open(legacyName, sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return der, nil
}

func freshKey() ([]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(private)
}

func (r *KeyRing) seal(list []kept) ([]byte, error) {
	plain, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return r.options.Sealer.Seal(ringName, plain), nil
}

func (r *KeyRing) open(sealed []byte) (list []kept, err error) {
	plain, err := r.options.Sealer.Open(ringName, sealed)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if err := json.Unmarshal(plain, &list); err != nil || len(list) == 0 {
		return nil, errors.New("signing keys: what is kept cannot be read")
	}
	for i := range len(list) - 1 { // the longest life may have grown since the rotation
		list[i].Until = max(list[i].Until, r.gone(list[i+1].Signs))
	}
	return list, nil
}

// gone is when a key whose successor signs from then on is gone, in Unix seconds. A node that reads late signs with the
// old key for a while longer: the lead once more covers that.
func (r *KeyRing) gone(signs int64) int64 {
	return signs + int64((r.options.Lead+r.options.Lifetime+2*leeway)/time.Second)
}

// Refresh reads the keys that are kept, so that this node knows what another one changed.
func (r *KeyRing) Refresh(ctx context.Context) error {
	sealed, err := r.options.Keeper.Get(ctx, ringName)
	if err != nil {
		return err
	}
	if now := r.ring.Load(); now != nil && bytes.Equal(now.sealed, sealed) {
		return nil
	}
	return r.take(sealed)
}

// take makes what is kept the keys of this node. Keys that stay keep their identity.
func (r *KeyRing) take(sealed []byte) error {
	list, err := r.open(sealed)
	if err != nil {
		return err
	}
	next := &ring{sealed: sealed, byID: map[string]*signing{}}
	before := r.ring.Load()
	for _, k := range list {
		s, err := newSigning(k)
		if err != nil {
			return err
		}
		if before != nil && before.byID[s.ID] != nil {
			s.Key = before.byID[s.ID].Key
		}
		next.keys = append(next.keys, s)
		next.byID[s.ID] = s
	}
	r.ring.Store(next)
	return nil
}

func newSigning(k kept) (*signing, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return nil, errors.New("signing key: what is kept cannot be read")
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("signing key: not an ECDSA P-256 key")
	}
	s := &signing{private: private, signs: time.Unix(k.Signs, 0)}
	if k.Until != 0 {
		s.until = time.Unix(k.Until, 0)
	}
	if s.Key, err = jose.NewKey(&private.PublicKey); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	s.shown, err = json.Marshal(s.Key)
	return s, err
}

// Rotate makes a new key: it is published from now, signs after the lead, and its predecessor is gone when every token
// it signed has expired. While one waits to sign, nothing is changed, so that nodes and people may rotate at once.
func (r *KeyRing) Rotate(ctx context.Context) error {
	for range 8 { // another node may come first; then there is a next key to be content with
		if err := r.Refresh(ctx); err != nil {
			return err
		}
		current, now := r.ring.Load(), r.options.Clock.Now()
		if current.keys[len(current.keys)-1].signs.After(now) {
			return nil
		}
		list, err := r.open(current.sealed)
		if err != nil {
			return err
		}
		der, err := freshKey()
		if err != nil {
			return err
		}
		live := list[:0]
		for _, k := range list {
			if k.Until == 0 || k.Until > now.Unix() {
				live = append(live, k)
			}
		}
		signs := now.Add(r.options.Lead).Unix()
		live[len(live)-1].Until = r.gone(signs)
		sealed, err := r.seal(append(live, kept{Key: der, Signs: signs}))
		if err != nil {
			return err
		}
		swapped, err := r.options.Keeper.Swap(ctx, ringName, current.sealed, sealed)
		if err != nil {
			return err
		}
		if swapped {
			return r.take(sealed)
		}
	}
	return errors.New("signing keys: others keep changing them")
}

// Run follows the keeper and rotates by age, until ctx ends. When the keeper cannot be read the keys stay as they are.
func (r *KeyRing) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.tend(ctx); err != nil && ctx.Err() == nil {
			r.options.Log.Error("signing keys", "error", err.Error())
		}
	}
}

func (r *KeyRing) tend(ctx context.Context) error {
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	last := r.ring.Load().keys
	if age := r.options.Clock.Now().Sub(last[len(last)-1].signs); r.options.Every > 0 && age >= r.options.Every {
		return r.Rotate(ctx)
	}
	return nil
}

// state says where a key is in its life; its successor, if any, follows it in keys.
func (k *ring) state(i int, now time.Time) KeyState {
	switch s := k.keys[i]; {
	case !s.until.IsZero() && !now.Before(s.until):
		return KeyGone
	case s.signs.After(now):
		return KeyNext
	case i+1 < len(k.keys) && !k.keys[i+1].signs.After(now):
		return KeyRetiring
	}
	return KeyActive
}

// States returns the state of every key that is still kept, by kid.
func (r *KeyRing) States() map[string]KeyState {
	out, current := map[string]KeyState{}, r.ring.Load()
	for i, k := range current.keys {
		out[k.ID] = current.state(i, r.options.Clock.Now())
	}
	return out
}

// signer is the key that signs now.
func (r *KeyRing) signer(now time.Time) (*signing, error) {
	current := r.ring.Load()
	for i := range current.keys {
		if current.state(i, now) == KeyActive {
			return current.keys[i], nil
		}
	}
	// Before the first key's time only a clock that went back can be: the oldest key is the best there is.
	if len(current.keys) > 0 && current.keys[0].until.IsZero() {
		return current.keys[0], nil
	}
	return nil, errors.New("signing keys: none is active")
}

// find returns the key of that kid, unless it is gone.
func (r *KeyRing) find(kid string, now time.Time) *jose.Key {
	s := r.ring.Load().byID[kid]
	if s == nil || !s.until.IsZero() && !now.Before(s.until) {
		return nil
	}
	return s.Key
}

// JWKS is the JSON Web Key Set (RFC 7517) with the public keys that are not gone, the next one included.
func (r *KeyRing) JWKS() []byte {
	current, now := r.ring.Load(), r.options.Clock.Now()
	out := []byte(`{"keys":[`)
	n := 0
	for i, k := range current.keys {
		if current.state(i, now) == KeyGone {
			continue
		}
		if n++; n > 1 {
			out = append(out, ',')
		}
		out = append(out, k.shown...)
	}
	return append(out, `]}`...)
}
