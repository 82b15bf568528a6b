package edi

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"

	"portway/internal/problem"
)

// Document is a transaction set read by a guide.
type Document struct {
	// Tree holds the named values: objects are map[string]any, repeating places []any, every leaf a string.
	// Segments the guide does not know are under "_unmapped" as {segment, position, elements}.
	Tree     map[string]any
	Errors   []SetError // what a 997 reports, by position; empty when the set is syntactically good
	Warnings []Warning  // what was read over

	guide  *Guide
	set    *Set
	locate sync.Once
	where  map[string]place
}

type place struct{ segment, element int }

// SetError is one AK3 of the 997: a segment with its error code, and the elements at fault.
type SetError struct {
	SegmentID string // AK301
	Position  int    // AK302: ST is 1
	Loop      string // AK303, the loop identifier where there is one
	Code      string // AK304, element 720: 1, 2, 3, 4, 5, 8
	Elements  []ElementError
}

// ElementError is one AK4 of the 997.
type ElementError struct {
	Position int    // AK401
	Ref      string // AK402, data element number, "" when the guide names none
	Code     string // AK403, element 723: 1, 4, 5, 6, 7, 8, 9
}

// maxSetErrors bounds what one 997 lists: a sender that broke more fixes these first.
const maxSetErrors = 500

var segmentMessages = map[string]string{
	"1": "segment identifier is not recognised",
	"3": "mandatory segment is missing",
	"4": "loop occurs more often than the guide allows",
	"5": "segment occurs more often than the guide allows",
	"8": "segment has data element errors",
}

var elementMessages = map[string]string{
	missingElement:   "mandatory element is missing",
	tooShort:         "value is too short",
	tooLong:          "value is too long",
	invalidCharacter: "value has an invalid character",
	invalidCode:      "value is not a code of the list",
	invalidDate:      "value is not a date",
	invalidTime:      "value is not a time",
}

// Violations renders the error for problem bodies: In "document", Pointer "segment" or "segment/element"
// with ST as segment 1.
func (e *SetError) Violations() []problem.Violation {
	if len(e.Elements) == 0 {
		return []problem.Violation{{In: "document", Pointer: strconv.Itoa(e.Position), Keyword: "AK3/" + e.Code,
			Message: fmt.Sprintf("segment %d %s: %s", e.Position, e.SegmentID, segmentMessages[e.Code])}}
	}
	out := make([]problem.Violation, len(e.Elements))
	for i, x := range e.Elements {
		out[i] = problem.Violation{In: "document", Pointer: strconv.Itoa(e.Position) + "/" + strconv.Itoa(x.Position), Keyword: "AK4/" + x.Code,
			Message: fmt.Sprintf("segment %d %s element %d: %s", e.Position, e.SegmentID, x.Position, elementMessages[x.Code])}
	}
	return out
}

// Read reads a set by the guide. It never fails: what breaks the guide is in Errors, what was read over in
// Warnings, and the tree holds everything that could be read.
func (g *Guide) Read(set *Set) *Document {
	d := &Document{guide: g, set: set}
	r := reader{doc: d, w: &warnings{}}
	r.run(&g.root, set)
	d.Warnings = r.w.list
	sort.SliceStable(d.Errors, func(i, j int) bool { return d.Errors[i].Position < d.Errors[j].Position })
	return d
}

// Source returns where the value at path ("lx[0].w12[1].shipped") came from: the segment's position in the
// set (ST is 1) and the element (0 for a whole segment or loop). A path that was not sent gives the nearest
// enclosing place that was.
func (d *Document) Source(path string) (segment, element int, ok bool) {
	d.locate.Do(func() {
		shadow := &Document{guide: d.guide, set: d.set}
		r := reader{doc: shadow, w: &warnings{}, where: map[string]place{}}
		r.run(&d.guide.root, d.set)
		d.where = r.where
	})
	path = strings.TrimPrefix(path, ".")
	for path != "" {
		if p, found := d.where[path]; found {
			return p.segment, p.element, true
		}
		i := strings.LastIndexAny(path, ".[")
		path = path[:max(i, 0)]
	}
	return 0, 0, false
}

// Locate is Source as people read it: "segment 14 (W12-03)", or "" when nothing is known.
func (d *Document) Locate(path string) string {
	segment, element, ok := d.Source(path)
	if !ok || segment < 1 || segment > len(d.set.Segments) {
		return ""
	}
	id := d.set.Segments[segment-1].ID
	if element == 0 {
		return fmt.Sprintf("segment %d (%s)", segment, id)
	}
	return fmt.Sprintf("segment %d (%s-%02d)", segment, id, element)
}

// frame is one open loop. ends holds, per place, the position of the last segment that belongs to it.
type frame struct {
	n      *node
	child  int // index of the loop in the frame around it
	start  int // position of the segment that opened the loop
	at     int
	tree   map[string]any
	path   string
	counts [maxChildren]int32
	ends   [maxChildren]int32
	lists  [maxChildren][]any
}

type reader struct {
	doc    *Document
	w      *warnings
	frames []frame
	where  map[string]place // only when positions are wanted
}

func (r *reader) run(root *node, set *Set) {
	r.doc.Tree = make(map[string]any, 8)
	pooled, _ := r.doc.guide.frames.Get().(*[]frame)
	if pooled == nil {
		pooled = &[]frame{}
	}
	r.frames = append((*pooled)[:0], frame{n: root, tree: r.doc.Tree, start: 1})
	segs := set.Segments
	if n := len(segs); n > 0 && segs[n-1].ID == "SE" {
		segs = segs[:n-1]
	}
	for i := 1; i < len(segs); i++ {
		r.place(&segs[i], i+1)
	}
	for len(r.frames) > 0 {
		r.close()
	}
	*pooled = r.frames
	r.doc.guide.frames.Put(pooled)
}

// place finds the segment's place: forward from the current place in the innermost loop, then in the loops
// around it; failing that, an earlier place, with a warning, because the order of header segments is the
// most common departure and changes no meaning.
func (r *reader) place(seg *Segment, pos int) {
	for f := len(r.frames) - 1; f >= 0; f-- {
		fr := &r.frames[f]
		for c := fr.at; c < len(fr.n.children); c++ {
			if fr.n.children[c].id == seg.ID {
				r.put(f, c, seg, pos)
				return
			}
		}
	}
	for f := len(r.frames) - 1; f >= 0; f-- {
		fr := &r.frames[f]
		for c := fr.at - 1; c >= 0; c-- {
			if fr.n.children[c].id == seg.ID {
				r.w.add(pos, seg.Offset, seg.ID+" is not in the guide's order; it was read all the same")
				r.put(f, c, seg, pos)
				return
			}
		}
	}
	if !segmentID(seg.ID) {
		r.fail(SetError{SegmentID: clip(seg.ID), Position: pos, Code: "1"})
		return
	}
	r.w.add(pos, seg.Offset, seg.ID+" is not in the guide; it was kept under _unmapped")
	elements := make([]any, len(seg.Elements))
	for i, e := range seg.Elements {
		elements[i] = strings.ToValidUTF8(e, "\ufffd")
	}
	list, _ := r.doc.Tree["_unmapped"].([]any)
	r.doc.Tree["_unmapped"] = append(list, map[string]any{"segment": seg.ID, "position": strconv.Itoa(pos), "elements": elements})
}

func clip(id string) string {
	out := []byte{}
	for i := 0; i < len(id) && len(out) < 3; i++ {
		if alphanumeric(id[i]) {
			out = append(out, id[i])
		}
	}
	if len(out) == 0 {
		return "ZZ" // AK301 is mandatory and nothing of the identifier can be repeated
	}
	return string(out)
}

// put stores the segment at child c of frame f, after closing the loops inside it.
func (r *reader) put(f, c int, seg *Segment, pos int) {
	for len(r.frames)-1 > f {
		r.close()
	}
	fr := &r.frames[f]
	n := fr.n.children[c]
	fr.at = max(fr.at, c)
	fr.ends[c] = int32(pos)
	fr.counts[c]++
	if int(fr.counts[c]) == n.max+1 {
		code := "5"
		if n.loop {
			code = "4"
		}
		r.fail(SetError{SegmentID: seg.ID, Position: pos, Loop: loopID(n), Code: code})
	}
	path := ""
	if r.where != nil {
		path = join(fr.path, n.key)
		if n.max > 1 {
			path += "[" + strconv.Itoa(len(fr.lists[c])) + "]"
		}
		r.where[path] = place{segment: pos}
	}
	obj := r.values(n, seg, pos, path)
	if n.max > 1 {
		fr.lists[c] = append(fr.lists[c], obj)
	} else {
		fr.tree[n.key] = obj
	}
	if n.loop && len(n.children) > 0 {
		r.frames = append(r.frames, frame{n: n, child: c, tree: obj, path: path, start: pos})
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func loopID(n *node) string {
	if n.loop {
		return n.id
	}
	return ""
}

// close ends the innermost loop: its lists become part of the tree, and mandatory places that stayed empty
// are reported at the position where they were due.
func (r *reader) close() {
	fr := &r.frames[len(r.frames)-1]
	for c, n := range fr.n.children {
		if fr.lists[c] != nil {
			fr.tree[n.key] = fr.lists[c]
		}
		if n.mandatory && fr.counts[c] == 0 {
			r.fail(SetError{SegmentID: n.id, Position: fr.end(c) + 1, Loop: loopID(n), Code: "3"})
		}
	}
	child, end := fr.child, fr.end(len(fr.n.children))
	*fr = frame{} // the frames are used again
	r.frames = r.frames[:len(r.frames)-1]
	if n := len(r.frames); n > 0 {
		r.frames[n-1].ends[child] = int32(end)
	}
}

// end is the position of the last segment before place c of the loop.
func (fr *frame) end(c int) int {
	last := fr.start
	for i := 0; i < c; i++ {
		last = max(last, int(fr.ends[i]))
	}
	return last
}

func (r *reader) fail(e SetError) {
	if len(r.doc.Errors) < maxSetErrors {
		r.doc.Errors = append(r.doc.Errors, e)
	}
}

// values reads the elements of a segment into an object.
func (r *reader) values(n *node, seg *Segment, pos int, path string) map[string]any {
	def := n.seg
	obj := make(map[string]any, min(len(seg.Elements), 8)) // beyond eight, Go's map allocates a table
	skip := r.shift(def, seg, pos)
	var wrong []ElementError
	var list []any // the list being filled, under the name listName
	listName := ""
	for i := range def.elements {
		d := &def.elements[i]
		if d.name == "" {
			continue
		}
		at := i + 1
		if skip > 0 && at >= skip {
			at++
		}
		raw := seg.Element(at)
		if raw == "" {
			if d.mandatory {
				wrong = append(wrong, ElementError{Position: at, Ref: d.ref, Code: missingElement})
			}
			continue
		}
		v, code, latin := d.check(raw)
		if latin {
			r.w.add(pos, seg.OffsetOf(at), "text is not UTF-8; it was read as Latin-1")
		}
		if v == "" && d.mandatory && code == "" {
			code = missingElement
		}
		if code != "" {
			wrong = append(wrong, ElementError{Position: at, Ref: d.ref, Code: code})
			v = strings.ToValidUTF8(v, "\ufffd")
		}
		if v == "" {
			continue
		}
		if d.list == "" {
			obj[d.name] = v
			if r.where != nil {
				r.where[path+"."+d.name] = place{segment: pos, element: at}
			}
			continue
		}
		if d.list != listName {
			if listName != "" {
				obj[listName] = list
			}
			listName = d.list
			list, _ = obj[listName].([]any)
		}
		if d.opens || len(list) == 0 {
			list = append(list, make(map[string]any, 2))
		}
		list[len(list)-1].(map[string]any)[d.name] = v
		if r.where != nil {
			r.where[path+"."+d.list+"["+strconv.Itoa(len(list)-1)+"]."+d.name] = place{segment: pos, element: at}
		}
	}
	if listName != "" {
		obj[listName] = list
	}
	for i := len(def.elements) + min(skip, 1); i < len(seg.Elements); i++ {
		if seg.Elements[i] != "" {
			r.w.add(pos, seg.OffsetOf(i+1), fmt.Sprintf("%s-%02d is not in the guide; it was ignored", seg.ID, i+1))
		}
	}
	if wrong != nil {
		r.fail(SetError{SegmentID: seg.ID, Position: pos, Loop: loopID(n), Code: "8", Elements: wrong})
	}
	return obj
}

// shift returns the position of an extra empty element the guide knows of, 0 for none.
func (r *reader) shift(def *segmentDef, seg *Segment, pos int) int {
	for _, s := range def.shifts {
		if seg.Element(s.at) == "" && len(seg.Element(s.element)) > s.longer {
			r.w.add(pos, seg.OffsetOf(s.at), fmt.Sprintf("%s has an extra empty element %d; the elements behind it were read one place earlier", seg.ID, s.at))
			return s.at
		}
	}
	return 0
}
