// Package decimal is the exact arithmetic of the simulated companies: quantities, weights and money
// are decimal strings and never pass through a float.
package decimal

import (
	"errors"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Decimal is an exact decimal number; the zero value is 0. It is immutable and its JSON form is a string.
type Decimal struct{ r *big.Rat }

// ErrSyntax says that a text is not a plain decimal number of at most 40 characters, such as "12.50".
var ErrSyntax = errors.New(`a decimal must be a string of digits such as "12.50"`)

var (
	plain    = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	exponent = regexp.MustCompile(`^(-?[0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,2})$`)
)

const maxLength = 40

// Parse returns the number written as s: digits, an optional sign and fraction, no exponent.
func Parse(s string) (Decimal, error) {
	if len(s) > maxLength || !plain.MatchString(s) {
		return Decimal{}, ErrSyntax
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return Decimal{}, ErrSyntax
	}
	return Decimal{r}, nil
}

// ParseNumber is Parse for a JSON number (RFC 8259 section 6), which may have an exponent of at most 30.
func ParseNumber(s string) (Decimal, error) {
	m := exponent.FindStringSubmatch(s)
	if m == nil {
		return Parse(s)
	}
	d, err := Parse(m[1])
	if err != nil {
		return Decimal{}, err
	}
	e, err := strconv.Atoi(m[2])
	if err != nil || e > 30 || e < -30 {
		return Decimal{}, ErrSyntax
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(e, -e))), nil)
	if e < 0 {
		return Decimal{new(big.Rat).Quo(d.rat(), new(big.Rat).SetInt(power))}, nil
	}
	return Decimal{new(big.Rat).Mul(d.rat(), new(big.Rat).SetInt(power))}, nil
}

// Int returns n as a Decimal.
func Int(n int64) Decimal { return Decimal{new(big.Rat).SetInt64(n)} }

func (d Decimal) rat() *big.Rat {
	if d.r == nil {
		return new(big.Rat)
	}
	return d.r
}

// Add returns d + e.
func (d Decimal) Add(e Decimal) Decimal { return Decimal{new(big.Rat).Add(d.rat(), e.rat())} }

// Sub returns d − e.
func (d Decimal) Sub(e Decimal) Decimal { return Decimal{new(big.Rat).Sub(d.rat(), e.rat())} }

// Mul returns d × e.
func (d Decimal) Mul(e Decimal) Decimal { return Decimal{new(big.Rat).Mul(d.rat(), e.rat())} }

// Div returns d ÷ e and whether the quotient has a finite decimal form; it is not ok for e = 0.
func (d Decimal) Div(e Decimal) (Decimal, bool) {
	if e.Sign() == 0 {
		return Decimal{}, false
	}
	q := new(big.Rat).Quo(d.rat(), e.rat())
	if _, exact := q.FloatPrec(); !exact {
		return Decimal{}, false
	}
	return Decimal{q}, true
}

// Cmp is −1, 0 or +1 as d is less than, equal to or greater than e.
func (d Decimal) Cmp(e Decimal) int { return d.rat().Cmp(e.rat()) }

// Sign is −1, 0 or +1 as d is negative, zero or positive.
func (d Decimal) Sign() int { return d.rat().Sign() }

// IsInt reports whether d is a whole number.
func (d Decimal) IsInt() bool { return d.rat().IsInt() }

// Min returns the smaller of d and e.
func Min(d, e Decimal) Decimal {
	if d.Cmp(e) <= 0 {
		return d
	}
	return e
}

// Max returns the greater of d and e.
func Max(d, e Decimal) Decimal {
	if d.Cmp(e) >= 0 {
		return d
	}
	return e
}

// Fixed returns d with exactly places decimals, rounded half away from zero, as money is written.
func (d Decimal) Fixed(places int) string { return d.rat().FloatString(places) }

// String returns the shortest decimal form, such as "12.5".
func (d Decimal) String() string {
	n, _ := d.rat().FloatPrec()
	return d.rat().FloatString(n)
}

// MarshalJSON writes d as a JSON string.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalJSON reads a JSON string as Parse does; JSON numbers are refused, for they pass through floats elsewhere.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	s := string(data)
	if len(s) < 2 || !strings.HasPrefix(s, `"`) {
		return ErrSyntax
	}
	v, err := Parse(s[1 : len(s)-1])
	if err != nil {
		return err
	}
	*d = v
	return nil
}
