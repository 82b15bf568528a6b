package intake

import (
	"strings"
	"time"

	"portway/internal/eventlog"
	"portway/internal/idempotent"
)

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
