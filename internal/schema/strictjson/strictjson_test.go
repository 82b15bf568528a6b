package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portway/internal/schema/strictjson"
)

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	members := make([]string, 10_001)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":1`, i)
	}
	tests := []struct{ name, body, pointer, reason string }{
		{"duplicate", `{"a":{"b":1,"b":2}}`, "/a/b", "a member name is repeated"},
		{"duplicate after unescaping", `{"a":1,"\u0061":2}`, "/a", "a member name is repeated"},
		{"duplicate in a large object", "{" + strings.Join(members[:40], ",") + `,"m7":1}`, "/m7", "a member name is repeated"},
		{"trailing data", `{"id":"a"} xyz`, "", "there is something after the value"},
		{"byte order mark", "\xEF\xBB\xBF{}", "", "the text starts with a byte order mark"},
		{"lone surrogate", `["x","\ud800"]`, "/1", "a surrogate escape has no partner"},
		{"invalid UTF-8", "[\"\xff\"]", "/0", "the text is not valid UTF-8"},
		{"huge exponent", `{"n":1e5000000}`, "/n", "a number has an exponent beyond 308"},
		{"huge negative exponent", `1e-309`, "", "a number has an exponent beyond 308"},
		{"exponent of many digits", "1e" + strings.Repeat("9", 100_000), "", "a number has an exponent beyond 308"},
		{"long number", strings.Repeat("9", 129), "", "a number is longer than 128 characters"},
		{"deep", strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat("/0", 64), "arrays and objects nest deeper than 64"},
		{"many members", "{" + strings.Join(members, ",") + "}", "/m9999", "an object has more than 10000 members"},
		{"pointer is escaped", `{"a/b~c":[tru]}`, "/a~1b~0c/0", "a value is expected"},
		{"empty", ``, "", "the text ends where a value is expected"},
		{"long name", `{"` + strings.Repeat("x", 300) + `":?}`, "/" + strings.Repeat("x", 128) + "…", "a value is expected"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := strictjson.Scan([]byte(test.body), strictjson.Limits{})
			var se *strictjson.Error
			if !errors.As(err, &se) {
				t.Fatalf("got %v, want an Error", err)
			}
			if se.Pointer != test.pointer || se.Reason != test.reason {
				t.Errorf("got %q %q, want %q %q", se.Pointer, se.Reason, test.pointer, test.reason)
			}
		})
	}
}

func TestScanLimits(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 64) + strings.Repeat("]", 64)
	for _, ok := range []string{deep, strings.Repeat("9", 128), "1e308", "-1.5E-308", `"\u0000\ud83d\ude00"`} {
		if err := strictjson.Scan([]byte(ok), strictjson.Limits{}); err != nil {
			t.Errorf("%.20s: %v", ok, err)
		}
	}
	for name, l := range map[string]strictjson.Limits{
		"depth": {Depth: 2}, "values": {Values: 3}, "members": {Members: 1}, "number": {NumberBytes: 2}, "exponent": {Exponent: 1},
	} {
		if err := strictjson.Scan([]byte(`[[[{"a":123e2,"b":2}]]]`), l); err == nil {
			t.Errorf("the limit of %s does not hold", name)
		}
	}
}

func TestDecodeKeepsNumbersAndNames(t *testing.T) {
	t.Parallel()
	got, err := strictjson.Decode([]byte(` {"q":9007199254740993.10,"s":"a\u00e9\ud83d\ude00\n\/","l":[true,false,null,{}],"\u006b":""} `), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"q": json.Number("9007199254740993.10"), "s": "aé😀\n/", "l": []any{true, false, nil, map[string]any{}}, "k": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u0041\ud83d\ude00"],"b":null}`, `{"a":1,"a":2}`, `1e5000000`, `"\ud800"`, "\xEF\xBB\xBF[]", `[[[[]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := strictjson.Decode(b, strictjson.Limits{})
		if scanErr := strictjson.Scan(b, strictjson.Limits{}); (scanErr == nil) != (err == nil) {
			t.Fatalf("Scan says %v, Decode says %v", scanErr, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatal("accepted what encoding/json refuses")
		}
		var std any
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		if err := d.Decode(&std); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(std, v); diff != "" {
			t.Fatal(diff)
		}
	})
}
