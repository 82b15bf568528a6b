package secret

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const value = "hunter2-hunter2"

// TestSecretNeverPrints tries every way a value usually gets into a log by accident.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := Of(value)
	type holder struct {
		Shown  Secret
		hidden Secret
		more   map[string]Secret
		at     *Secret
	}
	h := holder{s, s, map[string]Secret{"k": s}, &s}
	if h.hidden.Reveal() != value || h.more["k"].Reveal() != value || h.at.Reveal() != value {
		t.Fatal("the holder does not hold the value, so nothing below proves anything")
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T", "%t", "%c", "%p", "%20v", "%-20s"} {
		for _, v := range []any{s, &s, h, &h, []Secret{s}, map[string]Secret{"k": s}, []any{s}, struct{ inner holder }{h}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprintln(&out, s, h)
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %v", s), errors.Join(fmt.Errorf("joined %s", s)))
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "h", h, slog.Any("any", &s))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", s, "h", h, slog.Any("any", &s))
	if err := json.NewEncoder(&out).Encode([]any{s, h.Shown, map[string]Secret{"k": s}}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, leak := range []string{value, hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))), "68 75 6e", "104 117"} {
		if strings.Contains(text, leak) {
			t.Errorf("the value is printed, as %q", leak)
		}
	}
	if !strings.Contains(text, hidden) {
		t.Error("nothing was printed at all")
	}
	if s.Reveal() != value || (Secret{}).Reveal() != "" || (Secret{}).String() != hidden {
		t.Error("Reveal does not return the value")
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	getenv := func(n string) string { return map[string]string{"SET": value, "SPACED": " a b "}[n] }
	tests := []struct{ name, reference, want, refusal string }{
		{"environment", "env:SET", value, ""},
		{"environment keeps spaces", "env:SPACED", " a b ", ""},
		{"file", "file:" + write("plain", value), value, ""},
		{"file with a line end", "file:" + write("lf", value+"\n"), value, ""},
		{"file of Windows", "file:" + write("crlf", value+"\r\n"), value, ""},
		{"file of two lines", "file:" + write("two", "a\nb\n"), "a\nb", ""},
		{"unset", "env:UNSET", "", "environment variable UNSET is empty"},
		{"no name", "env:", "", "is empty"},
		{"no file", "file:" + filepath.Join(dir, "absent"), "", "no such file"},
		{"empty file", "file:" + write("empty", "\n"), "", "is empty"},
		{"folder", "file:" + dir, "", "secret file"},
		{"written out", value, "", "never written out"},
		{"nothing", "", "", "never written out"},
		{"another scheme", "https://vault/x", "", "never written out"},
		{"upper case", "ENV:SET", "", "never written out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Resolve(tt.reference, getenv)
			if tt.refusal == "" {
				if err != nil || got.Reveal() != tt.want {
					t.Errorf("got %q, %v", got.Reveal(), err)
				}
				if !IsReference(tt.reference) {
					t.Error("not taken for a reference")
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.refusal) {
				t.Errorf("got %v, want %q", err, tt.refusal)
			}
			if err != nil && strings.Contains(err.Error(), value) {
				t.Error("the refusal echoes what was given")
			}
		})
	}
}

func TestHashMatches(t *testing.T) {
	t.Parallel()
	// FIPS 180-2 appendix B.1.
	if got := Hash("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("Hash(abc) = %s", got)
	}
	h := Hash(value)
	for _, tt := range []struct {
		given, hash string
		want        bool
	}{
		{value, h, true}, {value + "x", h, false}, {"", h, false}, {"", "", false}, {value, "", false},
		{value, h[:10], false}, {value, strings.ToUpper(h), false}, {h, h, false}, {"", Hash(""), true},
	} {
		if got := Matches(tt.given, tt.hash); got != tt.want {
			t.Errorf("Matches(%q, %q) = %v", tt.given, tt.hash, got)
		}
	}
}

func TestSealer(t *testing.T) {
	t.Parallel()
	a, err := NewSealer(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewSealer(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := NewSealer(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is taken", n)
		}
	}
	for _, plain := range []string{"", "x", strings.Repeat("long ", 10_000)} {
		sealed := a.Seal("name", []byte(plain))
		got, err := a.Open("name", sealed)
		if err != nil || string(got) != plain {
			t.Fatalf("round trip of %d bytes: %v", len(plain), err)
		}
		if len(plain) > 8 && bytes.Contains(sealed, []byte(plain[:8])) {
			t.Error("the value is in the clear")
		}
		if bytes.Equal(sealed, a.Seal("name", []byte(plain))) {
			t.Error("sealing twice gives the same bytes: the nonce is not fresh")
		}
		if _, err := a.Open("other", sealed); err == nil || !strings.Contains(err.Error(), "another name") {
			t.Errorf("opens under another name: %v", err)
		}
		if _, err := b.Open("name", sealed); err == nil || !strings.Contains(err.Error(), "another key") {
			t.Errorf("opens with another key: %v", err)
		}
		for i := range min(len(sealed), 60) {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1
			if _, err := a.Open("name", changed); err == nil {
				t.Errorf("opens with byte %d changed", i)
			}
			if _, err := a.Open("name", sealed[:i]); err == nil {
				t.Errorf("opens with %d bytes only", i)
			}
		}
	}
	if _, err := a.Open("name", nil); err == nil {
		t.Error("nothing opens")
	}
}

func TestOpenSealerMakesAndKeepsAKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new", "folder", "seal.key")
	first, err := OpenSealer(file)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{file: 0o600, filepath.Dir(file): fs.ModeDir | 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", filepath.Base(path), info.Mode(), want)
		}
	}
	second, err := OpenSealer(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := second.Open("n", first.Seal("n", []byte(value))); err != nil || string(got) != value {
		t.Errorf("a second opening has another key: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("left beside the key: %v, %v", entries, err)
	}
}

// Nodes that start at once on one folder must agree on the key, or one of them seals what nobody can open.
func TestOpenSealerAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seal.key")
	sealers := make([]*Sealer, 16)
	var wg sync.WaitGroup
	for i := range sealers {
		wg.Go(func() {
			s, err := OpenSealer(file)
			if err != nil {
				t.Error(err)
				return
			}
			sealers[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i, s := range sealers {
		if _, err := s.Open("n", sealers[0].Seal("n", nil)); err != nil {
			t.Errorf("opening %d made another key", i)
		}
	}
}

func TestOpenSealerRefusesABadKey(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "short": "abcd\n", "no hexadecimal": strings.Repeat("zz", 32), "long": strings.Repeat("ab", 33)} {
		file := filepath.Join(t.TempDir(), "seal.key")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSealer(file); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != text {
			t.Errorf("%s: the file was overwritten: what it sealed is lost", name)
		}
	}
	if _, err := OpenSealer(t.TempDir()); err == nil {
		t.Error("a folder is taken for a key")
	}
}
