package openapi

import (
	"bufio"
	"fmt"
	"io"
)

// Report writes what "portway check --spec" prints: every finding as file:line:column severity rule message, then
// the operations that can be served, then one line of counts. doc is nil if nothing could be built.
// The error is that of w.
func Report(w io.Writer, doc *Document, findings []Finding) error {
	out := bufio.NewWriter(w)
	counts := map[Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
		fmt.Fprintln(out, f)
	}
	operations := 0
	if doc != nil {
		operations = len(doc.Operations)
		if len(findings) > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s %s (OpenAPI %s)\n", orUntitled(doc.Title), doc.Version, doc.OpenAPI)
		for _, o := range doc.Operations {
			fmt.Fprintf(out, "  %-7s %s  %s%s\n", o.Method, doc.BasePath+o.Path, o.ID, marks(o))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%d operations can be served; %d errors, %d warnings, %d notes\n",
		operations, counts[SeverityError], counts[SeverityWarning], counts[SeverityInfo])
	return out.Flush()
}

func orUntitled(s string) string {
	if s == "" {
		return "(untitled)"
	}
	return s
}

func marks(o Operation) string {
	if o.Deprecated {
		return " (deprecated)"
	}
	return ""
}
