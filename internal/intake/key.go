package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"portway/internal/eventlog"
	"portway/internal/idempotent"
	"portway/internal/problem"
)

// The length of an Idempotency-Key without its quotes.
const (
	shortestKey = 16
	longestKey  = 255
)

// key reads the call's Idempotency-Key, nil without one, and binds it to what the call asks: method, path,
// parameters and the raw body (RULES 21). The two environments have keys of their own.
func key(c *Call) (*idempotent.Key, error) {
	if c.IdempotencyKey == "" {
		return nil, nil
	}
	value, ok := parseKey(c.IdempotencyKey)
	if !ok {
		return nil, problem.New(problem.IdempotencyKey, "the Idempotency-Key is a quoted string of 16 to 255 printable characters")
	}
	// A map is encoded in the order of its keys.
	head, err := json.Marshal([]any{c.Route.Method, c.Route.Template, c.Path, queryOf(c.Params), c.ContentType})
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write(head)
	h.Write([]byte{0})
	h.Write(c.Body)
	return &idempotent.Key{Org: c.Org, Application: c.Application, Operation: string(c.Environment) + "/" + c.Route.ID, Value: value,
		Fingerprint: hex.EncodeToString(h.Sum(nil))}, nil
}

// parseKey reads an sf-string (RFC 9651 section 3.3.3), or the same without quotes as many clients send it.
func parseKey(s string) (string, bool) {
	s = strings.Trim(s, " ")
	if quoted := strings.HasPrefix(s, `"`); quoted {
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
	if len(s) < shortestKey || len(s) > longestKey {
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

const (
	headerContentType = "Content-Type"
	headerLocation    = "Location"
	eventPath         = "/v1/events/"
	documentPath      = "/v1/documents/"
)

// record is an answer as it is kept for a repeated key.
func record(k idempotent.Key, a Answer, now time.Time) idempotent.Record {
	header := append([][2]string{}, a.Header...)
	if a.ContentType != "" {
		header = append(header, [2]string{headerContentType, a.ContentType})
	}
	return idempotent.Record{Key: k, Status: a.Status, Header: header, Body: a.Body, CreatedAt: now.UnixMicro()}
}

// replayed is the answer of a record.
func replayed(r *idempotent.Record) Answer {
	a := Answer{Status: r.Status, Body: r.Body}
	for _, h := range r.Header {
		switch h[0] {
		case headerContentType:
			a.ContentType = h[1]
			continue
		case headerLocation:
			if id, ok := strings.CutPrefix(h[1], eventPath); ok {
				a.EventID = id
			}
		}
		a.Header = append(a.Header, h)
	}
	a.Header = append(a.Header, [2]string{"Idempotent-Replayed", "true"})
	return a
}

// originals lists the events that duplicates among the outcomes repeat, each once.
func originals(outcomes []eventlog.Outcome) []string {
	var out []string
	seen := map[string]bool{}
	for i := range outcomes {
		if o := &outcomes[i]; o.Kind == eventlog.Duplicate && !seen[o.Original] {
			seen[o.Original] = true
			out = append(out, o.Original)
		}
	}
	return out
}
