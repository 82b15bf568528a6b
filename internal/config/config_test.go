package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/internal/ident"
)

func valid() Settings {
	return Settings{GatewayListen: "127.0.0.1:0", PortalListen: "127.0.0.1:0", ERPListen: "127.0.0.1:0", ERPLive: "127.0.0.1:0",
		ParcelListen: "127.0.0.1:0", ParcelLive: "127.0.0.1:0", ReturnsListen: "127.0.0.1:0", ReturnsLive: "127.0.0.1:0",
		Data: "d", TokenLifetime: time.Hour, KeyRetention: 24 * time.Hour, LogFormat: "text", LogLevel: "info", Nodes: 1}
}

func TestValidateNamesEverySettingAtOnce(t *testing.T) {
	t.Parallel()
	s := valid()
	if err := s.Validate(); err != nil {
		t.Fatalf("the base settings: %v", err)
	}
	s.GatewayListen = "8080"
	s.PortalURL = "portal"
	s.Database = "postgres://u:p@h/d"
	s.LogFormat = "xml"
	s.TokenLifetime, s.KeyRetention = time.Second, time.Hour
	s.Spec = "x.yaml"
	s.SandboxHost, s.LiveHost = "gw.example", "gw.example"
	s.TLSCert, s.PortalTLSCert, s.PortalTLSKey = "tls.crt", "portal.crt", "key"
	s.TrustedProxies, s.MaxConnections, s.DrainDelay, s.WatchEvery, s.AdminListen = "proxy", -1, -1, -1, "9090"
	err := s.Validate()
	if err == nil {
		t.Fatal("no problem reported")
	}
	for _, setting := range []string{"gateway-listen: ", "portal-url: ", "database: ", "log-format: ", "token-lifetime: ", "idempotency-retention: ", "spec: ", "live-host: ",
		"tls-cert: ", "portal-tls-key: ", "trusted-proxies: ", "max-connections: ", "drain-delay: ", "watch-every: ", "admin-listen: "} {
		if !strings.Contains(err.Error(), setting) {
			t.Errorf("no line names %q in\n%v", setting, err)
		}
	}
	s.Spec, s.Backend = "x.yaml", "u:p@backend.example"
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "backend: ") || strings.Contains(err.Error(), "u:p@") {
		t.Errorf("a secret is echoed, or the backend is accepted: %v", err)
	}
}

func TestDemoStaysOnLoopback(t *testing.T) {
	t.Parallel()
	s := valid()
	s.Demo = true
	s.PortalListen = "0.0.0.0:8081"
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "portal-listen") {
		t.Errorf("got %v, want portal-listen refused", err)
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "portway.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ReadFile(dir); err != nil || len(got) != 0 {
		t.Errorf("an absent file: %v, %v", got, err)
	}
	write("gateway-listen: 127.0.0.1:9\ndemo: true\n")
	got, err := ReadFile(dir)
	if err != nil || got["gateway-listen"] != "127.0.0.1:9" || got["demo"] != "true" {
		t.Errorf("got %v, %v", got, err)
	}
	write("log-level: info\ndemo: true\nlog-level: debug\n")
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), ":3: \"log-level\" is set twice") {
		t.Errorf("got %v, want the second line named", err)
	}
	write("gateway-listen: 127.0.0.1:9\nportl-listen: x\nlog-level: [a]\n")
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), ":2:") || !strings.Contains(err.Error(), ":3:") {
		t.Errorf("got %v, want both lines named", err)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := valid()
	s.SandboxHost, s.LiveHost = "sandbox.gw.example", "gw.example"
	h := s.Hosts("127.0.0.1:8080")
	if h["sandbox.gw.example"] != ident.Sandbox || h["gw.example"] != ident.Live {
		t.Errorf("hosts = %v", h)
	}
	if env, ok := h["localhost"]; !ok || env != "" {
		t.Errorf("loopback names must take either environment: %v", h)
	}
	s = valid()
	if h := s.Hosts("0.0.0.0:8080"); len(h) != 0 {
		t.Errorf("a public listener without a name takes any host, got %v", h)
	}
}

func TestTLSSettingsGoTogether(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*Settings)
		want string // "" = good
	}{
		"a pair":                    {func(s *Settings) { s.TLSCert, s.TLSKey, s.TLSClientCA = "c", "file:k", "ca" }, ""},
		"a plain portal":            {func(s *Settings) { s.TLSCert, s.TLSKey, s.PortalTLSCert = "c", "file:k", "off" }, ""},
		"a portal of its own":       {func(s *Settings) { s.PortalTLSCert, s.PortalTLSKey = "c", "file:k" }, ""},
		"a key alone":               {func(s *Settings) { s.TLSKey = "file:k" }, "tls-cert: "},
		"a key written out":         {func(s *Settings) { s.TLSCert, s.TLSKey = "c", "env:KEY" }, "tls-key: "},
		"authorities alone":         {func(s *Settings) { s.TLSClientCA = "ca" }, "tls-client-ca: "},
		"a plain portal with a key": {func(s *Settings) { s.PortalTLSCert, s.PortalTLSKey = "off", "file:k" }, "portal-tls-key: "},
	} {
		s := valid()
		c.set(&s)
		if err := s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestLimitSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*Settings)
		want string // "" = good
	}{
		"a reference":              {func(s *Settings) { s.Redis = "env:REDIS_URL" }, ""},
		"loopback":                 {func(s *Settings) { s.Redis = "redis://127.0.0.1:6379/1" }, ""},
		"loopback by name":         {func(s *Settings) { s.Redis = "rediss://localhost" }, ""},
		"a password":               {func(s *Settings) { s.Redis = "redis://:hunter2@127.0.0.1:6379" }, "redis: give it as env:NAME or file:/path"},
		"another machine":          {func(s *Settings) { s.Redis = "redis://10.0.0.1:6379" }, "redis: give it as env:NAME or file:/path"},
		"no address":               {func(s *Settings) { s.Redis = "127.0.0.1:6379" }, "redis: give env:NAME, file:/path, or a redis:// address"},
		"another kind of address":  {func(s *Settings) { s.Redis = "http://127.0.0.1" }, "redis: give env:NAME, file:/path, or a redis:// address"},
		"no nodes":                 {func(s *Settings) { s.Nodes = 0 }, "nodes: use 1 to 1000"},
		"addresses without limits": {func(s *Settings) { s.AddressRate, s.AddressFailures = 0, 0 }, ""},
		"a rate below zero":        {func(s *Settings) { s.AddressRate = -1 }, "address-rate: "},
		"failures below zero":      {func(s *Settings) { s.AddressFailures = -1 }, "address-failures: "},
	} {
		s := valid()
		c.set(&s)
		err := s.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes the address", name)
		}
	}
}
