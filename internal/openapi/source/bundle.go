package source

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// bundler pulls every referenced document into components and takes out the references that lead nowhere.
type bundler struct {
	p     *Reader
	refs  map[string][]byte
	limit int
	root  *Node
	docs  map[string]*Node
	names map[string]string
	// ids are the $id values of embedded schemas; references to them are left to the schema compiler.
	ids map[string]bool
	// broken is true once a reference was taken out; lost, if that happened in this pass.
	broken, lost bool
	// dead are the imported components (bucket, name) that turned out to be references to nowhere.
	dead   [][2]string
	walked map[*Node]bool
	// inside is true while the references being resolved stand inside a schema: what they describe is then not
	// checked, but the operation can be built. Elsewhere a lost reference costs the operation.
	inside bool
}

// MaxHops bounds a chain of references.
const MaxHops = 32

// Bundle makes every reference of the OpenAPI document root local: what they point to in other documents, given in refs
// by URL or by file name relative to the Reader's File and at most limit bytes long, becomes a component. References
// that lead nowhere become findings of the Reader and are taken out; Bundle then returns true if one stood where it
// costs an operation, and marks the nodes that held it as Broken.
func Bundle(p *Reader, root *Node, refs map[string][]byte, limit int) bool {
	b := &bundler{p: p, refs: refs, limit: limit, root: root, docs: map[string]*Node{}, names: map[string]string{},
		ids: map[string]bool{}, walked: map[*Node]bool{}}
	b.collectIDs(root)
	b.walk(root, placeRoot, "", "")
	// What was taken out may have been the target of another reference.
	for b.lost = b.broken; b.lost; {
		b.lost = false
		for _, d := range b.dead {
			b.root.Get("components").Get(d[0]).Remove(d[1])
		}
		b.dead, b.walked = nil, map[*Node]bool{}
		b.walk(root, placeRoot, "", "")
	}
	return b.broken
}

func (b *bundler) collectIDs(n *Node) {
	if id := n.Get("$id").Text(); id != "" {
		b.ids[id] = true
	}
	for _, v := range n.Vals {
		if v.Kind != Scalar {
			b.collectIDs(v)
		}
	}
}

// walk visits n, which is an object at pl, came from the document base, and stands at the pointer where.
func (b *bundler) walk(n *Node, pl place, base, where string) {
	if pl == placeNone || n.Kind == Scalar || b.walked[n] {
		return
	}
	b.walked[n] = true
	var lost []int
	for i, v := range n.Vals {
		key := strconv.Itoa(i)
		if n.Kind == Object {
			key = n.Keys[i]
		}
		child := pl.member(key)
		at := where + "/" + EscapeToken(key)
		if child.holdsReference() {
			outer := b.inside
			b.inside = b.insideSchema(n, pl)
			ref := v.Get("$ref")
			arrives := ref == nil || ref.Kind != Scalar || b.reference(v, ref, child, base, at)
			b.inside = outer
			if !arrives {
				lost = append(lost, i)
				continue
			}
		}
		b.walk(v, child, base, at)
	}
	for i := len(lost) - 1; i >= 0; i-- {
		b.takeOut(n, lost[i], pl)
	}
}

// insideSchema reports whether the members of n, an object at pl, are parts of a schema.
func (b *bundler) insideSchema(n *Node, pl place) bool {
	if pl == placeSchema || pl == placeSchemaList {
		return true
	}
	return pl == placeSchemaMap && n != b.root.Get("components").Get("schemas")
}

// takeOut removes an entry whose reference leads nowhere. Inside a schema, one that admits everything takes its place.
func (b *bundler) takeOut(n *Node, i int, pl place) {
	b.lost = true
	if b.insideSchema(n, pl) {
		n.Vals[i] = &Node{Kind: Object, Line: n.Vals[i].Line, Column: n.Vals[i].Column, File: n.Vals[i].File}
		return
	}
	n.Broken, b.broken = true, true
	if n.Kind == Object {
		n.Remove(n.Keys[i])
		return
	}
	n.Vals = append(n.Vals[:i:i], n.Vals[i+1:]...)
}

// reference resolves one reference and rewrites it to be local. It returns false if it leads nowhere.
func (b *bundler) reference(holder, ref *Node, pl place, base, where string) bool {
	text := ref.Text()
	doc, fragment, err := splitReference(base, text)
	if err != nil {
		b.unresolved(ref, where, text, "is not a reference")
		return false
	}
	if doc != "" && doc == path.Base(b.p.File) {
		doc = ""
	}
	if doc == "" && base == "" {
		if fragment != "" && fragment[0] != '/' || b.ids[strings.SplitN(text, "#", 2)[0]] {
			return true
		}
		if _, ok := b.root.At(fragment); !ok || b.loops(holder) {
			b.unresolved(ref, where, text, "leads nowhere in this document")
			return false
		}
		if pl == placePathItem {
			return b.inline(holder, fragment)
		}
		return true
	}
	if b.ids[strings.SplitN(text, "#", 2)[0]] {
		return true
	}
	key := doc + "#" + fragment + " " + string(pl)
	if name, ok := b.names[key]; ok {
		rewrite(ref, pl, name)
		return name != ""
	}
	target, why := b.external(doc, fragment)
	if target == nil {
		b.unresolved(ref, where, text, why)
		return false
	}
	target = target.clone()
	if pl == placePathItem {
		b.replace(holder, target)
		b.walk(holder, pl, doc, where)
		return true
	}
	name := b.freeName(pl, doc, fragment)
	b.names[key] = name
	b.add(pl, name, target)
	rewrite(ref, pl, name)
	at := "/components/" + string(pl) + "/" + EscapeToken(name)
	if inner := target.Get("$ref"); inner != nil && inner.Kind == Scalar {
		if !b.reference(target, inner, pl, doc, at) || b.loops(target) {
			b.names[key] = ""
			b.dead = append(b.dead, [2]string{string(pl), name})
			return false
		}
		return true
	}
	b.walk(target, pl, doc, at)
	return true
}

func (b *bundler) unresolved(ref *Node, where, text, why string) {
	f := Finding{File: ref.File, Line: ref.Line, Column: ref.Column, Severity: SeverityError,
		Rule: "reference.unresolved", Where: where, Message: fmt.Sprintf("the reference %q %s", text, why)}
	if b.inside {
		f.Severity = SeverityWarning
		f.Message += "; what it describes is not checked"
	}
	b.p.Findings = append(b.p.Findings, f)
}

// loops reports whether a chain of local references starting at holder never arrives.
func (b *bundler) loops(holder *Node) bool {
	n := holder
	for range MaxHops {
		ref := n.Get("$ref")
		text := ref.Text()
		if ref == nil || !strings.HasPrefix(text, "#/") {
			return false
		}
		fragment, err := url.PathUnescape(text[1:])
		if err != nil {
			return false
		}
		next, ok := b.root.At(fragment)
		if !ok {
			return false
		}
		n = next
	}
	return true
}

// inline replaces a local reference to a path item by its content: OpenAPI 3.0 has no component for it.
func (b *bundler) inline(holder *Node, fragment string) bool {
	target, _ := b.root.At(fragment)
	for hops := 0; target.Get("$ref") != nil; hops++ {
		next, ok := b.root.At(strings.TrimPrefix(target.Get("$ref").Text(), "#"))
		if !ok || hops > MaxHops {
			return false
		}
		target = next
	}
	b.replace(holder, target.clone())
	return true
}

// replace puts the members of target where holder has none, in place of its reference.
func (b *bundler) replace(holder, target *Node) {
	holder.Remove("$ref")
	for i, k := range target.Keys {
		if holder.Get(k) == nil {
			holder.Set(k, target.Vals[i])
		}
	}
}

// rewrite makes a reference point at an imported component.
func rewrite(ref *Node, pl place, name string) {
	ref.Value = "#/components/" + string(pl) + "/" + EscapeToken(name)
}

// external finds a target in another document, or says why not.
func (b *bundler) external(doc, fragment string) (*Node, string) {
	root, ok := b.docs[doc]
	if doc == "" {
		root, ok = b.root, true
	}
	if !ok {
		src, given := b.refs[doc]
		if !given {
			return nil, "leads to another document, which is not fetched; give it as an offline reference"
		}
		if len(src) > b.limit {
			return nil, fmt.Sprintf("leads to a document of more than %d bytes", b.limit)
		}
		p := *b.p
		p.File, p.Findings = doc, nil
		parsed, err := p.Parse(src)
		b.p.nodes = p.nodes
		if err != nil {
			return nil, fmt.Sprintf("leads to a document that cannot be read: %v", err)
		}
		root, b.docs[doc] = parsed, parsed
	}
	n, found := root.At(fragment)
	if !found || fragment != "" && fragment[0] != '/' {
		return nil, "leads nowhere in that document"
	}
	return n, ""
}

func (b *bundler) add(pl place, name string, n *Node) {
	components := b.root.Get("components")
	if components == nil || components.Kind != Object {
		components = &Node{Kind: Object}
		b.root.Set("components", components)
	}
	bucket := components.Get(string(pl))
	if bucket == nil || bucket.Kind != Object {
		bucket = &Node{Kind: Object}
		components.Set(string(pl), bucket)
	}
	bucket.Set(name, n)
}

// freeName names an imported component after its last pointer token, or its file, and makes it unique.
func (b *bundler) freeName(pl place, doc, fragment string) string {
	name := fragment[strings.LastIndexByte(fragment, '/')+1:]
	if name == "" {
		name = strings.TrimSuffix(path.Base(doc), path.Ext(doc))
	}
	name = regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(name, "_")
	bucket := b.root.Get("components").Get(string(pl))
	for i, free := 2, name; ; i++ {
		if bucket.Get(free) == nil {
			return free
		}
		free = name + "_" + strconv.Itoa(i)
	}
}

// splitReference resolves ref against the document base ("" is the main one) and splits off the decoded fragment.
func splitReference(base, ref string) (doc, fragment string, err error) {
	u, err := url.Parse(ref)
	if err != nil {
		return "", "", err
	}
	fragment = u.Fragment
	u.Fragment, u.RawFragment = "", ""
	if u.String() == "" {
		return base, fragment, nil
	}
	if b, err := url.Parse(base); err == nil && b.Scheme != "" {
		return b.ResolveReference(u).String(), fragment, nil
	}
	if u.Scheme != "" || u.Host != "" {
		return u.String(), fragment, nil
	}
	if strings.HasPrefix(u.Path, "/") {
		return path.Clean(u.Path), fragment, nil
	}
	return path.Join(path.Dir(base), u.Path), fragment, nil
}

// EscapeToken escapes one token of a JSON Pointer (RFC 6901 section 3).
func EscapeToken(s string) string {
	if !strings.ContainsAny(s, "~/") {
		return s
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
