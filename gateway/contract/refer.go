package contract

import (
	"encoding/json"
	"net/url"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/schema"
)

// refer keeps the business numbers that the policy of the operation finds in a request. What cannot be read holds none.
func refer(x *exchange.Exchange, params map[string]any) {
	var body any
	read := false
	for _, ref := range x.Route.Refs {
		part, rest, _ := strings.Cut(strings.TrimPrefix(ref.Pointer, "/"), "/")
		switch part {
		case "path":
			if value, err := url.PathUnescape(x.PathParams[rest]); err == nil {
				x.Refer(ref.Scheme, value)
			}
		case "query":
			number(x, ref.Scheme, params["query."+rest])
		case "body":
			if !read && len(x.Body) > 0 && IsJSON(x.MediaType) {
				body, _ = schema.Decode(x.Body, schema.Limits{}) // Validate says what is wrong with it
			}
			read = true
			find(x, ref.Scheme, body, rest)
		}
	}
}

// referAnswer keeps the business numbers that the policy of the operation finds in a backend's answer.
func referAnswer(x *exchange.Exchange) {
	var body any
	read := false
	for _, ref := range x.Route.Refs {
		rest, ok := strings.CutPrefix(ref.Pointer, "/answer/")
		if !ok {
			continue
		}
		media, _, _ := strings.Cut(x.Response.Header.Get("Content-Type"), ";")
		if !read && len(x.Response.Body) <= maxChecked && IsJSON(strings.ToLower(strings.TrimSpace(media))) {
			body, _ = schema.Decode(x.Response.Body, schema.Limits{}) // answer says what is wrong with it
		}
		read = true
		find(x, ref.Scheme, body, rest)
	}
}

// find follows a JSON Pointer without its first slash through a document, "*" being every item of a list.
func find(x *exchange.Exchange, scheme string, v any, pointer string) {
	token, rest, more := strings.Cut(pointer, "/")
	switch t := v.(type) {
	case map[string]any:
		v = t[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
	case []any:
		if token != "*" {
			return
		}
		for _, item := range t {
			if more {
				find(x, scheme, item, rest)
			} else {
				number(x, scheme, item)
			}
		}
		return
	default:
		return
	}
	if more {
		find(x, scheme, v, rest)
		return
	}
	number(x, scheme, v)
}

// number keeps a text or a number as it was written.
func number(x *exchange.Exchange, scheme string, v any) {
	switch t := v.(type) {
	case string:
		x.Refer(scheme, t)
	case json.Number:
		x.Refer(scheme, string(t))
	}
}
