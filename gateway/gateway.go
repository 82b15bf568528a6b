// Package gateway is the data plane over HTTP: it puts the stages in order and records every call.
package gateway

import (
	"context"
	"log/slog"
	"time"

	"portway/gateway/authn"
	"portway/gateway/builtin"
	"portway/gateway/edge"
	"portway/gateway/exchange"
	"portway/gateway/mediate"
	"portway/gateway/throttle"
	"portway/gateway/upstream"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/traffic"
)

// Recorder keeps the record of a call; *traffic.Recorder is one. Its error is logged and changes no answer.
type Recorder interface {
	Record(ctx context.Context, c traffic.Call) error
}

// Deps is what a Gateway is made of; all but Hosts and the timeouts are required.
type Deps struct {
	// Snapshot returns the catalogue as it is now.
	Snapshot func() *catalog.Snapshot
	// Hosts are the host names served, in lower case, each with its environment, "" for both; empty serves any.
	Hosts    map[string]ident.Environment
	Identify *authn.Identify
	Limit    *throttle.Caller
	Proxy    *upstream.Send
	Accept   *mediate.Accept
	Builtin  *builtin.Builtin
	Recorder Recorder
	// Docs is the address below which the portal explains problem codes, "http://…/problems/".
	Docs  string
	Clock ident.Clock
	Log   *slog.Logger
	// ReadTimeout, WriteTimeout and IdleTimeout are those of edge.Options.
	ReadTimeout, WriteTimeout, IdleTimeout time.Duration
}

// Gateway serves the data plane: Serve(net.Listener) and Shutdown(ctx) are edge.Server's.
type Gateway struct {
	*edge.Server
	recorder Recorder
	clock    ident.Clock
	log      *slog.Logger
}

// New puts a Gateway together.
func New(d Deps) *Gateway {
	g := &Gateway{recorder: d.Recorder, clock: d.Clock, log: d.Log}
	g.Server = edge.New(edge.Options{Pipeline: g.pipeline(d), Snapshot: d.Snapshot, Clock: d.Clock, Log: d.Log,
		ReadTimeout: d.ReadTimeout, WriteTimeout: d.WriteTimeout, IdleTimeout: d.IdleTimeout})
	return g
}

// finish writes the access log line and the record of a call. Neither holds a path as sent, a body, or a
// header value but the caller's own request id.
func (g *Gateway) finish(ctx context.Context, x *exchange.Exchange) error {
	c := record(x, g.clock)
	g.log.LogAttrs(ctx, slog.LevelInfo, "call",
		slog.String("request_id", c.ID), slog.String("org", string(c.Org)), slog.String("app", c.Application),
		slog.String("environment", string(c.Environment)), slog.String("method", c.Method), slog.String("operation", c.Operation),
		slog.Int("status", c.Status), slog.String("code", string(c.Code)),
		slog.Float64("ms", milliseconds(c.Duration)), slog.Float64("upstream_ms", milliseconds(c.Upstream)),
		slog.Int64("bytes_in", c.BytesIn), slog.Int64("bytes_out", c.BytesOut))
	return g.recorder.Record(ctx, c)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// record is the call record of an exchange.
func record(x *exchange.Exchange, clock ident.Clock) traffic.Call {
	c := traffic.Call{ID: x.ID, ClientRequestID: x.ClientRequestID, Received: x.Received, Environment: x.Environment,
		Method: known(x.Request.Method), Status: x.Response.Status, Duration: x.Took(clock), Upstream: x.UpstreamTook,
		BytesIn: int64(len(x.Body)), BytesOut: int64(len(x.Response.Body)), EventID: x.EventID, Trail: x.Trail}
	if x.Caller != nil {
		c.Org, c.Application, c.Credential = x.Caller.Org, x.Caller.Application, x.Caller.Credential
	}
	if r := x.Route; r != nil {
		c.API, c.Version, c.Operation, c.Path = r.API.ID, r.Version.Name, r.ID, r.Template
	}
	if x.Err != nil {
		c.Code, c.Violations = x.Err.Code, x.Err.Violations
	}
	return c
}

// known keeps the methods of HTTP and calls any other "OTHER": a method is text the caller chose.
func known(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "OTHER"
}
