// Package logistics is the vocabulary of moving goods: exact quantities and money, times with
// their zone, references, canonical events, and the order with its per-line ledger. It is pure.
package logistics

import (
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// ErrDecimal says that a text is not an exact decimal as we write them: optional minus, digits,
// optionally a point and digits, at most 38 digits.
var ErrDecimal = errors.New("not a decimal: digits with at most one point, 38 digits at most")

// Decimal is an exact decimal number. The zero value is 0. It is a JSON string, never a float.
type Decimal struct {
	coefficient big.Int
	scale       int // digits after the point
}

// ParseDecimal reads "-12.50"; it returns ErrDecimal for anything else, exponents included.
func ParseDecimal(s string) (Decimal, error) {
	var d Decimal
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || (point && fraction == "") || len(whole)+len(fraction) > 38 {
		return d, ErrDecimal
	}
	for _, part := range []string{whole, fraction} {
		for i := 0; i < len(part); i++ {
			if part[i] < '0' || part[i] > '9' {
				return d, ErrDecimal
			}
		}
	}
	d.coefficient.SetString(whole+fraction, 10)
	if strings.HasPrefix(s, "-") {
		d.coefficient.Neg(&d.coefficient)
	}
	d.scale = len(fraction)
	d.normalise()
	return d, nil
}

// Whole returns n as a Decimal.
func Whole(n int64) Decimal {
	var d Decimal
	d.coefficient.SetInt64(n)
	return d
}

func (d *Decimal) normalise() {
	ten, zero := big.NewInt(10), new(big.Int)
	for d.scale > 0 {
		q, r := new(big.Int).QuoRem(&d.coefficient, ten, zero)
		if r.Sign() != 0 {
			return
		}
		d.coefficient.Set(q)
		d.scale--
	}
}

func align(a, b Decimal) (x, y *big.Int, scale int) {
	x, y = new(big.Int).Set(&a.coefficient), new(big.Int).Set(&b.coefficient)
	raise := func(v *big.Int, by int) {
		v.Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(by)), nil))
	}
	switch {
	case a.scale < b.scale:
		raise(x, b.scale-a.scale)
		return x, y, b.scale
	case b.scale < a.scale:
		raise(y, a.scale-b.scale)
	}
	return x, y, a.scale
}

// Add returns d + e, exactly.
func (d Decimal) Add(e Decimal) Decimal {
	x, y, scale := align(d, e)
	out := Decimal{scale: scale}
	out.coefficient.Add(x, y)
	out.normalise()
	return out
}

// Sub returns d - e, exactly.
func (d Decimal) Sub(e Decimal) Decimal {
	x, y, scale := align(d, e)
	out := Decimal{scale: scale}
	out.coefficient.Sub(x, y)
	out.normalise()
	return out
}

// Cmp returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d Decimal) Cmp(e Decimal) int {
	x, y, _ := align(d, e)
	return x.Cmp(y)
}

// Sign returns -1, 0 or 1.
func (d Decimal) Sign() int { return d.coefficient.Sign() }

// String is the shortest exact form: "120", "-0.5".
func (d Decimal) String() string {
	s := new(big.Int).Abs(&d.coefficient).String()
	if d.scale > 0 {
		if pad := d.scale + 1 - len(s); pad > 0 {
			s = strings.Repeat("0", pad) + s
		}
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	if d.coefficient.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// MarshalJSON writes the decimal as a JSON string.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalJSON reads a JSON string; a JSON number is refused, because its digits may already be lost.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return ErrDecimal
	}
	v, err := ParseDecimal(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// Quantity is an exact amount with its unit (UN/ECE Rec 20, or the X12 element 355 code a partner uses).
type Quantity struct {
	Value Decimal `json:"value"`
	Unit  string  `json:"unit"`
}

// Money is an exact amount with its ISO 4217 currency.
type Money struct {
	Amount   Decimal `json:"amount"`
	Currency string  `json:"currency"`
}

// ZoneSource says where the zone of an Instant came from; it is kept because partners send local times.
type ZoneSource string

// The sources of a zone.
const (
	ZoneMessage ZoneSource = "message"         // the message carried an offset
	ZonePartner ZoneSource = "partner-default" // the partner's profile
	ZoneSite    ZoneSource = "location"        // the site's time zone
)

// Instant is a moment to the microsecond, with the offset it was given in and where that came from.
type Instant struct {
	Micros int64 // since 1970-01-01T00:00:00Z
	Offset int   // seconds east of UTC, as given
	Zone   ZoneSource
}

// instantForm is RFC 3339 as written: time.Parse also takes "9:00:00", a decimal comma and offsets of 24 hours.
var instantForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseInstant reads RFC 3339 and keeps the offset as written.
func ParseInstant(s string, zone ZoneSource) (Instant, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !instantForm.MatchString(s) {
		return Instant{}, errors.New("not an RFC 3339 time with an offset")
	}
	_, offset := t.Zone()
	return Instant{Micros: t.UnixMicro(), Offset: offset, Zone: zone}, nil
}

// InstantOf returns t with its own offset.
func InstantOf(t time.Time, zone ZoneSource) Instant {
	_, offset := t.Zone()
	return Instant{Micros: t.UnixMicro(), Offset: offset, Zone: zone}
}

// Time returns the moment in its original offset.
func (i Instant) Time() time.Time {
	return time.UnixMicro(i.Micros).In(time.FixedZone("", i.Offset))
}

// String is RFC 3339 with the original offset.
func (i Instant) String() string { return i.Time().Format(time.RFC3339Nano) }
