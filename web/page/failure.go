package page

import (
	"strconv"

	"portway/web/component"
	"portway/web/format"
)

// Failure is a whole page that could not be shown: the same frame, the request number, one way on.
type Failure struct {
	Status int
	// Heading is the fact in one short sentence; Detail says what to do.
	Heading, Detail string
	// Number is the short number of the portal's request, ID its whole id; both may be empty.
	Number, ID string
	Way        component.Link
}

// Title is the title of the page.
func (v Failure) Title() string { return v.Heading }

// NotFound is the Failure for an address that names nothing.
func NotFound(number, id string, way component.Link) Failure {
	return Failure{Status: 404, Heading: "There is no page at this address", Number: number, ID: id, Way: way,
		Detail: "It may have been typed wrong, or it belongs to another organisation."}
}

// Broken is the Failure for an error of our own.
func Broken(number, id string, way component.Link) Failure {
	return Failure{Status: 500, Heading: "This page could not be built", Number: number, ID: id, Way: way,
		Detail: "The fault is ours and is in our log. Name the request number when you ask for help."}
}

func (v Failure) cells() []component.Cell {
	out := []component.Cell{{Label: "Answer", Value: strconv.Itoa(v.Status), Mono: true}, {Label: "Who must act", Value: party(v.Status)}}
	if v.Number != "" {
		number := component.Cell{Label: "Request", Value: format.Number(v.Number), Mono: true, Boxed: true, Full: v.ID}
		out = append([]component.Cell{number}, out...)
	}
	return out
}
