package jq

import (
	"encoding/json"
	"math/big"

	"portway/internal/logistics"
)

// ToDecimal reads a value of an expression as a decimal. A float64 is none: it only arises from arithmetic
// that has already lost digits.
func ToDecimal(v any) (logistics.Decimal, bool) {
	switch v := v.(type) {
	case string:
		d, err := logistics.ParseNumber(v)
		return d, err == nil
	case json.Number:
		d, err := logistics.ParseNumber(string(v))
		return d, err == nil
	case int:
		return logistics.Whole(int64(v)), true
	case *big.Int:
		d := logistics.FromInt(v)
		return d, !d.TooLong()
	}
	return logistics.Decimal{}, false
}

// DecimalText is the plain notation of a decimal with the digits behind the point kept: no exponent, no leading
// zeros. What is already written so is not taken apart.
func DecimalText(s string) (string, bool) {
	if s == "" || len(s) > logistics.NumberDigits {
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
			d, err := logistics.ParseNumber(s)
			return d.String(), err == nil
		}
	}
	return s[i:], true
}
