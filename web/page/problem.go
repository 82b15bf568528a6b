package page

import (
	"sort"
	"strconv"
	"strings"

	"portway/web/component"
	"portway/web/format"
)

// ProblemRef names a problem code with its page.
type ProblemRef struct {
	// Code is the stable name ("auth.expired"); Href its page.
	Code   string
	Status int
	Title  string
	Href   string
}

// Problem is the page of one problem code.
type Problem struct {
	ProblemRef
	// Meaning says what happened, Help what to do about it.
	Meaning, Help string
	// Index is the address of the list of all codes.
	Index string
	// Related are the codes of the same area.
	Related []ProblemRef
	// Calls are the application's calls with this code in the last 30 days and CallsHref shows them; both may be empty.
	Calls     int
	CallsHref string
}

// Problems is the list of all codes.
type Problems struct {
	Problems []ProblemRef
}

// problemArea is the codes before the dot that share a first word.
type problemArea struct {
	name     string
	problems []ProblemRef
}

// PageTitle is the title of the page: the problem's own.
func (v Problem) PageTitle() string { return v.ProblemRef.Title }

// Title says how many answers a caller must be ready for.
func (v Problems) Title() string {
	return format.Sentence(format.WordCounted(len(v.Problems), "problem code", "problem codes")) + ", each with its repair"
}

// areas groups the codes by what stands before the dot, in the order of the alphabet.
func (v Problems) areas() []problemArea {
	byName := map[string]*problemArea{}
	var order []*problemArea
	for _, p := range v.Problems {
		name, _, _ := strings.Cut(p.Code, ".")
		a := byName[name]
		if a == nil {
			a = &problemArea{name: areaName(name)}
			byName[name] = a
			order = append(order, a)
		}
		a.problems = append(a.problems, p)
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].name < order[j].name })
	out := make([]problemArea, len(order))
	for i, a := range order {
		sort.Slice(a.problems, func(i, j int) bool { return a.problems[i].Code < a.problems[j].Code })
		out[i] = *a
	}
	return out
}

// areaName is the name of an area in the list; an area we have no word for keeps its own.
func areaName(area string) string {
	switch area {
	case "accept", "body", "http", "parameter", "path", "schema":
		return map[string]string{"accept": "Answer types", "body": "Body", "http": "HTTP", "parameter": "Parameters",
			"path": "Path", "schema": "Contract"}[area]
	case "auth":
		return "Identity and permission"
	case "backend":
		return "Systems behind us"
	case "edi":
		return "EDI"
	case "business_key":
		return "Business keys"
	default:
		return format.Sentence(strings.ReplaceAll(area, "_", " "))
	}
}

// party says who must act on a status.
func party(status int) string {
	switch {
	case status == 429:
		return "You: slow down"
	case status >= 500:
		return "Us"
	case status >= 400:
		return "You"
	default:
		return "Nobody"
	}
}

// again says whether the same request can be sent again.
func again(status int) string {
	switch status {
	case 408, 429, 503:
		return "Yes, after a wait"
	case 500, 502, 504:
		return "Yes, if it is safe to repeat"
	default:
		return "No, it gets the same answer"
	}
}

func (v Problem) cells() []component.Cell {
	return []component.Cell{
		{Label: "Code", Value: v.Code, Mono: true},
		{Label: "Answer", Value: strconv.Itoa(v.Status), Mono: true},
		{Label: "Who must act", Value: party(v.Status)},
		{Label: "Send it again unchanged", Value: again(v.Status)},
	}
}
