package intake

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"portway/internal/catalog"
	"portway/internal/logistics"
)

func value(t testing.TB, s string) map[string]any {
	t.Helper()
	v, err := decode([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := v.(map[string]any)
	return m
}

func TestResolve(t *testing.T) {
	t.Parallel()
	v := value(t, `{"a":{"b":1},"l":[{"x":"1","in":[{"y":"p"},{"y":"q"}]},{"x":"2"},{}],"a/b":{"~":"odd"},"null":null}`)
	for pointer, want := range map[string][]any{
		"/a/b":        {json.Number("1")},
		"/l/*/x":      {"1", "2"},
		"/l/*/in/*/y": {"p", "q"},
		"/a~1b/~0":    {"odd"},
		"/null":       {nil},
		"/nowhere":    nil,
		"/a/b/c":      nil,
		"/l/x":        nil,
		"/a/*":        nil,
	} {
		if got := resolve(v, pointer); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %v, want %v", pointer, got, want)
		}
	}
}

func TestBusinessKey(t *testing.T) {
	t.Parallel()
	typ := &catalog.EventType{BusinessKey: []string{"/order", "/version", "/at", "/lines/*/lineNo"}}
	key := func(s string) string { return businessKey(typ, value(t, s)) }
	base := key(`{"order":"SO-1","version":1,"at":"2026-09-14T15:40:00-05:00","lines":[{"lineNo":2},{"lineNo":1}]}`)
	if base != "SO-1|1|2026-09-14T20:40:00Z|1,2" {
		t.Errorf("the key is %q", base)
	}
	for name, s := range map[string]string{
		"blanks, another offset, another order": `{"order":" SO-1 ","version":1.0,"at":"2026-09-14T20:40:00Z","lines":[{"lineNo":1},{"lineNo":2}]}`,
	} {
		if got := key(s); got != base {
			t.Errorf("%s: %q, want %q", name, got, base)
		}
	}
	for name, s := range map[string]string{
		"another version":      `{"order":"SO-1","version":2,"at":"2026-09-14T20:40:00Z","lines":[{"lineNo":1},{"lineNo":2}]}`,
		"one line less":        `{"order":"SO-1","version":1,"at":"2026-09-14T20:40:00Z","lines":[{"lineNo":1}]}`,
		"another case":         `{"order":"so-1","version":1,"at":"2026-09-14T20:40:00Z","lines":[{"lineNo":1},{"lineNo":2}]}`,
		"separators in values": `{"order":"SO-1|1","at":"2026-09-14T20:40:00Z","lines":[{"lineNo":1},{"lineNo":2}]}`,
	} {
		if got := key(s); got == base {
			t.Errorf("%s: the same key", name)
		}
	}
	if key(`{"order":"a|b"}`) == key(`{"order":"a","version":"b"}`) {
		t.Error("a separator in a value makes two keys one")
	}
	if got := businessKey(&catalog.EventType{}, value(t, `{"order":"a"}`)); got != "" {
		t.Errorf("a type without a key has %q", got)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	typ := &catalog.EventType{Fingerprint: []string{"/lines/*/sku", "/lines/*/shipped/value", "/lines/*/shipped/unit", "/final"}}
	sum := func(s string) string {
		f, err := fingerprint(typ, value(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	line := func(sku, n, unit string) string {
		return `{"sku":"` + sku + `","shipped":{"value":"` + n + `","unit":"` + unit + `"},"ordered":"any"}`
	}
	of := func(lines ...string) string { return `{"final":true,"lines":[` + strings.Join(lines, ",") + `]}` }
	base := sum(of(line("100", "120", "EA"), line("B", "0.5", "EA")))
	for name, s := range map[string]string{
		"decimals with zeros": of(line("100", "120.0", "EA"), line("B", "0.50", "EA")),
		"another order":       of(line("B", "0.5", "EA"), line("100", "120", "EA")),
		"blanks":              of(line(" 100", "120", "EA "), line("B", "0.5", "EA")),
		"fields that are out": strings.Replace(of(line("100", "120", "EA"), line("B", "0.5", "EA")), `"any"`, `"other"`, 2),
	} {
		if sum(s) != base {
			t.Errorf("%s: another fingerprint", name)
		}
	}
	for name, s := range map[string]string{
		"quantities swapped":        of(line("100", "0.5", "EA"), line("B", "120", "EA")),
		"another unit":              of(line("100", "120", "CA"), line("B", "0.5", "EA")),
		"an item with zeros":        of(line("0100", "120", "EA"), line("B", "0.5", "EA")),
		"an item like a decimal":    of(line("100.0", "120", "EA"), line("B", "0.5", "EA")),
		"a line twice":              of(line("100", "120", "EA"), line("100", "120", "EA"), line("B", "0.5", "EA")),
		"a line less":               of(line("100", "120", "EA")),
		"another value outside":     strings.Replace(of(line("100", "120", "EA"), line("B", "0.5", "EA")), "true", "false", 1),
		"values moved to the other": `{"final":true,"lines":[{"sku":"100","shipped":{"value":"120"}},{"sku":"B","shipped":{"value":"0.5","unit":"EA"}}]}`,
	} {
		if sum(s) == base {
			t.Errorf("%s: the same fingerprint", name)
		}
	}
}

func TestRefs(t *testing.T) {
	t.Parallel()
	typ := &catalog.EventType{Refs: []catalog.RefRule{{Scheme: "so", Pointer: "/order"}, {Scheme: "bol", Pointer: "/carrier/bol"},
		{Scheme: "tracking", Pointer: "/packages/*/tracking"}, {Scheme: "lot", Pointer: "/lines/*/lot"}, {Scheme: "po", Pointer: "/po"}}}
	got := refs(typ, value(t, `{"order":"SO-1","carrier":{"scac":"FDEG","bol":"B1"},"packages":[{"tracking":"T1"},{"tracking":"T2"},{"tracking":"T1"}],
		"lines":[{"lot":"L"},{"lot":"L"},{"lot":" "},{"lot":7}],"po":null}`), "three")
	want := []logistics.Ref{{Scheme: "so", Value: "SO-1"}, {Scheme: "bol", Value: "B1", Scope: "three"}, {Scheme: "tracking", Value: "T1", Scope: "FDEG"},
		{Scheme: "tracking", Value: "T2", Scope: "FDEG"}, {Scheme: "lot", Value: "L"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add(`{"a":[{"b":"1"}]}`, "/a/*/b")
	f.Add(`[]`, "//~1")
	f.Fuzz(func(t *testing.T, doc, pointer string) {
		v, err := decode([]byte(doc))
		if err != nil {
			return
		}
		m, _ := v.(map[string]any)
		typ := &catalog.EventType{BusinessKey: []string{pointer}, Fingerprint: []string{pointer}}
		resolve(v, pointer)
		businessKey(typ, m)
		if _, err := fingerprint(typ, m); err != nil {
			t.Error(err)
		}
	})
}
