package logistics

import (
	"math/big"
	"strconv"
	"strings"
)

// NumberDigits bounds what ParseNumber reads, and its exponent: no quantity, price or weight needs more, and arithmetic
// stays cheap.
const NumberDigits = 60

// ParseNumber reads a number of somebody else's document: a JSON number (RFC 8259 section 6), so also with an exponent,
// and the forms ".5", "5." and "007" that files contain. Zeros at the end of the fraction stay in String, for they
// may mean something to the sender; Shortest and all arithmetic leave them out. It returns ErrDecimal for anything
// else, more than NumberDigits digits or an exponent beyond it.
func ParseNumber(s string) (Decimal, error) {
	var d Decimal
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > NumberDigits || n < -NumberDigits {
			return d, ErrDecimal
		}
		mantissa, exponent = s[:i], n
	}
	body := strings.TrimPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(body, ".")
	digits := whole + fraction
	if digits == "" || len(digits) > NumberDigits {
		return d, ErrDecimal
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return d, ErrDecimal
		}
	}
	d.coefficient.SetString(digits, 10)
	if len(body) != len(mantissa) {
		d.coefficient.Neg(&d.coefficient)
	}
	d.scale = len(fraction) - exponent
	if d.scale < 0 {
		d.coefficient.Mul(&d.coefficient, power(-d.scale))
		d.scale = 0
	}
	return d, nil
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// FromInt returns n as a Decimal.
func FromInt(n *big.Int) Decimal {
	var d Decimal
	d.coefficient.Set(n)
	return d
}

// Shortest returns d without zeros at the end of its fraction. Only numbers of ParseNumber have any.
func (d Decimal) Shortest() Decimal {
	out := Decimal{scale: d.scale}
	out.coefficient.Set(&d.coefficient)
	out.normalise()
	return out
}

// TooLong reports that arithmetic has made d longer than ParseNumber reads. It counts bits, so it lets up to three
// digits more than NumberDigits pass.
func (d Decimal) TooLong() bool {
	return d.scale > NumberDigits || d.coefficient.BitLen() > NumberDigits*7/2
}

// Mul returns d × e, exactly.
func (d Decimal) Mul(e Decimal) Decimal {
	out := Decimal{scale: d.scale + e.scale}
	out.coefficient.Mul(&d.coefficient, &e.coefficient)
	out.normalise()
	return out
}

// Div returns d ÷ e and whether the quotient has a finite decimal form; it is not ok for e = 0.
func (d Decimal) Div(e Decimal) (Decimal, bool) {
	if e.Sign() == 0 {
		return Decimal{}, false
	}
	x, y, _ := align(d, e)
	quotient := new(big.Rat).SetFrac(x, y)
	places, exact := quotient.FloatPrec()
	if !exact {
		return Decimal{}, false
	}
	out := Decimal{scale: places}
	out.coefficient.Mul(quotient.Num(), power(places))
	out.coefficient.Quo(&out.coefficient, quotient.Denom())
	return out, true
}

// IsWhole reports whether d has no fraction.
func (d Decimal) IsWhole() bool { return d.Shortest().scale == 0 }

// Int64 returns d as an int64; ok is false when d is written with a fraction, be it zeros, or does not fit.
func (d Decimal) Int64() (n int64, ok bool) {
	if d.scale != 0 || !d.coefficient.IsInt64() {
		return 0, false
	}
	return d.coefficient.Int64(), true
}

// Fixed returns d with exactly places digits behind the point, rounded half away from zero, as money is written.
func (d Decimal) Fixed(places int) string {
	return new(big.Rat).SetFrac(&d.coefficient, power(d.scale)).FloatString(places)
}

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
