package idempotent

import "strings"

// The length of an Idempotency-Key without its quotes.
const (
	shortest = 16
	longest  = 255
)

// Form says what an Idempotency-Key looks like, for refusals.
const Form = "the Idempotency-Key is one quoted string of 16 to 255 printable characters"

// Parse reads the header's value: an sf-string (RFC 9651 section 3.3.3) without parameters, or the same without quotes
// as many clients send it.
func Parse(s string) (string, bool) {
	s = strings.Trim(s, " ")
	if strings.HasPrefix(s, `"`) {
		if len(s) < 2 || !strings.HasSuffix(s, `"`) {
			return "", false
		}
		var ok bool
		if s, ok = unescape(s[1 : len(s)-1]); !ok {
			return "", false
		}
	} else if strings.ContainsAny(s, "\" ,;") {
		return "", false // a list, or parameters: not one key
	}
	if len(s) < shortest || len(s) > longest {
		return "", false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return "", false
		}
	}
	return s, true
}

func unescape(s string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return "", false
		case '\\':
			i++
			if i == len(s) || (s[i] != '"' && s[i] != '\\') {
				return "", false
			}
		}
		out.WriteByte(s[i])
	}
	return out.String(), true
}
