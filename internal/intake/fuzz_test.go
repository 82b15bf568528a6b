package intake_test

import (
	"context"
	"log/slog"
	"testing"

	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/intake"
	"portway/internal/partner"
)

// nothing is an event log that takes everything and keeps nothing.
type nothing struct{ eventlog.Store }

func (nothing) Accept(_ context.Context, a eventlog.Acceptance) (eventlog.Result, error) {
	r := eventlog.Result{DocumentID: a.Document.ID, State: a.Document.State}
	for _, s := range a.Statements {
		r.Outcomes = append(r.Outcomes, eventlog.Outcome{Kind: eventlog.Accepted, EventID: s.Event.ID})
	}
	if a.Acknowledge == nil {
		return r, nil
	}
	var err error
	r.Ack, r.AckStatus, err = a.Acknowledge(eventlog.Control{Interchange: 1, Group: 1, Set: 1}, r.Outcomes)
	return r, err
}

func fuzzIntake(f *testing.F) *intake.Intake {
	f.Helper()
	clock := ident.NewManual(start)
	d := partner.NewDirectory(organisations(), clock, slog.New(slog.DiscardHandler))
	if err := d.Load(context.Background()); err != nil {
		f.Fatal(err)
	}
	return intake.New(intake.Deps{Log: nothing{}, Directory: d, Clock: clock, Logger: slog.New(slog.DiscardHandler)})
}
