// Package source reads a contract into a tree that knows its lines, and pulls the documents it refers to into it.
package source

import "fmt"

// Severity says what a finding means for serving the document.
type Severity string

const (
	// SeverityError is a problem that keeps at least one operation from being built.
	SeverityError Severity = "error"
	// SeverityWarning is a mistake that does not keep an operation from being served.
	SeverityWarning Severity = "warning"
	// SeverityInfo is advice.
	SeverityInfo Severity = "info"
)

// Finding is one problem of a document.
type Finding struct {
	// File, Line and Column are where, counted from 1; Line is 0 if the place is not known.
	File         string
	Line, Column int
	Severity     Severity
	// Rule is the dotted name of the check, for example "reference.unresolved" or "openapi.info_version_required".
	Rule string
	// Where is an operation ("GET /orders/{id}") or a JSON Pointer into the source.
	Where   string
	Message string
}

// String writes a finding on one line: file:line:column severity rule (where) message.
func (f Finding) String() string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	where := ""
	if f.Where != "" {
		where = " " + f.Where + ":"
	}
	return fmt.Sprintf("%s %s %s%s %s", place, f.Severity, f.Rule, where, f.Message)
}
