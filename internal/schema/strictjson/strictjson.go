// Package strictjson reads JSON so that no two parsers can disagree about what it says (RFC 8259, I-JSON's rules on
// names and surrogates), within limits that keep every later computation cheap.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of the strict JSON scanner. A zero field means its default.
type Limits struct {
	// Depth is how many arrays and objects may nest (64).
	Depth int
	// NumberBytes is the longest number token (128).
	NumberBytes int
	// Exponent is the largest absolute value of a number's exponent (308).
	Exponent int
	// Members is how many members one object may have (10,000).
	Members int
	// Values is how many values the whole text may hold (1,000,000).
	Values int
}

const (
	defaultDepth       = 64
	defaultNumberBytes = 128
	defaultExponent    = 308
	defaultMembers     = 10_000
	defaultValues      = 1_000_000
)

func (l Limits) withDefaults() Limits {
	set := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	set(&l.Depth, defaultDepth)
	set(&l.NumberBytes, defaultNumberBytes)
	set(&l.Exponent, defaultExponent)
	set(&l.Members, defaultMembers)
	set(&l.Values, defaultValues)
	return l
}

// Error says where and why a text is not strict JSON. It holds member names (in Pointer), never a value.
type Error struct {
	// Pointer is the RFC 6901 JSON Pointer of the value being read, "" for the whole text.
	Pointer string
	// Offset is the byte at which reading stopped, from 0.
	Offset int
	// Reason is a sentence without a value, for example "a member name is repeated".
	Reason string
}

// Error names the place and the reason.
func (e *Error) Error() string {
	where := e.Pointer
	if where == "" {
		where = "the top"
	}
	return fmt.Sprintf("not strict JSON at byte %d (%s): %s", e.Offset, where, e.Reason)
}

// Scan checks that b is one strict RFC 8259 JSON text: UTF-8 without a byte order mark, no member name twice
// in one object (compared after unescaping), no lone surrogates, nothing after the value, everything within l.
// The error is a *Error. The cost is one pass over b; objects of up to 16 members allocate nothing.
func Scan(b []byte, l Limits) error {
	p := scanner{b: b, limits: l.withDefaults()}
	if _, err := p.text(); err != nil {
		return err
	}
	return nil
}

// Decode is Scan that also returns the value: nil, bool, string, json.Number, []any or map[string]any.
// The error is a *Error.
func Decode(b []byte, l Limits) (any, error) {
	p := scanner{b: b, limits: l.withDefaults(), build: true}
	v, err := p.text()
	if err != nil {
		return nil, err
	}
	return v, nil
}

// scanner is a recursive-descent reader; build says whether it makes values or only checks.
type scanner struct {
	b      []byte
	i      int
	limits Limits
	build  bool
	values int
	path   []pathStep
	// names is a stack of the member names of all open objects; each object owns a tail of it.
	names [][]byte
}

// pathStep is one open container and the member or element being read in it.
type pathStep struct {
	name  []byte
	index int
	array bool
}

// linearNames is the object size up to which member names are compared one by one instead of by a set.
const linearNames = 16

func (p *scanner) fail(reason string) *Error {
	var sb strings.Builder
	for _, s := range p.path {
		sb.WriteByte('/')
		if s.array {
			sb.WriteString(strconv.Itoa(s.index))
		} else {
			sb.WriteString(PointerToken(strings.ToValidUTF8(string(s.name), "\uFFFD")))
		}
	}
	return &Error{Pointer: sb.String(), Offset: p.i, Reason: reason}
}

func (p *scanner) text() (any, *Error) {
	if bytes.HasPrefix(p.b, []byte("\xEF\xBB\xBF")) {
		return nil, p.fail("the text starts with a byte order mark")
	}
	p.space()
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i < len(p.b) {
		return nil, p.fail("there is something after the value")
	}
	return v, nil
}

func (p *scanner) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *scanner) value() (any, *Error) {
	if p.i >= len(p.b) {
		return nil, p.fail("the text ends where a value is expected")
	}
	if p.values++; p.values > p.limits.Values {
		return nil, p.fail(fmt.Sprintf("the text holds more than %d values", p.limits.Values))
	}
	switch c := p.b[p.i]; {
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '"':
		raw, escaped, err := p.str()
		if err != nil || !p.build {
			return nil, err
		}
		return string(unescape(raw, escaped)), nil
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == 't':
		return true, p.word("true")
	case c == 'f':
		return false, p.word("false")
	case c == 'n':
		return nil, p.word("null")
	}
	return nil, p.fail("a value is expected")
}

func (p *scanner) word(w string) *Error {
	if len(p.b)-p.i < len(w) || string(p.b[p.i:p.i+len(w)]) != w {
		return p.fail("a value is expected")
	}
	p.i += len(w)
	return nil
}

func (p *scanner) enter(array bool) *Error {
	if len(p.path) >= p.limits.Depth {
		return p.fail(fmt.Sprintf("arrays and objects nest deeper than %d", p.limits.Depth))
	}
	p.i++
	p.path = append(p.path, pathStep{array: array})
	return nil
}

func (p *scanner) array() (any, *Error) {
	if err := p.enter(true); err != nil {
		return nil, err
	}
	var out []any
	if p.build {
		out = []any{}
	}
	at := len(p.path) - 1
	p.space()
	if p.i < len(p.b) && p.b[p.i] == ']' {
		p.i++
		p.path = p.path[:at]
		return out, nil
	}
	for n := 0; ; n++ {
		p.path[at].index = n
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if p.build {
			out = append(out, v)
		}
		done, err := p.next(']', "a comma or the end of the array is expected")
		if err != nil {
			return nil, err
		}
		if done {
			p.path = p.path[:at]
			return out, nil
		}
	}
}

// next reads a comma (false) or the closing byte (true) and the space around it.
func (p *scanner) next(closing byte, expected string) (bool, *Error) {
	p.space()
	if p.i >= len(p.b) {
		return false, p.fail("the text ends inside an array or object")
	}
	switch p.b[p.i] {
	case closing:
		p.i++
		return true, nil
	case ',':
		p.i++
		p.space()
		return false, nil
	}
	return false, p.fail(expected)
}

func (p *scanner) object() (any, *Error) {
	if err := p.enter(false); err != nil {
		return nil, err
	}
	var out map[string]any
	if p.build {
		out = map[string]any{}
	}
	at, base := len(p.path)-1, len(p.names)
	var seen map[string]struct{}
	p.space()
	if p.i < len(p.b) && p.b[p.i] == '}' {
		p.i++
		p.path = p.path[:at]
		return out, nil
	}
	for {
		name, err := p.memberName(base, &seen)
		if err != nil {
			return nil, err
		}
		p.path[at].name = name
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if p.build {
			out[string(name)] = v
		}
		done, err := p.next('}', "a comma or the end of the object is expected")
		if err != nil {
			return nil, err
		}
		if done {
			p.path, p.names = p.path[:at], p.names[:base]
			return out, nil
		}
	}
}

// memberName reads a name and its colon and refuses a name the object already has.
func (p *scanner) memberName(base int, seen *map[string]struct{}) ([]byte, *Error) {
	if p.i >= len(p.b) || p.b[p.i] != '"' {
		return nil, p.fail("a member name in double quotes is expected")
	}
	raw, escaped, err := p.str()
	if err != nil {
		return nil, err
	}
	name := unescape(raw, escaped)
	mine := p.names[base:]
	if len(mine) >= p.limits.Members {
		return nil, p.fail(fmt.Sprintf("an object has more than %d members", p.limits.Members))
	}
	twice := false
	if len(mine) <= linearNames {
		for _, n := range mine {
			if bytes.Equal(n, name) {
				twice = true
				break
			}
		}
	} else {
		if *seen == nil {
			*seen = make(map[string]struct{}, 4*linearNames)
			for _, n := range mine {
				(*seen)[string(n)] = struct{}{}
			}
		}
		_, twice = (*seen)[string(name)]
		(*seen)[string(name)] = struct{}{}
	}
	if twice {
		p.path[len(p.path)-1].name = name
		return nil, p.fail("a member name is repeated")
	}
	p.names = append(p.names, name)
	p.space()
	if p.i >= len(p.b) || p.b[p.i] != ':' {
		return nil, p.fail("a colon is expected after the member name")
	}
	p.i++
	p.space()
	return name, nil
}

// str reads a string and returns what is between the quotes, and whether it holds escapes.
func (p *scanner) str() (raw []byte, escaped bool, err *Error) {
	p.i++
	start := p.i
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			raw = p.b[start:p.i]
			p.i++
			return raw, escaped, nil
		case c == '\\':
			escaped = true
			if err := p.escape(); err != nil {
				return nil, false, err
			}
		case c < 0x20:
			return nil, false, p.fail("a control character in a string is not escaped")
		case c < utf8.RuneSelf:
			p.i++
		default:
			r, n := utf8.DecodeRune(p.b[p.i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false, p.fail("the text is not valid UTF-8")
			}
			p.i += n
		}
	}
	return nil, false, p.fail("the text ends inside a string")
}

func (p *scanner) escape() *Error {
	if p.i+1 >= len(p.b) {
		return p.fail("the text ends inside a string")
	}
	switch p.b[p.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		p.i += 2
		return nil
	case 'u':
		r, ok := hex4(p.b[p.i+2:])
		if !ok {
			return p.fail("\\u needs four hexadecimal digits")
		}
		if utf16.IsSurrogate(r) {
			var low rune
			ok = r < 0xDC00 && len(p.b) >= p.i+12 && p.b[p.i+6] == '\\' && p.b[p.i+7] == 'u'
			if ok {
				low, ok = hex4(p.b[p.i+8:])
			}
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return p.fail("a surrogate escape has no partner")
			}
			p.i += 6
		}
		p.i += 6
		return nil
	}
	return p.fail("an escape in a string is unknown")
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// unescape returns the characters of a string that str has accepted.
func unescape(raw []byte, escaped bool) []byte {
	if !escaped {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low, _ := hex4(raw[i+3:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, raw[i])
		}
	}
	return out
}

func (p *scanner) digits() int {
	start := p.i
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		p.i++
	}
	return p.i - start
}

func (p *scanner) number() (any, *Error) {
	start := p.i
	if p.b[p.i] == '-' {
		p.i++
	}
	if p.i < len(p.b) && p.b[p.i] == '0' {
		p.i++
	} else if p.digits() == 0 {
		return nil, p.fail("a number needs a digit")
	}
	if p.i < len(p.b) && p.b[p.i] == '.' {
		p.i++
		if p.digits() == 0 {
			return nil, p.fail("a number needs a digit after the point")
		}
	}
	if p.i < len(p.b) && (p.b[p.i] == 'e' || p.b[p.i] == 'E') {
		p.i++
		if p.i < len(p.b) && (p.b[p.i] == '+' || p.b[p.i] == '-') {
			p.i++
		}
		at := p.i
		if p.digits() == 0 {
			return nil, p.fail("a number needs a digit in its exponent")
		}
		if !exponentWithin(p.b[at:p.i], p.limits.Exponent) {
			return nil, p.fail(fmt.Sprintf("a number has an exponent beyond %d", p.limits.Exponent))
		}
	}
	if p.i-start > p.limits.NumberBytes {
		return nil, p.fail(fmt.Sprintf("a number is longer than %d characters", p.limits.NumberBytes))
	}
	if !p.build {
		return nil, nil
	}
	return json.Number(p.b[start:p.i]), nil
}

func exponentWithin(digits []byte, limit int) bool {
	n := 0
	for _, c := range digits {
		if n = n*10 + int(c-'0'); n > limit {
			return false
		}
	}
	return true
}

// IsNumber reports whether s is one JSON number within the default limits; whoever computes exactly must never
// see a number outside them.
func IsNumber(s string) bool {
	p := scanner{b: []byte(s), limits: Limits{}.withDefaults()}
	if len(s) == 0 || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	_, err := p.number()
	return err == nil && p.i == len(s)
}

// maxToken keeps a hostile member name from filling the answer that names it.
const maxToken = 128

// PointerToken escapes one token of a JSON Pointer (RFC 6901 section 3) and shortens an absurdly long one.
func PointerToken(s string) string {
	if len(s) > maxToken {
		s = strings.ToValidUTF8(s[:maxToken], "") + "…"
	}
	if !strings.ContainsAny(s, "~/") {
		return s
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
