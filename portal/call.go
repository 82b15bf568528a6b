package portal

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/ident"
	"portway/internal/traffic"
	"portway/web/component"
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
	view := page.Call{CallRow: callRow(p.Snapshot(), c), Organisation: v.org.Organisation.Name, List: "/calls", Upstream: c.Upstream,
		Violated: len(c.Violations), Trail: trail(c)}
	for _, a := range v.org.Applications {
		if a.ID == c.Application {
			view.Application = a.Name
		}
	}
	if c.Code != "" {
		view.Detail, view.Help = c.Code.Title(), c.Code.Help()
	}
	for _, x := range c.Violations {
		view.Violations = append(view.Violations, page.Violation{In: x.In, Pointer: x.Pointer, Keyword: x.Keyword, Expected: x.Message})
	}
	if a, ok := p.Snapshot().API(c.API); ok && !a.Internal && c.Operation != "" {
		view.OperationHref = "/apis/" + c.API + "/" + c.Version + "/" + c.Operation
	}
	view.Facts = []page.Fact{
		{Label: "Request id", Value: c.ID, Mono: true},
		{Label: "Your request id", Value: c.ClientRequestID, Mono: true},
		{Label: "Event", Value: c.EventID, Mono: true},
	}
	f := p.frame(v, "/calls")
	f.Sandbox = c.Environment == ident.Sandbox
	return p.render(v, fiber.StatusOK, page.CallPage(f, view))
}

// stageNames are the words people read for the gateway's stages.
var stageNames = map[string]string{
	"match": "Operation", "identify": "Identity", "authorize": "Permission", "body": "Body", "limit": "Limits", "validate": "Contract",
	"mediate": "Translation", "proxy": "Backend", "accept": "Event record", "builtin": "Portway", "lifecycle": "Lifecycle", "translate": "Answer",
}

// trail draws the recorded stages on one axis; stages of the gateway that only dress the answer are left out.
func trail(c *traffic.Call) component.Trail {
	var out component.Trail
	var at time.Duration
	for _, s := range c.Trail {
		took := time.Duration(s.Micros) * time.Microsecond
		name, known := stageNames[s.Stage]
		if known {
			stage := component.Stage{Name: name, Detail: s.Note, State: component.Done, Start: at, Took: took, Upstream: s.Stage == "proxy"}
			if s.Result == "refused" {
				stage.State = component.Failed
				if stage.Detail == "" {
					stage.Detail = c.Code.Title()
				}
			}
			out.Stages = append(out.Stages, stage)
		}
		at += took
	}
	return out
}
