package logistics

import (
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func dec(t testing.TB, s string) Decimal {
	t.Helper()
	d, err := ParseDecimal(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return d
}

func TestParseDecimal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "-0.0": "0", "120": "120", "12.50": "12.5", "-12.50": "-12.5", "007": "7", "0.1": "0.1",
		"100": "100", "0.000001": "0.000001", "-0.5": "-0.5", "1000.0010": "1000.001",
		strings.Repeat("9", 38): strings.Repeat("9", 38),
		"-" + strings.Repeat("9", 20) + "." + strings.Repeat("9", 18): "-" + strings.Repeat("9", 20) + "." + strings.Repeat("9", 18),
	} {
		if got := dec(t, in).String(); got != want {
			t.Errorf("%q reads as %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"", "-", ".", "-.", ".5", "5.", "-5.", "+5", "--5", "- 5", " 5", "5 ", "5\n", "1e3", "1E3", "0x10", "1_000", "1,000", "1,5",
		"NaN", "Inf", "-Inf", "1.2.3", "1.-2", "1.+2", "٣", "５", "½", "\x00", "5\x00", strings.Repeat("9", 39), "0." + strings.Repeat("0", 38),
		strings.Repeat("0", 1_000_000)} {
		if d, err := ParseDecimal(in); !errors.Is(err, ErrDecimal) {
			t.Errorf("%.40q reads as %v, %v; want ErrDecimal", in, d, err)
		}
	}
}

// randomDecimal writes a decimal of up to 18 digits before and after the point, often with zeros at the ends.
func randomDecimal(r *rand.Rand) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "00123456789"[r.IntN(11)]
		}
		return string(b)
	}
	s := digits(1 + r.IntN(18))
	if r.IntN(3) > 0 {
		s += "." + digits(1+r.IntN(18))
	}
	if r.IntN(2) == 0 {
		s = "-" + s
	}
	return s
}

// TestDecimalAgainstRationals compares every operation with math/big's exact rationals on random inputs.
func TestDecimalAgainstRationals(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 7))
	rat := func(s string) *big.Rat {
		q, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q is no rational", s)
		}
		return q
	}
	for i := range 20_000 {
		sa, sb := randomDecimal(r), randomDecimal(r)
		if i%5 == 0 {
			sb = sa // equal numbers, too
			if strings.Contains(sa, ".") {
				sb += "0"
			}
		}
		a, b, qa, qb := dec(t, sa), dec(t, sb), rat(sa), rat(sb)
		beforeA, beforeB := a.String(), b.String()
		check := func(what string, got Decimal, want *big.Rat) {
			if rat(got.String()).Cmp(want) != 0 {
				t.Errorf("seed %d: %s %s %s = %s, want %s", seed, sa, what, sb, got, want.FloatString(40))
			}
			if s := got.String(); strings.Contains(s, ".") && strings.HasSuffix(s, "0") || s == "-0" || strings.HasPrefix(s, "00") {
				t.Errorf("seed %d: %s %s %s = %q is not the shortest form", seed, sa, what, sb, s)
			}
		}
		check("+", a.Add(b), new(big.Rat).Add(qa, qb))
		check("-", a.Sub(b), new(big.Rat).Sub(qa, qb))
		if got, want := a.Cmp(b), qa.Cmp(qb); got != want {
			t.Errorf("seed %d: compare %s with %s = %d, want %d", seed, sa, sb, got, want)
		}
		if got, want := a.Sign(), qa.Sign(); got != want {
			t.Errorf("seed %d: sign of %s = %d, want %d", seed, sa, got, want)
		}
		if back := dec(t, a.String()); back.Cmp(a) != 0 || back.String() != beforeA {
			t.Errorf("seed %d: %s does not survive writing and reading: %s", seed, sa, back)
		}
		if a.String() != beforeA || b.String() != beforeB {
			t.Fatalf("seed %d: an operation changed its operand %s or %s", seed, sa, sb)
		}
		if t.Failed() {
			return
		}
	}
}

func TestDecimalJSON(t *testing.T) {
	t.Parallel()
	q := Quantity{Value: dec(t, "1200.50"), Unit: "EA"}
	b, err := json.Marshal(q)
	if err != nil || string(b) != `{"value":"1200.5","unit":"EA"}` {
		t.Errorf("written as %s, %v", b, err)
	}
	var got Quantity
	if err := json.Unmarshal(b, &got); err != nil || got.Value.Cmp(q.Value) != 0 || got.Unit != "EA" {
		t.Errorf("read back as %+v, %v", got, err)
	}
	for _, in := range []string{`{"value":5}`, `{"value":1200.5}`, `{"value":null}`, `{"value":"1e3"}`, `{"value":""}`, `{"value":true}`, `{"value":["1"]}`} {
		var q Quantity
		if err := json.Unmarshal([]byte(in), &q); err == nil {
			t.Errorf("%s reads as %s", in, q.Value)
		}
	}
	var zero Decimal
	if zero.String() != "0" || zero.Sign() != 0 || zero.Cmp(Whole(0)) != 0 || Whole(-12).String() != "-12" {
		t.Error("the zero value is not 0")
	}
	m, err := json.Marshal(Money{Amount: dec(t, "19.90"), Currency: "EUR"})
	if err != nil || string(m) != `{"amount":"19.9","currency":"EUR"}` {
		t.Errorf("money is written as %s, %v", m, err)
	}
}

func TestInstantKeepsItsOffset(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		micros int64
		offset int
		text   string
	}{
		"2026-09-14T15:40:00-05:00":         {1789418400000000, -5 * 3600, "2026-09-14T15:40:00-05:00"},
		"2026-09-14T20:40:00Z":              {1789418400000000, 0, "2026-09-14T20:40:00Z"},
		"2026-09-14T20:40:00+00:00":         {1789418400000000, 0, "2026-09-14T20:40:00Z"},
		"2026-09-15T02:25:00+05:45":         {1789418400000000, 5*3600 + 45*60, "2026-09-15T02:25:00+05:45"},
		"2026-09-14T15:40:00.1234567-05:00": {1789418400123456, -5 * 3600, "2026-09-14T15:40:00.123456-05:00"},
		"1969-12-31T23:59:59.5Z":            {-500000, 0, "1969-12-31T23:59:59.5Z"},
		"2024-02-29T00:00:00Z":              {1709164800000000, 0, "2024-02-29T00:00:00Z"},
	} {
		got, err := ParseInstant(in, ZoneMessage)
		if err != nil || got.Micros != want.micros || got.Offset != want.offset || got.Zone != ZoneMessage || got.String() != want.text {
			t.Errorf("%s reads as %+v (%s), %v; want %+v", in, got, got, err, want)
		}
		if again, err := ParseInstant(got.String(), ZoneMessage); err != nil || again != got {
			t.Errorf("%s does not survive writing and reading: %+v, %v", in, again, err)
		}
	}
	for _, in := range []string{"", "2026-09-14", "2026-09-14T15:40:00", "2026-09-14 15:40:00Z", "2026-09-14T15:40Z", "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z",
		"2026-09-14T9:40:00Z", "2026-09-14T25:00:00Z", "2026-09-14T15:60:00Z", "2026-09-14T15:40:00,5Z", "2026-09-14T15:40:00+24:00", "2026-09-14T15:40:00-0500", "20260914T154000Z", "1789418400"} {
		if got, err := ParseInstant(in, ZoneMessage); err == nil {
			t.Errorf("%q reads as %s", in, got)
		}
	}
	chicago := time.FixedZone("CDT", -5*3600)
	if got := InstantOf(time.Date(2026, 9, 14, 15, 40, 0, 0, chicago), ZoneSite); got != (Instant{1789418400000000, -18000, ZoneSite}) {
		t.Errorf("InstantOf = %+v", got)
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "-12.50", "1e9", "0.", ".1", "99999999999999999999999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDecimal(s)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(s)
		got, ok2 := new(big.Rat).SetString(d.String())
		if !ok || !ok2 || want.Cmp(got) != 0 {
			t.Errorf("%q reads as %s", s, d)
		}
	})
}

func FuzzParseInstant(f *testing.F) {
	f.Add("2026-09-14T15:40:00-05:00")
	f.Add("2026-09-14T15:40:00.123456789Z")
	f.Fuzz(func(t *testing.T, s string) {
		i, err := ParseInstant(s, ZoneMessage)
		if err != nil {
			return
		}
		if again, err := ParseInstant(i.String(), ZoneMessage); err != nil || again != i {
			t.Errorf("%q reads as %s, and that as %s, %v", s, i, again, err)
		}
	})
}
