package openapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"

	"portway/internal/openapi/source"
)

// convert turns a Swagger 2.0 tree into an OpenAPI 3.0 tree. Its lines are lost on the way; findings get those of
// the source by sourceLines and locate.
func (l *loader) convert(root *source.Node) (*source.Node, error) {
	at := root.Get("swagger")
	l.findings = append(l.findings, Finding{File: at.File, Line: at.Line, Column: at.Column, Severity: SeverityInfo,
		Rule: "swagger.converted", Where: "/swagger", Message: "the document is Swagger 2.0 and was converted to OpenAPI 3.0"})
	l.externalReferences(root, "")
	var doc openapi2.T
	if err := json.Unmarshal(root.JSON(), &doc); err != nil {
		return nil, fmt.Errorf("not a Swagger 2.0 document: %s", firstLine(err.Error()))
	}
	v3, err := openapi2conv.ToV3(&doc)
	if err != nil {
		return nil, fmt.Errorf("the document cannot be converted to OpenAPI 3.0: %s", firstLine(err.Error()))
	}
	out, err := v3.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("the converted document cannot be written: %s", firstLine(err.Error()))
	}
	p := source.Reader{}
	tree, err := p.Parse(out)
	if err != nil {
		return nil, fmt.Errorf("the converted document cannot be read: %w", err)
	}
	inOrder(tree.Get("paths"), root.Get("paths"))
	clearLines(tree)
	l.converted = true
	return tree, nil
}

// inOrder arranges the members of n in the order they have in the source; the conversion sorts them.
func inOrder(n, like *source.Node) {
	if n == nil || like == nil || n.Kind != source.Object || like.Kind != source.Object {
		return
	}
	ordered := &source.Node{Kind: source.Object}
	for _, from := range []*source.Node{like, n} {
		for _, k := range from.Keys {
			if v := n.Get(k); v != nil && ordered.Get(k) == nil {
				inOrder(v, like.Get(k))
				ordered.Set(k, v)
			}
		}
	}
	n.Replace(ordered)
}

func clearLines(n *source.Node) {
	n.Line, n.Column = 0, 0
	for _, v := range n.Vals {
		clearLines(v)
	}
}

// externalReferences names references that the conversion cannot carry over.
func (l *loader) externalReferences(n *source.Node, where string) {
	if ref := n.Get("$ref"); ref.Text() != "" && !strings.HasPrefix(ref.Text(), "#") {
		l.findings = append(l.findings, Finding{File: ref.File, Line: ref.Line, Column: ref.Column, Severity: SeverityError,
			Rule: "reference.unresolved", Where: where,
			Message: fmt.Sprintf("the reference %q leads to another document, which a Swagger 2.0 document cannot be given", ref.Text())})
	}
	for i, v := range n.Vals {
		if v.Kind == source.Scalar {
			continue
		}
		key := strconv.Itoa(i)
		if n.Kind == source.Object {
			key = n.Keys[i]
		}
		l.externalReferences(v, where+"/"+source.EscapeToken(key))
	}
}

// swaggerPointer maps a pointer into the converted document to the source.
func swaggerPointer(pointer string) string {
	for _, m := range [][2]string{
		{"/components/schemas/", "/definitions/"},
		{"/components/parameters/", "/parameters/"},
		{"/components/requestBodies/", "/parameters/"},
		{"/components/responses/", "/responses/"},
		{"/components/securitySchemes/", "/securityDefinitions/"},
		{"/servers", "/host"},
	} {
		if rest, ok := strings.CutPrefix(pointer, m[0]); ok {
			return m[1] + rest
		}
	}
	return pointer
}

// sourceLines gives operations and findings of a converted document the lines of the source.
func (l *loader) sourceLines(doc *Document, findings []Finding) {
	lines := map[string]*source.Node{}
	for i := range doc.Operations {
		o := &doc.Operations[i]
		n, _ := l.written.At(swaggerPointer(o.Pointer))
		o.Line = n.Line
		lines[o.Method+" "+o.Path] = n
	}
	for i := range findings {
		f := &findings[i]
		n := lines[f.Where]
		if n == nil && strings.HasPrefix(f.Where, "/") {
			n, _ = l.written.At(swaggerPointer(f.Where))
		}
		if n == nil {
			n = l.written
		}
		if f.Line == 0 {
			f.File, f.Line, f.Column = l.opts.File, n.Line, n.Column
		}
	}
}
