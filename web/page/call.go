package page

import (
	"strings"
	"time"

	"portway/web/component"
	"portway/web/format"
)

// Call is the record of one call.
type Call struct {
	CallRow
	Organisation, Application string
	// List is the address of the list of calls.
	List string
	// Detail is the sentence the caller got, "" for a call that went through.
	Detail string
	// Help says what the caller can do about the problem.
	Help string
	// Violations are the places that break the contract; Violated counts them all when the list is capped.
	Violations []Violation
	Violated   int
	Trail      component.Trail
	// Upstream is the time spent waiting for a backend.
	Upstream time.Duration
	// Facts are what else is known, in order; empty values are left out.
	Facts []Fact
	// OperationHref is the operation in the reference, "" when none matched.
	OperationHref string
}

// Violation is one place where a call breaks its contract. It never holds the offending value.
type Violation struct {
	// In is "body", "query", "path", "header" or "document"; Pointer a JSON Pointer, a parameter name or "segment/element".
	In, Pointer string
	// Keyword is the check that failed, Expected says what fits.
	Keyword, Expected string
}

// Fact is a name and a value of the record.
type Fact struct {
	Label, Value string
	// Mono sets the value in the code face.
	Mono bool
}

func (v Call) violated() int { return max(v.Violated, len(v.Violations)) }

// name is what was called, for a sentence.
func (v Call) name() string {
	if v.Operation != "" {
		return v.Operation
	}
	if v.Path == "" {
		return v.Method + " of an address that is not ours"
	}
	return v.Method + " " + v.Path
}

// Title is the finding: what happened to the call.
func (v Call) Title() string {
	name := v.name()
	switch {
	case v.Status == 0:
		return name + ": you left before the answer"
	case v.Problem.Code != "" && v.violated() > 0:
		what, verb := "place", " does not fit"
		if v.Violations != nil && v.Violations[0].In != "body" && v.Violations[0].In != "document" {
			what = "parameter"
		}
		if v.violated() > 1 {
			verb = " do not fit"
		}
		return name + ": " + format.WordCounted(v.violated(), what, what+"s") + verb
	case v.Problem.Code != "":
		return name + ": " + lowerFirst(v.Problem.Title)
	case v.Status == 202:
		return name + ": accepted in " + format.Duration(v.Duration)
	case v.failed():
		return name + ": the answer was " + component.StatusBadge(v.Status, false).Word
	default:
		return name + ": answered in " + format.Duration(v.Duration)
	}
}

// lowerFirst makes a title the end of a sentence; abbreviations such as EDI keep their capitals.
func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] < 'A' || s[1] > 'Z') {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// where says what took the time.
func (v Call) where() string {
	switch {
	case v.Upstream <= 0:
		return "all in the gateway"
	default:
		return format.Duration(v.Duration-v.Upstream) + " in the gateway"
	}
}

// passed says whether the call reached a backend.
func (v Call) passed() string {
	switch {
	case v.Problem.Code == "":
		return ""
	case v.Upstream > 0:
		return "after it was passed on"
	default:
		return "not passed on"
	}
}

// result is the head of the trail: "stopped at 5 of 8".
func (v Call) result() string {
	n := len(v.Trail.Stages)
	for i, s := range v.Trail.Stages {
		if s.State == component.Failed {
			return "stopped at " + format.Count(i+1) + " of " + format.Count(n)
		}
	}
	return "all " + format.Count(n) + " passed"
}

func (v Call) crumbs() []component.Link {
	return []component.Link{{Label: "Calls", Href: v.List}, {Label: format.Number(v.Number)}}
}

func (v Call) cells() []component.Cell {
	operation := component.Cell{Label: "Operation", Value: v.Method + " " + v.Path, Mono: true, Sub: v.Operation}
	if v.Version != "" && v.Operation != "" {
		operation.Sub = v.Operation + ", " + v.Version
	}
	return []component.Cell{
		{Label: "Request", Value: format.Number(v.Number), Mono: true, Boxed: true, Full: v.ID},
		{Label: "Received", Value: format.Instant(v.At), Sub: "UTC", Time: v.At},
		{Label: "Application", Value: v.Application, Sub: strings.TrimPrefix(v.Organisation+", "+v.Environment, ", ")},
		operation,
		{Label: "Answer", Badge: component.StatusBadge(v.Status, true), Sub: v.passed()},
		{Label: "Time", Value: format.Duration(v.Duration), Sub: v.where()},
	}
}

func (v Call) facts() []Fact {
	out := []Fact{{"Request id", v.ID, true}}
	for _, f := range v.Facts {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

func (v Call) violationCount() string {
	n, all := len(v.Violations), v.violated()
	if n < all {
		return "the first " + format.Count(n) + " of " + format.Count(all)
	}
	return format.Counted(all, "place", "places")
}

// badge is what kind of misfit it is, in a word.
func (x Violation) badge() component.Badge {
	word := "Does not fit"
	switch x.Keyword {
	case "required", "dependentRequired":
		word = "Missing"
	case "type":
		word = "Wrong kind"
	case "additionalProperties", "unevaluatedProperties", "unknown":
		word = "Not known"
	case "enum", "const":
		word = "Not in the list"
	case "format", "pattern":
		word = "Wrong form"
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		word = "Out of range"
	case "minLength", "maxLength", "minItems", "maxItems":
		word = "Wrong length"
	}
	return component.Badge{Tone: component.Bad, Icon: component.IconOctagon, Word: word}
}

// place is the pointer; the empty pointer is the whole body (RFC 6901 section 5).
func (x Violation) place() string {
	if x.Pointer == "" {
		return "/"
	}
	return x.Pointer
}

func (x Violation) where() string {
	switch x.In {
	case "query", "header", "path":
		return "the " + x.In
	case "document":
		return "the document"
	default:
		return "the body"
	}
}
