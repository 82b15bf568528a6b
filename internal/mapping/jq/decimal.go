package jq

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// maxDigits bounds decimals: no quantity, price or weight needs more, and arithmetic stays cheap.
const maxDigits = 60

// Decimal is an exact decimal number: unscaled × 10^-scale.
type Decimal struct {
	unscaled *big.Int
	scale    int
}

// ParseDecimal reads digits with an optional sign, point and exponent (RFC 8259 number syntax, and also the
// forms ".5", "5." and "007" that files contain). ok is false for anything else or more than maxDigits.
func ParseDecimal(s string) (d Decimal, ok bool) {
	mantissa, exp := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > maxDigits || n < -maxDigits {
			return d, false
		}
		mantissa, exp = s[:i], n
	}
	body := strings.TrimPrefix(mantissa, "-")
	negative := len(body) != len(mantissa)
	whole, fraction, _ := strings.Cut(body, ".")
	all := whole + fraction
	if all == "" || len(all) > maxDigits {
		return d, false
	}
	for i := 0; i < len(all); i++ {
		if all[i] < '0' || all[i] > '9' {
			return d, false
		}
	}
	u, ok := new(big.Int).SetString(all, 10)
	if !ok {
		return d, false
	}
	if negative {
		u.Neg(u)
	}
	d = Decimal{unscaled: u, scale: len(fraction) - exp}
	if d.scale < 0 {
		d.unscaled.Mul(d.unscaled, pow10(-d.scale))
		d.scale = 0
	}
	return d, true
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// String is the plain notation with the digits behind the point kept: no exponent, no leading zeros.
func (d Decimal) String() string {
	s := new(big.Int).Abs(d.unscaled).String()
	if d.scale > 0 {
		if n := d.scale + 1 - len(s); n > 0 {
			s = strings.Repeat("0", n) + s
		}
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	if d.unscaled.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// Trimmed is d without zeros at the end of the fraction, for results of arithmetic.
func (d Decimal) Trimmed() Decimal {
	u, r, ten := new(big.Int).Set(d.unscaled), new(big.Int), big.NewInt(10)
	for d.scale > 0 {
		q, m := new(big.Int).QuoRem(u, ten, r)
		if m.Sign() != 0 {
			break
		}
		u, d.scale = q, d.scale-1
	}
	return Decimal{unscaled: u, scale: d.scale}
}

// Integer reports whether d is a whole number within int64.
func (d Decimal) Integer() bool { return d.scale == 0 && d.unscaled.IsInt64() }

// aligned returns both unscaled values at the larger scale.
func aligned(a, b Decimal) (x, y *big.Int, scale int) {
	x, y, scale = a.unscaled, b.unscaled, max(a.scale, b.scale)
	if a.scale < scale {
		x = new(big.Int).Mul(x, pow10(scale-a.scale))
	}
	if b.scale < scale {
		y = new(big.Int).Mul(y, pow10(scale-b.scale))
	}
	return x, y, scale
}

func (d Decimal) plus(b Decimal) Decimal {
	x, y, s := aligned(d, b)
	return Decimal{new(big.Int).Add(x, y), s}
}

func (d Decimal) minus(b Decimal) Decimal {
	x, y, s := aligned(d, b)
	return Decimal{new(big.Int).Sub(x, y), s}
}

func (d Decimal) times(b Decimal) Decimal {
	return Decimal{new(big.Int).Mul(d.unscaled, b.unscaled), d.scale + b.scale}
}

func (d Decimal) compare(b Decimal) int {
	x, y, _ := aligned(d, b)
	return x.Cmp(y)
}

// tooLong says that arithmetic grew a number beyond what a later step could read again.
func (d Decimal) tooLong() bool { return d.scale > maxDigits || d.unscaled.BitLen() > maxDigits*7/2 }

// ToDecimal reads a value of an expression as a decimal. A float64 is none: it only arises from arithmetic
// that has already lost digits.
func ToDecimal(v any) (Decimal, bool) {
	switch v := v.(type) {
	case string:
		return ParseDecimal(v)
	case json.Number:
		return ParseDecimal(string(v))
	case int:
		return Decimal{unscaled: big.NewInt(int64(v))}, true
	case *big.Int:
		return Decimal{unscaled: v}, v.BitLen() <= maxDigits*7/2
	}
	return Decimal{}, false
}

// DecimalText is the fast way to the text of a decimal that is already written plainly.
func DecimalText(s string) (string, bool) {
	if s == "" || len(s) > maxDigits {
		return "", false
	}
	i := 0
	for i < len(s)-1 && s[i] == '0' && s[i+1] != '.' {
		i++
	}
	digits, point := 0, -1
	for j := i; j < len(s); j++ {
		switch c := s[j]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && point < 0 && j > i && j < len(s)-1:
			point = j
		default:
			d, ok := ParseDecimal(s)
			if !ok {
				return "", false
			}
			return d.String(), true
		}
	}
	return s[i:], true
}
