package page

import (
	"strconv"
	"strings"
	"time"

	"portway/web/component"
	"portway/web/format"
)

// SafeHTML is markup the caller has rendered and sanitised itself (goldmark, then bluemonday).
// It is the only thing a page shows unescaped; never convert a partner's text to it.
type SafeHTML string

// Reference is the documentation of one version of one API.
type Reference struct {
	// Slug is the name in paths, API the one people read, Version "v2".
	Slug, API, Version string
	// Summary is one sentence; Description, sanitised markup, may be empty.
	Summary     string
	Description SafeHTML
	Lifecycle   component.Lifecycle
	// Catalogue is the address of the catalogue, Overview of this version's page without a chosen operation.
	Catalogue, Overview string
	// Versions are all versions of the API, newest first; the current one has an empty Href.
	Versions []component.Link
	// Deprecation is nil unless the version is deprecated or retired.
	Deprecation *Deprecation
	// Servers are the addresses by environment.
	Servers []Server
	// Document is the address of the OpenAPI document, "" if it is not served.
	Document string
	// Application and Plan name whose limits these are.
	Application, Plan string
	Limits            []Limit
	Groups            []OperationGroup
	// Selected is the ID of the one operation to show; "" shows the version and all operations,
	// or a list of them when they are too many for one page.
	Selected string
}

// Server is the base address of an environment.
type Server struct {
	Environment, URL string
}

// Deprecation says what goes away, when, and what to do.
type Deprecation struct {
	Since, Sunset time.Time
	// Now decides how many days are left.
	Now time.Time
	// Calls are the application's calls in 30 days, CallsByDay their course, oldest first.
	Calls      int
	CallsByDay []int
	// Successor leads to the version that replaces this one.
	Successor component.Link
	// Changes says what is different ("3 breaking, 2 additions"); Diff shows up to six lines of it.
	Changes string
	Diff    []DiffLine
	// FullDiff is the address of the whole comparison, "" if there is none.
	FullDiff string
	// Retired is set once calls are refused.
	Retired bool
}

// DiffLine is one line of a comparison.
type DiffLine struct {
	// Added is the sign: true "+", false "-".
	Added bool
	Text  string
}

// Limit is one limit of the application's plan.
type Limit struct {
	// Label is "Rate", Value "20", Unit "per second".
	Label, Value, Unit string
	// Used of Max draws the bar; Max 0 draws none.
	Used, Max float64
	// Note is the line below: "304,118 used".
	Note string
}

// OperationGroup is the operations of one tag.
type OperationGroup struct {
	Name       string
	Operations []Operation
}

// Operation is one operation of the version.
type Operation struct {
	// ID is the operationId; it is also the anchor on the page and unique in the version.
	ID string
	// Href is the operation's own page, "" to stay on this one.
	Href string
	// Method is upper case; Path is the full path template ("/orders/v1/orders/{order}").
	Method, Path string
	// Title is a verb and an object ("Confirm a shipment").
	Title       string
	Description SafeHTML
	Scopes      []string
	// Later marks an operation that answers 202; StatusPath is the template of the address that tells the outcome.
	Later      bool
	StatusPath string
	// InFlight marks work that is never refused for a lapsed certificate or a quota.
	InFlight   bool
	Lifecycle  component.Lifecycle
	Parameters []Parameter
	// BodyType is the content type of the request body, "" when the operation takes none.
	BodyType     string
	BodyRequired bool
	Fields       []Field
	// Example is the body of an example request as JSON, indented.
	Example string
	// Curl is a command that can be pasted; secrets in it are placeholders.
	Curl      string
	Responses []Response
	Problems  []ProblemRef
}

// Parameter is one parameter of an operation.
type Parameter struct {
	Name string
	// In is "path", "query" or "header".
	In string
	// Kind is "string", "date-time"; Detail narrows it ("3 to 10").
	Kind, Detail string
	Meaning      string
	Required     bool
}

// Field is one member of a body. Depth 0 is the top; children follow their parent.
type Field struct {
	Name         string
	Depth        int
	Kind, Detail string
	Meaning      string
	Required     bool
	// Note, if it has a word, is a badge before the meaning ("Changes in v2").
	Note component.Badge
}

// Response is one answer of an operation.
type Response struct {
	Status  int
	Meaning string
	// Example is an example body as JSON, "" if there is none.
	Example string
}

// maxOperations and maxLines bound what is shown in full on one page; above them the page lists its operations,
// and each has its own page. A line is a row of a table or of a sample.
const (
	maxOperations = 12
	maxLines      = 360
)

// tooMany reports that the operations do not fit on one page.
func (v Reference) tooMany() bool {
	lines := 0
	for _, g := range v.Groups {
		for _, o := range g.Operations {
			lines += o.lines()
		}
	}
	return v.count() > maxOperations || lines > maxLines
}

// lines estimates the length of the operation on a page.
func (o Operation) lines() int {
	n := 8 + len(o.Parameters) + len(o.Fields) + len(o.Responses) + len(o.Problems)
	n += strings.Count(o.Example, "\n") + strings.Count(o.Curl, "\n")
	for _, r := range o.Responses {
		n += strings.Count(r.Example, "\n")
	}
	return n
}

func (v Reference) count() int {
	n := 0
	for _, g := range v.Groups {
		n += len(g.Operations)
	}
	return n
}

// shown are the operations shown in full.
func (v Reference) shown() []Operation {
	var out []Operation
	for _, g := range v.Groups {
		for _, o := range g.Operations {
			if v.Selected == o.ID || v.Selected == "" && !v.tooMany() {
				out = append(out, o)
			}
		}
	}
	return out
}

func (v Reference) selected() (Operation, bool) {
	if v.Selected == "" {
		return Operation{}, false
	}
	for _, o := range v.shown() {
		return o, true
	}
	return Operation{}, false
}

// Title is the finding: the operation, or what stands about the version.
func (v Reference) Title() string {
	if o, ok := v.selected(); ok {
		return o.Title
	}
	name := v.API + " " + v.Version
	switch d := v.Deprecation; {
	case d != nil && d.Retired:
		return name + " is retired"
	case d != nil && !d.Sunset.IsZero():
		return name + " goes away on " + format.Date(d.Sunset)
	case d != nil:
		return name + " is deprecated"
	case v.Lifecycle == component.Preview:
		return name + " may still change"
	default:
		return name + ": " + format.WordCounted(v.count(), "operation", "operations")
	}
}

func (v Reference) crumbs() []component.Link {
	out := []component.Link{{Label: "Catalogue", Href: v.Catalogue}}
	if o, ok := v.selected(); ok {
		return append(out, component.Link{Label: v.API + " " + v.Version, Href: v.Overview}, component.Link{Label: o.Title})
	}
	return append(out, component.Link{Label: v.API + " " + v.Version})
}

// mark is the badge of an operation in the side navigation; the zero Badge is none.
func (v Reference) mark(o Operation) component.Badge {
	d := v.Deprecation
	switch {
	case d != nil && !d.Sunset.IsZero():
		return component.DaysBadge(d.left())
	case d != nil || o.Lifecycle == component.Deprecated:
		return component.Deprecated.Badge()
	case o.Lifecycle == component.Preview:
		return component.Preview.Badge()
	default:
		return component.Badge{}
	}
}

func (d Deprecation) left() int {
	if d.Retired {
		return -1
	}
	return format.DaysUntil(d.Now, d.Sunset)
}

// sentence is what the reader must know, with the date.
func (d Deprecation) sentence() string {
	switch {
	case d.Retired:
		return "Retired. Calls get 410 since " + format.LongDate(d.Sunset) + "."
	case d.Sunset.IsZero():
		return "Deprecated. The date it goes away is not decided yet."
	default:
		return "Deprecated. Calls stop working on " + format.LongDate(d.Sunset) + "."
	}
}

// quiet reports that nobody here needs to act: the block shrinks to the sentence and the successor.
func (d Deprecation) quiet() bool { return d.Calls == 0 || d.Retired || d.Sunset.IsZero() }

// href is where the operation's entry leads.
func (o Operation) href(v Reference) string {
	if o.Href != "" && (v.Selected != "" || v.tooMany()) {
		return o.Href
	}
	return "#" + o.ID
}

// methodWord is the short form of a method in the side navigation.
func methodWord(m string) string {
	switch m {
	case "DELETE":
		return "DEL"
	case "OPTIONS":
		return "OPT"
	default:
		return m
	}
}

// limitsNote says whose limits they are.
func (v Reference) limitsNote() string {
	switch {
	case v.Application == "":
		return v.Plan
	case v.Plan == "":
		return v.Application
	default:
		return v.Application + ", plan " + v.Plan
	}
}

func (o Operation) bodyNote() string {
	if o.BodyRequired {
		return o.BodyType + ", required"
	}
	return o.BodyType
}

// language is how a sample is coloured: JSON, or nothing for an EDI file or a form.
func language(sample string) string {
	if strings.HasPrefix(sample, "{") || strings.HasPrefix(sample, "[") {
		return "json"
	}
	return ""
}

// maxDepth is how far the guides of nested fields are drawn; deeper fields stay at it.
const maxDepth = 6

func depthClass(depth int) string {
	if depth <= 0 {
		return ""
	}
	return "d" + strconv.Itoa(min(depth, maxDepth))
}
