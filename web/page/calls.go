package page

import (
	"time"

	"portway/web/component"
	"portway/web/format"
)

// Calls is the last calls of the reader's application.
type Calls struct {
	Application string
	// Calls stand newest first, at most Limit.
	Calls []CallRow
	Limit int
	// StatusFilters and EnvironmentFilters are links; the address holds the choice.
	StatusFilters, EnvironmentFilters []component.Chip
	// Which says which calls a filter by answer leaves ("failed", "answered 2xx"), "" without one.
	Which string
	// Filtered is set when a filter narrows the list; Unfiltered is the address without one.
	Filtered   bool
	Unfiltered string
	// Hours are the counts of the last 24 hours, oldest first; empty leaves the chart out.
	Hours []HourCount
	// Reference is where a reader without calls goes to make the first one.
	Reference component.Link
}

// HourCount is what happened in one hour of the clock.
type HourCount struct {
	Start      time.Time
	OK, Failed int
}

// CallRow is one call in the list.
type CallRow struct {
	// ID is the request id, Number its short number, Href the page of the call.
	ID, Number, Href string
	At               time.Time
	// Method and Path name the operation by its template; Operation is its title, "" when none matched.
	Method, Path, Operation string
	// Version is "orders v1"; Deprecated marks a version that goes away.
	Version    string
	Deprecated bool
	// Environment is "sandbox" or "live".
	Environment string
	// Status is 0 when the caller left before an answer.
	Status   int
	Duration time.Duration
	// Problem is the zero value for a call that went through.
	Problem ProblemRef
}

func (r CallRow) failed() bool { return r.Status >= 400 || r.Status == 0 }

func (v Calls) failed() int {
	n := 0
	for _, c := range v.Calls {
		if c.failed() {
			n++
		}
	}
	return n
}

// commonest is the problem code of most failed calls and how many; the newest wins a tie.
func (v Calls) commonest() (code string, n int) {
	count := map[string]int{}
	for _, c := range v.Calls {
		if c.failed() && c.Problem.Code != "" {
			count[c.Problem.Code]++
		}
	}
	for _, c := range v.Calls {
		if m := count[c.Problem.Code]; m > n {
			code, n = c.Problem.Code, m
		}
	}
	return code, n
}

// Title is the finding: how many failed and what of.
func (v Calls) Title() string {
	total, failed := len(v.Calls), v.failed()
	switch {
	case total == 0 && v.Filtered:
		return "No call fits this filter"
	case total == 0:
		return v.Application + " has not called yet"
	case v.Which != "":
		title := format.Counted(total, "call", "calls") + " " + v.Which
		if total == v.Limit {
			title = "The last " + title
		}
		return title + v.mostly(failed)
	case failed == 0:
		return "No failed calls in the last " + format.Count(total)
	case failed == total && total == 1:
		return "The only call failed"
	case failed == total:
		return "All " + format.Count(total) + " calls failed"
	}
	return format.Count(failed) + " of " + format.Count(total) + " calls failed" + v.mostly(failed)
}

// mostly names the code of more than half of the failed calls.
func (v Calls) mostly(failed int) string {
	if code, n := v.commonest(); n*2 > failed && failed > 1 {
		return ", most with " + code
	}
	return ""
}

// lead says what the list is.
func (v Calls) lead() string {
	if len(v.Calls) == 0 {
		return ""
	}
	s := "The last " + format.Counted(len(v.Calls), "call", "calls") + " of " + v.Application
	if v.Filtered {
		s += " that fit the filter"
	}
	return s + ", newest first. Times in UTC."
}

func (v Calls) empty() component.Empty {
	if v.Filtered {
		return component.Empty{Fact: "No call fits this filter", Text: "Other calls of " + v.Application + " may be there.",
			Link: component.Link{Label: "Show all calls", Href: v.Unfiltered}}
	}
	return component.Empty{Fact: "No calls yet", Text: "Each call appears here with its answer as soon as it is made.", Link: v.Reference}
}

// chart is the calls per hour as columns.
func (v Calls) chart() component.Columns {
	out := component.Columns{Label: v.chartText()}
	for _, h := range v.Hours {
		out.Columns = append(out.Columns, component.Column{Label: h.Start.UTC().Format("15:04"), OK: h.OK, Failed: h.Failed})
	}
	return out
}

func (v Calls) hourTotals() (total, failed int) {
	for _, h := range v.Hours {
		total += h.OK + h.Failed
		failed += h.Failed
	}
	return total, failed
}

// chartText says what the chart shows.
func (v Calls) chartText() string {
	total, failed := v.hourTotals()
	if total == 0 {
		return "No calls in " + format.Counted(len(v.Hours), "hour", "hours")
	}
	busiest := v.Hours[0]
	for _, h := range v.Hours {
		if h.OK+h.Failed > busiest.OK+busiest.Failed {
			busiest = h
		}
	}
	return format.Counted(total, "call", "calls") + " in " + format.Counted(len(v.Hours), "hour", "hours") + ", " +
		format.Count(failed) + " failed. Busiest hour " + busiest.Start.UTC().Format("15:04") + " with " +
		format.Counted(busiest.OK+busiest.Failed, "call", "calls") + "."
}

// callDay is the calls of one day.
type callDay struct {
	name  string
	calls []CallRow
}

// days parts the list at midnight UTC, keeping its order.
func (v Calls) days() []callDay {
	var out []callDay
	for _, c := range v.Calls {
		name := format.Day(c.At)
		if len(out) == 0 || out[len(out)-1].name != name {
			out = append(out, callDay{name: name})
		}
		last := &out[len(out)-1]
		last.calls = append(last.calls, c)
	}
	return out
}
