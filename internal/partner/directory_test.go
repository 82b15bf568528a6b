package partner

import (
	"context"
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
)

// memory is a Store in memory; each write appends a change like the real one.
type memory struct {
	mu      sync.Mutex
	bundles map[OrgID]*Bundle
	order   []OrgID
	changes []Change
	revoked []RevokedToken
	down    error
	reads   int // of Organisation
	page    int
	listen  func(ctx context.Context, hint func()) error
}

func newMemory(bundles ...*Bundle) *memory {
	m := &memory{bundles: map[OrgID]*Bundle{}, page: 1000}
	for _, b := range bundles {
		m.put(b)
	}
	return m
}

func (m *memory) put(b *Bundle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bundles[b.Organisation.ID] == nil {
		m.order = append(m.order, b.Organisation.ID)
	}
	m.bundles[b.Organisation.ID] = b
	m.changed(b.Organisation.ID)
}

func (m *memory) changed(org OrgID) {
	m.changes = append(m.changes, Change{Position: int64(len(m.changes) + 1), Kind: "organisation", ID: string(org)})
}

func (m *memory) remove(org OrgID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.bundles, org)
	m.changed(org)
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

func (m *memory) Apply(context.Context, *Bundle) error { return errors.New("not used here") }

func (m *memory) SetState(context.Context, OrgID, string, string, State) error {
	return errors.New("not used here")
}

func (m *memory) RevokeTokens(context.Context, OrgID, string, int64) error {
	return errors.New("not used here")
}

func (m *memory) RevokeToken(_ context.Context, t RevokedToken) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = append(m.revoked, t)
	m.changes = append(m.changes, Change{Position: int64(len(m.changes) + 1), Kind: "token", ID: t.ID})
	return nil
}

func (m *memory) RevokedToken(_ context.Context, id string) (*RevokedToken, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.revoked {
		if t.ID == id {
			return &t, m.down
		}
	}
	return nil, problem.New(problem.NotFound, "not revoked")
}

func (m *memory) RevokedTokens(_ context.Context, after int64) ([]RevokedToken, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []RevokedToken
	for _, t := range m.revoked {
		if t.ExpiresAt > after {
			out = append(out, t)
		}
	}
	return out, m.down
}

func (m *memory) Organisations(context.Context) ([]Organisation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Organisation
	for _, id := range m.order {
		if b := m.bundles[id]; b != nil {
			out = append(out, b.Organisation)
		}
	}
	return out, m.down
}

func (m *memory) Organisation(_ context.Context, org OrgID) (*Bundle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.down != nil {
		return nil, m.down
	}
	b := m.bundles[org]
	if b == nil {
		return nil, problem.New(problem.NotFound, "no such organisation")
	}
	return b, nil
}

func (m *memory) Changes(_ context.Context, after int64) ([]Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	list := m.changes[after:]
	if len(list) > m.page {
		list = list[:m.page]
	}
	return append([]Change(nil), list...), nil
}

func (m *memory) Listen(ctx context.Context, hint func()) error {
	if m.listen != nil {
		return m.listen(ctx, hint)
	}
	<-ctx.Done()
	return ctx.Err()
}

// org is an organisation with one application, a credential in each environment and a connection.
func org(n int, changes ...func(*Bundle)) *Bundle {
	id := OrgID(fmt.Sprintf("o%d", n))
	name := fmt.Sprintf("org-%d", n)
	b := &Bundle{Organisation: Organisation{ID: id, Slug: name, Name: "Org " + name, Kind: Kind3PL, State: Active, Zone: "America/Chicago"},
		Applications: []Application{{ID: "a-" + name, Org: id, Slug: "app", Name: "App", State: Active}},
		Credentials: []Credential{
			{ID: "cs-" + name, Org: id, Application: "a-" + name, Environment: ident.Sandbox, ClientID: name + "-sandbox", SecretHash: "h1", State: Active},
			{ID: "cl-" + name, Org: id, Application: "a-" + name, Environment: ident.Live, ClientID: name + "-live", SecretHash: "h2", State: Active, ExpiresAt: 99}},
		Subscriptions: []Subscription{
			{Application: "a-" + name, API: "orders", Environment: ident.Sandbox, Plan: "standard", Scopes: "orders:read orders:write", State: Active},
			{Application: "a-" + name, API: "orders", Environment: ident.Live, Plan: "gold", Scopes: "orders:read", State: Active},
			{Application: "a-" + name, API: "shipments", Environment: ident.Live, Plan: "gold", Scopes: "shipments:read", State: Suspended}},
		Connections: []Connection{{Slug: "edi", Environment: ident.Live, SenderQualifier: "ZZ", SenderID: strings.ToUpper(name), ReceiverQualifier: "ZZ", ReceiverID: "US", Documents: `{"945":"m"}`, State: Active}},
	}
	for _, c := range changes {
		c(b)
	}
	return b
}

var start = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func load(t testing.TB, m *memory) (*Directory, *ident.Manual) {
	t.Helper()
	clock := ident.NewManual(start)
	d := NewDirectory(m, clock, slog.New(slog.DiscardHandler))
	if err := d.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return d, clock
}

func TestLoad(t *testing.T) {
	t.Parallel()
	m := newMemory(org(1), org(2))
	d, _ := load(t, m)
	c, ok := d.Client("org-1-sandbox")
	if !ok || c.Org != "o1" || c.OrgSlug != "org-1" || c.OrgName != "Org org-1" || c.Kind != Kind3PL || c.Application != "a-org-1" || c.AppName != "App" ||
		c.Credential != "cs-org-1" || c.SecretHash != "h1" || c.Environment != ident.Sandbox || !c.Active || c.Reason != "" || c.ExpiresAt != 0 {
		t.Errorf("caller %+v", c)
	}
	if g := c.Subscriptions["orders"]; g == nil || g.Plan != "standard" || !g.Scopes["orders:read"] || !g.Scopes["orders:write"] || len(g.Scopes) != 2 {
		t.Errorf("the sandbox grant is %+v", g)
	}
	live, _ := d.Client("org-1-live")
	if g := live.Subscriptions["orders"]; g == nil || g.Plan != "gold" || g.Scopes["orders:write"] || live.ExpiresAt != 99 {
		t.Errorf("the live caller %+v has grant %+v", live, g)
	}
	if live.Subscriptions["shipments"] != nil || c.Subscriptions["shipments"] != nil {
		t.Error("a suspended subscription, or one of the other environment, counts")
	}
	p, ok := d.Party(ident.Live, "ZZ", "ORG-2", "ZZ", "US")
	if !ok || p.Org != "o2" || p.OrgSlug != "org-2" || !p.Active || p.Documents["945"] != "m" || p.Zone.String() != "America/Chicago" {
		t.Errorf("party %+v", p)
	}
	for _, miss := range []func() bool{
		func() bool { _, ok := d.Client(""); return ok },
		func() bool { _, ok := d.Client("org-3-live"); return ok },
		func() bool { _, ok := d.Party(ident.Sandbox, "ZZ", "ORG-2", "ZZ", "US"); return ok },
		func() bool { _, ok := d.Party(ident.Live, "01", "ORG-2", "ZZ", "US"); return ok },
		func() bool { _, ok := d.Party(ident.Live, "ZZ", "US", "ZZ", "ORG-2"); return ok },
		func() bool { _, ok := d.OrgBySlug("org-3"); return ok },
	} {
		if miss() {
			t.Error("something that is not there is found")
		}
	}
	if id, ok := d.OrgBySlug("org-2"); !ok || id != "o2" || d.OrgName("o2") != "Org org-2" || d.OrgName("o9") != "o9" {
		t.Error("names are not found")
	}
}

// TestStates is what suspending and revoking each thing does to its caller.
func TestStates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change        func(*Bundle)
		active        bool
		reason        string
		grants, party bool
	}{
		"all active":             {func(*Bundle) {}, true, "", true, true},
		"organisation suspended": {func(b *Bundle) { b.Organisation.State = Suspended }, false, "organisation", true, false},
		"organisation revoked":   {func(b *Bundle) { b.Organisation.State = Revoked }, false, "organisation", true, false},
		"application suspended":  {func(b *Bundle) { b.Applications[0].State = Suspended }, false, "application", true, true},
		"credential revoked":     {func(b *Bundle) { b.Credentials[0].State = Revoked }, false, "credential", true, true},
		"credential suspended":   {func(b *Bundle) { b.Credentials[0].State = Suspended }, false, "credential", true, true},
		"state missing":          {func(b *Bundle) { b.Credentials[0].State = "" }, false, "credential", true, true},
		"subscription revoked":   {func(b *Bundle) { b.Subscriptions[0].State = Revoked }, true, "", false, true},
		"connection suspended":   {func(b *Bundle) { b.Connections[0].State = Suspended }, true, "", true, false},
		"documents unreadable":   {func(b *Bundle) { b.Connections[0].Documents = "{" }, true, "", true, false},
		"everything at once": {func(b *Bundle) {
			b.Organisation.State, b.Applications[0].State, b.Credentials[0].State = Suspended, Suspended, Revoked
		}, false, "organisation", true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(org(1))
			d, _ := load(t, m)
			before, _ := d.Client("org-1-sandbox")
			m.put(org(1, tt.change))
			if err := d.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			c, ok := d.Client("org-1-sandbox")
			if !ok || c.Active != tt.active || c.Reason != tt.reason || (c.Subscriptions["orders"] != nil) != tt.grants {
				t.Errorf("caller %+v", c)
			}
			if p, ok := d.Party(ident.Live, "ZZ", "ORG-1", "ZZ", "US"); !ok || p.Active != tt.party {
				t.Errorf("party %+v", p)
			}
			if !before.Active || before.Subscriptions["orders"] == nil {
				t.Error("a caller that is in use was changed")
			}
		})
	}
}

func TestSyncReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	var all []*Bundle
	for i := range 50 {
		all = append(all, org(i))
	}
	m := newMemory(all...)
	d, _ := load(t, m)
	m.reads = 0
	for range 5 { // five changes of one organisation are one read
		m.put(org(7, func(b *Bundle) { b.Organisation.Name = "Renamed" }))
	}
	m.put(org(8, func(b *Bundle) { b.Credentials = b.Credentials[:1] }))
	if err := d.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if m.reads != 2 {
		t.Errorf("%d organisations were read, want 2", m.reads)
	}
	if d.OrgName("o7") != "Renamed" || d.OrgName("o6") != "Org org-6" {
		t.Error("the wrong organisation was renamed")
	}
	if _, ok := d.Client("org-8-live"); ok {
		t.Error("a credential that is gone still calls")
	}
	if _, ok := d.Client("org-8-sandbox"); !ok {
		t.Error("the credential beside it is gone, too")
	}
	m.reads, m.page = 0, 3
	for i := range 20 {
		m.put(org(i))
	}
	if err := d.Sync(context.Background()); err != nil || m.reads != 20 {
		t.Errorf("over several pages: %d reads, %v", m.reads, err)
	}
}

func TestNamesMoveBetweenOrganisations(t *testing.T) {
	t.Parallel()
	for _, firstFirst := range []bool{true, false} {
		m := newMemory(org(1), org(2))
		d, _ := load(t, m)
		// The first gives up its slug, client id and identity pair; the second takes them over.
		gives := org(1, func(b *Bundle) {
			b.Organisation.Slug = "renamed"
			b.Credentials[0].ClientID = "renamed-sandbox"
			b.Connections[0].SenderID = "RENAMED"
		})
		takes := org(2, func(b *Bundle) {
			b.Organisation.Slug = "org-1"
			b.Credentials[0].ClientID = "org-1-sandbox"
			b.Connections[0].SenderID = "ORG-1"
		})
		if firstFirst {
			m.put(gives)
			m.put(takes)
		} else {
			m.put(takes)
			m.put(gives)
		}
		if err := d.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		for slug, want := range map[string]OrgID{"org-1": "o2", "renamed": "o1", "org-2": ""} {
			if got, ok := d.OrgBySlug(slug); got != want || ok != (want != "") {
				t.Errorf("first %v: slug %s is %q, want %q", firstFirst, slug, got, want)
			}
		}
		if c, ok := d.Client("org-1-sandbox"); !ok || c.Org != "o2" {
			t.Errorf("first %v: the client id is %+v, want o2's", firstFirst, c)
		}
		if _, ok := d.Client("org-2-sandbox"); ok {
			t.Errorf("first %v: a client id nobody has still calls", firstFirst)
		}
		if p, ok := d.Party(ident.Live, "ZZ", "ORG-1", "ZZ", "US"); !ok || p.Org != "o2" {
			t.Errorf("first %v: the identity pair is %+v, want o2's", firstFirst, p)
		}
	}
}

func TestOrganisationThatIsGone(t *testing.T) {
	t.Parallel()
	m := newMemory(org(1), org(2))
	d, clock := load(t, m)
	m.remove("o1")
	m.put(org(2, func(b *Bundle) { b.Credentials[0].State = Revoked }))
	clock.Advance(2 * time.Minute)
	if err := d.Sync(context.Background()); err != nil {
		t.Fatalf("one absent organisation keeps the directory from every later change: %v", err)
	}
	if _, ok := d.Client("org-1-live"); ok {
		t.Error("a client of an organisation that is gone still calls")
	}
	if _, ok := d.OrgBySlug("org-1"); ok || d.OrgName("o1") != "o1" {
		t.Error("its names are still there")
	}
	if c, _ := d.Client("org-2-sandbox"); c.Active || d.Stale() {
		t.Error("the revocation after it was missed")
	}
}

func TestStaleAfterSixtySeconds(t *testing.T) {
	t.Parallel()
	m := newMemory(org(1))
	clock := ident.NewManual(start)
	d := NewDirectory(m, clock, slog.New(slog.DiscardHandler))
	if !d.Stale() {
		t.Error("a directory that was never loaded is not stale")
	}
	if err := d.Load(context.Background()); err != nil || d.Stale() {
		t.Fatalf("after loading: stale %v, %v", d.Stale(), err)
	}
	down := errors.New("the database is down")
	m.fail(down)
	clock.Advance(60 * time.Second)
	if err := d.Sync(context.Background()); !errors.Is(err, down) || d.Stale() {
		t.Errorf("after 60 s: %v, stale %v", err, d.Stale())
	}
	clock.Advance(time.Microsecond)
	if !d.Stale() {
		t.Error("after more than 60 s without changes read, the directory is not stale")
	}
	if c, ok := d.Client("org-1-live"); !ok || !c.Active {
		t.Error("a stale directory must still answer; refusing is its reader's decision")
	}
	m.put(org(1, func(b *Bundle) { b.Organisation.State = Suspended }))
	m.fail(nil)
	if err := d.Sync(context.Background()); err != nil || d.Stale() {
		t.Errorf("when the database is back: %v, stale %v", err, d.Stale())
	}
	if c, _ := d.Client("org-1-live"); c.Active {
		t.Error("what changed while it was down was missed")
	}
}

// A failure in the middle loses nothing: the changes are read again.
func TestSyncAfterAFailureInTheMiddle(t *testing.T) {
	t.Parallel()
	m := newMemory(org(1))
	d, _ := load(t, m)
	m.put(org(1, func(b *Bundle) { b.Applications[0].State = Suspended }))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	failing := &failingOnce{memory: m}
	d.store = failing
	if err := d.Sync(ctx); err == nil {
		t.Fatal("the failure is not reported")
	}
	if err := d.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c, _ := d.Client("org-1-live"); c.Active {
		t.Error("the change was lost with the failure")
	}
}

type failingOnce struct {
	*memory
	failed atomic.Bool
}

func (f *failingOnce) Organisation(ctx context.Context, org OrgID) (*Bundle, error) {
	if !f.failed.Swap(true) {
		return nil, errors.New("the connection broke")
	}
	return f.memory.Organisation(ctx, org)
}

func TestRunFollowsHints(t *testing.T) {
	t.Parallel()
	m := newMemory(org(1))
	hinted := make(chan func(), 1)
	m.listen = func(ctx context.Context, hint func()) error {
		hinted <- hint
		<-ctx.Done()
		return ctx.Err()
	}
	d, _ := load(t, m)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	hint := <-hinted
	m.put(org(1, func(b *Bundle) { b.Credentials[1].State = Revoked }))
	hint()
	deadline := time.After(5 * time.Second)
	for revoked := false; !revoked; {
		select {
		case <-deadline:
			t.Fatal("the revocation was not seen")
		default:
			c, _ := d.Client("org-1-live")
			revoked = !c.Active
		}
	}
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("Run does not end with its context")
	}
}

// Readers never wait and never see half a change: an entry is replaced whole. Run with -race.
func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	m := newMemory(org(1), org(2))
	d, _ := load(t, m)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var reads atomic.Int64
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, ok := d.Client("org-1-live")
				if !ok || c.Active == (c.Reason != "") || c.OrgSlug != "org-1" {
					t.Errorf("a reader saw %+v", c)
					return
				}
				if p, ok := d.Party(ident.Live, "ZZ", "ORG-1", "ZZ", "US"); !ok || p.Org != "o1" {
					t.Errorf("a reader saw %+v", p)
					return
				}
				if _, ok := d.OrgBySlug("org-2"); !ok {
					t.Error("a slug was gone for a moment")
					return
				}
				d.Stale()
				d.OrgName("o1")
				reads.Add(1)
			}
		})
	}
	for i := range 300 {
		m.put(org(1, func(b *Bundle) {
			if i%2 == 0 {
				b.Organisation.State = Suspended
			}
		}))
		if err := d.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	if reads.Load() == 0 {
		t.Error("nothing was read")
	}
}

func BenchmarkClient(b *testing.B) {
	for _, partners := range []int{100, 10_000} {
		b.Run(fmt.Sprint(partners, " partners"), func(b *testing.B) {
			m := newMemory()
			for i := range partners {
				m.put(org(i))
			}
			began := time.Now()
			d, _ := load(b, m)
			loaded := time.Since(began)
			names := make([]string, partners)
			for i := range names {
				names[i] = fmt.Sprintf("org-%d-live", i)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := d.Client(names[i%partners]); !ok {
					b.Fatal("not found")
				}
				i++
			}
			b.ReportMetric(float64(loaded.Milliseconds()), "ms/load")
		})
	}
}
