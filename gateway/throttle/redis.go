package throttle

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"portway/internal/cluster"
)

//go:embed decide.lua
var decideSource string

//go:embed release.lua
var releaseSource string

// shared keeps the limits of callers in Redis, for all nodes together, by Redis's clock.
type shared struct {
	redis           *cluster.Redis
	decide, release *cluster.Script
}

func newShared(r *cluster.Redis) *shared {
	return &shared{redis: r, decide: cluster.NewScript(decideSource), release: cluster.NewScript(releaseSource)}
}

// Decide is Memory.Decide, in one script; it fails when Redis is away.
func (s *shared) Decide(ctx context.Context, r *Request) (Verdict, error) {
	keys := make([]string, 0, len(r.Limits)+1)
	args := make([]any, 0, 3*len(r.Limits)+5)
	soft := 0
	if r.Soft {
		soft = 1
	}
	args = append(args, r.Cost, r.Concurrency, soft, r.Call, r.Lease.Milliseconds())
	// The keys of one script share the hash tag, which is what stands in braces.
	limit := "portway:{" + r.Caller + "}:limit:" + r.Bucket + ":"
	for i := range r.Limits {
		l := &r.Limits[i]
		keys = append(keys, limit+l.Name)
		interval := micros(l.Per) / float64(l.Rate)
		shadow := 0
		if l.Shadow {
			shadow = 1
		}
		args = append(args, interval, interval*float64(l.Burst), shadow)
	}
	if r.Concurrency > 0 {
		keys = append(keys, activeKey(r))
	}
	out, err := s.redis.Run(ctx, s.decide, keys, args...)
	if err != nil {
		return Verdict{}, err
	}
	if len(out) != 3+2*len(r.Limits) {
		return Verdict{}, fmt.Errorf("%w: the script answered %d numbers", cluster.ErrAway, len(out))
	}
	v := Verdict{Allowed: out[0] == 1, Active: int(out[1]), Full: out[2] == 1, Limits: make([]Decision, len(r.Limits))}
	for i := range r.Limits {
		l := &r.Limits[i]
		interval := int64(l.Per) / int64(l.Rate)
		d := &v.Limits[i]
		d.Allowed = out[3+2*i] == 1
		d.state(l, out[4+2*i]*int64(time.Microsecond), interval, interval*int64(l.Burst), r.Cost)
	}
	return v, nil
}

// Release gives back the place of a call; should Redis be away, its lease ends.
func (s *shared) Release(ctx context.Context, r *Request) {
	_, _ = s.redis.Run(ctx, s.release, []string{activeKey(r)}, r.Call)
}

func activeKey(r *Request) string { return "portway:{" + r.Caller + "}:active:" + r.Plan }

// micros is a duration in the unit of Redis's clock, not rounded.
func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
