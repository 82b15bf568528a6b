package app

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"portway/gateway"
	"portway/gateway/authn"
	"portway/gateway/builtin"
	"portway/gateway/mediate"
	"portway/gateway/throttle"
	"portway/gateway/upstream"
	"portway/internal/app/certs"
	"portway/internal/app/observe"
	"portway/internal/catalog"
	"portway/internal/cluster"
	"portway/internal/config"
	"portway/internal/datafile"
	"portway/internal/delivery"
	"portway/internal/delivery/backend"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/intake"
	"portway/internal/openapi"
	"portway/internal/outbound"
	"portway/internal/partner"
	"portway/internal/secret"
	"portway/internal/store"
	"portway/internal/store/eventdb"
	"portway/internal/store/partnerdb"
	"portway/internal/store/trafficdb"
	"portway/internal/telemetry"
	"portway/internal/token"
	"portway/internal/traffic"
	"portway/policies"
	"portway/portal"
	"portway/specs"
)

// program is everything that runs, put together in build and taken apart in stop and close.
type program struct {
	settings  *config.Settings
	getenv    func(string) string
	log       *slog.Logger
	clock     ident.Clock
	listeners map[string]net.Listener

	metrics      *telemetry.Metrics
	health       *telemetry.Health
	accessLog    *telemetry.File                // nil without
	certificates map[string]*certs.Certificates // by listener, nil without TLS
	files        *datafile.Watch                // of what a reload reads
	reload       reload
	hup          chan os.Signal
	gateway      *gateway.Gateway

	db        *store.DB
	partners  *partnerdb.Store
	directory *partner.Directory
	catalogue *catalog.Holder
	worker    *delivery.Worker
	recorder  *traffic.Recorder
	backends  *outbound.Client
	sweeper   *idempotent.Sweeper
	redis     *cluster.Redis // nil without
	quotas    *cluster.Quotas
	ring      *token.KeyRing
	verifier  *token.Verifier
	servers   []server

	gatewayURL, portalURL string
	credentials           *credentialsFile
	credentialsPath       string
	client                *clientCredential // of --spec; its Secret is "" when it was made by an earlier start

	serving, working sync.WaitGroup
	stopped          bool
}

// close gives back what stop did not: the database, and listeners that were never served.
func (p *program) close() {
	if !p.stopped {
		for _, ln := range p.listeners {
			ln.Close()
		}
	}
	if p.redis != nil {
		if err := p.redis.Close(); err != nil {
			p.log.Error("redis did not close", "error", err.Error())
		}
	}
	if p.db != nil {
		if err := p.db.Close(); err != nil {
			p.log.Error("the database did not close", "error", err.Error())
		}
	}
}

// build makes every room in order of need.
func (p *program) build(ctx context.Context) error {
	s := p.settings
	if err := p.openTLS(); err != nil {
		return err
	}
	p.gatewayURL = firstOf(s.GatewayURL, p.address("gateway"))
	p.portalURL = firstOf(s.PortalURL, p.address("portal"))
	if err := p.openStore(ctx); err != nil {
		return err
	}
	p.files = datafile.NewWatch(p.watched()...)
	snap, err := p.loadCatalogue()
	if err != nil {
		return err
	}
	p.catalogue = catalog.NewHolder(snap)
	p.partners = partnerdb.New(p.db, p.clock)
	if err := p.seed(ctx); err != nil {
		return err
	}
	p.directory = partner.NewDirectory(p.partners, p.clock, p.log)
	if err := p.directory.Load(ctx); err != nil {
		return err
	}
	if s.Demo {
		if err := p.buildSandbox(); err != nil {
			return err
		}
	}
	return p.buildServers(ctx)
}

func (p *program) openStore(ctx context.Context) error {
	opts := store.Options{Dir: p.settings.Data, Clock: p.clock, Log: p.log, Grouped: p.metrics.Group}
	if p.settings.Database != "" {
		url, err := secret.Resolve(p.settings.Database, p.getenv)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		opts.Dir, opts.PostgresURL = "", url.Reveal()
	}
	db, err := store.Open(ctx, opts)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	p.db = db
	return nil
}

// sources says where specs and policies come from: the shipped part always; the example set with --demo; the
// installation folder with --config.
func (p *program) sources() catalog.Sources {
	src := catalog.Sources{StdSpecs: specs.Files, StdPolicies: policies.Files, Clock: p.clock, ResolveURL: p.resolveURL,
		Links: func(api, version string) string { return p.portalURL + "/apis/" + api + "/" + version }}
	switch {
	case p.settings.Config != "":
		src.Specs = os.DirFS(filepath.Join(p.settings.Config, "specs"))
		src.Policies = os.DirFS(filepath.Join(p.settings.Config, "policies"))
	case p.settings.Demo:
		src.Policies = policies.Files
	}
	return src
}

// resolveURL finds the address a backend policy names: a listener of this program ("demo:erp"), a variable of
// the environment, or the address itself.
func (p *program) resolveURL(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "demo:"); ok {
		ln := p.listeners[name]
		if ln == nil {
			return "", fmt.Errorf("%q is served by --demo only", ref)
		}
		return p.address(name), nil
	}
	if secret.IsReference(ref) {
		v, err := secret.Resolve(ref, p.getenv)
		return v.Reveal(), err
	}
	return ref, nil
}

// specAPI is the id of the API that --spec serves.
const specAPI = "spec"

// loadCatalogue builds a snapshot from the files as they are now; nothing of it is in force yet.
func (p *program) loadCatalogue() (*catalog.Snapshot, error) {
	src := p.sources()
	if p.settings.Spec == "" {
		snap, problems := catalog.Load(src)
		return snap, problems.Err()
	}
	doc, findings, err := readSpec(p.settings.Spec, nil)
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	warnings := 0
	for _, f := range findings {
		if f.Severity == openapi.SeverityError {
			p.log.Error("spec", "file", f.File, "line", f.Line, "rule", f.Rule, "message", f.Message)
		} else {
			warnings++
		}
	}
	if len(doc.Operations) == 0 {
		return nil, fmt.Errorf("spec: %s has no operation that can be served; see portway check --spec %s", p.settings.Spec, p.settings.Spec)
	}
	snap, problems := catalog.Single(src, specAPI, p.settings.Backend, "standard", doc)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	p.log.Info("contract loaded", "title", doc.Title, "operations", len(doc.Operations), "warnings", warnings+len(snap.Warnings))
	return snap, nil
}

// partnerFiles is where partner files are: of the installation folder, else of the example set; nil for none.
func (p *program) partnerFiles() fs.FS {
	switch s := p.settings; {
	case s.Spec != "":
		return nil
	case s.Config != "":
		return os.DirFS(filepath.Join(s.Config, "policies"))
	case s.Demo:
		return policies.Files
	}
	return nil
}

// seed applies partner files: of the installation folder as they are, of the example set with demo secrets.
func (p *program) seed(ctx context.Context) error {
	if p.settings.Spec != "" {
		id, given, err := ownClient(ctx, p.partners, specAPI, p.settings.NewClient)
		p.client = &clientCredential{ClientID: id, Secret: given, Environment: ident.Live}
		return err
	}
	if p.partnerFiles() == nil {
		return nil
	}
	if p.settings.Demo {
		abs, err := filepath.Abs(filepath.Join(p.settings.Data, "demo-credentials.json"))
		if err != nil {
			return err
		}
		p.credentialsPath = abs
	}
	changed, err := p.changedPartners(p.catalogue.Current())
	if err != nil {
		return err
	}
	return p.applyPartners(ctx, changed)
}

// tokens opens the key ring, whose key is sealed in the database, and the key of cursors.
func (p *program) tokens(ctx context.Context) (*token.Profile, *ident.Cursors, error) {
	file := filepath.Join(p.settings.Data, "seal.key")
	if ref := p.settings.SealKey; ref != "" {
		file = strings.TrimPrefix(ref, "file:")
	}
	sealer, err := secret.OpenSealer(file)
	if err != nil {
		return nil, nil, fmt.Errorf("seal-key: %w", err)
	}
	keeper := store.NewSettings(p.db)
	p.ring, err = token.OpenKeyRing(ctx, token.RingOptions{Keeper: keeper, Sealer: sealer, Clock: p.clock, Log: p.log,
		Lifetime: p.settings.TokenLifetime, Every: p.settings.KeyRotation})
	if err != nil {
		return nil, nil, fmt.Errorf("seal-key: %w", err)
	}
	const name = "cursors/key"
	kept, err := keeper.PutOnce(ctx, name, sealer.Seal(name, []byte(ident.Secret(32))))
	if err != nil {
		return nil, nil, err
	}
	plain, err := sealer.Open(name, kept)
	if err != nil {
		return nil, nil, fmt.Errorf("seal-key: %w", err)
	}
	key, err := hex.DecodeString(string(plain))
	if err != nil {
		return nil, nil, err
	}
	profile := &token.Profile{Issuer: p.gatewayURL, Audience: p.gatewayURL, Lifetime: p.settings.TokenLifetime, Ring: p.ring, Clock: p.clock}
	p.verifier = token.NewVerifier(token.VerifierOptions{Own: profile, Log: p.log, Cache: p.settings.TokenCache})
	p.catalogue.Subscribe(func(_, next *catalog.Snapshot) {
		if err := p.verifier.Apply(next.Issuers); err != nil { // the catalogue has checked them
			p.log.Error("external issuers not applied; the old ones stay", "error", err.Error())
		}
	})
	return profile, ident.NewCursors(key), nil
}

// buildServers wires the request path, the deliveries and the portal.
func (p *program) buildServers(ctx context.Context) error {
	profile, cursors, err := p.tokens(ctx)
	if err != nil {
		return err
	}
	keys, err := p.openKeys(ctx)
	if err != nil {
		return err
	}
	limits, err := p.openLimits(ctx)
	if err != nil {
		return err
	}
	current := p.catalogue.Current
	p.backends = outbound.NewClient(outbound.Options{Getenv: p.getenv, Clock: p.clock, Metrics: observe.Backends{Metrics: p.metrics}, Log: p.log})
	p.catalogue.Subscribe(func(_, next *catalog.Snapshot) {
		if err := p.backends.Use(next); err != nil {
			p.log.Error("a backend is not set up; its calls are refused until it is", "error", err.Error())
		}
	})
	events := eventdb.New(p.db, p.clock, func() { p.worker.Wake() })
	calls := trafficdb.New(p.db)
	p.worker = delivery.New(delivery.Deps{Store: events, Snapshot: current, Sender: backend.New(outbound.NewHTTP(p.backends), p.clock), Clock: p.clock, Logger: p.log})
	p.recorder = traffic.NewRecorder(calls, p.log)
	statements := intake.New(intake.Deps{Log: events, Directory: p.directory, Clock: p.clock, Logger: p.log, Wake: p.worker.Wake})
	oauth := &authn.OAuth{Profile: profile, Directory: p.directory, Revocations: p.partners, Seen: p.partners,
		MutualTLS: p.settings.TLSClientCA != "", Log: p.log}
	access, err := p.openAccessLog()
	if err != nil {
		return err
	}
	proxies, err := ident.ParseProxies(p.settings.TrustedProxies)
	if err != nil {
		return fmt.Errorf("trusted-proxies: %w", err)
	}
	g := gateway.New(gateway.Deps{
		Snapshot: current,
		Hosts:    p.settings.Hosts(p.listeners["gateway"].Addr().String()),
		Identify: &authn.Identify{Verifier: p.verifier, Clock: p.clock, Directory: p.directory, Log: p.log, Open: p.openCaller()},
		Address:  throttle.NewAddress(p.settings.AddressRate, p.settings.AddressFailures, p.clock),
		Limit:    limits,
		Proxy:    &upstream.Send{Client: p.backends, Clock: p.clock},
		Accept:   &mediate.Accept{Intake: statements},
		Builtin: builtin.New(builtin.Deps{Log: events, Deliveries: events, Cursors: cursors, Extra: map[string]builtin.Handler{
			"issueToken": oauth.Token, "revokeToken": oauth.Revoke, "getJwks": oauth.Keys, "getAuthorizationServer": oauth.Metadata,
		}}),
		Keys:     keys,
		Recorder: p.recording(),
		Docs:     p.portalURL + "/problems/",
		Clock:    p.clock,
		Log:      p.log,
		Metrics:  p.metrics,
		Access:   access,
		TLS:      p.certificates["gateway"].Config(),
		Proxies:  proxies,

		MaxConnections: p.settings.MaxConnections,
	})
	site, err := portal.New(portal.Deps{Snapshot: current, Partners: p.partners, Accounts: p.partners, Traffic: calls, Clock: p.clock,
		Log: p.log, Origin: p.portalURL, GatewayURL: p.gatewayURL, Styleguide: p.settings.Demo, Proxies: proxies})
	if err != nil {
		return err
	}
	p.gateway = g
	p.servers = append(p.servers, server{"gateway", g.Serve, g.Shutdown}, server{"portal", p.overTLS("portal", site.Serve), site.Shutdown})
	p.observe(events, limits)
	return nil
}

// recording is where the records of calls go: with --no-call-records only those of the sandbox, which are evidence.
func (p *program) recording() gateway.Recorder {
	if p.settings.CallRecords {
		return p.recorder
	}
	p.log.Warn("live calls are not recorded (--no-call-records)")
	return sandboxOnly{p.recorder}
}

type sandboxOnly struct{ *traffic.Recorder }

// Record drops live calls.
func (s sandboxOnly) Record(ctx context.Context, c traffic.Call) error {
	if c.Environment == ident.Live {
		return nil
	}
	return s.Recorder.Record(ctx, c)
}

// openAccessLog is where the line of each call goes: the file of --access-log, as JSON, or the log.
func (p *program) openAccessLog() (*slog.Logger, error) {
	if p.settings.AccessLog == "" {
		return p.log, nil
	}
	f, err := telemetry.OpenFile(p.settings.AccessLog)
	if err != nil {
		return nil, fmt.Errorf("access-log: %w", err)
	}
	p.accessLog = f
	return slog.New(slog.NewJSONHandler(f, nil)), nil
}

// openCaller is the caller of every call with --insecure-no-auth, nil otherwise.
func (p *program) openCaller() *partner.Caller {
	if !p.settings.InsecureNoAuth {
		return nil
	}
	p.log.Warn("open access: every call is taken without a token (--insecure-no-auth)")
	c, ok := p.directory.Client(p.client.ClientID)
	if !ok {
		return nil
	}
	return c
}
