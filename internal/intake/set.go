package intake

import (
	"context"
	"fmt"

	"portway/internal/edi"
	"portway/internal/eventlog"
	"portway/internal/logistics"
	"portway/internal/problem"
)

// read reads every set by its guide, decides what the acknowledgement says of it, and maps the sets that are
// accepted. It stores nothing. An error is ours: the interchange can be sent again.
func (x *interchange) read(ctx context.Context) error {
	documents := make([][]*edi.Document, len(x.ic.Groups))
	x.results = make([][]edi.SetResult, len(x.ic.Groups))
	for i := range x.ic.Groups {
		g := &x.ic.Groups[i]
		documents[i], x.results[i] = make([]*edi.Document, len(g.Sets)), make([]edi.SetResult, len(g.Sets))
		if g.FunctionalID == acknowledgements {
			continue
		}
		for j := range g.Sets {
			guide := x.guide(g, &g.Sets[j])
			if guide == nil || x.party.Documents[g.Sets[j].ID] == "" {
				x.results[i][j].Unsupported = true
				continue
			}
			documents[i][j] = guide.Read(&g.Sets[j])
			x.results[i][j].Errors = documents[i][j].Errors
		}
	}
	if x.ic.Acknowledgements() == 0 {
		return nil
	}
	// The acknowledgement decides which sets are accepted; its control numbers are drawn later.
	ack, err := edi.Acknowledge(x.ic, x.results, edi.AckOptions{Interchange: 1, Group: 1, Set: 1, Now: x.in.deps.Clock.Now()})
	if err != nil {
		// A header that cannot be written back: there is nobody to answer in their own terms.
		return problem.Wrap(problem.EDIUnreadable, err, "the interchange cannot be acknowledged with its own separators and identifiers")
	}
	for i := range x.ic.Groups {
		g := &x.ic.Groups[i]
		for j := range ack.Groups[i].Sets {
			if ack.Groups[i].Sets[j].Status == "R" {
				x.reject(&g.Sets[j], &x.results[i][j], ack.Groups[i].Sets[j].Codes)
				continue
			}
			if err := x.state(ctx, g, &g.Sets[j], documents[i][j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// guide finds the guide of a set by the version of its group (GS08 without industry suffix), nil when there is none
// or the set does not belong into such a group.
func (x *interchange) guide(g *edi.Group, s *edi.Set) *edi.Guide {
	version := g.Version
	if len(version) > 6 {
		version = version[:6]
	}
	guide := x.call.Snapshot.Guides["x12/"+s.ID+"/"+version]
	if guide == nil || guide.FunctionalID != g.FunctionalID {
		return nil
	}
	return guide
}

// reject notes a set that the acknowledgement rejects.
func (x *interchange) reject(s *edi.Set, r *edi.SetResult, codes []string) {
	x.reason = problem.EDIRejected
	if r.Unsupported {
		x.note(s, "the set is not agreed on for this connection, or has no guide in this version")
	}
	for i := range r.Errors {
		for _, v := range r.Errors[i].Violations() {
			x.note(s, v.Message)
		}
	}
	if len(r.Errors) == 0 && !r.Unsupported {
		for _, code := range codes {
			x.note(s, "its envelope is wrong (AK502 "+code+")")
		}
	}
}

func (x *interchange) note(s *edi.Set, message string) {
	const most = 50 // further ones are in the acknowledgement
	if len(x.details) < most {
		x.details = append(x.details, fmt.Sprintf("set %s: %s", setName(s), message))
	}
}

// state maps an accepted set to the statement it makes. What cannot be mapped is parked with its violations.
func (x *interchange) state(ctx context.Context, g *edi.Group, s *edi.Set, doc *edi.Document) error {
	m := x.call.Snapshot.Mappings[x.party.Documents[s.ID]]
	if m == nil {
		return problem.New(problem.Internal, "the mapping of set %s on connection %q does not exist", s.ID, x.party.Connection.Slug)
	}
	t := x.call.Snapshot.Events[m.Target]
	if t == nil {
		return problem.New(problem.Internal, "mapping %q makes an event type that does not exist", m.Name)
	}
	made, err := applyX12(ctx, m, doc, x.party.Zone)
	if err != nil {
		return err
	}
	zone := made.zone
	if zone == "" {
		zone = logistics.ZonePartner
	}
	source := map[string]any{"format": "x12", "set": s.ID, "isa13": control(x.ic), "mapping": m.Name, "mappingVersion": number(m.Version)}
	for name, v := range map[string]string{"gs06": g.Control, "st02": s.Control} {
		if v != "" {
			source[name] = v
		}
	}
	st, violations, err := x.in.statement(t, made.data, zone, origin{call: x.call, from: x.party.Connection.Slug, source: source})
	if err != nil {
		return err
	}
	if len(made.violations) > 0 {
		violations = made.violations // there is no data: those of the schema only repeat that
	}
	if len(violations) > 0 {
		st = eventlog.Statement{Event: st.Event, Parked: string(problem.MappingFailed)}
		if x.reason == "" {
			x.reason = problem.MappingFailed
		}
		for _, v := range violations {
			x.note(s, v.Pointer+" "+v.Message)
		}
	}
	x.taken++
	x.statements = append(x.statements, st)
	return nil
}
