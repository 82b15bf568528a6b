package partner

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/ident"
	"portway/internal/problem"
)

// Party is a connection ready for intake.
type Party struct {
	Connection Connection
	Org        OrgID
	OrgSlug    string
	Zone       *time.Location
	Documents  map[string]string // transaction set → mapping id
	Active     bool
}

// Directory answers who is calling, from memory. It is built from the store and kept current entry by entry
// from the changes table; readers never wait. Cost: one map look-up, whatever the number of partners.
type Directory struct {
	store Store
	clock ident.Clock
	log   *slog.Logger

	mu       sync.Mutex // one refresh at a time
	position int64
	swept    int64    // when revocations were last swept
	orgs     sync.Map // OrgID → *entry
	clients  sync.Map // client id → *Caller
	apps     sync.Map // appKey → *Caller without a credential
	keys     sync.Map // hash of an API key → *Caller
	grants   sync.Map // grantKey → *delegation
	revoked  sync.Map // token id → when it would have expired, Unix microseconds
	parties  sync.Map // identity → *Party
	slugs    sync.Map // slug → OrgID
	synced   atomic.Int64
	wake     chan struct{}
}

type entry struct {
	name    string
	slug    string
	clients []any
	apps    []any
	keys    []any
	grants  []any
	parties []any
}

// NewDirectory returns an empty Directory; call Load before use and Run to keep it current.
func NewDirectory(store Store, clock ident.Clock, log *slog.Logger) *Directory {
	return &Directory{store: store, clock: clock, log: log, wake: make(chan struct{}, 1)}
}

// Load reads every organisation. Cost grows with the number of credentials and connections.
func (d *Directory) Load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	began := d.clock.Now().UnixMicro()
	for { // skip the history: the state read below includes it
		changes, err := d.store.Changes(ctx, d.position)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			break
		}
		d.position = changes[len(changes)-1].Position
	}
	orgs, err := d.store.Organisations(ctx)
	if err != nil {
		return err
	}
	for _, o := range orgs {
		if err := d.reload(ctx, o.ID); err != nil {
			return err
		}
	}
	tokens, err := d.store.RevokedTokens(ctx, began-minute) // clocks differ: a token may count a little longer
	if err != nil {
		return err
	}
	for _, t := range tokens {
		d.revoked.Store(t.ID, t.ExpiresAt)
	}
	d.synced.Store(began)
	return nil
}

// Sync applies the changes made since the last one. The own process calls it after each write.
func (d *Directory) Sync(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		began := d.clock.Now().UnixMicro() // what is read is at least as fresh as this
		changes, err := d.store.Changes(ctx, d.position)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, c := range changes {
			if seen[c.ID] {
				continue
			}
			seen[c.ID] = true
			if err := d.apply(ctx, c); err != nil {
				return err
			}
		}
		if len(changes) == 0 {
			d.forget(began)
			d.synced.Store(began)
			return nil
		}
		d.position = changes[len(changes)-1].Position
	}
}

func (d *Directory) apply(ctx context.Context, c Change) error {
	if c.Kind != "token" {
		return d.reload(ctx, OrgID(c.ID))
	}
	t, err := d.store.RevokedToken(ctx, c.ID)
	if problem.Is(err, problem.NotFound) { // it has expired in the meantime
		return nil
	}
	if err == nil {
		d.revoked.Store(t.ID, t.ExpiresAt)
	}
	return err
}

// minute is one in Unix microseconds.
const minute = int64(time.Minute / time.Microsecond)

// forget drops revocations of tokens that have expired for longer than clocks may differ, once a minute.
func (d *Directory) forget(now int64) {
	if now-d.swept < minute {
		return
	}
	d.swept = now
	d.revoked.Range(func(id, expires any) bool {
		if expires.(int64)+minute < now {
			d.revoked.Delete(id)
		}
		return true
	})
}

// Run keeps the Directory current until ctx ends: at every hint, and every 500 ms.
func (d *Directory) Run(ctx context.Context) {
	go func() {
		if err := d.store.Listen(ctx, d.Hint); err != nil && ctx.Err() == nil {
			d.log.Warn("no change hints from the database; polling only", "error", err.Error())
		}
	}()
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-poll.C:
		}
		if err := d.Sync(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("the directory could not read changes", "error", err.Error())
		}
	}
}

// Hint asks for a Sync soon.
func (d *Directory) Hint() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Stale reports whether changes could not be read for more than 60 s; callers are then refused with
// auth.unavailable, because a revocation may have been missed.
func (d *Directory) Stale() bool {
	return d.clock.Now().UnixMicro()-d.synced.Load() > int64(60*time.Second/time.Microsecond)
}

// Client returns the caller with this OAuth client id, active or not.
func (d *Directory) Client(clientID string) (*Caller, bool) {
	v, ok := d.clients.Load(clientID)
	if !ok {
		return nil, false
	}
	return v.(*Caller), true
}

// Application returns an application, "organisation/application" by slug, as the caller of one of an environment who
// proved themselves elsewhere; active or not. It has no credential of ours.
func (d *Directory) Application(name string, env Environment) (*Caller, bool) {
	v, ok := d.apps.Load(appKey{name, env})
	if !ok {
		return nil, false
	}
	return v.(*Caller), true
}

// Key returns the caller whose API key has this secret.Hash, active or not.
func (d *Directory) Key(hash string) (*Caller, bool) {
	v, ok := d.keys.Load(hash)
	if !ok {
		return nil, false
	}
	return v.(*Caller), true
}

// Acting returns the caller that v is for org, if v is a vendor's and org granted it access in v's environment: it
// sees the data of org, and has the scopes that both v's subscriptions and the grant give. It is inactive when v, org
// or the grant is.
func (d *Directory) Acting(v *Caller, org OrgID) (*Caller, bool) {
	g, ok := d.grants.Load(grantKey{v.OrgSlug, v.AppSlug, v.Environment, org})
	if !ok || v.Kind != KindVendor {
		return nil, false
	}
	return g.(*delegation).caller(v), true
}

// Revoked reports whether the access token with this jti was revoked; see Caller.RevokedBefore for whole credentials.
func (d *Directory) Revoked(token string) bool {
	_, ok := d.revoked.Load(token)
	return ok
}

// Party returns the connection with this identity pair and environment, active or not.
func (d *Directory) Party(env Environment, senderQualifier, sender, receiverQualifier, receiver string) (*Party, bool) {
	v, ok := d.parties.Load(identity(env, senderQualifier, sender, receiverQualifier, receiver))
	if !ok {
		return nil, false
	}
	return v.(*Party), true
}

// OrgBySlug returns the id of the organisation with this slug.
func (d *Directory) OrgBySlug(slug string) (OrgID, bool) {
	v, ok := d.slugs.Load(slug)
	if !ok {
		return "", false
	}
	return v.(OrgID), true
}

// OrgName returns the name of an organisation, or its id when it is unknown.
func (d *Directory) OrgName(id OrgID) string {
	if v, ok := d.orgs.Load(id); ok {
		return v.(*entry).name
	}
	return string(id)
}

func identity(env Environment, sq, s, rq, r string) string {
	return strings.Join([]string{string(env), sq, s, rq, r}, "\x00")
}

// reload replaces all entries of one organisation. Changes carry the organisation's id, whatever changed in it.
func (d *Directory) reload(ctx context.Context, org OrgID) error {
	b, err := d.store.Organisation(ctx, org)
	if problem.Is(err, problem.NotFound) { // it is gone, and so is all it owned; an error would keep the Directory from every later change
		b = &Bundle{}
	} else if err != nil {
		return err
	}
	next := &entry{name: b.Organisation.Name, slug: b.Organisation.Slug}
	for _, c := range callers(b) {
		d.clients.Store(c.ClientID, c)
		next.clients = append(next.clients, c.ClientID)
		if c.CredentialKind == APIKey && c.SecretHash != "" {
			d.keys.Store(c.SecretHash, c)
			next.keys = append(next.keys, c.SecretHash)
		}
	}
	for k, c := range applications(b) {
		d.apps.Store(k, c)
		next.apps = append(next.apps, k)
	}
	for k, g := range delegations(b) {
		d.grants.Store(k, g)
		next.grants = append(next.grants, k)
	}
	for _, p := range parties(b) {
		k := identity(p.Connection.Environment, p.Connection.SenderQualifier, p.Connection.SenderID,
			p.Connection.ReceiverQualifier, p.Connection.ReceiverID)
		d.parties.Store(k, p)
		next.parties = append(next.parties, k)
	}
	if v, ok := d.orgs.Load(org); ok {
		old := v.(*entry)
		// What another organisation has taken over in the meantime stays.
		dropAbsent(&d.clients, old.clients, next.clients, func(v any) bool { return v.(*Caller).Org == org })
		dropAbsent(&d.apps, old.apps, next.apps, func(v any) bool { return v.(*Caller).Org == org })
		dropAbsent(&d.keys, old.keys, next.keys, func(v any) bool { return v.(*Caller).Org == org })
		dropAbsent(&d.grants, old.grants, next.grants, func(any) bool { return true })
		dropAbsent(&d.parties, old.parties, next.parties, func(v any) bool { return v.(*Party).Org == org })
		if old.slug != next.slug {
			d.slugs.CompareAndDelete(old.slug, org)
		}
	}
	if err != nil {
		d.orgs.Delete(org)
		return nil
	}
	d.slugs.Store(next.slug, org)
	d.orgs.Store(org, next)
	return nil
}

func dropAbsent(m *sync.Map, old, next []any, mine func(any) bool) {
	keep := make(map[any]bool, len(next))
	for _, k := range next {
		keep[k] = true
	}
	for _, k := range old {
		if v, ok := m.Load(k); ok && !keep[k] && mine(v) {
			m.Delete(k)
		}
	}
}

func parties(b *Bundle) []*Party {
	var out []*Party
	for _, c := range b.Connections {
		p := &Party{Connection: c, Org: b.Organisation.ID, OrgSlug: b.Organisation.Slug, Documents: map[string]string{},
			Active: b.Organisation.State == Active && c.State == Active}
		zone := c.Zone
		if zone == "" {
			zone = b.Organisation.Zone
		}
		var err error
		if p.Zone, err = time.LoadLocation(zone); err != nil {
			p.Zone = time.UTC
		}
		if err := json.Unmarshal([]byte(c.Documents), &p.Documents); err != nil {
			p.Active = false // a connection whose documents cannot be read takes none
		}
		out = append(out, p)
	}
	return out
}
