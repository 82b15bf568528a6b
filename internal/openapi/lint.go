package openapi

import (
	"strings"

	"portway/internal/openapi/source"
)

// advice checks what Portway asks of a contract beyond OpenAPI itself.
func advice(root *source.Node, doc *Document) []Finding {
	var out []Finding
	if len(doc.Operations) == 0 {
		n := root.Get("paths")
		if n == nil {
			n = root
		}
		out = append(out, Finding{File: n.File, Line: n.Line, Column: n.Column, Severity: SeverityWarning, Rule: "lint.no_operations",
			Message: "the document has no operation that can be served"})
	}
	for _, o := range doc.Operations {
		if problemResponse(o) {
			continue
		}
		n, _ := root.At(o.Pointer)
		out = append(out, Finding{File: n.File, Line: n.Line, Column: n.Column, Severity: SeverityInfo, Rule: "lint.problem_json",
			Where:   o.Method + " " + o.Path,
			Message: "no 4xx or default response is application/problem+json (RFC 9457), which the gateway answers with"})
	}
	return out
}

func problemResponse(o Operation) bool {
	for _, r := range o.Responses {
		if !strings.HasPrefix(r.Status, "4") && r.Status != "default" {
			continue
		}
		for _, m := range r.Content {
			if strings.HasPrefix(strings.ToLower(m.Type), "application/problem+json") {
				return true
			}
		}
	}
	return false
}
