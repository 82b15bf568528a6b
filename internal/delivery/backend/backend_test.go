package backend

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/delivery"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
)

type poster struct {
	status     int
	retryAfter string
	err        error

	backend     *catalog.Backend
	env         ident.Environment
	path, media string
	body        []byte
}

func (p *poster) Post(_ context.Context, b *catalog.Backend, env ident.Environment, _ ident.OrgID, path, contentType string, body []byte) (int, http.Header, []byte, error) {
	p.backend, p.env, p.path, p.media, p.body = b, env, path, contentType, body
	return p.status, http.Header{"Retry-After": {p.retryAfter}}, []byte("not for us"), p.err
}

var now = time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC)

func TestSend(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		poster
		want delivery.Sent
	}{
		{"done", poster{status: 202}, delivery.Sent{Class: delivery.Done, Status: 202}},
		{"rejected", poster{status: 422}, delivery.Sent{Class: delivery.Rejected, Status: 422}},
		{"seconds", poster{status: 503, retryAfter: "120"}, delivery.Sent{Status: 503, RetryAfter: 2 * time.Minute}},
		{"date", poster{status: 429, retryAfter: "Mon, 14 Sep 2026 09:00:00 GMT"}, delivery.Sent{Status: 429, RetryAfter: time.Hour}},
		{"a date that has passed", poster{status: 429, retryAfter: "Mon, 14 Sep 2020 09:00:00 GMT"}, delivery.Sent{Status: 429}},
		{"nonsense", poster{status: 429, retryAfter: "-5 soon"}, delivery.Sent{Status: 429}},
		{"timeout", poster{err: problem.New(problem.BackendTimeout, "x")}, delivery.Sent{Reason: "backend.timeout"}},
		{"breaker", poster{err: &problem.Error{Code: problem.BackendUnreachable, RetryAfter: time.Second}}, delivery.Sent{Reason: "backend.unreachable", RetryAfter: time.Second}},
		{"some error", poster{err: errors.New("dial tcp: secret address")}, delivery.Sent{Reason: "backend.unreachable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &catalog.DeliveryRoute{Path: "/events", Backend: &catalog.Backend{ID: "erp"}, Answers: catalog.Answers{Rejected: []int{422}}}
			d := &delivery.Delivery{Event: logistics.Event{ID: "e1", Type: "shipment.confirmed.v1", Environment: ident.Live, Source: "/partners/x/y",
				Subject: "order/SO-1", CorrelationID: "c1", PartitionKey: "c1", Sequence: 7, Time: logistics.InstantOf(now, logistics.ZoneMessage),
				Data: json.RawMessage(`{"order":"SO-1"}`)}}
			if got := New(&tt.poster, ident.NewManual(now)).Send(context.Background(), d, r); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			var ce struct {
				SpecVersion, ID, Type, Sequence string
				Data                            struct{ Order string }
			}
			if err := json.Unmarshal(tt.body, &ce); err != nil || ce.SpecVersion != "1.0" || ce.ID != "e1" || ce.Sequence != "00000007" || ce.Data.Order != "SO-1" {
				t.Errorf("sent %s: %v", tt.body, err)
			}
			if tt.backend != r.Backend || tt.env != ident.Live || tt.path != "/events" || tt.media != contentType {
				t.Errorf("sent to %v %q %q as %q", tt.backend, tt.env, tt.path, tt.media)
			}
		})
	}
}

func TestSendEventThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := &delivery.Delivery{Event: logistics.Event{Data: json.RawMessage(`{`)}}
	p := &poster{status: 200}
	if got := New(p, ident.NewManual(now)).Send(context.Background(), d, &catalog.DeliveryRoute{}); got.Reason != "internal" || p.body != nil {
		t.Errorf("got %+v", got)
	}
}
