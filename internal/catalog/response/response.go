// Package response compiles what an operation may answer, by status and media type.
package response

import (
	"fmt"
	"strings"

	"portway/internal/openapi"
	"portway/internal/schema"
)

// Schemas are the declared answers of one operation, compiled: by status, then by media type.
type Schemas struct {
	// by holds answers by status, those of a range such as "2XX" by its first digit and "default" by 0. A status
	// that declares no content has a nil map; a media type without a schema a nil schema.
	by map[int]map[string]*schema.Schema
}

// Find returns the schema of an answer: that of its status, else of its range, else the default; and there that of
// its media type (lower case, without parameters), else of a range of types. declared is false when the contract has no such
// status, or the status no such type; where says which, "status" or "contentType". A nil schema is not checked.
func (s *Schemas) Find(status int, media string) (found *schema.Schema, declared bool, where string) {
	if s == nil {
		return nil, true, ""
	}
	content, ok := s.by[status]
	if !ok {
		if content, ok = s.by[status/100]; !ok {
			if content, ok = s.by[0]; !ok {
				return nil, false, "status"
			}
		}
	}
	if len(content) == 0 {
		return nil, true, ""
	}
	if found, ok = content[media]; ok {
		return found, true, ""
	}
	major, _, _ := strings.Cut(media, "/")
	if found, ok = content[major+"/*"]; ok {
		return found, true, ""
	}
	if found, ok = content["*/*"]; ok {
		return found, true, ""
	}
	return nil, false, "contentType"
}

// Content reports whether a status declares a body.
func (s *Schemas) Content(status int) bool {
	if s == nil {
		return false
	}
	for _, key := range []int{status, status / 100, 0} {
		if content, ok := s.by[key]; ok {
			return len(content) > 0
		}
	}
	return false
}

// Compile compiles the answers of an operation; file is what warnings name. Schemas that operations share are compiled once, so the cost of
// all of them is linear in the document.
func Compile(op *openapi.Operation, c *schema.Compiler, file string) (*Schemas, []openapi.Finding, error) {
	out := &Schemas{by: map[int]map[string]*schema.Schema{}}
	var warnings []openapi.Finding
	for i := range op.Responses {
		r := &op.Responses[i]
		key, err := statusKey(r.Status)
		if err != nil {
			return nil, warnings, err
		}
		var content map[string]*schema.Schema
		for _, m := range r.Content {
			if content == nil {
				content = make(map[string]*schema.Schema, len(r.Content))
			}
			media := baseType(m.Type)
			var compiled *schema.Schema
			if m.Pointer != "" && isJSON(media) {
				var findings []schema.Finding
				if compiled, findings, err = c.Compile(m.Pointer, schema.Response); err != nil {
					return nil, warnings, fmt.Errorf("response %q: %w", r.Status, err)
				}
				for _, f := range findings {
					warnings = append(warnings, openapi.Finding{File: file, Line: op.Line, Severity: openapi.SeverityWarning,
						Rule: "schema.not_checked", Where: f.Pointer, Message: f.Message})
				}
			}
			content[media] = compiled
		}
		out.by[key] = content
	}
	return out, warnings, nil
}

// statusKey turns "200", "2XX" and "default" into a key of Schemas.
func statusKey(status string) (int, error) {
	if status == "default" {
		return 0, nil
	}
	if len(status) == 3 && status[0] >= '1' && status[0] <= '5' {
		hundreds := int(status[0] - '0')
		if strings.EqualFold(status[1:], "XX") {
			return hundreds, nil
		}
		if status[1] >= '0' && status[1] <= '9' && status[2] >= '0' && status[2] <= '9' {
			return hundreds*100 + int(status[1]-'0')*10 + int(status[2]-'0'), nil
		}
	}
	return 0, fmt.Errorf("response %q is no status: use one like 200, 2XX or default", status)
}

// baseType is a media type in lower case without its parameters.
func baseType(media string) string {
	return strings.ToLower(strings.TrimSpace(strings.SplitN(media, ";", 2)[0]))
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}
