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
	"portway/internal/catalog"
	"portway/internal/config"
	"portway/internal/delivery"
	"portway/internal/delivery/backend"
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

	db        *store.DB
	partners  *partnerdb.Store
	directory *partner.Directory
	snapshot  *catalog.Snapshot
	worker    *delivery.Worker
	recorder  *traffic.Recorder
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
	if p.db != nil {
		if err := p.db.Close(); err != nil {
			p.log.Error("the database did not close", "error", err.Error())
		}
	}
}

// build makes every room in order of need.
func (p *program) build(ctx context.Context) error {
	s := p.settings
	p.gatewayURL = firstOf(s.GatewayURL, address(p.listeners["gateway"]))
	p.portalURL = firstOf(s.PortalURL, address(p.listeners["portal"]))
	if err := p.openStore(ctx); err != nil {
		return err
	}
	if err := p.loadCatalog(); err != nil {
		return err
	}
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
	opts := store.Options{Dir: p.settings.Data, Clock: p.clock, Log: p.log}
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
		return address(ln), nil
	}
	if secret.IsReference(ref) {
		v, err := secret.Resolve(ref, p.getenv)
		return v.Reveal(), err
	}
	return ref, nil
}

// specAPI is the id of the API that --spec serves.
const specAPI = "spec"

func (p *program) loadCatalog() error {
	src := p.sources()
	if p.settings.Spec == "" {
		snap, problems := catalog.Load(src)
		p.snapshot = snap
		return problems.Err()
	}
	doc, findings, err := readSpec(p.settings.Spec, nil)
	if err != nil {
		return fmt.Errorf("spec: %w", err)
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
		return fmt.Errorf("spec: %s has no operation that can be served; see portway check --spec %s", p.settings.Spec, p.settings.Spec)
	}
	snap, problems := catalog.Single(src, specAPI, p.settings.Backend, "standard", doc)
	p.snapshot = snap
	if err := problems.Err(); err != nil {
		return err
	}
	p.log.Info("contract loaded", "title", doc.Title, "operations", len(doc.Operations), "warnings", warnings+len(snap.Warnings))
	return nil
}

// seed applies partner files: of the installation folder as they are, of the example set with demo secrets.
func (p *program) seed(ctx context.Context) error {
	if p.settings.Spec != "" {
		id, given, err := ownClient(ctx, p.partners, specAPI, p.settings.NewClient)
		p.client = &clientCredential{ClientID: id, Secret: given, Environment: ident.Live}
		return err
	}
	var files fs.FS
	switch {
	case p.settings.Config != "":
		files = os.DirFS(filepath.Join(p.settings.Config, "policies"))
	case p.settings.Demo:
		files = policies.Files
	default:
		return nil
	}
	bundles, problems := readPartners(files)
	problems = append(problems, checkPartners(bundles, p.snapshot)...)
	if err := problems.Err(); err != nil {
		return err
	}
	if p.settings.Demo {
		abs, err := filepath.Abs(filepath.Join(p.settings.Data, "demo-credentials.json"))
		if err != nil {
			return err
		}
		p.credentialsPath = abs
		if p.credentials, err = seedDemo(bundles, abs); err != nil {
			return err
		}
	}
	for _, b := range bundles {
		if err := resolveSecrets(b, p.getenv); err != nil {
			return err
		}
		if err := p.partners.Apply(ctx, b); err != nil {
			return err
		}
	}
	return nil
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
	ring, err := token.OpenKeyRing(ctx, keeper, sealer)
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
	return &token.Profile{Issuer: p.gatewayURL, Audience: p.gatewayURL, Lifetime: p.settings.TokenLifetime, Ring: ring, Clock: p.clock},
		ident.NewCursors(key), nil
}

// buildServers wires the request path, the deliveries and the portal.
func (p *program) buildServers(ctx context.Context) error {
	profile, cursors, err := p.tokens(ctx)
	if err != nil {
		return err
	}
	current := func() *catalog.Snapshot { return p.snapshot }
	events := eventdb.New(p.db, p.clock, func() { p.worker.Wake() })
	calls := trafficdb.New(p.db)
	p.worker = delivery.New(delivery.Deps{Store: events, Snapshot: current, Sender: backend.New(outbound.NewHTTP(p.getenv), p.clock), Clock: p.clock, Logger: p.log})
	p.recorder = traffic.NewRecorder(calls, p.log)
	statements := intake.New(intake.Deps{Log: events, Directory: p.directory, Clock: p.clock, Logger: p.log, Wake: p.worker.Wake})
	oauth := &authn.OAuth{Profile: profile, Directory: p.directory, Log: p.log}
	g := gateway.New(gateway.Deps{
		Snapshot: current,
		Hosts:    p.settings.Hosts(p.listeners["gateway"].Addr().String()),
		Identify: &authn.Identify{Profile: profile, Directory: p.directory, Log: p.log, Open: p.openCaller()},
		Limit:    &throttle.Caller{Memory: throttle.NewMemory(), Clock: p.clock},
		Proxy:    &upstream.Send{Client: outbound.NewClient(p.getenv), Clock: p.clock},
		Accept:   &mediate.Accept{Intake: statements},
		Builtin: builtin.New(builtin.Deps{Log: events, Deliveries: events, Cursors: cursors, Extra: map[string]builtin.Handler{
			"issueToken": oauth.Token, "getJwks": oauth.Keys, "getAuthorizationServer": oauth.Metadata,
		}}),
		Recorder: p.recorder,
		Docs:     p.portalURL + "/problems/",
		Clock:    p.clock,
		Log:      p.log,
	})
	site, err := portal.New(portal.Deps{Snapshot: current, Partners: p.partners, Accounts: p.partners, Traffic: calls, Clock: p.clock,
		Log: p.log, Origin: p.portalURL, GatewayURL: p.gatewayURL, Styleguide: p.settings.Demo})
	if err != nil {
		return err
	}
	p.servers = append(p.servers, server{"gateway", g.Serve, g.Shutdown}, server{"portal", site.Serve, site.Shutdown})
	return nil
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
