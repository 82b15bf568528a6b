package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"portway/internal/catalog"
)

// exampleText shows an example as it goes over the wire: JSON indented, a form encoded, and an example that is
// one string, such as an EDI file, as the text it is.
func exampleText(mediaType string, raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var fields map[string]any
	if mediaType == "application/x-www-form-urlencoded" && json.Unmarshal(raw, &fields) == nil {
		values := url.Values{}
		for k, v := range fields {
			values.Set(k, fmt.Sprint(v))
		}
		return values.Encode()
	}
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// curl is a command that works once the token is filled in; it holds no secret.
func curl(gateway string, r *catalog.Route, example, bodyType string) string {
	path, query, headers := r.Template, url.Values{}, []string(nil)
	if h := r.Version.API.VersionHeader; h != "" {
		headers = append(headers, h+": "+r.Version.Name)
	}
	for i := range r.Operation.Parameters {
		param := &r.Operation.Parameters[i]
		value := "{" + param.Name + "}"
		if param.Example != nil {
			value = fmt.Sprint(param.Example)
		}
		switch {
		case param.In == "path" && param.Example != nil:
			path = strings.ReplaceAll(path, "{"+param.Name+"}", url.PathEscape(value))
		case param.In == "query" && param.Required:
			query.Set(param.Name, value)
		case param.In == "header" && param.Required:
			headers = append(headers, param.Name+": "+value)
		}
	}
	target := gateway + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	lines := []string{"curl " + quoted(target)}
	if r.Method != "GET" {
		lines[0] = "curl -X " + r.Method + " " + quoted(target)
	}
	if !r.Anonymous {
		lines = append(lines, `  -H "Authorization: Bearer $TOKEN"`)
	}
	for _, h := range headers {
		lines = append(lines, "  -H "+quoted(h))
	}
	if bodyType != "" {
		lines = append(lines, "  -H "+quoted("Content-Type: "+bodyType))
		if example != "" {
			lines = append(lines, "  --data-binary "+quoted(example))
		} else {
			lines = append(lines, "  --data-binary @body")
		}
	}
	return strings.Join(lines, " \\\n")
}

// quoted is a word of a POSIX shell command.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
