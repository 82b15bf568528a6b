package openapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"portway/internal/openapi/source"
)

// validate has kin-openapi read and check the bundled document and turns each of its complaints into a finding. It
// runs apart, because on a hostile document it may panic or take very long; neither keeps the document from being used.
func (l *loader) validate(bundle []byte, root *source.Node) {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("the check of the document failed on it: %v", r)
			}
		}()
		done <- kinCheck(bundle)
	}()
	timer := time.NewTimer(l.opts.Timeout)
	defer timer.Stop()
	select {
	case err := <-done:
		l.complaints(err, root)
	case <-timer.C:
		l.findings = append(l.findings, Finding{File: l.opts.File, Line: 1, Severity: SeverityWarning, Rule: "openapi.timeout",
			Message: fmt.Sprintf("the check of the document took longer than %s and was given up", l.opts.Timeout)})
	}
}

func kinCheck(bundle []byte) error {
	doc, err := openapi3.NewLoader().LoadFromData(bundle)
	if err != nil {
		return err
	}
	return doc.Validate(context.Background(), openapi3.EnableMultiError())
}

func (l *loader) complaints(err error, root *source.Node) {
	if err == nil {
		return
	}
	var many openapi3.MultiError
	if errors.As(err, &many) && isMulti(err) {
		for _, e := range many {
			l.complaints(e, root)
		}
		return
	}
	f := Finding{File: l.opts.File, Rule: "openapi.structure", Message: firstLine(err.Error())}
	var coded openapi3.CodedError
	if errors.As(err, &coded) {
		f.Rule = "openapi." + strings.ReplaceAll(coded.Code(), "-", "_")
		if leaf := firstLine(coded.Error()); leaf != "" && strings.HasPrefix(f.Message, "invalid ") {
			f.Message = leaf
		}
	}
	if f.Rule == "openapi.path_parameters_mismatch" && l.broken {
		// The parameter was taken out because its reference leads nowhere, which is reported.
		return
	}
	f.Severity = severityOf(f.Rule)
	f.Where = whereOf(err)
	at := l.locate(root, pointerOf(err))
	exact := exactPlace(err, at)
	if exact == nil && shared(err) {
		exact = exactPlace(err, l.whole(root))
	}
	if exact != nil {
		at = exact
		if shared(err) {
			// It may stand in a component that many operations use; all their complaints are this one.
			f.Where, _ = pointerTo(l.whole(root), exact)
		}
	}
	if at != nil && at.Line > 0 {
		f.File, f.Line, f.Column = at.File, at.Line, at.Column
	}
	l.findings = append(l.findings, f)
}

func (l *loader) whole(root *source.Node) *source.Node {
	if l.converted {
		return l.written
	}
	return root
}

// shared reports whether a complaint is about a text that can be found anywhere in the document.
func shared(err error) bool {
	var pattern *openapi3.SchemaPatternRegexError
	var kind *openapi3.SchemaTypeError
	return errors.As(err, &pattern) || errors.As(err, &kind)
}

// isMulti reports whether err itself, not something it wraps, is a list.
func isMulti(err error) bool {
	_, ok := err.(openapi3.MultiError)
	return ok
}

// severityOf is the severity table for the complaints of kin-openapi. None is an error: what decides whether an
// operation can be served is whether it can be built, and that is found elsewhere.
func severityOf(rule string) Severity {
	switch rule {
	case "openapi.duplicate_tag", "openapi.duplicate_required_field", "openapi.external_docs_url_required",
		"openapi.license_name_required", "openapi.oauth_flow_scopes_required", "openapi.response_description_required",
		"openapi.example_examples_mutually_exclusive":
		return SeverityInfo
	}
	return SeverityWarning
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	const most = 400
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return strings.TrimSpace(line)
}

// whereOf names the operation or component a complaint is about.
func whereOf(err error) string {
	var path *openapi3.PathValidationError
	if errors.As(err, &path) {
		var op *openapi3.OperationValidationError
		if errors.As(err, &op) {
			return op.Method + " " + path.Path
		}
		return path.Path
	}
	return pointerOf(err)
}

// pointerOf is the deepest pointer into the document that the wrappers around a complaint tell.
func pointerOf(err error) string {
	var required *openapi3.SecurityRequirementSchemeUndefinedError
	if errors.As(err, &required) {
		return required.JSONPointer
	}
	var path *openapi3.PathValidationError
	if errors.As(err, &path) {
		p := "/paths/" + source.EscapeToken(path.Path)
		var op *openapi3.OperationValidationError
		if errors.As(err, &op) {
			p += "/" + strings.ToLower(op.Method)
		}
		return p
	}
	var params *openapi3.PathParametersError
	if errors.As(err, &params) {
		return "/paths/" + source.EscapeToken(params.Path) + "/" + strings.ToLower(params.Method)
	}
	var twice *openapi3.DuplicateOperationIDError
	if errors.As(err, &twice) {
		method, template, _ := strings.Cut(twice.Endpoint2, " ")
		return "/paths/" + source.EscapeToken(template) + "/" + strings.ToLower(method) + "/operationId"
	}
	var conflict *openapi3.ConflictingPathsError
	if errors.As(err, &conflict) {
		return "/paths/" + source.EscapeToken(conflict.Path2)
	}
	var component *openapi3.ComponentValidationError
	if errors.As(err, &component) {
		return "/components/" + componentBucket(component.Section) + "/" + source.EscapeToken(component.Name)
	}
	var hook *openapi3.WebhookValidationError
	if errors.As(err, &hook) {
		return "/webhooks/" + source.EscapeToken(hook.Name)
	}
	pointer := ""
	var section *openapi3.SectionValidationError
	if errors.As(err, &section) {
		pointer = "/" + section.Section
	}
	var field *openapi3.RequiredFieldError
	if errors.As(err, &field) && pointer != "" {
		if in, name, ok := strings.Cut(field.Field, "."); ok && in == section.Section {
			pointer += "/" + name
		}
	}
	return pointer
}

func componentBucket(section string) string {
	switch section {
	case "request body":
		return "requestBodies"
	case "security scheme":
		return "securitySchemes"
	case "path item":
		return "pathItems"
	}
	return section + "s"
}

// exactPlace looks, under the place a complaint names, for the very member it is about.
func exactPlace(err error, under *source.Node) *source.Node {
	if under == nil {
		return nil
	}
	var pattern *openapi3.SchemaPatternRegexError
	if errors.As(err, &pattern) {
		return search(under, func(k string, v *source.Node) bool { return k == "pattern" && v.Text() == pattern.Pattern })
	}
	var kind *openapi3.SchemaTypeError
	if errors.As(err, &kind) {
		return search(under, func(k string, v *source.Node) bool { return k == "type" && v.Text() == kind.Type })
	}
	var extra *openapi3.ExtraSiblingFieldsError
	if errors.As(err, &extra) && len(extra.Fields) > 0 {
		return search(under, func(k string, _ *source.Node) bool { return k == extra.Fields[0] })
	}
	var newer *openapi3.FieldVersionMismatchError
	if errors.As(err, &newer) {
		return search(under, func(k string, _ *source.Node) bool { return k == newer.Field })
	}
	var items *openapi3.SchemaItemsRequired
	if errors.As(err, &items) {
		return searchObject(under, func(n *source.Node) bool { return n.Get("type").Text() == "array" && n.Get("items") == nil })
	}
	var twice *openapi3.DuplicateParameterError
	if errors.As(err, &twice) {
		return search(under, func(k string, v *source.Node) bool { return k == "name" && v.Text() == twice.Name })
	}
	var field *openapi3.ParameterFieldValidationError
	if errors.As(err, &field) {
		return search(under, func(k string, v *source.Node) bool { return k == "name" && v.Text() == field.ParameterName })
	}
	var value *openapi3.SchemaValueError
	if errors.As(err, &value) {
		return only(under, value.ValueKind)
	}
	return nil
}

// pointerTo returns the JSON Pointer of a node in a tree.
func pointerTo(root, wanted *source.Node) (string, bool) {
	if root == wanted {
		return "", true
	}
	for i, v := range root.Vals {
		if v.Kind == source.Scalar && v != wanted {
			continue
		}
		if rest, ok := pointerTo(v, wanted); ok {
			key := strconv.Itoa(i)
			if root.Kind == source.Object {
				key = root.Keys[i]
			}
			return "/" + source.EscapeToken(key) + rest, true
		}
	}
	return "", false
}

// only finds the member with a name if there is exactly one.
func only(n *source.Node, name string) *source.Node {
	var found []*source.Node
	search(n, func(k string, v *source.Node) bool {
		if k == name {
			found = append(found, v)
		}
		return len(found) > 1
	})
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// search finds the first member, in document order, that ok accepts.
func search(n *source.Node, ok func(key string, v *source.Node) bool) *source.Node {
	for i, v := range n.Vals {
		if n.Kind == source.Object && ok(n.Keys[i], v) {
			return v
		}
		if v.Kind != source.Scalar {
			if found := search(v, ok); found != nil {
				return found
			}
		}
	}
	return nil
}

func searchObject(n *source.Node, ok func(*source.Node) bool) *source.Node {
	if n.Kind == source.Object && ok(n) {
		return n
	}
	for _, v := range n.Vals {
		if v.Kind != source.Scalar {
			if found := searchObject(v, ok); found != nil {
				return found
			}
		}
	}
	return nil
}
