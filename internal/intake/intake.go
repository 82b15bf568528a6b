// Package intake turns what a partner sent into a document and the canonical events it states, and commits both
// through the event log before anyone is answered: JSON statements of API operations, and X12 interchanges, which
// it also acknowledges.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"time"

	"portway/internal/catalog"
	"portway/internal/eventlog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

// Call is one call of an accepting operation, already authenticated, authorized and checked against its contract.
type Call struct {
	RequestID   string
	Org         partner.OrgID
	OrgSlug     string
	Application string // id
	AppSlug     string
	Environment partner.Environment
	Route       *catalog.Route
	Path        map[string]string // decoded path parameters
	Params      map[string]any    // decoded parameters by "in.name"
	Body        []byte
	ContentType string
	// Key is the call's Idempotency-Key, bound to what the call asks, nil without one.
	Key *idempotent.Key
	// Zone is the organisation's, for times without an offset; UTC when nil. A connection's own zone goes before it.
	Zone     *time.Location
	Snapshot *catalog.Snapshot
}

// Answer is what the caller gets. Its header does not include the content type.
type Answer struct {
	Status      int
	Header      [][2]string
	ContentType string // "" without a body
	Body        []byte
	EventID     string // the event stated, or the original of a duplicate; "" when there is none
}

// Deps is what Intake needs. Wake is called after a commit that left deliveries to make; it must not block and may
// be nil.
type Deps struct {
	Log       eventlog.Store
	Directory *partner.Directory
	Clock     ident.Clock
	Logger    *slog.Logger
	Wake      func()
}

// Intake accepts documents. It keeps no state of its own and is safe for concurrent use.
type Intake struct {
	deps Deps
}

// New returns an Intake.
func New(d Deps) *Intake {
	if d.Wake == nil {
		d.Wake = func() {}
	}
	return &Intake{deps: d}
}

// document is the record of a call's body in the given format.
func (in *Intake) document(c *Call, format, kind string) eventlog.Document {
	sum := sha256.Sum256(c.Body)
	return eventlog.Document{ID: ident.NewID(in.deps.Clock), Org: c.Org, Environment: c.Environment, Application: c.Application,
		Format: format, Kind: kind, ContentType: c.ContentType, Raw: c.Body, SHA256: hex.EncodeToString(sum[:]),
		RequestID: c.RequestID, Received: in.deps.Clock.Now()}
}

// accept commits an acceptance, and logs it in one line without any content. answer renders what the caller gets;
// it runs inside the transaction when the call has an Idempotency-Key.
func (in *Intake) accept(ctx context.Context, c *Call, a eventlog.Acceptance, answer func(*eventlog.Result) Answer) (Answer, error) {
	if a.Key != nil {
		a.Reply = func(r *eventlog.Result) idempotent.Record { return record(*a.Key, answer(r), in.deps.Clock.Now()) }
	}
	result, err := in.deps.Log.Accept(ctx, a)
	if err != nil {
		in.refused(c, a.Document.Format, a.Document.Kind, err)
		return Answer{}, err
	}
	if result.Replay != nil {
		in.line(c, a.Document.Format, a.Document.Kind).Info("answer replayed")
		return replayed(result.Replay), nil
	}
	log := in.line(c, a.Document.Format, a.Document.Kind).With("document", result.DocumentID, "state", string(result.State),
		"statements", len(result.Outcomes))
	if result.AckStatus != "" {
		log = log.With("ack", result.AckStatus)
	}
	deliveries := false
	for i := range result.Outcomes {
		o := &result.Outcomes[i]
		deliveries = deliveries || (o.Kind == eventlog.Accepted && len(a.Statements[i].Subscribers) > 0)
		if id := named(o); i == 0 && id != "" {
			log = log.With("event", id)
		}
		if o.Reason != "" {
			log = log.With("reason", o.Reason)
		}
	}
	log.Info("document taken in")
	if deliveries {
		in.deps.Wake()
	}
	return answer(&result), nil
}

// refused logs a refusal; ours at error level, the caller's at info.
func (in *Intake) refused(c *Call, format, kind string, err error) {
	p, log := problem.From(err), in.line(c, format, kind)
	if p.Status() < 500 {
		log.Info("document refused", "code", string(p.Code), "violations", len(p.Violations))
		return
	}
	log.Error("document not taken in", "code", string(p.Code), "error", err.Error())
}

func (in *Intake) line(c *Call, format, kind string) *slog.Logger {
	return in.deps.Logger.With("request_id", c.RequestID, "org", string(c.Org), "environment", string(c.Environment),
		"format", format, "kind", kind)
}

// named is the event an outcome is about: the one stored, or the original of a duplicate.
func named(o *eventlog.Outcome) string {
	if o.EventID != "" {
		return o.EventID
	}
	return o.Original
}
