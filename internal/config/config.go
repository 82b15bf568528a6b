// Package config is the settings of a running Portway: defaults < file < environment < flags, checked
// together, every problem at once.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"portway/internal/ident"
	"portway/internal/secret"
)

// Settings are the settings of "portway serve". The tags are kong's: each field is the flag --name, the
// environment variable PORTWAY_NAME and the key name of portway.yaml in the --config folder.
type Settings struct {
	GatewayListen string `name:"gateway-listen" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where partners call. Port 0 picks a free one."`
	PortalListen  string `name:"portal-listen" default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Where people sign in."`
	GatewayURL    string `name:"gateway-url" placeholder:"URL" help:"Public address of the gateway, if it is not its listener: issuer of tokens, in links."`
	PortalURL     string `name:"portal-url" placeholder:"URL" help:"Public address of the portal, if it is not its listener. Cookies are Secure unless it is http on loopback."`
	SandboxHost   string `name:"sandbox-host" placeholder:"HOST" help:"Host name that takes sandbox credentials only."`
	LiveHost      string `name:"live-host" placeholder:"HOST" help:"Host name that takes live credentials only."`

	TLSCert        string        `name:"tls-cert" placeholder:"FILE" help:"Certificate chain of the gateway, PEM; the portal's too, unless it has its own. Read again when it changes."`
	TLSKey         string        `name:"tls-key" placeholder:"REF" help:"Its private key as file:/path."`
	TLSClientCA    string        `name:"tls-client-ca" placeholder:"FILE" help:"Authorities of client certificates, PEM: a certificate that is presented must be theirs."`
	PortalTLSCert  string        `name:"portal-tls-cert" placeholder:"FILE" help:"Certificate chain of the portal, PEM; \"off\" for plain HTTP behind a proxy although the gateway has one."`
	PortalTLSKey   string        `name:"portal-tls-key" placeholder:"REF" help:"Its private key as file:/path."`
	TrustedProxies string        `name:"trusted-proxies" placeholder:"CIDR,..." help:"Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; from anyone else they are dropped."`
	MaxConnections int           `name:"max-connections" default:"1024" help:"Connections of one client address to the gateway at a time; trusted proxies have no limit. 0 is no limit."`
	AdminListen    string        `name:"admin-listen" placeholder:"HOST:PORT" help:"Where operators read /livez, /readyz, /healthz and /metrics, without sign-in. Off unless given; with --demo on a free port."`
	DrainDelay     time.Duration `name:"drain-delay" default:"0s" help:"How long calls are still taken after SIGTERM, while /readyz says no: longer than a load balancer needs to notice."`

	Data      string `name:"data" default:"./data" placeholder:"DIR" help:"Folder of the databases and keys."`
	Database  string `name:"database" placeholder:"REF" help:"PostgreSQL address as env:NAME or file:/path. SQLite in the data folder without it."`
	SealKey   string `name:"seal-key" placeholder:"REF" help:"Key of sealed values as file:/path. Made in the data folder without it."`
	Config    string `name:"config" placeholder:"DIR" help:"Folder of the installation: portway.yaml, specs/, policies/."`
	ReadyFile string `name:"ready-file" placeholder:"PATH" help:"Written as JSON once everything serves. With --demo ready.json in the data folder, if not given."`

	WatchEvery time.Duration `name:"watch-every" default:"1s" help:"How often specs, policies and certificates are looked at for changes. 0: read again on SIGHUP only."`
	AccessLog  string        `name:"access-log" placeholder:"FILE" help:"One JSON line per call goes here, opened anew on SIGHUP; to the log without it."`

	CallRecords bool `name:"call-records" default:"true" negatable:"" help:"Keep a record of each live call, for the portal and usage. Sandbox calls are always recorded; off is for measuring what records cost."`

	Redis           string `name:"redis" placeholder:"REF" help:"Redis that nodes share limits in, as env:NAME or file:/path, or its address itself if that is on loopback and has no password. Limits are each node's own without it."`
	Nodes           int    `name:"nodes" default:"1" help:"How many nodes share the limits: while Redis is away, or without one, each gives its share."`
	AddressRate     int    `name:"address-rate" default:"6000" help:"Calls a minute that a client address (IPv6: a /64) may make to one node, identified or not; loopback is not counted. 0 is no limit."`
	AddressFailures int    `name:"address-failures" default:"600" help:"Calls a minute from an address that may end in 401, 403 or 404 before it is known who calls; above that, calls without a token are refused. 0 is no limit."`

	TokenLifetime time.Duration `name:"token-lifetime" default:"1h" help:"How long access tokens live."`
	KeyRotation   time.Duration `name:"key-rotation" default:"720h" help:"How old the key that signs access tokens may become; its successor is published ahead. 0 is never."`
	TokenCache    int           `name:"token-cache" default:"8192" help:"Verified access tokens that are remembered, so that their signature is checked once."`
	KeyRetention  time.Duration `name:"idempotency-retention" default:"168h" help:"How long the answer to a call with an Idempotency-Key is kept for a repeated key: 24h at least."`
	LogFormat     string        `name:"log-format" default:"text" help:"text or json."`
	LogLevel      string        `name:"log-level" default:"info" help:"debug, info, warn or error."`

	Demo          bool   `name:"demo" help:"Run the example partners against simulated backends. Loopback only."`
	ERPListen     string `name:"erp-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Demo: the simulated ERP of the sandbox."`
	ERPLive       string `name:"erp-live-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Demo: the simulated live ERP."`
	ParcelListen  string `name:"parcel-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Demo: the simulated parcel carrier of the sandbox."`
	ParcelLive    string `name:"parcel-live-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Demo: the simulated live parcel carrier."`
	ReturnsListen string `name:"returns-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Demo: the simulated returns carrier of the sandbox."`
	ReturnsLive   string `name:"returns-live-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Demo: the simulated live returns carrier."`

	Spec           string `name:"spec" placeholder:"FILE" help:"Serve this OpenAPI document in front of --backend, with no other configuration."`
	Backend        string `name:"backend" placeholder:"URL" help:"The backend of --spec."`
	NewClient      bool   `name:"new-client" help:"With --spec: make another client and show its secret."`
	InsecureNoAuth bool   `name:"insecure-no-auth" help:"With --spec: take calls without a token."`
}

// Listen is one listener by the name the ready file gives it.
type Listen struct{ Name, Setting, Address string }

// Listeners are the listeners of these settings, in order of start.
func (s *Settings) Listeners() []Listen {
	list := []Listen{{"gateway", "gateway-listen", s.GatewayListen}, {"portal", "portal-listen", s.PortalListen}}
	switch {
	case s.AdminListen != "":
		list = append(list, Listen{"admin", "admin-listen", s.AdminListen})
	case s.Demo:
		list = append(list, Listen{"admin", "admin-listen", "127.0.0.1:0"})
	}
	if s.Demo {
		list = append(list,
			Listen{"erp", "erp-listen", s.ERPListen}, Listen{"erp_live", "erp-live-listen", s.ERPLive},
			Listen{"parcel", "parcel-listen", s.ParcelListen}, Listen{"parcel_live", "parcel-live-listen", s.ParcelLive},
			Listen{"returns", "returns-listen", s.ReturnsListen}, Listen{"returns_live", "returns-live-listen", s.ReturnsLive})
	}
	return list
}

// EnvName is the environment variable of a setting: "gateway-listen" is PORTWAY_GATEWAY_LISTEN.
func EnvName(setting string) string {
	return "PORTWAY_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// Names lists every setting.
func Names() []string {
	t := reflect.TypeFor[Settings]()
	out := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		out = append(out, t.Field(i).Tag.Get("name"))
	}
	return out
}

// ReadFile reads portway.yaml of a --config folder as setting → text; an absent file has none. Unknown keys
// are problems that name the line.
func ReadFile(dir string) (map[string]string, error) {
	if dir == "" {
		return nil, nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("config: %s is not a folder", dir)
	}
	file := filepath.Join(dir, "portway.yaml")
	src, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		return nil, fmt.Errorf("config: %s: %w", file, err)
	}
	out := map[string]string{}
	if len(doc.Content) == 0 {
		return out, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("config: %s: not a list of settings", file)
	}
	known := map[string]bool{}
	for _, n := range Names() {
		known[n] = true
	}
	var problems []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if !known[key.Value] || value.Kind != yaml.ScalarNode || key.Value == "config" {
			problems = append(problems, fmt.Errorf("config: %s:%d: %q is not a setting with one value", file, key.Line, key.Value))
			continue
		}
		if _, twice := out[key.Value]; twice {
			problems = append(problems, fmt.Errorf("config: %s:%d: %q is set twice", file, key.Line, key.Value))
		}
		out[key.Value] = value.Value
	}
	return out, errors.Join(problems...)
}

// Validate checks all settings and their combinations; each problem is one line that names its setting.
func (s *Settings) Validate() error {
	var problems []error
	bad := func(setting, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", setting, fmt.Sprintf(format, args...)))
	}
	for _, l := range s.Listeners() {
		host, _, err := net.SplitHostPort(l.Address)
		switch {
		case err != nil:
			bad(l.Setting, "%q is not HOST:PORT", l.Address)
		case s.Demo && !loopback(host):
			bad(l.Setting, "--demo listens on loopback only, not on %q", host)
		}
	}
	for _, address := range [][2]string{{"gateway-url", s.GatewayURL}, {"portal-url", s.PortalURL}, {"backend", s.Backend}} {
		setting, raw := address[0], address[1]
		if raw == "" {
			continue
		}
		if u, err := url.Parse(raw); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			bad(setting, "not an http or https address")
		}
	}
	if s.Database != "" && !secret.IsReference(s.Database) {
		bad("database", "give it as env:NAME or file:/path: it holds a password")
	}
	if s.SealKey != "" && !strings.HasPrefix(s.SealKey, "file:") {
		bad("seal-key", "give it as file:/path")
	}
	if s.TokenLifetime < time.Minute || s.TokenLifetime > 24*time.Hour {
		bad("token-lifetime", "use 1m to 24h")
	}
	if s.KeyRotation != 0 && s.KeyRotation < time.Hour {
		bad("key-rotation", "use 1h or more, or 0 for never")
	}
	if s.TokenCache < 0 || s.TokenCache > 1<<20 {
		bad("token-cache", "use 1 to 1048576, or 0 for 8192")
	}
	if s.KeyRetention < 24*time.Hour {
		bad("idempotency-retention", "use 24h or more: partners repeat calls for a day")
	}
	s.limits(bad)
	s.running(bad)
	if s.LogFormat != "text" && s.LogFormat != "json" {
		bad("log-format", "%q: use text or json", s.LogFormat)
	}
	switch s.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad("log-level", "%q: use debug, info, warn or error", s.LogLevel)
	}
	if (s.Spec == "") != (s.Backend == "") {
		bad("spec", "--spec FILE and --backend URL go together")
	}
	if s.Spec != "" && s.Demo {
		bad("spec", "--spec and --demo are two different things to serve")
	}
	if s.Spec == "" && (s.InsecureNoAuth || s.NewClient) {
		bad("spec", "--insecure-no-auth and --new-client go with --spec")
	}
	if s.SandboxHost != "" && s.SandboxHost == s.LiveHost {
		bad("live-host", "the same as sandbox-host: one host name takes one kind of credentials")
	}
	if s.Data == "" {
		bad("data", "give a folder")
	}
	return errors.Join(problems...)
}

// Hosts maps host names the gateway answers to, to the environment they belong to ("" for either). It is
// empty when any host name will do: a listener on all addresses without a configured name.
func (s *Settings) Hosts(gatewayAddress string) map[string]ident.Environment {
	hosts := map[string]ident.Environment{}
	host, _, err := net.SplitHostPort(gatewayAddress)
	if err == nil && loopback(host) {
		hosts["localhost"], hosts["127.0.0.1"], hosts["[::1]"] = "", "", ""
	} else if s.GatewayURL == "" {
		return hosts
	}
	if u, err := url.Parse(s.GatewayURL); err == nil && u.Hostname() != "" {
		hosts[u.Hostname()] = ""
	}
	sandbox, live := s.SandboxHost, s.LiveHost
	if s.Demo {
		if sandbox == "" {
			sandbox = "sandbox.localhost"
		}
		if live == "" {
			live = "live.localhost"
		}
	}
	if sandbox != "" {
		hosts[sandbox] = ident.Sandbox
	}
	if live != "" {
		hosts[live] = ident.Live
	}
	return hosts
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
