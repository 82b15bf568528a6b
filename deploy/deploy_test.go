// Package deploy_test checks the files of this folder as far as that goes without an engine to run them.
package deploy_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"portway/internal/config"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSettingsExist keeps every PORTWAY_ variable and every flag of these files a setting of the program.
func TestSettingsExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	flags := map[string]bool{}
	for _, n := range config.Names() {
		known[config.EnvName(n)] = true
		flags["--"+n] = true
	}
	variable, flag := regexp.MustCompile(`PORTWAY_[A-Z_]+`), regexp.MustCompile(`--[a-z][a-z-]+`)
	for _, file := range []string{"Dockerfile", "compose.yaml", "portway.service"} {
		text := read(t, file)
		for _, v := range variable.FindAllString(text, -1) {
			if !known[v] {
				t.Errorf("%s sets %s, which is no setting", file, v)
			}
		}
		if file != "portway.service" {
			continue
		}
		for _, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, "ExecStart=") {
				continue
			}
			for _, f := range flag.FindAllString(line, -1) {
				if !flags[f] {
					t.Errorf("%s uses %s, which is no flag", file, f)
				}
			}
		}
	}
	if _, err := config.ReadFile("config"); err != nil {
		t.Errorf("config/portway.yaml: %v", err)
	}
}

func TestComposeIsConsistent(t *testing.T) {
	t.Parallel()
	var c struct {
		Services map[string]struct {
			Image     string         `yaml:"image"`
			Build     map[string]any `yaml:"build"`
			DependsOn map[string]any `yaml:"depends_on"`
			Secrets   []string       `yaml:"secrets"`
			Volumes   []string       `yaml:"volumes"`
		} `yaml:"services"`
		Secrets map[string]any `yaml:"secrets"`
		Volumes map[string]any `yaml:"volumes"`
	}
	if err := yaml.Load([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"portway", "postgres", "redis"} {
		if _, ok := c.Services[want]; !ok {
			t.Errorf("no service %q", want)
		}
	}
	for name, s := range c.Services {
		if (s.Image == "") == (s.Build == nil) {
			t.Errorf("%s needs either an image or a build", name)
		}
		for d := range s.DependsOn {
			if _, ok := c.Services[d]; !ok {
				t.Errorf("%s depends on %q, which is no service", name, d)
			}
		}
		for _, secret := range s.Secrets {
			if _, ok := c.Secrets[secret]; !ok {
				t.Errorf("%s uses the secret %q, which is not declared", name, secret)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[source]; !ok && !strings.HasPrefix(source, ".") {
				t.Errorf("%s mounts %q, which is not declared", name, source)
			}
		}
	}
}

// TestDockerfileCopiesWhatExists keeps the Go version and the copied paths true.
func TestDockerfileCopiesWhatExists(t *testing.T) {
	t.Parallel()
	text := read(t, "Dockerfile")
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if version == nil || !strings.Contains(text, "FROM golang:"+version[1]) {
		t.Errorf("the image's Go is not that of go.mod (%v)", version)
	}
	if !strings.Contains(text, "USER 65532") || !strings.Contains(text, "FROM scratch") {
		t.Error("the image runs as root or is not empty")
	}
}

// TestDockerfileIsMadeOfInstructions finds a line that no instruction owns, which the builder would refuse.
func TestDockerfileIsMadeOfInstructions(t *testing.T) {
	t.Parallel()
	instruction := regexp.MustCompile(`^(FROM|ENV|RUN|COPY|WORKDIR|USER|VOLUME|EXPOSE|HEALTHCHECK|ENTRYPOINT|CMD) `)
	continued := false
	for i, line := range strings.Split(read(t, "Dockerfile"), "\n") {
		if !continued && line != "" && !strings.HasPrefix(line, "#") && !instruction.MatchString(line) {
			t.Errorf("line %d belongs to no instruction: %s", i+1, line)
		}
		continued = strings.HasSuffix(line, "\\")
	}
}

// TestHealthIsAsked keeps the health checks on the command that asks /readyz, with the listener it asks.
func TestHealthIsAsked(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"Dockerfile":      {`HEALTHCHECK`, `["/portway", "health"]`, "PORTWAY_ADMIN_LISTEN="},
		"compose.yaml":    {`["CMD", "/portway", "health"]`, "stop_grace_period: 75s", "PORTWAY_DRAIN_DELAY"},
		"portway.service": {"PORTWAY_ADMIN_LISTEN=127.0.0.1:", "ExecReload=/bin/kill -HUP $MAINPID", "TimeoutStopSec=75s"},
	} {
		text := read(t, file)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s has no %s", file, w)
			}
		}
	}
	if strings.Contains(read(t, "compose.yaml"), ":8082\"") {
		t.Error("compose publishes the admin listener")
	}
}

// TestUnit asks systemd itself where it is installed.
func TestUnit(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: systemd-analyze is not installed")
	}
	out, _ := exec.Command(tool, "verify", "--man=no", "--recursive-errors=no", "portway.service").CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		// The binary is not installed where the test runs; everything else it says is a fault of the file.
		if strings.Contains(line, "portway.service") && !strings.Contains(line, "is not executable") {
			t.Error(line)
		}
	}
}
