package portal

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/traffic"
	"portway/portal/contract"
	"portway/web/component"
	"portway/web/format"
	"portway/web/page"
)

// call shows one call of the reader's organisation; another organisation's is as absent as one that never was.
func (p *Portal) call(v *visit) error {
	id := v.Params("id")
	if !ident.ValidID(id) {
		return fiber.ErrNotFound
	}
	c, err := p.Traffic.Call(v.UserContext(), v.account.Org, id)
	if err != nil {
		return err
	}
	snap := p.Snapshot()
	view := page.Call{CallRow: callRow(v, snap, c), Organisation: v.org.Organisation.Name, List: v.link("/calls"), Upstream: c.Upstream}
	for _, a := range v.org.Applications {
		if a.ID == c.Application {
			view.Application = a.Name
		}
	}
	if c.Code != "" {
		view.Help = c.Code.Help()
	}
	for _, x := range c.Violations {
		if x.In == "answer" {
			continue // the backend's fault, which the reader cannot mend; the trail says so
		}
		view.Violations = append(view.Violations, page.Violation{In: x.In, Pointer: x.Pointer, Keyword: x.Keyword, Expected: x.Message})
	}
	route := routeOf(snap, c)
	if route != nil && !route.API.Internal {
		view.OperationHref = v.link(contract.OperationPath(route.Version, route.Operation.ID))
	}
	view.Trail = trail(c, route, view.Application)
	view.Facts = []page.Fact{
		{Label: "Your request id", Value: c.ClientRequestID, Mono: true},
		{Label: "Event", Value: c.EventID, Mono: true},
		{Label: "Received", Value: size(c.BytesIn, "")},
		{Label: "Sent back", Value: size(c.BytesOut, "")},
	}
	f := p.frame(v, "/calls")
	f.Sandbox = c.Environment == ident.Sandbox
	return p.render(v, fiber.StatusOK, page.CallPage(f, view))
}

// inboundStages are the gateway's stages every call passes, in their order, with the words people read; after
// them comes the one that answers.
var inboundStages = []stage{{"admit", "Received"}, {"match", "Operation"}, {"identify", "Identity"}, {"authorize", "Permission"},
	{"body", "Body"}, {"limit", "Limits"}, {"validate", "Contract"}}

// furtherStages are passed by some calls only. What is in neither list only dresses the answer and is not shown.
var furtherStages = []stage{{"mediate", "Translation"}, {"proxy", "Backend"}, {"accept", "Event record"}, {"builtin", "Portway"},
	{"mediate-answer", "Answer"}, {"validate-answer", "Answer's contract"}, {"fallback", "Last good answer"}}

type stage struct{ id, name string }

// trail draws the recorded stages on one axis, and after a refusal those that were not reached.
func trail(c *traffic.Call, route *catalog.Route, application string) component.Trail {
	var out component.Trail
	if len(c.Trail) == 0 {
		return out
	}
	passed := map[string]bool{}
	stopped := false
	var at time.Duration
	for _, s := range c.Trail {
		took := time.Duration(s.Micros) * time.Microsecond
		passed[s.Stage] = true
		if name := stageName(s); name != "" {
			next := component.Stage{Name: name, Detail: decided(c, s, application), State: component.Done, Start: at, Took: took, Upstream: s.Stage == "proxy"}
			if s.Result == "refused" {
				next.State, stopped = component.Failed, true
			}
			out.Stages = append(out.Stages, next)
		}
		at += took
	}
	if !stopped {
		out.Stages = append(out.Stages, component.Stage{Name: "Answered", Detail: strconv.Itoa(c.Status), State: component.End, Start: at, Took: max(c.Duration-at, 0)})
		return out
	}
	ahead := inboundStages
	if route != nil {
		for _, s := range furtherStages {
			if s.id == string(route.Dispatch) {
				ahead = append(ahead[:len(ahead):len(ahead)], s)
			}
		}
	}
	for _, s := range ahead {
		if !passed[s.id] {
			out.Stages = append(out.Stages, component.Stage{Name: s.name, Detail: "not reached", State: component.NotReached})
		}
	}
	return out
}

// size is a number of bytes, or another word for none.
func size(bytes int64, none string) string {
	if bytes == 0 {
		return none
	}
	return format.Bytes(int(bytes))
}

// stageName is the word for a step, "" for one that decided nothing.
func stageName(s traffic.Step) string {
	for _, known := range inboundStages {
		if known.id == s.Stage {
			return known.name
		}
	}
	for _, known := range furtherStages {
		if known.id == s.Stage && (s.Note != "" || s.Result == "refused" || s.Stage == "proxy" || s.Stage == "accept" || s.Stage == "builtin") {
			return known.name
		}
	}
	return ""
}

// decided is the line below a stage: what it found.
func decided(c *traffic.Call, s traffic.Step, application string) string {
	switch {
	case s.Result == "refused" && s.Stage == "validate" && len(c.Violations) > 0:
		return format.Counted(len(c.Violations), "place does not fit", "places do not fit")
	case s.Result == "refused" && c.Code != "":
		return c.Code.Title()
	case s.Note != "":
		return s.Note
	}
	switch s.Stage {
	case "admit":
		return "HTTP/1.1, " + c.Method
	case "match":
		return c.Operation + " of " + c.API + " " + c.Version
	case "identify":
		return application
	case "authorize":
		return c.API + " in " + string(c.Environment)
	case "body":
		return size(c.BytesIn, "none")
	case "limit":
		return "within the plan"
	case "validate":
		return "fits " + c.API + " " + c.Version
	case "proxy":
		return "answered in " + format.Duration(c.Upstream)
	case "accept":
		return "stored before the answer"
	case "builtin":
		return "answered here"
	}
	return ""
}
