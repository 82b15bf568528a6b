package edi

import (
	"strings"
	"unicode/utf8"
)

// Codes of element 723 (AK403) that check returns; "" is no error.
const (
	missingElement   = "1"
	tooShort         = "4"
	tooLong          = "5"
	invalidCharacter = "6"
	invalidCode      = "7"
	invalidDate      = "8"
	invalidTime      = "9"
)

// check returns the value as the tree holds it, the AK403 code if it breaks its definition, and whether
// bytes had to be decoded as Latin-1.
func (d *elementDef) check(v string) (value, code string, latin bool) {
	length, wrong := len(v), ""
	switch d.kind {
	case 'A', 'I':
		plain := true
		for i := 0; i < len(v); i++ {
			if c := v[i]; c < 0x20 || c == 0x7f {
				return v, invalidCharacter, false
			} else if c >= 0x80 {
				plain = false
			}
		}
		if v[len(v)-1] == ' ' {
			// Trailing spaces carry no meaning (X12.6): "SO-1 " is the order SO-1.
			if v = strings.TrimRight(v, " "); v == "" {
				return "", "", false
			}
		}
		length = len(v)
		if !plain {
			if !utf8.ValidString(v) {
				v, latin = decodeLatin(v), true
			}
			length = utf8.RuneCountInString(v)
		}
	case 'D':
		if !validDate(v) {
			wrong = invalidDate
		}
	case 'T':
		if !validTime(v) {
			wrong = invalidTime
		}
	default:
		var ok bool
		if v, length, ok = d.number(v); !ok {
			return v, invalidCharacter, false
		}
	}
	if length < d.min {
		return v, tooShort, latin
	}
	if length > d.max {
		return v, tooLong, latin
	}
	if d.codes != nil && !d.codes[v] {
		return v, invalidCode, latin
	}
	return v, wrong, latin
}

// number checks R and Nn values (X12.6): an optional minus, digits, for R one decimal point. Sign and
// point do not count for the length. Nn gets its implied decimal point.
func (d *elementDef) number(v string) (value string, length int, ok bool) {
	body := strings.TrimPrefix(v, "-")
	point := -1
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c >= '0' && c <= '9':
			length++
		case c == '.' && point < 0 && d.kind == 'R':
			point = i
		default:
			return v, 0, false
		}
	}
	if length == 0 {
		return v, 0, false
	}
	if d.kind == 'N' && d.implied > 0 {
		sign := v[:len(v)-len(body)]
		if n := d.implied + 1 - len(body); n > 0 {
			body = strings.Repeat("0", n) + body
		}
		cut := len(body) - d.implied
		return sign + body[:cut] + "." + body[cut:], length, true
	}
	return v, length, true
}

func decodeLatin(v string) string {
	r := make([]rune, len(v))
	for i := 0; i < len(v); i++ {
		r[i] = rune(v[i])
	}
	return string(r)
}

func two(s string, i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }

// validDate reports whether s is CCYYMMDD or YYMMDD and names a day that exists.
func validDate(s string) bool {
	if !digits(s) || len(s) != 8 && len(s) != 6 {
		return false
	}
	year := 2000 + two(s, 0)
	if len(s) == 8 {
		year = two(s, 0)*100 + two(s, 2)
	}
	month, day := two(s, len(s)-4), two(s, len(s)-2)
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && (year%4 == 0 && year%100 != 0 || year%400 == 0) {
		days = 29
	}
	return day <= days
}

// validTime reports whether s is HHMM, HHMMSS, HHMMSSD or HHMMSSDD.
func validTime(s string) bool {
	if !digits(s) || len(s) != 4 && (len(s) < 6 || len(s) > 8) {
		return false
	}
	return two(s, 0) < 24 && two(s, 2) < 60 && (len(s) == 4 || two(s, 4) < 60)
}
