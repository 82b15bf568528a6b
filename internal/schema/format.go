package schema

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// errFormat is all the engine learns about a wrong format; the message is made from the format's name.
var errFormat = errors.New("wrong format")

// formats are the checks by the name used in "format". A value of another type passes, as JSON Schema says.
func formats() map[string]func(any) error {
	text := func(ok func(string) bool) func(any) error {
		return func(v any) error {
			if s, isText := v.(string); isText && !ok(s) {
				return errFormat
			}
			return nil
		}
	}
	whole := func(bits int) func(any) error {
		return func(v any) error {
			if n, isNumber := v.(json.Number); isNumber && !wholeNumber(string(n), bits) {
				return errFormat
			}
			return nil
		}
	}
	anything := func(any) error { return nil }
	return map[string]func(any) error{
		"date-time":     text(isDateTime),
		"date":          text(isDate),
		"time":          text(isTime),
		"duration":      text(isDuration),
		"email":         text(isEmail),
		"uuid":          text(isUUID),
		"uri":           text(func(s string) bool { return isURI(s, true) }),
		"uri-reference": text(func(s string) bool { return isURI(s, false) }),
		"ipv4":          text(isIPv4),
		"ipv6":          text(isIPv6),
		"hostname":      text(isHostname),
		"byte":          text(isBase64),
		"decimal":       text(isDecimal),
		"int32":         whole(32),
		"int64":         whole(64),
		// The engine knows these by itself, but nobody asked for them and contracts use the names loosely.
		"period": anything, "semver": anything, "iri": anything, "iri-reference": anything, "uri-template": anything,
		"json-pointer": anything, "relative-json-pointer": anything,
	}
}

// formatText completes "must be …" for a format.
func formatText(name string) string {
	switch name {
	case "date-time":
		return "a date and time with an offset (RFC 3339), such as 2026-01-31T09:30:00Z"
	case "date":
		return "a calendar date, such as 2026-01-31"
	case "time":
		return "a time of day with an offset (RFC 3339), such as 09:30:00Z"
	case "duration":
		return "a duration (ISO 8601), such as P1DT12H"
	case "email":
		return "an e-mail address"
	case "uuid":
		return "a UUID (RFC 9562)"
	case "uri":
		return "an absolute URI (RFC 3986)"
	case "uri-reference":
		return "a URI or a relative reference (RFC 3986)"
	case "ipv4":
		return "an IPv4 address"
	case "ipv6":
		return "an IPv6 address"
	case "hostname":
		return "a host name (RFC 1123)"
	case "byte":
		return "base64 (RFC 4648 section 4, with padding)"
	case "decimal":
		return "an exact decimal in a string, such as \"12.50\""
	case "int32", "int64":
		return "a whole number of " + strings.TrimPrefix(name, "int") + " bits"
	}
	return "in the format " + quoteShort(name)
}

// digits2 reads two digits.
func digits2(s string) (int, bool) {
	if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

// isDate checks full-date of RFC 3339 section 5.6, with the days each month has.
func isDate(s string) bool {
	if len(s) != len(time.DateOnly) {
		return false
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func isDateTime(s string) bool {
	return len(s) > 11 && isDate(s[:10]) && (s[10] == 'T' || s[10] == 't') && isTime(s[11:])
}

// isTime checks full-time of RFC 3339 section 5.6; second 60 only where a leap second can be (23:59:60 UTC).
func isTime(s string) bool {
	if len(s) < 9 || s[2] != ':' || s[5] != ':' {
		return false
	}
	h, ok1 := digits2(s)
	m, ok2 := digits2(s[3:])
	sec, ok3 := digits2(s[6:])
	if !ok1 || !ok2 || !ok3 || h > 23 || m > 59 || sec > 60 {
		return false
	}
	s = s[8:]
	if s[0] == '.' {
		n := 1
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n == 1 {
			return false
		}
		s = s[n:]
	}
	offset, ok := offsetMinutes(s)
	if !ok {
		return false
	}
	if sec == 60 {
		utc := ((h*60+m-offset)%1440 + 1440) % 1440
		return utc == 23*60+59
	}
	return true
}

func offsetMinutes(s string) (int, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	h, ok1 := digits2(s[1:])
	m, ok2 := digits2(s[4:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	if s[0] == '-' {
		return -(h*60 + m), true
	}
	return h*60 + m, true
}

// isDuration checks duration of RFC 3339 appendix A: weeks alone, or date and time parts in order without gaps.
func isDuration(s string) bool {
	s, ok := strings.CutPrefix(s, "P")
	if !ok || s == "" {
		return false
	}
	date, clock, hasTime := strings.Cut(s, "T")
	if hasTime && clock == "" {
		return false
	}
	if date != "" && !durationPart(date, "YMD") && !(durationPart(date, "W") && !hasTime) {
		return false
	}
	return !hasTime || durationPart(clock, "HMS")
}

// durationPart reads number-unit pairs whose units follow each other in units.
func durationPart(s, units string) bool {
	last := -1
	for s != "" {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n == 0 || n == len(s) {
			return false
		}
		at := strings.IndexByte(units, s[n])
		if at < 0 || at <= last || last >= 0 && at != last+1 {
			return false
		}
		last, s = at, s[n+1:]
	}
	return last >= 0
}

// isEmail checks Mailbox of RFC 5321 section 4.1.2 in ASCII.
func isEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > 254 {
		return false
	}
	local, domain := s[:at], s[at+1:]
	if !quotedLocal(local) && !dotAtom(local) {
		return false
	}
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		if six, is6 := strings.CutPrefix(literal, "IPv6:"); is6 {
			return ok && isIPv6(six)
		}
		return ok && isIPv4(literal)
	}
	return isHostname(domain)
}

func dotAtom(s string) bool {
	for _, atom := range strings.Split(s, ".") {
		if atom == "" {
			return false
		}
		for i := 0; i < len(atom); i++ {
			if !alphanumeric(atom[i]) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", atom[i]) < 0 {
				return false
			}
		}
	}
	return true
}

func quotedLocal(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	in := s[1 : len(s)-1]
	for i := 0; i < len(in); i++ {
		if in[i] == '\\' && i+1 < len(in) {
			i++
		} else if in[i] == '"' || in[i] == '\\' {
			return false
		}
		if in[i] < ' ' || in[i] > '~' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

// isURI checks the characters of RFC 3986, then the parts.
func isURI(s string, absolute bool) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) || !isHexDigit(s[i+1]) || !isHexDigit(s[i+2]) {
				return false
			}
			continue
		}
		if !alphanumeric(c) && strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) < 0 {
			return false
		}
	}
	u, err := url.Parse(s)
	if err != nil || absolute && u.Scheme == "" {
		return false
	}
	if strings.Count(s, "#") > 1 {
		return false
	}
	// Brackets belong to an address literal only.
	host, rest := u.Host, s
	if strings.ContainsAny(host, "[]") {
		if !strings.HasPrefix(host, "[") || !isIPv6(u.Hostname()) {
			return false
		}
		rest = strings.Replace(rest, host, "", 1)
	}
	return !strings.ContainsAny(rest, "[]")
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

// isHostname checks RFC 1123 section 2.1.
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if !alphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

func isBase64(s string) bool {
	if strings.ContainsAny(s, "\r\n") {
		return false
	}
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil
}

// isDecimal checks ^-?\d+(\.\d+)?$ : quantities and money travel as exact decimals in strings.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, frac, point := strings.Cut(s, ".")
	return isDigits(whole) && (!point || isDigits(frac))
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// wholeNumber reports whether a JSON number (within the scanner's limits) is whole and fits in bits.
func wholeNumber(s string, bits int) bool {
	if !strings.ContainsAny(s, ".eE") {
		_, err := strconv.ParseInt(s, 10, bits)
		return err == nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return false
	}
	n := r.Num().Int64()
	return bits == 64 || n >= -1<<31 && n < 1<<31
}
