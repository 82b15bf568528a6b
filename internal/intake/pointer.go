package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"portway/internal/catalog"
	"portway/internal/logistics"
)

// resolve returns the values at a JSON Pointer (RFC 6901) in which "*" stands for every item of an array, in order.
func resolve(v any, pointer string) []any {
	if pointer == "" {
		return []any{v}
	}
	token, rest := cut(pointer)
	switch t := v.(type) {
	case map[string]any:
		if next, ok := t[token]; ok {
			return resolve(next, rest)
		}
	case []any:
		if token == "*" {
			var out []any
			for _, item := range t {
				out = append(out, resolve(item, rest)...)
			}
			return out
		}
	}
	return nil
}

// cut splits "/a/b" into "a" and "/b".
func cut(pointer string) (token, rest string) {
	pointer = strings.TrimPrefix(pointer, "/")
	if i := strings.IndexByte(pointer, '/'); i >= 0 {
		pointer, rest = pointer[:i], pointer[i:]
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(pointer), rest
}

// text returns the string at a pointer without "*", "" when there is none.
func text(v any, pointer string) string {
	found := resolve(v, pointer)
	if len(found) != 1 {
		return ""
	}
	s, _ := found[0].(string)
	return s
}

// normal is a value as keys and fingerprints compare it: exact decimals whatever their trailing zeros, moments
// whatever their offset, text without outer blanks. A text is a decimal only where the shapes of Quantity and Money
// say so, because item numbers look like numbers too and their zeros count.
func normal(v any, pointer string) any {
	switch t := v.(type) {
	case json.Number:
		return decimal(string(t))
	case string:
		if strings.HasSuffix(pointer, "/value") || strings.HasSuffix(pointer, "/amount") {
			return decimal(t)
		}
		if len(t) >= len("2006-01-02T15:04:05Z") {
			if at, err := time.Parse(time.RFC3339Nano, t); err == nil {
				return at.UTC().Format(time.RFC3339Nano)
			}
		}
		return strings.TrimSpace(t)
	}
	return v
}

func decimal(s string) string {
	if d, err := logistics.ParseDecimal(s); err == nil {
		return d.String()
	}
	return s
}

// businessKey joins the values of a type's key, "" if the type has none. Parts that are absent stay empty, so that
// keys of one type have one shape; the items of a "*" are sorted.
func businessKey(t *catalog.EventType, data map[string]any) string {
	if len(t.BusinessKey) == 0 {
		return ""
	}
	escape := strings.NewReplacer(`\`, `\\`, `|`, `\|`, `,`, `\,`)
	parts := make([]string, len(t.BusinessKey))
	for i, p := range t.BusinessKey {
		var values []string
		for _, v := range resolve(data, p) {
			values = append(values, escape.Replace(fmt.Sprint(normal(v, p))))
		}
		sort.Strings(values)
		parts[i] = strings.Join(values, ",")
	}
	return strings.Join(parts, "|")
}

// fingerprint says whether two statements with one key say the same: the hexadecimal SHA-256 of the fields that
// count. Fields below one array are compared item by item, in whatever order the items come.
func fingerprint(t *catalog.EventType, data map[string]any) (string, error) {
	below := map[string][]string{} // array ("/lines/*", "" for none) → the rest of each pointer
	for _, p := range t.Fingerprint {
		array, rest := "", p
		if i := strings.LastIndex(p, "/*"); i >= 0 {
			array, rest = p[:i+2], p[i+2:]
		}
		below[array] = append(below[array], rest)
	}
	all := map[string][]string{}
	for array, fields := range below {
		sort.Strings(fields)
		tuples := []string{}
		for _, item := range resolve(data, array) {
			tuple := make([]any, len(fields))
			for i, f := range fields {
				if found := resolve(item, f); len(found) == 1 {
					tuple[i] = normal(found[0], f)
				}
			}
			b, err := json.Marshal(tuple)
			if err != nil {
				return "", err
			}
			tuples = append(tuples, string(b))
		}
		sort.Strings(tuples)
		all[array] = tuples
	}
	b, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// refs lists the business numbers of an event by its type's rules, each once. The scope is who issues a number
// where the scheme alone does not say: the carrier its freight bills and parcels, the sender its bills of lading.
func refs(t *catalog.EventType, data map[string]any, sender string) []logistics.Ref {
	out := []logistics.Ref{}
	seen := map[logistics.Ref]bool{}
	for _, rule := range t.Refs {
		for _, v := range resolve(data, rule.Pointer) {
			s, ok := v.(string)
			if s = strings.TrimSpace(s); !ok || s == "" {
				continue
			}
			r := logistics.Ref{Scheme: rule.Scheme, Value: s}
			switch rule.Scheme {
			case "pro", "tracking":
				r.Scope = text(data, "/carrier/scac")
			case "bol", "asn":
				r.Scope = sender
			}
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
		}
	}
	return out
}
