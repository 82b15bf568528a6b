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

// Caller is an application calling with one of its credentials: everything the request path needs to know
// about it. It is immutable; a change makes a new one.
type Caller struct {
	Org         OrgID
	OrgSlug     string
	OrgName     string
	Kind        Kind
	Application string
	AppSlug     string
	AppName     string
	Credential  string
	ClientID    string
	SecretHash  string
	Environment Environment
	ExpiresAt   int64 // Unix microseconds, 0 = never
	// Active is false when the organisation, the application or the credential is not active; Reason names which.
	Active bool
	Reason string
	// Subscriptions by API id, for the credential's environment, active ones only.
	Subscriptions map[string]*Grant
}

// Grant is what a subscription gives.
type Grant struct {
	Plan   string
	Scopes map[string]bool
}

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
	orgs     sync.Map // OrgID → *entry
	clients  sync.Map // client id → *Caller
	parties  sync.Map // identity → *Party
	slugs    sync.Map // slug → OrgID
	synced   atomic.Int64
	wake     chan struct{}
}

type entry struct {
	name    string
	slug    string
	clients []string
	parties []string
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
			if !seen[c.ID] {
				seen[c.ID] = true
				if err := d.reload(ctx, OrgID(c.ID)); err != nil {
					return err
				}
			}
		}
		if len(changes) == 0 {
			d.synced.Store(began)
			return nil
		}
		d.position = changes[len(changes)-1].Position
	}
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
	}
	for _, p := range parties(b) {
		k := identity(p.Connection.Environment, p.Connection.SenderQualifier, p.Connection.SenderID,
			p.Connection.ReceiverQualifier, p.Connection.ReceiverID)
		d.parties.Store(k, p)
		next.parties = append(next.parties, k)
	}
	if old, ok := d.orgs.Load(org); ok {
		// What another organisation has taken over in the meantime stays.
		dropAbsent(&d.clients, old.(*entry).clients, next.clients, func(v any) bool { return v.(*Caller).Org == org })
		dropAbsent(&d.parties, old.(*entry).parties, next.parties, func(v any) bool { return v.(*Party).Org == org })
		if s := old.(*entry).slug; s != next.slug {
			d.slugs.CompareAndDelete(s, org)
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

func dropAbsent(m *sync.Map, old, next []string, mine func(any) bool) {
	keep := make(map[string]bool, len(next))
	for _, k := range next {
		keep[k] = true
	}
	for _, k := range old {
		if v, ok := m.Load(k); ok && !keep[k] && mine(v) {
			m.Delete(k)
		}
	}
}

func callers(b *Bundle) []*Caller {
	apps := map[string]*Application{}
	for i := range b.Applications {
		apps[b.Applications[i].ID] = &b.Applications[i]
	}
	var out []*Caller
	for _, c := range b.Credentials {
		app := apps[c.Application]
		if app == nil {
			continue
		}
		caller := &Caller{Org: b.Organisation.ID, OrgSlug: b.Organisation.Slug, OrgName: b.Organisation.Name,
			Kind: b.Organisation.Kind, Application: app.ID, AppSlug: app.Slug, AppName: app.Name, Credential: c.ID, ClientID: c.ClientID,
			SecretHash: c.SecretHash, Environment: c.Environment, ExpiresAt: c.ExpiresAt, Active: true,
			Subscriptions: map[string]*Grant{}}
		switch {
		case b.Organisation.State != Active:
			caller.Active, caller.Reason = false, "organisation"
		case app.State != Active:
			caller.Active, caller.Reason = false, "application"
		case c.State != Active:
			caller.Active, caller.Reason = false, "credential"
		}
		for _, s := range b.Subscriptions {
			if s.Application == app.ID && s.Environment == c.Environment && s.State == Active {
				g := &Grant{Plan: s.Plan, Scopes: map[string]bool{}}
				for _, scope := range strings.Fields(s.Scopes) {
					g.Scopes[scope] = true
				}
				caller.Subscriptions[s.API] = g
			}
		}
		out = append(out, caller)
	}
	return out
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
