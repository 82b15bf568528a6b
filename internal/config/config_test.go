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
		Data: "d", TokenLifetime: time.Hour, LogFormat: "text", LogLevel: "info"}
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
	s.TokenLifetime = time.Second
	s.Spec = "x.yaml"
	s.SandboxHost, s.LiveHost = "gw.example", "gw.example"
	err := s.Validate()
	if err == nil {
		t.Fatal("no problem reported")
	}
	for _, setting := range []string{"gateway-listen: ", "portal-url: ", "database: ", "log-format: ", "token-lifetime: ", "spec: ", "live-host: "} {
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
