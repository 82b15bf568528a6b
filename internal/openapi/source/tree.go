package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"portway/internal/schema"
)

type Kind int

const (
	Scalar Kind = iota
	Object
	Array
)

// Node is a JSON value that knows its line. A member of an object has the line and column of its name.
type Node struct {
	Kind Kind
	// Line and Column count from 1, 0 if the place is not known; File is "" for the document itself.
	Line, Column int
	File         string
	// Keys and Vals are an object's members in order; Vals alone an array's items.
	Keys  []string
	Vals  []*Node
	index map[string]int
	// Value is a scalar: nil, bool, string or json.Number.
	Value any
	// Broken is true if a reference in this object or array led nowhere and was taken out.
	Broken bool
}

// Get returns a member of an object, nil if n is not an object or has no such member.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != Object {
		return nil
	}
	if len(n.Keys) > 12 {
		if n.index == nil {
			n.index = make(map[string]int, len(n.Keys))
			for i, k := range n.Keys {
				n.index[k] = i
			}
		}
		if i, ok := n.index[key]; ok {
			return n.Vals[i]
		}
		return nil
	}
	for i, k := range n.Keys {
		if k == key {
			return n.Vals[i]
		}
	}
	return nil
}

// Set replaces or appends a member.
func (n *Node) Set(key string, v *Node) {
	for i, k := range n.Keys {
		if k == key {
			n.Vals[i] = v
			return
		}
	}
	n.Keys, n.Vals = append(n.Keys, key), append(n.Vals, v)
	if n.index != nil {
		n.index[key] = len(n.Keys) - 1
	}
}

// Remove takes out a member.
func (n *Node) Remove(key string) {
	for i, k := range n.Keys {
		if k == key {
			n.Keys = append(n.Keys[:i:i], n.Keys[i+1:]...)
			n.Vals = append(n.Vals[:i:i], n.Vals[i+1:]...)
			n.index = nil
			return
		}
	}
}

// clone copies n with everything in it.
func (n *Node) clone() *Node {
	c := *n
	c.index = nil
	c.Keys = append([]string(nil), n.Keys...)
	c.Vals = make([]*Node, len(n.Vals))
	for i, v := range n.Vals {
		c.Vals[i] = v.clone()
	}
	return &c
}

// Replace gives n the members of another object.
func (n *Node) Replace(by *Node) {
	n.Keys, n.Vals, n.index = by.Keys, by.Vals, nil
}

// Text returns a string scalar, "" for anything else; numbers and booleans count as what was written.
func (n *Node) Text() string {
	if n == nil || n.Kind != Scalar {
		return ""
	}
	switch v := n.Value.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// Flag returns a boolean scalar, false for anything else.
func (n *Node) Flag() bool {
	if n == nil {
		return false
	}
	b, _ := n.Value.(bool)
	return b
}

// Any returns n as decoded JSON.
func (n *Node) Any() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case Object:
		m := make(map[string]any, len(n.Keys))
		for i, k := range n.Keys {
			m[k] = n.Vals[i].Any()
		}
		return m
	case Array:
		a := make([]any, len(n.Vals))
		for i, v := range n.Vals {
			a[i] = v.Any()
		}
		return a
	}
	return n.Value
}

// JSON returns n as JSON with its members in order.
func (n *Node) JSON() []byte {
	var buf bytes.Buffer
	n.write(&buf)
	return buf.Bytes()
}

func (n *Node) write(buf *bytes.Buffer) {
	switch n.Kind {
	case Object:
		buf.WriteByte('{')
		for i, k := range n.Keys {
			if i > 0 {
				buf.WriteByte(',')
			}
			writeScalar(buf, k)
			buf.WriteByte(':')
			n.Vals[i].write(buf)
		}
		buf.WriteByte('}')
	case Array:
		buf.WriteByte('[')
		for i, v := range n.Vals {
			if i > 0 {
				buf.WriteByte(',')
			}
			v.write(buf)
		}
		buf.WriteByte(']')
	default:
		writeScalar(buf, n.Value)
	}
}

// writeScalar writes a value that is nil, bool, string or json.Number; these cannot fail to encode.
func writeScalar(buf *bytes.Buffer, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null")
	}
	buf.Write(b)
}

// At follows a JSON Pointer; it returns the deepest node reached and whether that is the one asked for.
func (n *Node) At(pointer string) (*Node, bool) {
	if pointer == "" {
		return n, true
	}
	for _, tok := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
		next := n.Get(tok)
		if n.Kind == Array {
			if i, err := strconv.Atoi(tok); err == nil && i >= 0 && i < len(n.Vals) {
				next = n.Vals[i]
			}
		}
		if next == nil {
			return n, false
		}
		n = next
	}
	return n, true
}

// Caps on what a document may unfold to; the largest real one known has 60,000 values.
const (
	maxNodes = 1_000_000
	maxDepth = 200
)

// Reader turns texts into trees. All texts of one Reader share the cap on values.
type Reader struct {
	// File is the name shown in findings.
	File string
	// Findings is what the texts read so far have wrong without being unreadable.
	Findings []Finding
	nodes    int
	// open are the YAML anchors being expanded: an alias to one of them has no end.
	open map[*yaml.Node]bool
}

func (p *Reader) warn(line, column int, rule, format string, args ...any) {
	p.Findings = append(p.Findings, Finding{File: p.File, Line: line, Column: column, Severity: SeverityWarning,
		Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// Parse reads JSON or YAML. A text that starts like JSON but is not falls back to YAML, which admits comments.
func (p *Reader) Parse(src []byte) (*Node, error) {
	src = bytes.TrimPrefix(src, []byte("\xEF\xBB\xBF"))
	if first := bytes.TrimLeft(src, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		j := jsonReader{p: p, src: src, dec: json.NewDecoder(bytes.NewReader(src)), line: 1}
		j.dec.UseNumber()
		n, err := j.text()
		if err == nil {
			return n, nil
		}
		if p.nodes > maxNodes {
			return nil, err
		}
		p.nodes, p.Findings = 0, nil
		if n, yamlErr := p.parseYAML(src); yamlErr == nil {
			p.warn(j.line, 0, "syntax.json", "the document is not JSON (%v); it was read as YAML", err)
			return n, nil
		}
		return nil, fmt.Errorf("line %d: not JSON: %w", j.line, err)
	}
	return p.parseYAML(src)
}

func (p *Reader) parseYAML(src []byte) (*Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, fmt.Errorf("the document is empty")
	}
	p.open = map[*yaml.Node]bool{}
	return p.yaml(doc.Content[0], 0)
}

func (p *Reader) count(depth, line int) error {
	if p.nodes++; p.nodes > maxNodes {
		return fmt.Errorf("line %d: the document unfolds to more than %d values", line, maxNodes)
	}
	if depth > maxDepth {
		return fmt.Errorf("line %d: the document nests deeper than %d", line, maxDepth)
	}
	return nil
}

func (p *Reader) yaml(y *yaml.Node, depth int) (*Node, error) {
	if err := p.count(depth, y.Line); err != nil {
		return nil, err
	}
	n := &Node{Line: y.Line, Column: y.Column, File: p.File}
	switch y.Kind {
	case yaml.AliasNode:
		if y.Alias == nil || p.open[y.Alias] {
			return nil, fmt.Errorf("line %d: the alias %q contains itself", y.Line, y.Value)
		}
		out, err := p.yaml(y.Alias, depth)
		return out, err
	case yaml.MappingNode:
		n.Kind = Object
		p.open[y] = true
		defer delete(p.open, y)
		for i := 0; i+1 < len(y.Content); i += 2 {
			if err := p.member(n, y.Content[i], y.Content[i+1], depth); err != nil {
				return nil, err
			}
		}
	case yaml.SequenceNode:
		n.Kind = Array
		p.open[y] = true
		defer delete(p.open, y)
		for _, c := range y.Content {
			v, err := p.yaml(c, depth+1)
			if err != nil {
				return nil, err
			}
			n.Vals = append(n.Vals, v)
		}
	default:
		n.Value = p.scalar(y)
	}
	return n, nil
}

func (p *Reader) member(n *Node, key, val *yaml.Node, depth int) error {
	v, err := p.yaml(val, depth+1)
	if err != nil {
		return err
	}
	if key.ShortTag() == "!!merge" {
		p.merge(n, v)
		return nil
	}
	if key.Kind != yaml.ScalarNode {
		p.warn(key.Line, key.Column, "syntax.key", "a member name must be a string; the member is left out")
		return nil
	}
	if n.Get(key.Value) != nil {
		p.warn(key.Line, key.Column, "syntax.duplicate_key", "the member %q is repeated; the last one counts", key.Value)
	}
	v.Line, v.Column = key.Line, key.Column
	n.Set(key.Value, v)
	return nil
}

// merge applies a YAML merge key: members that are there already win.
func (p *Reader) merge(n, from *Node) {
	if from.Kind == Array {
		for _, f := range from.Vals {
			p.merge(n, f)
		}
		return
	}
	for i, k := range from.Keys {
		if n.Get(k) == nil {
			n.Set(k, from.Vals[i])
		}
	}
}

// number keeps a number that the schema compiler can compute with; any other becomes text.
func (p *Reader) number(s string, line, column int) any {
	if err := schema.Scan([]byte(s), schema.Limits{}); err != nil {
		p.warn(line, column, "syntax.number", "the number is too long or too large to compute with; it is taken as text")
		return s
	}
	return json.Number(s)
}

// scalar resolves a YAML scalar to JSON; dates stay the text they are.
func (p *Reader) scalar(y *yaml.Node) any {
	tag := y.ShortTag()
	if (tag == "!!int" || tag == "!!float") && json.Valid([]byte(y.Value)) {
		return p.number(y.Value, y.Line, y.Column)
	}
	switch tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(y.Value, "true")
	case "!!int":
		if i, err := strconv.ParseInt(y.Value, 0, 64); err == nil {
			return json.Number(strconv.FormatInt(i, 10))
		}
	case "!!float":
		if f, err := strconv.ParseFloat(strings.ReplaceAll(y.Value, "_", ""), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
		}
	}
	return y.Value
}

// jsonReader reads JSON token by token and keeps count of lines.
type jsonReader struct {
	p    *Reader
	src  []byte
	dec  *json.Decoder
	at   int
	line int
	// bol is the offset at which the line begins.
	bol int
}

func (j *jsonReader) text() (*Node, error) {
	n, err := j.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := j.dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is something after the document")
	}
	return n, nil
}

// place moves to where the next token begins and returns its line and column.
func (j *jsonReader) place() (int, int) {
	end := int(j.dec.InputOffset())
	for end < len(j.src) && strings.IndexByte(" \t\r\n,:", j.src[end]) >= 0 {
		end++
	}
	for ; j.at < end; j.at++ {
		if j.src[j.at] == '\n' {
			j.line++
			j.bol = j.at + 1
		}
	}
	return j.line, end - j.bol + 1
}

func (j *jsonReader) value(depth int) (*Node, error) {
	n := &Node{File: j.p.File}
	n.Line, n.Column = j.place()
	if err := j.p.count(depth, n.Line); err != nil {
		return nil, err
	}
	tok, err := j.dec.Token()
	if err != nil {
		return nil, err
	}
	d, isDelim := tok.(json.Delim)
	if !isDelim {
		n.Value = tok
		if num, ok := tok.(json.Number); ok {
			n.Value = j.p.number(string(num), n.Line, n.Column)
		}
		return n, nil
	}
	n.Kind = Array
	if d == '{' {
		n.Kind = Object
	}
	for j.dec.More() {
		if n.Kind == Object {
			if err := j.member(n, depth); err != nil {
				return nil, err
			}
			continue
		}
		v, err := j.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Vals = append(n.Vals, v)
	}
	_, err = j.dec.Token()
	return n, err
}

func (j *jsonReader) member(n *Node, depth int) error {
	line, column := j.place()
	tok, err := j.dec.Token()
	if err != nil {
		return err
	}
	key, ok := tok.(string)
	if !ok {
		return fmt.Errorf("a member name must be a string")
	}
	v, err := j.value(depth + 1)
	if err != nil {
		return err
	}
	if n.Get(key) != nil {
		j.p.warn(line, column, "syntax.duplicate_key", "the member %q is repeated; the last one counts", key)
	}
	v.Line, v.Column = line, column
	n.Set(key, v)
	return nil
}
