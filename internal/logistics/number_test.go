package logistics

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func mustNumber(t *testing.T, s string) Decimal {
	t.Helper()
	d, err := ParseNumber(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return d
}

// TestParseNumber gives the text as it stays and the shortest one.
func TestParseNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"0": {"0", "0"}, "-0": {"0", "0"}, "00": {"0", "0"}, "007.10": {"7.10", "7.1"}, ".5": {"0.5", "0.5"}, "5.": {"5", "5"}, "-1.5": {"-1.5", "-1.5"},
		"0.0": {"0.0", "0"}, "-0.0": {"0.0", "0"}, "1e2": {"100", "100"}, "1.5E-1": {"0.15", "0.15"}, "1.50e1": {"15.0", "15"}, "1.5E-3": {"0.0015", "0.0015"},
		"5e0": {"5", "5"}, "1e+2": {"100", "100"}, "100": {"100", "100"}, "1200.20": {"1200.20", "1200.2"},
		"12345678901234567890.123": {"12345678901234567890.123", "12345678901234567890.123"},
		strings.Repeat("9", 60):    {strings.Repeat("9", 60), strings.Repeat("9", 60)}, "1e60": {"1" + strings.Repeat("0", 60), "1" + strings.Repeat("0", 60)},
	} {
		d, err := ParseNumber(in)
		if err != nil || d.String() != want[0] || d.Shortest().String() != want[1] {
			t.Errorf("%q is %s, shortest %s, %v, want %s", in, d, d.Shortest(), err, want)
		}
	}
	for _, in := range []string{"", "-", ".", "e5", "1e", "1.2.3", "1,5", "0x10", "NaN", "+1", " 1", "1_000", "1/3", "--1", "1e61", "1e-61", "1e999999999", "1e5e5",
		"1e1.5", strings.Repeat("9", 61)} {
		if d, err := ParseNumber(in); err == nil {
			t.Errorf("%q was read as %s", in, d)
		}
	}
}

// TestNumbersAsRationals compares the arithmetic with that of math/big's rationals.
func TestNumbersAsRationals(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	text := func() string { return fmt.Sprintf("%d.%03de%d", rng.IntN(400)-200, rng.IntN(1000), rng.IntN(7)-3) }
	rat := func(s string) *big.Rat {
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q", s)
		}
		return r
	}
	finite := 0
	for range 2000 {
		a, b := text(), text()
		if rng.IntN(4) == 0 {
			b = []string{"0", "2", "-4", "0.5", "8", "12.5", "160", "1e3"}[rng.IntN(8)]
		}
		x, y, p, q := mustNumber(t, a), mustNumber(t, b), rat(a), rat(b)
		for op, pair := range map[string][2]string{
			"+":   {x.Add(y).String(), new(big.Rat).Add(p, q).RatString()},
			"-":   {x.Sub(y).String(), new(big.Rat).Sub(p, q).RatString()},
			"×":   {x.Mul(y).String(), new(big.Rat).Mul(p, q).RatString()},
			"min": {Min(x, y).String(), map[bool]*big.Rat{true: p, false: q}[p.Cmp(q) <= 0].RatString()},
			"max": {Max(x, y).String(), map[bool]*big.Rat{true: p, false: q}[p.Cmp(q) >= 0].RatString()},
			"cmp": {fmt.Sprint(x.Cmp(y)), fmt.Sprint(p.Cmp(q))},
		} {
			if rat(pair[0]).Cmp(rat(pair[1])) != 0 {
				t.Fatalf("%s %s %s = %s, want %s", a, op, b, pair[0], pair[1])
			}
		}
		if x.Fixed(2) != p.FloatString(2) || x.IsWhole() != p.IsInt() {
			t.Fatalf("%s is %s in cents, whole %v", a, x.Fixed(2), x.IsWhole())
		}
		quotient, ok := x.Div(y)
		if q.Sign() == 0 {
			if ok {
				t.Fatalf("%s / 0 = %s", a, quotient)
			}
			continue
		}
		want := new(big.Rat).Quo(p, q)
		if _, exact := want.FloatPrec(); ok != exact || ok && rat(quotient.String()).Cmp(want) != 0 {
			t.Fatalf("%s / %s = %s, %v", a, b, quotient, ok)
		}
		if ok {
			finite++
		}
	}
	if finite < 100 {
		t.Errorf("only %d finite quotients were seen", finite)
	}
}

// TestNumbersStayAsTheyWere: arithmetic does not change its operands, whose coefficients are shared by copies.
func TestNumbersStayAsTheyWere(t *testing.T) {
	t.Parallel()
	a, b := mustNumber(t, "12.50"), mustNumber(t, "-0.250")
	a.Add(b)
	a.Sub(b)
	a.Mul(b)
	a.Div(b)
	a.Shortest()
	a.Fixed(1)
	Min(a, b)
	if a.String() != "12.50" || b.String() != "-0.250" {
		t.Errorf("they are %s and %s", a, b)
	}
	n := big.NewInt(5)
	d := FromInt(n)
	n.SetInt64(6)
	if d.String() != "5" {
		t.Errorf("it follows its source: %s", d)
	}
}

func TestNumberEdges(t *testing.T) {
	t.Parallel()
	var sum Decimal
	for range 10 {
		sum = sum.Add(mustNumber(t, "0.1"))
	}
	if sum.Cmp(Whole(1)) != 0 || !sum.IsWhole() {
		t.Errorf("ten tenths are %s", sum)
	}
	if q, ok := Whole(1).Div(Whole(8)); !ok || q.String() != "0.125" {
		t.Errorf("1/8 = %s, %v", q, ok)
	}
	if _, ok := Whole(1).Div(Whole(3)); ok {
		t.Error("1/3 is said to be a finite decimal")
	}
	for in, want := range map[string]string{"2.345": "2.35", "-2.345": "-2.35", "2.344": "2.34", "7": "7.00"} {
		if got := mustNumber(t, in).Fixed(2); got != want {
			t.Errorf("%s in cents = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]bool{"9223372036854775807": true, "-9223372036854775808": true, "9223372036854775808": false, "1.0": false, "1e3": true, "0.5": false} {
		n, ok := mustNumber(t, in).Int64()
		if ok != want || ok && mustNumber(t, in).Cmp(Whole(n)) != 0 {
			t.Errorf("%s as int64 is %d, %v", in, n, ok)
		}
	}
	longest := mustNumber(t, strings.Repeat("9", NumberDigits))
	if longest.TooLong() || !longest.Mul(longest).TooLong() || !mustNumber(t, "1e-60").Mul(mustNumber(t, "0.1")).TooLong() {
		t.Error("what is too long is not said rightly")
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"12.50", "-1", "1e5", "1/3", "0.000", ".5", "5.", "1e-60"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseNumber(s)
		if err != nil {
			return
		}
		r, ok := new(big.Rat).SetString(d.String())
		if !ok {
			t.Fatalf("%q → %s is no number", s, d)
		}
		if again, err := ParseDecimal(d.String()); err == nil && (again.Cmp(d) != 0 || again.String() != d.Shortest().String()) {
			t.Errorf("%q → %s is read back as %s", s, d, again)
		}
		if want, ok := new(big.Rat).SetString(s); ok && want.Cmp(r) != 0 {
			t.Errorf("%q is read as %s", s, d)
		}
	})
}
