package idempotency

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/idempotent"
	"portway/internal/logistics"
	"portway/internal/schema"
)

// fingerprint binds a key to what its call asks: method, path, query, media type, and the body: its raw bytes, or what
// the operation's policy says counts (RULES 21). A body that is no JSON counts as bytes.
func fingerprint(x *exchange.Exchange) string {
	policy := &x.Route.Idempotency
	h := sha256.New()
	part := func(b []byte) {
		var size [8]byte
		for i := range size {
			size[i] = byte(len(b) >> (8 * i))
		}
		h.Write(size[:])
		h.Write(b)
	}
	for _, s := range []string{"1", x.Request.Method, x.Request.Path, x.Request.Query, x.MediaType} {
		part([]byte(s))
	}
	if len(policy.Fields)+len(policy.Exclude) > 0 {
		if body, err := schema.Decode(x.Body, schema.Limits{}); err == nil {
			part([]byte("fields"))
			part(counting(body, policy.Fields, policy.Exclude))
			return hex.EncodeToString(h.Sum(nil))
		}
	}
	part([]byte("bytes"))
	part(x.Body)
	return hex.EncodeToString(h.Sum(nil))
}

// counting is what counts of a body, as JSON in one form: members in order of name, numbers without their notation.
func counting(body any, fields, exclude []string) []byte {
	if len(fields) == 0 {
		return encode(canonical(body, "", exclude))
	}
	all := make([]any, 0, 2*len(fields))
	for _, pointer := range fields {
		found := []any{}
		for _, v := range resolve(body, pointer) {
			found = append(found, canonical(v, pointer, exclude))
		}
		all = append(all, pointer, found)
	}
	return encode(all)
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // decoded JSON: it always has an encoding
		return nil
	}
	return b
}

// canonical is a value without what is excluded; at is where it stands, with "*" for every item.
func canonical(v any, at string, exclude []string) any {
	switch t := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, member := range t {
			below := at + "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
			if _, excluded := slices.BinarySearch(exclude, below); !excluded {
				out[name] = canonical(member, below, exclude)
			}
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, item := range t {
			out[i] = canonical(item, at+"/*", exclude)
		}
		return out
	case json.Number:
		if d, err := logistics.ParseDecimal(string(t)); err == nil {
			return json.Number(d.String())
		}
	}
	return v
}

// resolve returns the values at a JSON Pointer (RFC 6901) in which "*" stands for every item of an array, in order.
// An item without the rest of the pointer is null, so that what moved to another item is seen.
func resolve(v any, pointer string) []any {
	if pointer == "" {
		return []any{v}
	}
	token, rest := pointer[1:], ""
	if i := strings.IndexByte(token, '/'); i >= 0 {
		token, rest = token[:i], token[i:]
	}
	switch t := v.(type) {
	case map[string]any:
		if next, ok := t[strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")]; ok {
			return resolve(next, rest)
		}
	case []any:
		if token == "*" {
			out := []any{}
			for _, item := range t {
				out = append(out, resolve(item, rest)...)
			}
			return out
		}
	}
	return []any{nil}
}

// forwarded is the key as a backend gets it: a UUID (RFC 9562 version 8, of a SHA-256) as an sf-string. The caller's own
// key would not do: a backend sees one client, us, and two callers may choose the same key.
func forwarded(k *idempotent.Key) string {
	h := sha256.New()
	for _, s := range []string{string(k.Org), k.Application, string(k.Environment), k.Operation, k.Value} {
		h.Write([]byte(s))
		h.Write([]byte{0}) // none of the parts has one
	}
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return `"` + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:] + `"`
}
