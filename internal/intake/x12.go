package intake

import (
	"context"
	"net/http"
	"strings"

	"portway/internal/edi"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

const (
	x12Type           = "application/edi-x12"
	headerDuplicateOf = "Duplicate-Of"
	headerDocumentID  = "Document-Id"
	acknowledgements  = "FA" // GS01 of acknowledgements, which are never acknowledged themselves
)

// maxDetail bounds what is said about a document; the acknowledgement lists the rest.
const maxDetail = 2000

// X12 accepts one interchange and answers 202 with its 997, even if every set is rejected. What cannot be
// acknowledged is kept as a quarantined document, unacknowledged, and is an error: edi.unreadable,
// edi.unknown_connection (also for another organisation's), auth.suspended, auth.environment_mismatch,
// edi.duplicate_interchange. Further errors, with nothing stored: idempotency.*, store.unavailable.
func (in *Intake) X12(ctx context.Context, c Call) (Answer, error) {
	ic, err := edi.Parse(c.Body, edi.Limits{})
	if err != nil {
		return in.quarantine(ctx, &c, nil, nil, problem.Wrap(problem.EDIUnreadable, err, "%s", err.Error()))
	}
	party, refusal := in.sender(&c, ic)
	if refusal != nil {
		return in.quarantine(ctx, &c, ic, party, refusal)
	}
	x := &interchange{in: in, call: &c, ic: ic, party: party}
	if err := x.read(ctx); problem.Is(err, problem.EDIUnreadable) {
		return in.quarantine(ctx, &c, ic, party, problem.From(err))
	} else if err != nil {
		in.refused(&c, "x12", kinds(ic), err)
		return Answer{}, err
	}
	a, err := in.accept(ctx, &c, x.acceptance(), x.answer)
	if problem.Is(err, problem.EDIDuplicate) {
		return in.quarantine(ctx, &c, ic, party, problem.From(err))
	}
	return a, err
}

// sender finds the connection an interchange came by, or says why it cannot be taken.
func (in *Intake) sender(c *Call, ic *edi.Interchange) (*partner.Party, *problem.Error) {
	if ic.Rest != nil {
		return nil, problem.New(problem.EDIUnreadable, "the body holds more than one interchange; send one in a call")
	}
	switch ic.Usage {
	case "T", "P":
	default:
		return nil, problem.New(problem.EDIUnreadable, "the usage indicator (ISA15) must be T or P")
	}
	if environment := map[string]ident.Environment{"T": ident.Sandbox, "P": ident.Live}[ic.Usage]; environment != c.Environment {
		return nil, problem.New(problem.AuthEnvironment, "the usage indicator (ISA15) names the other environment: T belongs to sandbox, P to live")
	}
	party, ok := in.deps.Directory.Party(c.Environment, ic.SenderQualifier, ic.SenderID, ic.ReceiverQualifier, ic.ReceiverID)
	if !ok || party.Org != c.Org || party.Connection.Format != "x12" {
		return nil, problem.New(problem.EDIUnknownConnection, "the sender and receiver (ISA05 to ISA08) are those of no connection of yours in this environment")
	}
	if !party.Active {
		return party, problem.New(problem.AuthSuspended, "the connection is not active")
	}
	return party, nil
}

// quarantine keeps what cannot be taken, for an operator, and returns why. It is never acknowledged, and it does
// not use up the control number.
func (in *Intake) quarantine(ctx context.Context, c *Call, ic *edi.Interchange, party *partner.Party, why *problem.Error) (Answer, error) {
	d := in.document(c, "x12", kinds(ic))
	d.State, d.Reason, d.Detail = eventlog.DocumentQuarantined, string(why.Code), clip(why.Detail)
	if party != nil {
		d.Connection = party.Connection.Slug
	}
	result, err := in.deps.Log.Accept(ctx, eventlog.Acceptance{Document: d})
	if err != nil {
		in.refused(c, d.Format, d.Kind, err)
		return Answer{}, err
	}
	in.line(c, d.Format, d.Kind).Info("document quarantined", "document", result.DocumentID, "code", string(why.Code))
	own := *why
	own.Extra = map[string]any{"document": result.DocumentID}
	for name, v := range why.Extra {
		own.Extra[name] = v
	}
	own.Header = append(append([][2]string{}, why.Header...), [2]string{headerDocumentID, result.DocumentID})
	return Answer{}, &own
}

// kinds lists the transaction sets of an interchange, each once.
func kinds(ic *edi.Interchange) string {
	if ic == nil {
		return ""
	}
	var out []string
	seen := map[string]bool{}
	for i := range ic.Groups {
		for j := range ic.Groups[i].Sets {
			if id := setName(&ic.Groups[i].Sets[j]); !seen[id] && len(out) < 10 {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return strings.Join(out, " ")
}

// setName is ST01, or a stand-in for what is no set identifier.
func setName(s *edi.Set) string {
	if len(s.ID) == 3 && strings.Trim(s.ID, "0123456789") == "" {
		return s.ID
	}
	return "???"
}

// control is ISA13 with all its nine digits, however many the sender wrote.
func control(ic *edi.Interchange) string {
	return strings.Repeat("0", max(0, 9-len(ic.Control))) + ic.Control
}

// interchange is one interchange on its way in.
type interchange struct {
	in    *Intake
	call  *Call
	ic    *edi.Interchange
	party *partner.Party

	results    [][]edi.SetResult // by group and set, for the acknowledgement
	statements []eventlog.Statement
	details    []string // what is wrong, without values
	reason     problem.Code
	taken      int // sets that are accepted
}

// acceptance puts together what is committed at once.
func (x *interchange) acceptance() eventlog.Acceptance {
	d := x.in.document(x.call, "x12", kinds(x.ic))
	d.Connection = x.party.Connection.Slug
	d.State = eventlog.DocumentAccepted
	d.Reason, d.Detail = string(x.reason), clip(strings.Join(x.details, "; "))
	if x.ic.Acknowledgements() > 0 && x.taken == 0 {
		d.State = eventlog.DocumentRejected
	}
	a := eventlog.Acceptance{Document: d, Key: x.call.Key, Statements: x.statements, Park: true,
		Interchange: &eventlog.Interchange{Connection: x.party.Connection.ID, Control: control(x.ic)}}
	if n := x.ic.Acknowledgements(); n > 0 {
		now := x.in.deps.Clock.Now().UTC()
		a.AckSets = n
		a.Acknowledge = func(control eventlog.Control, _ []eventlog.Outcome) ([]byte, string, error) {
			ack, err := edi.Acknowledge(x.ic, x.results, edi.AckOptions{Interchange: uint64(control.Interchange),
				Group: uint64(control.Group), Set: uint64(control.Set), Now: now})
			if err != nil {
				return nil, "", err
			}
			return ack.Bytes, worst(ack.Groups), nil
		}
	}
	return a
}

// worst is the status of a whole interchange: the groups' own when they agree, partial when some of it was
// rejected, accepted with errors noted otherwise.
func worst(groups []edi.GroupStatus) string {
	seen := map[string]int{}
	n := 0
	for i := range groups {
		if s := groups[i].Status; s != "" {
			seen[s]++
			n++
		}
	}
	for _, s := range []string{"A", "E", "P", "R"} {
		if seen[s] == n {
			return s
		}
	}
	if seen["R"] > 0 || seen["P"] > 0 {
		return "P"
	}
	return "E"
}

func (x *interchange) answer(r *eventlog.Result) Answer {
	a := Answer{Status: http.StatusAccepted, Body: r.Ack, Header: [][2]string{{headerLocation, documentPath + r.DocumentID}, {headerDocumentID, r.DocumentID}}}
	if len(r.Ack) > 0 {
		a.ContentType = x12Type
	}
	if known := originals(r.Outcomes); len(known) > 0 {
		a.Header = append(a.Header, [2]string{headerDuplicateOf, strings.Join(known, ", ")})
	}
	if len(r.Outcomes) > 0 {
		a.EventID = named(&r.Outcomes[0])
	}
	return a
}

// clip shortens a detail at a character's boundary.
func clip(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail-len("…")], "") + "…"
}
