package partnerdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
)

// Apply implements partner.Store. Objects are matched by name: organisations by slug, sites and brands by code,
// applications and connections by slug, credentials by client id, accounts by e-mail, subscriptions by application, API
// and environment, address rules by application and environment, grants by the vendor's application and environment.
// Credentials, subscriptions and address rules name their application by id or by slug. A stated Rev must be the
// stored one; an empty secret or password hash keeps the stored one. Apply narrows states but does not lift them: what
// was suspended or revoked becomes active again by SetState only, so that reading a file again undoes no revocation.
// Objects that the bundle does not mention stay. All problems come at once, as violations of problem.Conflict.
func (s *Store) Apply(ctx context.Context, b *partner.Bundle) error { return s.ApplyAll(ctx, b) }

func clone(b *partner.Bundle) partner.Bundle {
	out := *b
	out.Sites = append([]partner.Site(nil), b.Sites...)
	out.Brands = append([]partner.Brand(nil), b.Brands...)
	out.Applications = append([]partner.Application(nil), b.Applications...)
	out.Credentials = append([]partner.Credential(nil), b.Credentials...)
	out.Subscriptions = append([]partner.Subscription(nil), b.Subscriptions...)
	out.AddressRules = append([]partner.AddressRule(nil), b.AddressRules...)
	out.VendorGrants = append([]partner.VendorGrant(nil), b.VendorGrants...)
	out.Connections = append([]partner.Connection(nil), b.Connections...)
	out.Accounts = append([]partner.Account(nil), b.Accounts...)
	return out
}

// applier is one run of Apply inside its transaction.
type applier struct {
	store   *Store
	tx      *store.Tx
	org     *partner.Organisation
	changed []string // kinds
	found   []problem.Violation
	refused map[string]bool   // pointers of objects that are not stored
	pairs   map[string]string // identity pair → slug of the bundle's connection
}

func (a *applier) bundle(ctx context.Context, b *partner.Bundle) error {
	org := []partner.Organisation{b.Organisation}
	if err := apply(ctx, a, &organisations, org); err != nil {
		return err
	}
	b.Organisation = org[0]
	if b.Organisation.ID == "" { // refused; its parts have nothing to belong to
		return a.problems()
	}
	if err := apply(ctx, a, &sites, b.Sites); err != nil {
		return err
	}
	if err := apply(ctx, a, &brands, b.Brands); err != nil {
		return err
	}
	if err := apply(ctx, a, &applications, b.Applications); err != nil {
		return err
	}
	if err := a.resolve(ctx, b); err != nil {
		return err
	}
	for i := range b.Credentials {
		if err := a.apiKey(ctx, &b.Credentials[i]); err != nil {
			return err
		}
	}
	if err := apply(ctx, a, &credentials, b.Credentials); err != nil {
		return err
	}
	if err := apply(ctx, a, &subscriptions, b.Subscriptions); err != nil {
		return err
	}
	if err := apply(ctx, a, &addressRules, b.AddressRules); err != nil {
		return err
	}
	for i := range b.VendorGrants {
		if err := a.vendor(ctx, &b.VendorGrants[i]); err != nil {
			return err
		}
	}
	if err := apply(ctx, a, &vendorGrants, b.VendorGrants); err != nil {
		return err
	}
	for i := range b.Connections {
		if err := a.identity(ctx, &b.Connections[i]); err != nil {
			return err
		}
	}
	if err := apply(ctx, a, &connections, b.Connections); err != nil {
		return err
	}
	for i := range b.Accounts {
		b.Accounts[i].Email = strings.ToLower(b.Accounts[i].Email)
	}
	if err := apply(ctx, a, &accounts, b.Accounts); err != nil {
		return err
	}
	return a.problems()
}

func (a *applier) problems() error {
	if len(a.found) == 0 {
		return nil
	}
	p := problem.New(problem.Conflict, "organisation %q cannot be stored: correct every place listed", a.org.Slug)
	p.Violations = a.found
	return p
}

func (a *applier) refuse(plural, label, keyword, format string, args ...any) {
	at := place(plural, label)
	a.refused[at] = true
	a.found = append(a.found, problem.Violation{In: "document", Pointer: at, Keyword: keyword, Message: fmt.Sprintf(format, args...)})
}

// place is the JSON Pointer (RFC 6901) of an object, by its name.
func place(plural, label string) string {
	return "/" + plural + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(label)
}

// apply creates or updates the objects of one kind and fills their ids in.
func apply[T comparable](ctx context.Context, a *applier, k *kind[T], items []T) error {
	seen := map[string]bool{}
	dirty := false
	for i := range items {
		want := &items[i]
		h := k.head(want)
		if h.org != nil {
			*h.org = a.org.ID
		}
		if *h.origin == "" {
			*h.origin = partner.FromPortal
			if a.org.Origin != "" {
				*h.origin = a.org.Origin
			}
		}
		label := k.label(want)
		if a.refused[place(k.plural, label)] || !a.sound(k.plural, k.name, label, h, seen) {
			continue
		}
		if k.check != nil {
			if wrong := k.check(want); wrong != "" {
				a.refuse(k.plural, label, "value", "%s %q: %s", k.name, label, wrong)
				continue
			}
		}
		wrote, err := put(ctx, a, k, want)
		if err != nil {
			return err
		}
		dirty = dirty || wrote
	}
	if dirty {
		a.changed = append(a.changed, k.name)
	}
	return nil
}

// sound checks what every kind has.
func (a *applier) sound(plural, name, label string, h head, seen map[string]bool) bool {
	before := len(a.found)
	if label == "" {
		a.refuse(plural, label, "name", "a %s of organisation %q has no name", name, a.org.Slug)
	}
	if seen[label] {
		a.refuse(plural, label, "unique", "%s %q is there twice; keep one", name, label)
	}
	seen[label] = true
	if *h.origin != partner.FromFile && *h.origin != partner.FromPortal {
		a.refuse(plural, label, "origin", "the origin of %s %q is file or portal", name, label)
	}
	if h.state != nil && *h.state != "" && !validState(*h.state) {
		a.refuse(plural, label, "state", "the state of %s %q is active, suspended or revoked", name, label)
	}
	return len(a.found) == before
}

// put stores one object and reports whether anything changed.
func put[T comparable](ctx context.Context, a *applier, k *kind[T], want *T) (bool, error) {
	var have T
	h, label := k.head(want), k.label(want)
	err := a.tx.Get(ctx, &have, k.selectFrom()+" WHERE "+k.find, k.key(want)...)
	if errors.Is(err, store.ErrNoRow) {
		if *h.rev != 0 {
			a.refuse(k.plural, label, "rev", "%s %q is not there any more; read again", k.name, label)
			return false, nil
		}
		return true, create(ctx, a, k, want)
	}
	if err != nil {
		return false, err
	}
	old := k.head(&have)
	if old.org != nil && *old.org != a.org.ID {
		a.refuse(k.plural, label, "unique", "%s %q belongs to another organisation; choose another name", k.name, label)
		return false, nil
	}
	*h.id = *old.id
	if *old.origin != *h.origin {
		a.refuse(k.plural, label, "origin", "%s %q of organisation %q comes from %s and from %s: keep one of them",
			k.name, label, a.org.Slug, *old.origin, *h.origin)
		return false, nil
	}
	if *h.rev != 0 && *h.rev != *old.rev {
		a.refuse(k.plural, label, "rev", "%s %q changed in between; read it again and repeat the change", k.name, label)
		return false, nil
	}
	*h.rev = *old.rev
	if h.state != nil && (*h.state == "" || *h.state == partner.Active) {
		*h.state = *old.state
	}
	if k.keep != nil {
		k.keep(want, &have)
	}
	if *want == have {
		return false, nil
	}
	*h.rev++
	return true, a.exec(ctx, k.update(), want)
}

func create[T comparable](ctx context.Context, a *applier, k *kind[T], want *T) error {
	h := k.head(want)
	if *h.id == "" {
		*h.id = ident.NewID(a.store.clock)
	}
	*h.rev = 1
	if h.state != nil && *h.state == "" {
		*h.state = partner.Active
	}
	if c, ok := any(want).(*partner.Credential); ok && c.CreatedAt == 0 {
		c.CreatedAt = a.store.clock.Now().UnixMicro()
	}
	return a.exec(ctx, k.insert(), want)
}

func (a *applier) exec(ctx context.Context, named string, object any) error {
	query, args, err := sqlx.Named(named, object)
	if err != nil {
		return err
	}
	_, err = a.tx.Exec(ctx, query, args...)
	return err
}

// resolve turns slugs of applications into ids in credentials, subscriptions and address rules.
func (a *applier) resolve(ctx context.Context, b *partner.Bundle) error {
	var stored []partner.Application
	if err := a.tx.Select(ctx, &stored, applications.selectFrom()+" WHERE org_id = ?", b.Organisation.ID); err != nil {
		return err
	}
	ids := map[string]string{}
	for _, app := range stored {
		ids[app.Slug] = app.ID
	}
	for _, app := range stored { // an id wins over a slug that looks like one
		ids[app.ID] = app.ID
	}
	lookup := func(plural, label string, ref *string) {
		id, ok := ids[*ref]
		if !ok {
			a.refuse(plural, label, "application", "organisation %q has no application %q", a.org.Slug, *ref)
			return
		}
		*ref = id
	}
	for i := range b.Credentials {
		c := &b.Credentials[i]
		lookup(credentials.plural, c.ClientID, &c.Application)
	}
	for i := range b.Subscriptions {
		sub := &b.Subscriptions[i]
		lookup(subscriptions.plural, subscriptions.label(sub), &sub.Application)
	}
	for i := range b.AddressRules {
		r := &b.AddressRules[i]
		lookup(addressRules.plural, addressRules.label(r), &r.Application)
	}
	return nil
}

// vendor refuses a grant to an organisation that is there and is no vendor, or by one that is.
func (a *applier) vendor(ctx context.Context, g *partner.VendorGrant) error {
	label := vendorGrants.label(g)
	if a.org.Kind == partner.KindVendor {
		a.refuse(vendorGrants.plural, label, "vendor", "a vendor acts for others; nobody acts for a vendor")
	}
	var kinds []partner.Kind
	err := a.tx.Select(ctx, &kinds, "SELECT kind FROM organisations WHERE slug = ?", g.Vendor)
	if err == nil && len(kinds) > 0 && kinds[0] != partner.KindVendor {
		a.refuse(vendorGrants.plural, label, "vendor", "organisation %q is no vendor; only a vendor's application acts for others", g.Vendor)
	}
	return err
}

// apiKey refuses an API key that another credential has.
func (a *applier) apiKey(ctx context.Context, c *partner.Credential) error {
	if c.Kind != partner.APIKey || c.SecretHash == "" {
		return nil
	}
	var others []string
	err := a.tx.Select(ctx, &others, "SELECT client_id FROM credentials WHERE kind = ? AND secret_hash = ? AND client_id <> ?", partner.APIKey, c.SecretHash, c.ClientID)
	if err == nil && len(others) > 0 {
		a.refuse(credentials.plural, c.ClientID, "unique", "the API key of credential %q is in use; make another", c.ClientID)
	}
	return err
}

// identity gives a connection its defaults and refuses an identity pair that another connection has.
func (a *applier) identity(ctx context.Context, c *partner.Connection) error {
	if c.Documents == "" {
		c.Documents = "{}"
	}
	var others []struct {
		Org  partner.OrgID `db:"org_id"`
		Slug string        `db:"slug"`
	}
	err := a.tx.Select(ctx, &others, `SELECT org_id, slug FROM connections WHERE environment = ? AND sender_qualifier = ? AND sender_id = ?
		AND receiver_qualifier = ? AND receiver_id = ?`, c.Environment, c.SenderQualifier, c.SenderID, c.ReceiverQualifier, c.ReceiverID)
	if err != nil {
		return err
	}
	pair := strings.Join([]string{string(c.Environment), c.SenderQualifier, c.SenderID, c.ReceiverQualifier, c.ReceiverID}, "\x00")
	if other, ok := a.pairs[pair]; ok && other != c.Slug {
		a.refuse(connections.plural, c.Slug, "unique", "connections %q and %q have the same identity pair", c.Slug, other)
	}
	a.pairs[pair] = c.Slug
	for _, o := range others {
		switch {
		case o.Org != a.org.ID:
			a.refuse(connections.plural, c.Slug, "unique", "the identity pair of connection %q is used by another organisation", c.Slug)
		case o.Slug != c.Slug:
			a.refuse(connections.plural, c.Slug, "unique", "connections %q and %q have the same identity pair", c.Slug, o.Slug)
		}
	}
	return nil
}

func documents(s string) bool {
	var m map[string]string
	return json.Unmarshal([]byte(s), &m) == nil && m != nil
}
