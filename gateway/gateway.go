// Package gateway is the data plane over HTTP: it puts the stages in order and records every call.
package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"time"

	"portway/gateway/authn"
	"portway/gateway/builtin"
	"portway/gateway/edge"
	"portway/gateway/exchange"
	"portway/gateway/idempotency"
	"portway/gateway/mediate"
	"portway/gateway/throttle"
	"portway/gateway/upstream"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/telemetry"
	"portway/internal/traffic"
)

// Recorder keeps the record of a call; *traffic.Recorder is one. Its error is logged and changes no answer.
type Recorder interface {
	Record(ctx context.Context, c traffic.Call) error
}

// Deps is what a Gateway is made of; all but Hosts and what follows Log are required.
type Deps struct {
	// Snapshot returns the catalogue as it is now.
	Snapshot func() *catalog.Snapshot
	// Hosts are the host names served, in lower case, each with its environment, "" for both; empty serves any.
	Hosts    map[string]ident.Environment
	Identify *authn.Identify
	Address  *throttle.Address
	Limit    *throttle.Caller
	Proxy    *upstream.Send
	Accept   *mediate.Accept
	Builtin  *builtin.Builtin
	Recorder Recorder
	// Docs is the address below which the portal explains problem codes, "http://…/problems/".
	Docs  string
	Clock ident.Clock
	Log   *slog.Logger
	// Keys is the register of Idempotency-Keys; without it the header is not read.
	Keys *idempotency.Keys
	// Metrics counts calls; nil counts none. Access gets the line of each call; nil is Log.
	Metrics *telemetry.Metrics
	Access  *slog.Logger
	// TLS, Proxies and MaxConnections are those of edge.Options.
	TLS            *tls.Config
	Proxies        ident.Proxies
	MaxConnections int
	// ReadTimeout, WriteTimeout and IdleTimeout are those of edge.Options.
	ReadTimeout, WriteTimeout, IdleTimeout time.Duration
}

// Gateway serves the data plane: Serve(net.Listener) and Shutdown(ctx) are edge.Server's.
type Gateway struct {
	*edge.Server
	recorder Recorder
	metrics  *telemetry.Metrics
	clock    ident.Clock
	access   *slog.Logger
}

// New puts a Gateway together.
func New(d Deps) *Gateway {
	g := &Gateway{recorder: d.Recorder, metrics: d.Metrics, clock: d.Clock, access: d.Access}
	if g.access == nil {
		g.access = d.Log
	}
	g.Server = edge.New(edge.Options{Pipeline: g.pipeline(d), Snapshot: d.Snapshot, Clock: d.Clock, Log: d.Log, Refused: g.refused,
		TLS: d.TLS, Proxies: d.Proxies, MaxConnections: d.MaxConnections,
		ReadTimeout: d.ReadTimeout, WriteTimeout: d.WriteTimeout, IdleTimeout: d.IdleTimeout})
	return g
}

// record is the call record of an exchange.
func record(x *exchange.Exchange, clock ident.Clock) traffic.Call {
	c := traffic.Call{ID: x.ID, ClientRequestID: x.ClientRequestID, Received: x.Received, Environment: x.Environment,
		Method: known(x.Request.Method), Status: x.Response.Status, Duration: x.Took(clock), Upstream: x.UpstreamTook,
		EventID: x.EventID, Trail: x.Trail}
	c.BytesIn, c.BytesOut = x.Sizes()
	if x.Caller != nil {
		c.Org, c.Application, c.Credential = x.Caller.Org, x.Caller.Application, x.Caller.Credential
	}
	if r := x.Route; r != nil {
		c.API, c.Version, c.Operation, c.Path = r.API.ID, r.Version.Name, r.Operation.ID, r.Template
	}
	if x.Err != nil {
		c.Code, c.Violations = x.Err.Code, x.Err.Violations
	}
	if len(x.Reported) > 0 {
		c.Violations = append(slices.Clip(c.Violations), x.Reported...)
	}
	c.Breaches, c.Refs = x.Breaches, x.Refs
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
