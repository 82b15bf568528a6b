package idempotent_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/problem"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for given, want := range map[string]string{
		`"8e03978e-40d5-43dd-bc93-6894a57f9324"`: "8e03978e-40d5-43dd-bc93-6894a57f9324",
		`8e03978e-40d5-43dd-bc93-6894a57f9324`:   "8e03978e-40d5-43dd-bc93-6894a57f9324",
		` "0123456789abcdef" `:                   "0123456789abcdef",
		`"with blank and ,;="`:                   "with blank and ,;=",
		`"quote \" and \\ 0123"`:                 `quote " and \ 0123`,
		`"` + long + `"`:                         long,
	} {
		if got, ok := idempotent.Parse(given); !ok || got != want {
			t.Errorf("%s: %q, %v", given, got, ok)
		}
	}
	for _, bad := range []string{"", `""`, `"`, `"short"`, "short", `"unended-0123456789abcdef`, `unopened-0123456789abcdef"`,
		`"0123456789abcdef", "0123456789abcdef"`, "0123456789abcdef;a=1", `"0123456789abcdef";a=1`, "0123456789abcdef,0123456789abcdef",
		`"0123456789\abcdef"`, `"0123456789abcdef\"`, long + "x", "0123456789abcdef\x00", "0123456789abcdefé", "0123456789 abcdef", "\"0123456789abcdef\t\""} {
		if got, ok := idempotent.Parse(bad); ok {
			t.Errorf("%q is taken for the key %q", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`"8e03978e-40d5-43dd-bc93-6894a57f9324"`)
	f.Add(`"a\"b\\c-0123456789abcdef"`)
	f.Add(`bare-0123456789abcdef`)
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := idempotent.Parse(s)
		if !ok {
			return
		}
		if len(v) < 16 || len(v) > 255 {
			t.Errorf("%q gives %q", s, v)
		}
		again, ok := idempotent.Parse(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`)
		if !ok || again != v {
			t.Errorf("%q does not survive quoting: %q", v, again)
		}
	})
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	later, before := now.Add(time.Second).UnixMicro(), now.UnixMicro()
	for name, c := range map[string]struct {
		record idempotent.Record
		print  string
		want   problem.Code
		extra  any
	}{
		"done":                  {idempotent.Record{State: idempotent.Done, Status: 201}, "f", "", nil},
		"done, another request": {idempotent.Record{State: idempotent.Done, Status: 201}, "g", problem.IdempotencyReuse, nil},
		"under way":             {idempotent.Record{State: idempotent.InProgress, LeaseUntil: later}, "f", problem.IdempotencyBusy, nil},
		"under way, another":    {idempotent.Record{State: idempotent.InProgress, LeaseUntil: later}, "g", problem.IdempotencyReuse, nil},
		"its holder is gone":    {idempotent.Record{State: idempotent.InProgress, LeaseUntil: before}, "f", problem.IdempotencyInDoubt, "unknown"},
		"in doubt":              {idempotent.Record{State: idempotent.InDoubt}, "f", problem.IdempotencyInDoubt, "unknown"},
		"done, but not kept":    {idempotent.Record{State: idempotent.InDoubt, Status: 201, Header: [][2]string{{"Location", "/x/1"}}}, "f", problem.IdempotencyInDoubt, "carried_out"},
	} {
		c.record.Key.Fingerprint = "f"
		p := c.record.Refusal(&idempotent.Key{Fingerprint: c.print}, now)
		if p == nil != (c.want == "") || p != nil && (p.Code != c.want || p.Extra["first_call"] != c.extra) {
			t.Errorf("%s: %v", name, p)
		}
		if p != nil && (p.Code == problem.IdempotencyBusy) != (p.RetryAfter > 0) {
			t.Errorf("%s: retry after %s", name, p.RetryAfter)
		}
		if name == "done, but not kept" && (len(p.Header) != 1 || p.Header[0][1] != "/x/1" || p.Extra["first_status"] != 201) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// removing is a register that only removes.
type removing struct {
	idempotent.Store
	before []time.Time
	err    error
}

func (r *removing) Remove(_ context.Context, before time.Time) (int64, error) {
	r.before = append(r.before, before)
	return 3, r.err
}

func TestSweeper(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	register := &removing{}
	s := &idempotent.Sweeper{Store: register, Retention: 48 * time.Hour, Clock: ident.NewManual(now), Log: slog.New(slog.NewTextHandler(&logs, nil))}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // one sweep, then the end
	s.Run(ctx)
	if len(register.before) != 1 || !register.before[0].Equal(now.Add(-48*time.Hour)) || !strings.Contains(logs.String(), "keys=3") {
		t.Errorf("swept %v: %s", register.before, logs.String())
	}
	register.err = errors.New("disk full")
	s.Sweep(context.Background())
	if !strings.Contains(logs.String(), "disk full") {
		t.Errorf("a failure is not logged: %s", logs.String())
	}
}
