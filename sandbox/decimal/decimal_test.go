package decimal

import (
	"encoding/json"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"0": "0", "120": "120", "012.500": "12.5", "-0.10": "-0.1", "0.1": "0.1"} {
		d, err := Parse(in)
		if err != nil || d.String() != want {
			t.Errorf("Parse(%q) = %s, %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"", "1/3", "1e5", "0x10", ".5", "5.", "+1", " 1", "1_000", "NaN", "11111111111111111111111111111111111111111"} {
		if d, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %s, want an error", in, d)
		}
	}
}

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1e2": "100", "1.5E-1": "0.15", "1200.2": "1200.2", "5e0": "5"} {
		if d, err := ParseNumber(in); err != nil || d.String() != want {
			t.Errorf("ParseNumber(%q) = %s, %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"1e31", "1e999999999", "e5", "1e"} {
		if d, err := ParseNumber(in); err == nil {
			t.Errorf("ParseNumber(%q) = %s, want an error", in, d)
		}
	}
}

func TestArithmeticIsExact(t *testing.T) {
	t.Parallel()
	tenth, _ := Parse("0.1")
	var sum Decimal
	for range 10 {
		sum = sum.Add(tenth)
	}
	if sum.Cmp(Int(1)) != 0 || !sum.IsInt() {
		t.Errorf("ten tenths are %s", sum)
	}
	if q, ok := Int(1).Div(Int(8)); !ok || q.String() != "0.125" {
		t.Errorf("1/8 = %s, %v", q, ok)
	}
	if _, ok := Int(1).Div(Int(3)); ok {
		t.Error("1/3 is said to be a finite decimal")
	}
	if _, ok := Int(1).Div(Decimal{}); ok {
		t.Error("division by zero is said to work")
	}
	half, _ := Parse("2.345")
	if got := half.Fixed(2); got != "2.35" {
		t.Errorf("2.345 in cents = %s", got)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var d Decimal
	if err := json.Unmarshal([]byte(`"12.50"`), &d); err != nil || d.String() != "12.5" {
		t.Errorf("got %s, %v", d, err)
	}
	if out, err := json.Marshal(d); err != nil || string(out) != `"12.5"` {
		t.Errorf("got %s, %v", out, err)
	}
	for _, in := range []string{`12.5`, `null`, `""`, `"1\u0030"`, `{}`} {
		if err := json.Unmarshal([]byte(in), &d); err == nil && in != "null" {
			t.Errorf("%s was accepted", in)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"12.50", "-1", "1e5", "1/3", "0.000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseNumber(s)
		if err != nil {
			return
		}
		again, err := Parse(d.String())
		if len(d.String()) <= maxLength && (err != nil || again.Cmp(d) != 0) {
			t.Errorf("%q → %s is not read back: %v", s, d, err)
		}
	})
}
