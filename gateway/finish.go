package gateway

import (
	"context"
	"log/slog"
	"time"

	"portway/gateway/exchange"
	"portway/internal/problem"
	"portway/internal/telemetry"
	"portway/internal/traffic"
)

// finish counts a call, writes its access log line and its record. None of them holds a path as sent, a body, or a
// header value but the caller's own request and trace ids.
func (g *Gateway) finish(ctx context.Context, x *exchange.Exchange) error {
	c := record(x, g.clock)
	m := telemetry.Call{Environment: string(x.Environment), Status: c.Status, Code: string(c.Code), Took: c.Duration, Upstream: c.Upstream}
	if x.Route != nil {
		m.Operation = x.Route.ID
	}
	g.metrics.Call(m)
	g.line(ctx, x, &c)
	return g.recorder.Record(ctx, c)
}

// refused counts what never became a call.
func (g *Gateway) refused(p *problem.Error) {
	g.metrics.Call(telemetry.Call{Status: p.Status(), Code: string(p.Code)})
}

// line writes the access log line of a call.
func (g *Gateway) line(ctx context.Context, x *exchange.Exchange, c *traffic.Call) {
	catalogue, backend := "", ""
	if x.Backend != nil && c.Upstream > 0 {
		backend = x.Backend.ID
	}
	if x.Snapshot != nil && len(x.Snapshot.Digest) >= 12 {
		catalogue = x.Snapshot.Digest[:12]
	}
	remote := ""
	if x.Request.Remote.IsValid() {
		remote = x.Request.Remote.String()
	}
	g.access.LogAttrs(ctx, slog.LevelInfo, "call",
		slog.String("request_id", c.ID), slog.String("client_request_id", c.ClientRequestID), slog.String("trace_id", traceID(x.Request.Header.Get("Traceparent"))),
		slog.String("remote", remote), slog.String("org", string(c.Org)), slog.String("app", c.Application), slog.String("credential", c.Credential),
		slog.String("environment", string(c.Environment)), slog.String("method", c.Method),
		slog.String("api", c.API), slog.String("version", c.Version), slog.String("operation", c.Operation), slog.String("path", c.Path),
		slog.Int("status", c.Status), slog.String("code", string(c.Code)), slog.String("backend", backend), slog.String("event_id", c.EventID),
		slog.Float64("ms", milliseconds(c.Duration)), slog.Float64("upstream_ms", milliseconds(c.Upstream)),
		slog.Int64("bytes_in", c.BytesIn), slog.Int64("bytes_out", c.BytesOut), slog.String("catalogue", catalogue))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// traceID is the trace id of a traceparent header (W3C Trace Context section 3.2), "" of anything else.
func traceID(traceparent string) string {
	const id = 3 // after "00-"
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-' {
		return ""
	}
	zero := true
	for i := id; i < id+32; i++ {
		c := traceparent[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
		zero = zero && c == '0'
	}
	if zero {
		return ""
	}
	return traceparent[id : id+32]
}
