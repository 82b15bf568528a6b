package edi

import (
	"strings"
	"sync"

	"portway/internal/datafile"
)

// Guide is a compiled implementation guide of one transaction set in one version. It is immutable and
// safe for concurrent use.
type Guide struct {
	Format       string // "x12"
	Set          string // ST01, for example "945"
	Version      string // GS08 without industry suffix, for example "004010"
	FunctionalID string // GS01 that carries the set, for example "SW"
	Title        string
	root         node
	frames       sync.Pool // *[]frame, the working memory of Read
}

// node is one place of the structure: a segment, or a loop that its first segment opens.
type node struct {
	id        string
	key       string
	mandatory bool
	max       int
	loop      bool
	seg       *segmentDef
	children  []*node
}

// maxChildren is the number of places one loop can have; the reader keeps its counts in fixed arrays.
const maxChildren = 32

type segmentDef struct {
	elements []elementDef // by position; a place without name is not used
	shifts   []shift
}

// shift is a known misalignment: some senders put an extra empty element at position at.
type shift struct {
	at, element, longer int
}

type elementDef struct {
	name      string
	ref       string // X12 data element number, AK402
	kind      byte   // 'A' AN, 'I' ID, 'D' DT, 'T' TM, 'N' Nn, 'R' R
	implied   int    // decimal places of Nn
	min, max  int
	mandatory bool
	codes     map[string]bool
	list      string // the element is a member of the objects in this list
	opens     bool   // the element begins a new object of its list
}

type guideDoc struct {
	datafile.Head `yaml:",inline"`
	Format        datafile.Text                         `yaml:"format"`
	Set           datafile.Text                         `yaml:"set"`
	Version       datafile.Text                         `yaml:"version"`
	Functional    datafile.Text                         `yaml:"functional"`
	Title         datafile.Text                         `yaml:"title"`
	Segments      map[string]datafile.Lined[segmentDoc] `yaml:"segments"`
	Structure     []datafile.Lined[nodeDoc]             `yaml:"structure"`
}

type segmentDoc struct {
	Title    string                       `yaml:"title"`
	Elements []datafile.Lined[elementDoc] `yaml:"elements"`
	Shifts   []datafile.Lined[shiftDoc]   `yaml:"shifts"`
}

type elementDoc struct {
	Pos   int      `yaml:"pos"`
	Name  string   `yaml:"name"`
	Ref   string   `yaml:"ref"`
	Type  string   `yaml:"type"`
	Min   int      `yaml:"min"`
	Max   int      `yaml:"max"`
	Usage string   `yaml:"usage"`
	Codes []string `yaml:"codes"`
	List  string   `yaml:"list"`
}

type shiftDoc struct {
	At         int `yaml:"at"`
	Element    int `yaml:"element"`
	LongerThan int `yaml:"longerThan"`
}

type nodeDoc struct {
	Segment  string                    `yaml:"segment"`
	Loop     string                    `yaml:"loop"`
	Key      string                    `yaml:"key"`
	Usage    string                    `yaml:"usage"`
	Max      int                       `yaml:"max"`
	Contains []datafile.Lined[nodeDoc] `yaml:"contains"`
}

// LoadGuide compiles a guide document (kind: guide, schema: 1, format: x12). On any problem the guide is
// nil and every problem is listed, in the order of the lines.
func LoadGuide(file string, src []byte) (*Guide, datafile.Problems) {
	c := &guideCompiler{file: file}
	var doc guideDoc
	if problems := datafile.Decode(file, "guide", src, &doc); problems != nil {
		return nil, problems
	}
	g := c.compile(&doc)
	if len(c.problems) > 0 {
		return nil, c.problems.Sort()
	}
	return g, nil
}

type guideCompiler struct {
	file     string
	problems datafile.Problems
	segments map[string]*segmentDef
	used     map[string]bool
}

func (c *guideCompiler) add(line int, format string, args ...any) {
	c.problems.Add(c.file, max(line, 1), format, args...)
}

func (c *guideCompiler) compile(doc *guideDoc) *Guide {
	if doc.Format.Value != "x12" {
		c.add(doc.Format.Line, `format must be "x12"`)
	}
	if len(doc.Set.Value) != 3 || !digits(doc.Set.Value) {
		c.add(doc.Set.Line, "set must be the three digits of ST01, quoted")
	}
	if len(doc.Version.Value) != 6 || !digits(doc.Version.Value) {
		c.add(doc.Version.Line, "version must be the six digits of GS08, quoted")
	}
	if len(doc.Functional.Value) != 2 {
		c.add(doc.Functional.Line, "functional must be the two letters of GS01")
	}
	c.segments, c.used = map[string]*segmentDef{}, map[string]bool{}
	for id, d := range doc.Segments {
		if !segmentID(id) {
			c.add(d.Line, "%q is not a segment identifier", id)
		}
		c.segments[id] = c.segment(id, &d.Value)
	}
	if len(doc.Structure) == 0 {
		c.add(1, "structure is missing")
	}
	g := &Guide{Format: "x12", Set: doc.Set.Value, Version: doc.Version.Value,
		FunctionalID: doc.Functional.Value, Title: doc.Title.Value}
	g.root = node{id: "ST", loop: true, max: 1, children: c.nodes(doc.Structure, 1)}
	for id, d := range doc.Segments {
		if !c.used[id] {
			c.add(d.Line, "segment %s is defined but not part of the structure", id)
		}
	}
	return g
}

func (c *guideCompiler) nodes(docs []datafile.Lined[nodeDoc], depth int) []*node {
	if len(docs) > maxChildren {
		c.add(docs[0].Line, "a loop can have %d places at most", maxChildren)
		return nil
	}
	if depth > 8 {
		c.add(docs[0].Line, "loops can be nested eight deep at most")
		return nil
	}
	keys := map[string]bool{}
	out := make([]*node, 0, len(docs))
	for i := range docs {
		d, line := &docs[i].Value, docs[i].Line
		n := &node{id: d.Segment, key: d.Key, mandatory: d.Usage == "M", max: d.Max}
		if d.Loop != "" {
			n.id, n.loop = d.Loop, true
		}
		switch {
		case (d.Segment == "") == (d.Loop == ""):
			c.add(line, "give either segment or loop")
		case c.segments[n.id] == nil:
			c.add(line, "segment %s is not defined under segments", n.id)
		case d.Segment != "" && len(d.Contains) > 0:
			c.add(line, "only a loop can have contains")
		}
		n.seg = c.segments[n.id]
		c.used[n.id] = true
		if d.Usage != "M" && d.Usage != "O" {
			c.add(line, "usage of %s must be M or O", n.id)
		}
		if d.Max < 1 {
			c.add(line, "max of %s must be at least 1", n.id)
		}
		if n.key == "" {
			n.key = strings.ToLower(n.id)
		}
		if keys[n.key] || strings.HasPrefix(n.key, "_") {
			c.add(line, "key %q is used twice in one loop or begins with _", n.key)
		}
		keys[n.key] = true
		if len(d.Contains) > 0 {
			n.children = c.nodes(d.Contains, depth+1)
			c.clashes(n, line)
		}
		out = append(out, n)
	}
	return out
}

// clashes finds element names of a loop's first segment that are also keys of places in the loop.
func (c *guideCompiler) clashes(n *node, line int) {
	if n.seg == nil {
		return
	}
	for _, child := range n.children {
		for _, e := range n.seg.elements {
			if e.name == child.key && e.list == "" || e.list == child.key {
				c.add(line, "key %q is also an element of %s", child.key, n.id)
			}
		}
	}
}

func (c *guideCompiler) segment(id string, d *segmentDoc) *segmentDef {
	s := &segmentDef{}
	names, first := map[string]bool{}, map[string]string{}
	for i := range d.Elements {
		e, line := &d.Elements[i].Value, d.Elements[i].Line
		if e.Pos < 1 || e.Pos > 99 {
			c.add(line, "pos must be 1 to 99")
			continue
		}
		for len(s.elements) < e.Pos {
			s.elements = append(s.elements, elementDef{})
		}
		if s.elements[e.Pos-1].name != "" {
			c.add(line, "%s has two elements at position %d", id, e.Pos)
		}
		def := c.element(id, e, line)
		if e.List != "" {
			if first[e.List] == "" {
				first[e.List] = e.Name
			}
			def.opens = first[e.List] == e.Name
		} else if names[e.Name] {
			c.add(line, "%s has two elements named %q", id, e.Name)
		}
		names[e.Name] = names[e.Name] || e.List == ""
		s.elements[e.Pos-1] = def
	}
	for _, sh := range d.Shifts {
		if sh.Value.At < 1 || sh.Value.Element <= sh.Value.At || sh.Value.LongerThan < 1 {
			c.add(sh.Line, "a shift needs at, element (behind at) and longerThan")
		}
		s.shifts = append(s.shifts, shift{at: sh.Value.At, element: sh.Value.Element, longer: sh.Value.LongerThan})
	}
	return s
}

func (c *guideCompiler) element(id string, e *elementDoc, line int) elementDef {
	def := elementDef{name: e.Name, ref: e.Ref, min: e.Min, max: e.Max, mandatory: e.Usage == "M", list: e.List}
	if e.Name == "" || strings.HasPrefix(e.Name, "_") || strings.ContainsAny(e.Name, ". []\"") {
		c.add(line, "element %d of %s needs a plain name", e.Pos, id)
	}
	if e.Usage != "M" && e.Usage != "O" {
		c.add(line, "usage of %s-%02d must be M or O", id, e.Pos)
	}
	if e.Min < 1 || e.Max < e.Min {
		c.add(line, "min and max of %s-%02d are not lengths", id, e.Pos)
	}
	switch {
	case e.Type == "AN" || e.Type == "ID" || e.Type == "R":
		def.kind = e.Type[0]
	case e.Type == "DT" || e.Type == "TM":
		def.kind = e.Type[0]
	case len(e.Type) == 2 && e.Type[0] == 'N' && e.Type[1] >= '0' && e.Type[1] <= '9':
		def.kind, def.implied = 'N', int(e.Type[1]-'0')
	default:
		c.add(line, "type of %s-%02d must be AN, ID, DT, TM, R or N0 to N9", id, e.Pos)
	}
	for _, code := range e.Codes {
		if def.codes == nil {
			def.codes = map[string]bool{}
		}
		def.codes[code] = true
	}
	return def
}

// segmentID reports whether id has the form of a segment identifier: two or three of A-Z and 0-9,
// beginning with a letter.
func segmentID(id string) bool {
	if len(id) < 2 || len(id) > 3 || id[0] < 'A' || id[0] > 'Z' {
		return false
	}
	for i := 1; i < len(id); i++ {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
