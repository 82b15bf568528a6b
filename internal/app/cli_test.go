package app

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// invoke runs a command that ends by itself and returns its exit code and output.
func invoke(environment map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // a server that starts after all is stopped
	defer cancel()
	code = Run(ctx, args, lookup, &out, &errs)
	return code, out.String(), errs.String()
}

func TestBadSettingsAreOneLineEach(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests
	cases := []struct {
		name        string
		environment map[string]string
		args        []string
		want        []string // each in its own line
	}{
		{"taken port", nil, []string{"serve", "--data=" + t.TempDir(), "--gateway-listen=" + taken.Addr().String(), "--portal-listen=127.0.0.1:0"}, []string{"gateway-listen: cannot listen on"}},
		{"bad address from the environment", map[string]string{"PORTWAY_PORTAL_LISTEN": "nowhere"}, []string{"serve", "--data=" + t.TempDir(), "--gateway-listen=127.0.0.1:0"}, []string{`portal-listen: "nowhere" is not HOST:PORT`}},
		{"two at once", nil, []string{"serve", "--log-level=loud", "--token-lifetime=1s"}, []string{"log-level: ", "token-lifetime: "}},
		{"a secret written out", nil, []string{"serve", "--database=postgres://u:p@h/d"}, []string{"database: "}},
		{"unknown flag", nil, []string{"serve", "--gatway-listen=x"}, []string{"gatway-listen"}},
		{"demo in public", nil, []string{"serve", "--demo", "--gateway-listen=0.0.0.0:0"}, []string{"gateway-listen: --demo listens on loopback only"}},
		{"an absent config folder", nil, []string{"serve", "--config=/nonexistent-folder"}, []string{"config: "}},
		{"an absent spec", nil, []string{"serve", "--data=" + t.TempDir(), "--gateway-listen=127.0.0.1:0", "--portal-listen=127.0.0.1:0", "--spec=absent.yaml", "--backend=http://127.0.0.1:1"}, []string{"spec: "}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := invoke(c.environment, c.args...)
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			for _, want := range c.want {
				found := 0
				for _, l := range lines {
					if strings.Contains(l, want) {
						found++
					}
				}
				if found != 1 {
					t.Errorf("%d lines contain %q:\n%s", found, want, stderr)
				}
			}
			if strings.Contains(stderr, "u:p@h") {
				t.Error("a secret is echoed")
			}
		})
	}
}

// TestPrecedence sets one setting in the file, the environment and a flag.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "portway.yaml"), []byte("log-level: file\nlog-format: file\ntoken-lifetime: 0s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"PORTWAY_LOG_LEVEL": "environment", "PORTWAY_LOG_FORMAT": "environment", "PORTWAY_CONFIG": dir}
	code, _, stderr := invoke(environment, "serve", "--log-level=flag")
	if code != 1 || !strings.Contains(stderr, `log-level: "flag"`) || !strings.Contains(stderr, `log-format: "environment"`) || !strings.Contains(stderr, "token-lifetime: ") {
		t.Errorf("flag, environment and file must win in this order:\n%s", stderr)
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	if code, out, _ := invoke(nil, "version"); code != 0 || !strings.HasPrefix(out, "portway ") {
		t.Errorf("version: %d %q", code, out)
	}
	if code, out, _ := invoke(nil, "serve", "--help"); code != 0 || !strings.Contains(out, "--gateway-listen") {
		t.Errorf("help: %d %q", code, out)
	}
}

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) { t.Helper(); putFile(t, dir, name, []byte(text)) }
	write("policies/plans/small.yaml", "kind: plan\nschema: 1\nname: Small\nlimits:\n  - {name: burst, rate: 1, per: 1s, burst: 1}\n")
	if code, out, stderr := invoke(nil, "check", "--config="+dir); code != 0 || !strings.Contains(out, "no problem") {
		t.Errorf("a good folder: %d %s%s", code, out, stderr)
	}
	write("policies/partners/nobody.yaml", "kind: partner\nschema: 1\norganisation: {name: Nobody, kind: 3pl, zone: UTC}\napplications:\n  - slug: app\n    name: App\n    subscriptions: [{api: absent, environments: [live], plan: absent, scopes: []}]\n")
	if code, _, stderr := invoke(nil, "check", "--config="+dir); code != 1 || !strings.Contains(stderr, `API "absent"`) || !strings.Contains(stderr, `plan "absent"`) {
		t.Errorf("a partner file against the catalogue: %d %s", code, stderr)
	}
	write("policies/plans/small.yaml", "kind: plan\nschema: 1\nname: Small\nlimit: []\n")
	write("policies/routes/x.yaml", "kind: route\nschema: 1\nevents: [order.vanished.v1]\nbackend: nobody\n")
	code, _, stderr := invoke(nil, "check", "--config="+dir)
	for _, want := range []string{"policies/plans/small.yaml:4", "order.vanished.v1", `backend "nobody"`} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("code %d, no line with %q:\n%s", code, want, stderr)
		}
	}
}
