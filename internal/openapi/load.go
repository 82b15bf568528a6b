package openapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portway/internal/openapi/source"
)

// Options of Load.
type Options struct {
	// File is the name shown in findings.
	File string
	// References are the documents that references may reach, by URL or by file name relative to File.
	References map[string][]byte
	// MaxBytes is the largest source, 10 MB if 0. It also holds for each reference.
	MaxBytes int
	// SkipValidation leaves out the check of the document by kin-openapi.
	SkipValidation bool
	// Timeout bounds that check, 10 s if 0; a document that takes longer is reported, not refused.
	Timeout time.Duration
}

const (
	defaultMaxBytes = 10_000_000
	defaultTimeout  = 10 * time.Second
)

// Load reads a contract: OpenAPI 3.0, 3.1 or 3.2, or Swagger 2.0 by conversion, as YAML or JSON. The findings are
// ordered by line. The error is set only if no document can be built at all: the source is too large, cannot be
// parsed, or is not an OpenAPI document; a panic on the way is reported as such an error.
func Load(src []byte, opts Options) (doc *Document, findings []Finding, err error) {
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, fmt.Errorf("%s: the document makes the reader fail: %v", opts.File, r)
		}
	}()
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = defaultMaxBytes
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if len(src) > opts.MaxBytes {
		return nil, nil, fmt.Errorf("%s: the document has more than %d bytes", opts.File, opts.MaxBytes)
	}
	p := &source.Reader{File: opts.File}
	root, err := p.Parse(src)
	if err != nil {
		return nil, p.Findings, fmt.Errorf("%s: %w", opts.File, err)
	}
	l := loader{p: p, opts: opts, written: root}
	if doc, err = l.load(root); err != nil {
		return nil, l.sorted(), fmt.Errorf("%s: %w", opts.File, err)
	}
	doc.Raw = src
	return doc, l.sorted(), nil
}

// loader holds the steps of one Load.
type loader struct {
	p    *source.Reader
	opts Options
	// written is the tree as written, whose lines findings point at.
	written *source.Node
	// converted is true for a Swagger 2.0 document, whose pointers differ from the source's.
	converted bool
	// broken is true if a reference led nowhere and was taken out.
	broken   bool
	findings []Finding
}

func (l *loader) load(root *source.Node) (*Document, error) {
	if root.Kind != source.Object {
		return nil, errors.New("the document must be an object")
	}
	language, err := version(root)
	if err != nil {
		return nil, err
	}
	if language == "2.0" {
		if root, err = l.convert(root); err != nil {
			return nil, err
		}
	}
	l.broken = source.Bundle(l.p, root, l.opts.References, l.opts.MaxBytes)
	b := builder{root: root, broken: l.broken}
	doc := b.document()
	doc.OpenAPI = language
	doc.Bundle = root.JSON()
	l.findings = append(l.findings, b.findings...)
	l.findings = append(l.findings, advice(root, doc)...)
	if l.converted {
		l.sourceLines(doc, l.findings)
		l.sourceLines(doc, l.p.Findings)
	}
	if !l.opts.SkipValidation {
		l.validate(doc.Bundle, root)
	}
	return doc, nil
}

// version returns the version of the language, if it is one we read.
func version(root *source.Node) (string, error) {
	if v := root.Get("swagger").Text(); v != "" {
		if v != "2.0" && v != "2" {
			return "", fmt.Errorf("line %d: swagger %q is not read; have 2.0", root.Get("swagger").Line, v)
		}
		return "2.0", nil
	}
	v := root.Get("openapi")
	if v == nil {
		return "", errors.New(`the document has neither "openapi" nor "swagger" at its top`)
	}
	for _, known := range []string{"3.0", "3.1", "3.2"} {
		if t := v.Text(); t == known || strings.HasPrefix(t, known+".") {
			return t, nil
		}
	}
	return "", fmt.Errorf("line %d: openapi %q is not read; have 3.0, 3.1 and 3.2", v.Line, v.Text())
}

// locate finds the place of a pointer into the bundled document in the source: the deepest part of it that is there.
func (l *loader) locate(root *source.Node, pointer string) *source.Node {
	if l.converted {
		n, _ := l.written.At(swaggerPointer(pointer))
		return n
	}
	n, _ := root.At(pointer)
	return n
}

func (l *loader) sorted() []Finding {
	all := slices.Concat(l.p.Findings, l.findings)
	slices.SortStableFunc(all, func(a, b Finding) int {
		if c := strings.Compare(a.File, b.File); c != 0 && a.File != l.opts.File {
			return 1
		} else if c != 0 && b.File != l.opts.File {
			return -1
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		if a.Column != b.Column {
			return a.Column - b.Column
		}
		return strings.Compare(a.Rule+a.Where+a.Message, b.Rule+b.Where+b.Message)
	})
	return slices.Compact(all)
}
