package idempotency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// register keeps one record, and fails where told.
type register struct {
	record *idempotent.Record
	fail   map[string]error
	calls  []string
	lease  idempotent.Lease
}

func (r *register) did(what string) error {
	r.calls = append(r.calls, what)
	return r.fail[what]
}

func (r *register) Find(context.Context, idempotent.Key) (*idempotent.Record, error) {
	return r.record, r.did("find")
}

func (r *register) Reserve(_ context.Context, k idempotent.Key, l idempotent.Lease, resume bool) (*idempotent.Record, error) {
	if err := r.did("reserve"); err != nil {
		return nil, err
	}
	if r.record == nil || resume && r.record.StateAt(l.From) == idempotent.InDoubt {
		r.record = &idempotent.Record{Key: k, State: idempotent.InProgress, Lease: l.ID, LeaseUntil: l.Until.UnixMicro()}
		r.lease = l
		return nil, nil
	}
	return r.record, nil
}

func (r *register) Settle(ctx context.Context, rec idempotent.Record) error {
	if err := r.did("settle " + string(rec.State)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.record = &rec
	return nil
}

func (r *register) Release(context.Context, idempotent.Key, string) error {
	r.record = nil
	return r.did("release")
}

func (r *register) Remove(context.Context, time.Time) (int64, error) { return 0, nil }

// bench is the three stages over one register.
type bench struct {
	*register
	*Keys
	clock *ident.Manual
	logs  bytes.Buffer
}

func newBench() *bench {
	b := &bench{register: &register{fail: map[string]error{}}, clock: ident.NewManual(now)}
	b.Keys = &Keys{Store: b.register, Clock: b.clock, Log: slog.New(slog.NewTextHandler(&b.logs, nil))}
	return b
}

const sent = `"8e03978e-40d5-43dd-bc93-6894a57f9324"`

// call is a proxied call as it comes to Lookup.
func call(mode string, key ...string) *exchange.Exchange {
	x := &exchange.Exchange{ID: "r", Environment: ident.Live, Body: []byte(`{"a":1}`), MediaType: "application/json",
		Route: &catalog.Route{ID: "x/v1/do", Dispatch: catalog.Proxy, Timeout: 5 * time.Second, Operation: nil,
			Idempotency: catalog.Idempotency{Key: mode}},
		Caller: &partner.Caller{Org: "o", Application: "a"}, Backend: &catalog.Backend{ID: "erp"}, Call: &catalog.BackendOperation{},
		Upstream: &exchange.UpstreamRequest{}}
	x.Request.Method, x.Request.Path = "POST", "/x/v1/do"
	for _, k := range key {
		x.Request.Header.Add(headerKey, k)
	}
	return x
}

func code(err error) problem.Code {
	if p := problem.From(err); p != nil {
		return p.Code
	}
	return ""
}

func TestWhoMustAndMaySendAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		x    *exchange.Exchange
		want problem.Code
		read bool
	}{
		"none asked":             {call(catalog.KeyNone, sent), "", false},
		"no word about it":       {call("", sent), "", false},
		"optional, without":      {call(catalog.KeyOptional), "", false},
		"optional, with":         {call(catalog.KeyOptional, sent), "", true},
		"optional, malformed":    {call(catalog.KeyOptional, "short"), problem.IdempotencyKey, false},
		"optional, empty":        {call(catalog.KeyOptional, ""), problem.IdempotencyKey, false},
		"required, without":      {call(catalog.KeyRequired), problem.IdempotencyKey, false},
		"required, bare":         {call(catalog.KeyRequired, "8e03978e-40d5-43dd-bc93-6894a57f9324"), "", true},
		"required, two":          {call(catalog.KeyRequired, sent, sent), problem.IdempotencyKey, false},
		"required, with":         {call(catalog.KeyRequired, sent), "", true},
		"required, of an unread": {func() *exchange.Exchange { x := call(catalog.KeyRequired, sent); x.Caller = nil; return x }(), "", false},
	} {
		b := newBench()
		err := Lookup{b.Keys}.Run(context.Background(), c.x)
		if code(err) != c.want || (len(b.calls) > 0) != c.read || (c.x.Key != nil) != c.read {
			t.Errorf("%s: %v, register asked %v, key %+v", name, err, b.calls, c.x.Key)
		}
	}
	x := call(catalog.KeyRequired, sent)
	if err := (Lookup{}).Run(context.Background(), x); err != nil || x.Key != nil {
		t.Errorf("without a register: %v", err)
	}
}

func TestLookupAndReserveByState(t *testing.T) {
	t.Parallel()
	x := call(catalog.KeyOptional, sent)
	print := fingerprint(x)
	until := now.Add(time.Second).UnixMicro()
	for name, c := range map[string]struct {
		record             *idempotent.Record
		honours            bool
		lookup, reserve    problem.Code
		answered, reserved bool
	}{
		"free":                          {nil, false, "", "", false, true},
		"done":                          {&idempotent.Record{State: idempotent.Done, Status: 201}, false, "", "", true, false},
		"under way":                     {&idempotent.Record{State: idempotent.InProgress, LeaseUntil: until}, true, problem.IdempotencyBusy, problem.IdempotencyBusy, false, false},
		"left behind":                   {&idempotent.Record{State: idempotent.InProgress, LeaseUntil: 1}, false, "", problem.IdempotencyInDoubt, false, false},
		"left behind, backend knows":    {&idempotent.Record{State: idempotent.InProgress, LeaseUntil: 1}, true, "", "", false, true},
		"in doubt":                      {&idempotent.Record{State: idempotent.InDoubt}, false, "", problem.IdempotencyInDoubt, false, false},
		"in doubt, backend knows":       {&idempotent.Record{State: idempotent.InDoubt}, true, "", "", false, true},
		"not kept":                      {&idempotent.Record{State: idempotent.InDoubt, Status: 201}, false, "", problem.IdempotencyInDoubt, false, false},
		"used for another, done":        {&idempotent.Record{State: idempotent.Done, Key: idempotent.Key{Fingerprint: "g"}}, false, problem.IdempotencyReuse, problem.IdempotencyReuse, false, false},
		"used for another, in progress": {&idempotent.Record{State: idempotent.InProgress, LeaseUntil: until, Key: idempotent.Key{Fingerprint: "g"}}, false, problem.IdempotencyReuse, problem.IdempotencyReuse, false, false},
	} {
		b := newBench()
		if c.record != nil && c.record.Key.Fingerprint == "" {
			c.record.Key.Fingerprint = print
		}
		x := call(catalog.KeyOptional, sent)
		x.Backend.HonoursKey = c.honours
		b.record = c.record
		if err := (Lookup{b.Keys}).Run(context.Background(), x); code(err) != c.lookup || (x.Response != nil) != c.answered {
			t.Errorf("%s: lookup: %v, %+v", name, err, x.Response)
		}
		// The same met by Reserve, as when another call came between.
		x.Response = nil
		if err := (Reserve{b.Keys}).Run(context.Background(), x); code(err) != c.reserve || (x.Response != nil) != c.answered || (x.Reservation != "") != c.reserved {
			t.Errorf("%s: reserve: %v, %+v, %q", name, err, x.Response, x.Reservation)
		}
		if (x.Upstream.Key != "") != (c.reserved && c.honours) {
			t.Errorf("%s: the backend gets the key %q", name, x.Upstream.Key)
		}
		if c.reserved && (!b.lease.From.Equal(now) || b.lease.Until.Sub(now) != 35*time.Second) {
			t.Errorf("%s: lease %+v", name, b.lease)
		}
	}
	// A backend that knows a repeated call by its content is sent it again, without the key.
	b := newBench()
	b.record = &idempotent.Record{State: idempotent.InDoubt, Key: idempotent.Key{Fingerprint: print}}
	x.Key, x.Call.Repeatable = &idempotent.Key{Fingerprint: print}, true
	if err := (Reserve{b.Keys}).Run(context.Background(), x); err != nil || x.Reservation == "" || x.Upstream.Key != "" {
		t.Errorf("repeatable: %v, %q", err, x.Upstream.Key)
	}
	// Statements are reserved by the event log.
	x = call(catalog.KeyOptional, sent)
	x.Route.Dispatch, x.Key, b = catalog.Accept, &idempotent.Key{}, newBench()
	if err := (Reserve{b.Keys}).Run(context.Background(), x); err != nil || len(b.calls) > 0 || x.Reservation != "" {
		t.Errorf("a statement was reserved: %v, %v", err, b.calls)
	}
}

func TestReplayIsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	b := newBench()
	x := call(catalog.KeyOptional, sent)
	b.record = &idempotent.Record{State: idempotent.Done, Status: 202, Header: [][2]string{{"Location", "/v1/events/e1"}, {"Content-Type", "text/x"}}, Body: []byte("body"),
		Key: idempotent.Key{Fingerprint: fingerprint(x)}}
	x.Route.Dispatch = catalog.Accept
	if err := (Lookup{b.Keys}).Run(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	r := x.Response
	if r.Status != 202 || string(r.Body) != "body" || fmt.Sprint(r.Header) != "[[Location /v1/events/e1] [Content-Type text/x] [Idempotent-Replayed true]]" || x.EventID != "e1" {
		t.Errorf("got %+v, event %q", r, x.EventID)
	}
	if len(b.record.Header) != 2 {
		t.Error("the replay changed the record")
	}
}

func TestTheRegisterIsAway(t *testing.T) {
	t.Parallel()
	down := problem.New(problem.StoreUnavailable, "nothing can be stored")
	b := newBench()
	b.fail["find"], b.fail["reserve"] = down, down
	x := call(catalog.KeyOptional, sent)
	if err := (Lookup{b.Keys}).Run(context.Background(), x); code(err) != problem.StoreUnavailable {
		t.Errorf("lookup: %v", err)
	}
	if err := (Reserve{b.Keys}).Run(context.Background(), x); code(err) != problem.StoreUnavailable || x.Reservation != "" {
		t.Errorf("reserve: %v", err)
	}
}

func TestSettleByOutcome(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("x"), idempotent.MaxBody+1)
	rules := catalog.Answers{Done: []int{509}, Rejected: []int{506, 418}, Locked: []int{423}, Transient: []int{420, 504}}
	for name, c := range map[string]struct {
		upstream int
		answer   int
		body     []byte
		err      problem.Code
		want     string
		status   int
	}{
		"created":                               {201, 201, []byte("b"), "", "settle done", 201},
		"a redirect":                            {303, 303, nil, "", "settle done", 303},
		"refused by the backend":                {422, 422, []byte("b"), problem.BackendRejected, "settle done", 422},
		"not found":                             {404, 404, nil, problem.NotFound, "settle done", 404},
		"as much as is kept":                    {200, 200, big[:idempotent.MaxBody], "", "settle done", 200},
		"more than is kept":                     {200, 200, big, "", "settle in_doubt", 200},
		"too many requests":                     {429, 429, nil, "", "release", 0},
		"too many requests, in our words":       {429, 503, nil, problem.BackendUnavailable, "release", 0},
		"locked, by policy":                     {423, 423, nil, "", "release", 0},
		"not now, by policy":                    {420, 420, nil, "", "release", 0},
		"the backend refuses us":                {401, 502, nil, problem.BackendBadAnswer, "release", 0},
		"an error":                              {500, 500, nil, "", "settle in_doubt", 0},
		"an error, in our words":                {500, 502, nil, problem.BackendBadAnswer, "settle in_doubt", 0},
		"an error that means later, by policy":  {504, 504, nil, "", "settle in_doubt", 0},
		"unavailable":                           {503, 503, nil, problem.BackendUnavailable, "settle in_doubt", 0},
		"an error that means done, by policy":   {509, 200, nil, "", "settle done", 200},
		"an error that means no, by policy":     {506, 422, nil, problem.BackendRejected, "settle done", 422},
		"no, by policy, unsayable":              {506, 502, nil, problem.BackendBadAnswer, "release", 0},
		"done, but the answer is no answer":     {200, 502, nil, problem.BackendBadAnswer, "settle in_doubt", 0},
		"nothing was sent":                      {0, 502, nil, problem.BackendUnreachable, "release", 0},
		"nothing was sent for now":              {0, 503, nil, problem.BackendUnavailable, "release", 0},
		"no answer in time":                     {0, 504, nil, problem.BackendTimeout, "settle in_doubt", 0},
		"the connection broke":                  {0, 502, nil, problem.BackendBadAnswer, "settle in_doubt", 0},
		"a panic of ours":                       {0, 500, nil, problem.Internal, "settle in_doubt", 0},
		"an answer of ours without a backend's": {0, 200, nil, "", "settle in_doubt", 0},
	} {
		b := newBench()
		x := call(catalog.KeyOptional, sent)
		x.Key, x.Reservation, x.UpstreamStatus = &idempotent.Key{Value: "v"}, "lease", c.upstream
		x.Backend.Answers = rules
		x.Response = &exchange.Response{Status: c.answer, Body: c.body, Header: exchange.Header{{"Location", "/1"}}}
		if c.err != "" {
			x.Err = problem.New(c.err, "said so")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // a caller that left: the key is settled all the same
		if err := (Settle{b.Keys}).Run(ctx, x); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if fmt.Sprint(b.calls) != "["+c.want+"]" || x.Reservation != "" || x.Response.Status != c.answer {
			t.Errorf("%s: %v, want %s", name, b.calls, c.want)
			continue
		}
		if r := b.record; r != nil && (r.Lease != "lease" || r.Status != c.status || (r.State == idempotent.Done) != (r.Body != nil || c.body == nil && c.want == "settle done")) {
			t.Errorf("%s: %+v", name, r)
		}
		if r := b.record; r != nil && c.status != 0 && fmt.Sprint(r.Header) != "[[Location /1]]" {
			t.Errorf("%s: header %v", name, r.Header)
		}
	}
	b := newBench()
	if err := (Settle{b.Keys}).Run(context.Background(), call(catalog.KeyOptional)); err != nil || len(b.calls) > 0 {
		t.Errorf("without a reservation: %v %v", err, b.calls)
	}
}

func TestAnAnswerIsDeliveredThoughItCannotBeKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail map[string]error
		want string
	}{
		"the answer cannot be stored": {map[string]error{"settle done": errors.New("disk full")}, "settle done, settle in_doubt"},
		"nothing can be stored":       {map[string]error{"settle done": errors.New("disk full"), "settle in_doubt": errors.New("disk full")}, "settle done, settle in_doubt"},
		"somebody took the key over":  {map[string]error{"settle done": idempotent.ErrLost}, "settle done"},
	} {
		b := newBench()
		b.fail = c.fail
		x := call(catalog.KeyOptional, sent)
		x.Key, x.Reservation, x.UpstreamStatus = &idempotent.Key{Value: "the-key-itself"}, "lease", 201
		x.Response = &exchange.Response{Status: 201, Body: []byte("secret body")}
		if err := (Settle{b.Keys}).Run(context.Background(), x); err != nil || x.Response.Status != 201 || string(x.Response.Body) != "secret body" {
			t.Errorf("%s: %v, %+v", name, err, x.Response)
		}
		if got := strings.Join(b.calls, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if l := b.logs.String(); !strings.Contains(l, "request_id=r") || strings.Contains(l, "secret body") || strings.Contains(l, "the-key-itself") {
			t.Errorf("%s: log %s", name, l)
		}
		if name == "the answer cannot be stored" && (b.record == nil || b.record.State != idempotent.InDoubt) {
			t.Errorf("%s: %+v", name, b.record)
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	const body = `{"reference":"R1","sentAt":"2026-11-25T09:00:00Z","note":"n","lines":[{"sku":"A","qty":1,"at":"x"},{"sku":"B","qty":2.50,"at":"y"}]}`
	raw, fields, rest := catalog.Idempotency{}, catalog.Idempotency{Fields: []string{"/lines/*/qty", "/lines/*/sku", "/reference"}},
		catalog.Idempotency{Exclude: []string{"/lines/*/at", "/sentAt"}}
	print := func(policy catalog.Idempotency, body string, change func(x *exchange.Exchange)) string {
		x := call(catalog.KeyOptional)
		x.Route.Idempotency, x.Body = policy, []byte(body)
		if change != nil {
			change(x)
		}
		return fingerprint(x)
	}
	for name, policy := range map[string]catalog.Idempotency{"raw": raw, "fields": fields, "all but": rest} {
		first := print(policy, body, nil)
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(first) || print(policy, body, nil) != first {
			t.Errorf("%s: %q", name, first)
		}
		for what, change := range map[string]func(x *exchange.Exchange){
			"method": func(x *exchange.Exchange) { x.Request.Method = "PUT" }, "path": func(x *exchange.Exchange) { x.Request.Path += "/1" },
			"query": func(x *exchange.Exchange) { x.Request.Query = "a=1" }, "media type": func(x *exchange.Exchange) { x.MediaType = "text/plain" },
		} {
			if print(policy, body, change) == first {
				t.Errorf("%s: another %s has the same fingerprint", name, what)
			}
		}
	}
	other := func(from, to string) string {
		s := strings.Replace(body, from, to, 1)
		if s == body {
			t.Fatalf("%q is not in the body", from)
		}
		return s
	}
	for _, c := range []struct {
		name, body        string
		raw, fields, rest bool // counts as the same
	}{
		{"white space", strings.ReplaceAll(body, ",", " ,\n"), false, true, true},
		{"order of members", `{"lines":[{"qty":1,"at":"x","sku":"A"},{"at":"y","sku":"B","qty":2.50}],"note":"n","reference":"R1","sentAt":"2026-11-25T09:00:00Z"}`, false, true, true},
		{"notation of a number", other("2.50", "2.5"), false, true, true},
		{"a moment", other("09:00:00Z", "09:00:01Z"), false, true, true},
		{"an item's moment", other(`"at":"y"`, `"at":"z"`), false, true, true},
		{"what does not count", other(`"note":"n"`, `"note":"m"`), false, true, false},
		{"a quantity", other(`"qty":1`, `"qty":2`), false, false, false},
		{"a number as text", other(`"qty":1`, `"qty":"1"`), false, false, false},
		{"order of lines", `{"reference":"R1","sentAt":"2026-11-25T09:00:00Z","note":"n","lines":[{"sku":"B","qty":2.50,"at":"y"},{"sku":"A","qty":1,"at":"x"}]}`, false, false, false},
		{"the reference", other("R1", "R2"), false, false, false},
		{"an absent field", other(`"reference":"R1",`, ""), false, false, false},
		{"a null field", other(`"R1"`, "null"), false, false, false},
		{"no JSON", "{", false, false, false},
	} {
		for name, p := range map[string]struct {
			policy catalog.Idempotency
			same   bool
		}{"raw": {raw, c.raw}, "fields": {fields, c.fields}, "all but": {rest, c.rest}} {
			if same := print(p.policy, c.body, nil) == print(p.policy, body, nil); same != p.same {
				t.Errorf("%s, %s: the same is %v", name, c.name, same)
			}
		}
	}
	// A quantity that moves from one line to another is another request.
	a := print(fields, `{"lines":[{"sku":"A","qty":1},{"sku":"B"}]}`, nil)
	if b := print(fields, `{"lines":[{"sku":"A"},{"sku":"B","qty":1}]}`, nil); a == b {
		t.Error("a quantity moved and nothing is noticed")
	}
}

func TestForwardedKeyIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	k := idempotent.Key{Org: "o", Application: "a", Environment: ident.Live, Operation: "x", Value: "0123456789abcdef", Fingerprint: "f"}
	first := forwarded(&k)
	if v, ok := idempotent.Parse(first); !ok || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(v) {
		t.Errorf("%s is no key", first)
	}
	same := k
	same.Fingerprint = "g"
	if forwarded(&same) != first {
		t.Error("a repetition gets another key")
	}
	for _, change := range []func(k *idempotent.Key){func(k *idempotent.Key) { k.Org = "p" }, func(k *idempotent.Key) { k.Application = "b" },
		func(k *idempotent.Key) { k.Environment = ident.Sandbox }, func(k *idempotent.Key) { k.Operation = "y" }, func(k *idempotent.Key) { k.Value += "x" }} {
		other := k
		change(&other)
		if forwarded(&other) == first {
			t.Errorf("%+v gets the key of %+v", other, k)
		}
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add([]byte(`{"reference":"R1","lines":[{"sku":"A","qty":1.0}]}`), "/lines/*/qty")
	f.Add([]byte(`[1e400,{"~/":null}]`), "/*/~0~1")
	f.Fuzz(func(t *testing.T, body []byte, pointer string) {
		x := call(catalog.KeyOptional)
		x.Body = body
		if strings.HasPrefix(pointer, "/") {
			x.Route.Idempotency.Fields = []string{pointer}
		}
		if a, b := fingerprint(x), fingerprint(x); a != b || len(a) != 64 {
			t.Errorf("%q then %q", a, b)
		}
	})
}
