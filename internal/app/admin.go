package app

import (
	"time"

	"portway/gateway/throttle"
	"portway/internal/app/observe"
	"portway/internal/store/eventdb"
	"portway/internal/telemetry"
)

// observe connects the rooms to the metrics and the health report, and makes the admin listener's server.
func (p *program) observe(events *eventdb.Store, limits *throttle.Caller) {
	observe.Connect(p.metrics, p.health, observe.Rooms{Ping: p.db.Ping, Tokens: p.verifier, Keys: p.ring, Stale: p.directory.Stale, Catalogue: p.catalogue, LastReload: p.reload.result,
		Backlog: events.Backlog, Dropped: p.recorder.Dropped, Certificates: p.certificateEnds, Limits: limits, Backends: p.backends, Clock: p.clock, Log: p.log})
	if p.listeners["admin"] != nil {
		admin := telemetry.NewAdmin(p.metrics, p.health, p.log)
		p.servers = append(p.servers, server{"admin", admin.Serve, admin.Shutdown})
	}
}

func (p *program) certificateEnds() map[string]time.Time {
	ends := map[string]time.Time{}
	for listener, c := range p.certificates {
		if c != nil {
			ends[listener] = c.Expires()
		}
	}
	return ends
}
