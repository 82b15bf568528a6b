package throttle

import (
	"context"
	"strconv"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
)

// headers renders what was decided as the lists of draft-ietf-httpapi-ratelimit-headers-11, and the limit or quota
// with the least left as the X-RateLimit trio, with seconds from now. A limit in shadow mode is not shown: it is not
// the caller's business yet.
func (o *outcome) headers() [][2]string {
	var t table
	for i := range o.verdict.Limits {
		d := &o.verdict.Limits[i]
		if d.Limit.Shadow {
			continue
		}
		reset := d.Reset
		if !d.Allowed || d.Remaining == 0 {
			reset = d.Wait // so that Retry-After is never earlier than t
		}
		t.add(d.Limit.Name, int64(d.Limit.Burst), "", window(d.Limit), int64(d.Remaining), reset)
	}
	for i := range o.quotas {
		if d := &o.quotas[i]; !d.quota.Shadow {
			t.add(d.quota.Name, d.quota.Limit, "requests", d.length, d.remaining, d.reset)
		}
	}
	trio := t.tightest
	if o.plan.Concurrency > 0 && !o.plan.ConcurrencyShadow {
		t.name(concurrencyName)
		t.policy = append(strconv.AppendInt(append(t.policy, ";q="...), int64(o.plan.Concurrency), 10), `;qu="concurrent-requests"`...)
		t.state = strconv.AppendInt(append(t.state, ";r="...), int64(max(o.plan.Concurrency-o.verdict.Active, 0)), 10)
	}
	if len(t.policy) == 0 {
		return nil
	}
	out := append(make([][2]string, 0, 5), [2]string{"RateLimit-Policy", string(t.policy)}, [2]string{"RateLimit", string(t.state)})
	if trio.limit == 0 {
		return out
	}
	return append(out, [2]string{"X-RateLimit-Limit", strconv.FormatInt(trio.limit, 10)},
		[2]string{"X-RateLimit-Remaining", strconv.FormatInt(trio.remaining, 10)},
		[2]string{"X-RateLimit-Reset", strconv.FormatInt(seconds(trio.reset), 10)})
}

// table gathers the two lists and the tightest row.
type table struct {
	policy, state []byte
	tightest      struct {
		limit, remaining int64
		length, reset    time.Duration
	}
}

func (t *table) name(name string) {
	if len(t.policy) > 0 {
		t.policy, t.state = append(t.policy, ", "...), append(t.state, ", "...)
	}
	t.policy, t.state = strconv.AppendQuote(t.policy, name), strconv.AppendQuote(t.state, name)
}

func (t *table) add(name string, limit int64, unit string, length time.Duration, remaining int64, reset time.Duration) {
	t.name(name)
	t.policy = strconv.AppendInt(append(t.policy, ";q="...), limit, 10)
	if unit != "" {
		t.policy = strconv.AppendQuote(append(t.policy, ";qu="...), unit)
	}
	t.policy = strconv.AppendInt(append(t.policy, ";w="...), max(1, seconds(length)), 10)
	t.state = strconv.AppendInt(append(t.state, ";r="...), remaining, 10)
	t.state = strconv.AppendInt(append(t.state, ";t="...), seconds(reset), 10)
	least := &t.tightest
	if least.limit == 0 || remaining < least.remaining || remaining == least.remaining && length > least.length {
		least.limit, least.remaining, least.length, least.reset = limit, remaining, length, reset
	}
}

// window is how long a limit's burst takes to refill.
func window(l *catalog.Limit) time.Duration {
	return time.Duration(int64(l.Per) / int64(l.Rate) * int64(l.Burst))
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Headers is the stage that puts the rate headers on every answer, refusals included.
type Headers struct{}

// Name is "rate-headers".
func (Headers) Name() string { return "rate-headers" }

// Run adds the headers.
func (Headers) Run(_ context.Context, x *exchange.Exchange) error {
	for _, h := range x.RateHeaders {
		x.Response.Header.Set(h[0], h[1])
	}
	return nil
}
