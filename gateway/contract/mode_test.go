package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"portway/gateway/contract"
	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/traffic"
)

const labelContract = `
openapi: 3.1.0
info: {title: Labels, version: "1"}
paths:
  /labels/{label}:
    parameters:
      - {name: label, in: path, required: true, schema: {type: string, maxLength: 8}}
    put:
      operationId: putLabel
      parameters: [{name: limit, in: query, schema: {type: integer, maximum: 5}}]
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: '#/components/schemas/Label'}}
      responses:
        '200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Label'}}, 'image/*': {schema: {type: string}}}}
        '204': {description: nothing to say}
        '4XX': {description: no, content: {application/problem+json: {schema: {type: object, required: [title]}}}}
        '500': {description: failed, content: {application/json: {schema: {type: object, required: [reason]}}}}
components:
  schemas:
    Label:
      type: object
      required: [order, lines]
      additionalProperties: false
      properties:
        order: {type: string, maxLength: 10}
        secret: {type: string, writeOnly: true}
        id: {type: string, readOnly: true}
        lines: {type: array, items: {type: object, required: [sku], properties: {sku: {type: string, maxLength: 3}, marks: {type: object, additionalProperties: {type: integer}}}}}
`

// labels serves putLabel with more members of its policy, and of the API's.
func labels(t testing.TB, api, operation string) *catalog.Snapshot {
	t.Helper()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	snap, problems := catalog.Load(catalog.Sources{
		Specs: fstest.MapFS{"labels/v1/openapi.yaml": file(labelContract)},
		Policies: fstest.MapFS{
			"apis/labels.yaml":      file("kind: api\nschema: 1\ntitle: Labels\n" + api + "versions:\n  v1: {}\noperations:\n  putLabel: {dispatch: proxy, backend: {fixed: carrier}" + operation + "}\n"),
			"backends/carrier.yaml": file("kind: backend\nschema: 1\nname: Carrier\nurls: {live: \"http://127.0.0.1:1\"}\n"),
		},
		ResolveURL: func(s string) (string, error) { return s, nil }, Clock: ident.System{},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return snap
}

func put(snap *catalog.Snapshot, target, media, body, organisation string) *exchange.Exchange {
	x := request(snap, "PUT", target)
	withBody(x, media, body)
	x.Caller = &partner.Caller{Org: "o1", OrgSlug: organisation}
	return x
}

// counted lists the breaches of an exchange as "direction pointer keyword", "!" ahead of a refused one.
func counted(x *exchange.Exchange) []string {
	var out []string
	for _, b := range x.Breaches {
		text := fmt.Sprintf("%s %s %s", b.Direction, b.Pointer, b.Keyword)
		if b.Backend != "" {
			text += " of " + b.Backend
		}
		if b.Refused {
			text = "!" + text
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

const goodLabel = `{"order":"SO-1","lines":[{"sku":"A"}]}`

// TestReportedRequests: what is reported passes unchanged and is counted without a value; what is refused is counted
// too; and what nobody could read is refused in either mode.
func TestReportedRequests(t *testing.T) {
	t.Parallel()
	enforced, reported := labels(t, "", ""), labels(t, "", ", request: report")
	partial := labels(t, "", ", report: {partners: [northgate]}")
	observed := labels(t, "observe: true\n", "")
	const bad = `{"order":"SO-123456789","lines":[{"sku":"A"},{"sku":"LONG","marks":{"their key":"x"}}],"their field":1}`
	badPlaces := []string{"request /* additionalProperties", "request /lines/*/marks/* type", "request /lines/*/sku maxLength", "request /order maxLength"}
	refused := func(list []string) []string {
		out := []string{}
		for _, s := range list {
			out = append(out, "!"+s)
		}
		return out
	}
	for name, c := range map[string]struct {
		snap                *catalog.Snapshot
		target, media, body string
		organisation        string
		code                problem.Code
		want                []string
		reported            int
	}{
		"good":                         {enforced, "/labels/v1/labels/L1", "application/json", goodLabel, "harbor", "", nil, 0},
		"enforced":                     {enforced, "/labels/v1/labels/L1", "application/json", bad, "harbor", problem.SchemaViolation, refused(badPlaces), 0},
		"reported":                     {reported, "/labels/v1/labels/L1", "application/json", bad, "harbor", "", badPlaces, 4},
		"reported for this partner":    {partial, "/labels/v1/labels/L1", "application/json", bad, "northgate", "", badPlaces, 4},
		"enforced for the others":      {partial, "/labels/v1/labels/L1", "application/json", bad, "harbor", problem.SchemaViolation, refused(badPlaces), 0},
		"enforced for nobody's":        {partial, "/labels/v1/labels/L1", "application/json", bad, "", problem.SchemaViolation, refused(badPlaces), 0},
		"reported parameters":          {reported, "/labels/v1/labels/L123456789?limit=9&odd=1", "application/json", goodLabel, "harbor", "", []string{"request * undeclared", "request label maxLength", "request limit maximum"}, 3},
		"malformed is refused":         {reported, "/labels/v1/labels/L1", "application/json", `{"order":`, "harbor", problem.BodyMalformed, []string{"!request /order json"}, 0},
		"media type is refused":        {reported, "/labels/v1/labels/L1", "text/csv", "a,b", "harbor", problem.BodyContentType, nil, 0},
		"observed, good":               {observed, "/labels/v1/labels/L1", "application/json", goodLabel, "harbor", "", nil, 0},
		"observed":                     {observed, "/labels/v1/labels/L1?odd=1", "application/json", bad, "harbor", "", append([]string{"request * undeclared"}, badPlaces...), 5},
		"observed malformed passes":    {observed, "/labels/v1/labels/L1", "application/json", `{"order":`, "harbor", "", []string{"request /order json"}, 1},
		"observed media type passes":   {observed, "/labels/v1/labels/L1", "text/csv", "a,b", "harbor", "", []string{"request  contentType"}, 1},
		"observed no body passes":      {observed, "/labels/v1/labels/L1", "", "", "harbor", "", []string{"request  contentType", "request  required"}, 2},
		"observed encoding is refused": {observed, "/labels/v1/labels/L1", "gzip", "", "harbor", problem.BodyEncoding, nil, 0},
	} {
		x := put(c.snap, c.target, c.media, c.body, c.organisation)
		if c.media == "gzip" {
			x.Request.Header.Add("Content-Encoding", "gzip")
		}
		p := run(x, contract.Match{}, contract.Body{}, contract.Validate{})
		code := problem.Code("")
		if p != nil {
			code = p.Code
		}
		if got := counted(x); code != c.code || !slices.Equal(got, c.want) || len(x.Reported) != c.reported {
			t.Errorf("%s: %q, %d reported, counted\n%s\nwant %q\n%s", name, code, len(x.Reported), strings.Join(got, "\n"), c.code, strings.Join(c.want, "\n"))
		}
		if p == nil && string(x.Body) != c.body {
			t.Errorf("%s: the body was changed to %q", name, x.Body)
		}
	}
}

// TestResponses: what a lying backend answers, in the three modes.
func TestResponses(t *testing.T) {
	t.Parallel()
	modes := map[string]*catalog.Snapshot{"off": labels(t, "", ", response: off"), "report": labels(t, "", ""), "enforce": labels(t, "", ", response: enforce")}
	const json = "application/json; charset=utf-8"
	for name, c := range map[string]struct {
		status      int
		media, body string
		want        string // pointer and keyword, "" for a good answer
	}{
		"good":                        {200, json, goodLabel, ""},
		"readOnly is for answers":     {200, json, `{"order":"SO-1","lines":[],"id":"7"}`, ""},
		"writeOnly is for requests":   {200, json, `{"order":"SO-1","lines":[],"secret":"7"}`, "/secret writeOnly"},
		"a member is missing":         {200, json, `{"order":"SO-1"}`, "/lines required"},
		"a member is unknown":         {200, json, `{"order":"SO-1","lines":[],"internal_cost":1}`, "/* additionalProperties"},
		"in a list":                   {200, json, `{"order":"SO-1","lines":[{"sku":"A"},{"sku":"LONG"}]}`, "/lines/*/sku maxLength"},
		"not JSON":                    {200, json, "<html>", " json"},
		"twice the same member":       {200, json, `{"order":"SO-1","order":"SO-2","lines":[]}`, "/order json"},
		"another media type":          {200, "text/html", "<html>", " contentType"},
		"no media type":               {200, "", goodLabel, " contentType"},
		"a type within a range":       {200, "image/png", "\x89PNG", ""},
		"no body":                     {200, json, "", " required"},
		"nothing to say":              {204, "", "", ""},
		"no content declared":         {204, "", "", ""},
		"undeclared success":          {202, json, `{}`, " status"},
		"undeclared redirect":         {302, "", "", " status"},
		"declared range":              {404, "application/problem+json", `{"title":"no"}`, ""},
		"declared range, bad":         {404, "application/problem+json", `{}`, "/title required"},
		"declared failure":            {500, "application/json", `{"reason":"x"}`, ""},
		"declared failure, bad":       {500, "application/json", `{}`, "/reason required"},
		"overload breaks no contract": {503, "text/plain", "later", ""},
		"not modified":                {304, "", "", " status"},
	} {
		for mode, snap := range modes {
			x := put(snap, "/labels/v1/labels/L1", "application/json", goodLabel, "harbor")
			if p := run(x, contract.Match{}, contract.Body{}, contract.Validate{}); p != nil {
				t.Fatal(p)
			}
			x.Backend = snap.Backends["carrier"]
			x.Response = &exchange.Response{Status: c.status, Body: []byte(c.body)}
			if c.media != "" {
				x.Response.Header.Set("Content-Type", c.media)
			}
			p := run(x, contract.ValidateResponse{})
			if x.Response.Status != c.status || string(x.Response.Body) != c.body {
				t.Errorf("%s, %s: the answer was changed", name, mode)
			}
			var want []string
			if c.want != "" && mode == "report" {
				want = []string{"response " + c.want + " of carrier"}
			}
			if c.want != "" && mode == "enforce" {
				want = []string{"!response " + c.want + " of carrier"}
			}
			if got := counted(x); !slices.Equal(got, want) || len(x.Reported) != len(want) {
				t.Errorf("%s, %s: counted %q, reported %v, want %q", name, mode, got, x.Reported, want)
			}
			refused := p != nil
			if refused != (mode == "enforce" && c.want != "") {
				t.Errorf("%s, %s: %v", name, mode, p)
			}
			if refused && (p.Code != problem.BackendBadAnswer || p.Status() != 502 || len(p.Violations) > 0 || strings.Contains(p.Detail, "cost")) {
				t.Errorf("%s, %s: refused with %v %v", name, mode, p, p.Violations)
			}
			for _, v := range x.Reported {
				if strings.Contains(v.Pointer+v.Message, "internal_cost") {
					t.Errorf("%s: the backend's words are in the record: %+v", name, v)
				}
			}
		}
	}
}

// TestLargeAndStreamedAnswers are not read: their status and type are checked, nothing else.
func TestLargeAndStreamedAnswers(t *testing.T) {
	t.Parallel()
	snap := labels(t, "", ", response: enforce")
	answer := func(r *exchange.Response) *problem.Error {
		x := put(snap, "/labels/v1/labels/L1", "application/json", goodLabel, "harbor")
		if p := run(x, contract.Match{}, contract.Body{}, contract.Validate{}); p != nil {
			t.Fatal(p)
		}
		x.Response = r
		return run(x, contract.ValidateResponse{})
	}
	large := &exchange.Response{Status: 200, Body: []byte(strings.Repeat(" ", 4<<20) + "x")}
	large.Header.Set("Content-Type", "application/json")
	if p := answer(large); p != nil {
		t.Errorf("a large answer: %v", p)
	}
	streamed := &exchange.Response{Status: 200, Stream: &exchange.Stream{}}
	streamed.Header.Set("Content-Type", "application/json")
	if p := answer(streamed); p != nil {
		t.Errorf("a streamed answer: %v", p)
	}
	streamed.Header.Set("Content-Type", "text/html")
	if p := answer(streamed); p == nil || p.Code != problem.BackendBadAnswer {
		t.Errorf("a streamed answer of another type: %v", p)
	}
}

// TestBusinessNumbers finds what the policy points to, in every part of a call, refused ones included.
func TestBusinessNumbers(t *testing.T) {
	t.Parallel()
	const refs = ", refs: [{scheme: label, pointer: /path/label}, {scheme: limit, pointer: /query/limit}, {scheme: so, pointer: /body/order}, {scheme: sku, pointer: '/body/lines/*/sku'}, {scheme: id, pointer: /answer/id}]"
	snap := labels(t, "observe: true\n", refs)
	x := put(snap, "/labels/v1/labels/L%201?limit=4", "application/json", `{"order":"SO-7","lines":[{"sku":"A"},{"sku":"B"},{"sku":"A"},{"sku":7},{"sku":null},{"sku":"a\nb"}]}`, "harbor")
	if p := run(x, contract.Match{}, contract.Body{}, contract.Validate{}); p != nil {
		t.Fatal(p)
	}
	x.Response = &exchange.Response{Status: 200, Body: []byte(`{"id":"L-7"}`)}
	x.Response.Header.Set("Content-Type", "application/json")
	run(x, contract.ValidateResponse{})
	want := []traffic.Ref{{Scheme: "label", Value: "L 1"}, {Scheme: "limit", Value: "4"}, {Scheme: "so", Value: "SO-7"}, {Scheme: "sku", Value: "A"}, {Scheme: "sku", Value: "B"}, {Scheme: "sku", Value: "7"}, {Scheme: "id", Value: "L-7"}}
	if !slices.Equal(x.Refs, want) {
		t.Errorf("got  %v\nwant %v", x.Refs, want)
	}
	many := put(snap, "/labels/v1/labels/"+strings.Repeat("L", 200), "application/json", `{"lines":[`+manySKUs(40)+`]}`, "harbor")
	run(many, contract.Match{}, contract.Body{}, contract.Validate{})
	if len(many.Refs) != 16 {
		t.Errorf("one call has %d numbers", len(many.Refs))
	}
	broken := put(snap, "/labels/v1/labels/L1", "application/json", `{"order":`, "harbor")
	run(broken, contract.Match{}, contract.Body{}, contract.Validate{})
	if !slices.Equal(broken.Refs, []traffic.Ref{{Scheme: "label", Value: "L1"}}) {
		t.Errorf("of a broken body: %v", broken.Refs)
	}
}

func manySKUs(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"sku":"S%d"}`, i))
	}
	return strings.Join(out, ",")
}

// TestCountsAreBounded: a hostile body adds a bounded number of places to a record.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	var members []string
	for i := range 2000 {
		members = append(members, fmt.Sprintf(`"x%d":1`, i))
	}
	x := put(labels(t, "", ", request: report"), "/labels/v1/labels/L1", "application/json", "{"+strings.Join(members, ",")+"}", "harbor")
	if p := run(x, contract.Match{}, contract.Body{}, contract.Validate{}); p != nil || len(x.Breaches) > 50 || len(x.Reported) > 50 {
		t.Errorf("%v, %d breaches, %d reported", p, len(x.Breaches), len(x.Reported))
	}
}

func BenchmarkValidateResponse(b *testing.B) {
	for _, mode := range []string{"off", "report", "enforce"} {
		for kind, body := range map[string]string{"good": `{"order":"SO-1","lines":[` + manySKUs(10) + `]}`, "lying": `{"order":"SO-1","lines":[` + manySKUs(100) + `],"more":1}`} {
			if mode == "off" && kind == "lying" {
				continue
			}
			b.Run(mode+" "+kind, func(b *testing.B) {
				x := put(labels(b, "", ", response: "+mode), "/labels/v1/labels/L1", "application/json", goodLabel, "harbor")
				if p := run(x, contract.Match{}, contract.Body{}, contract.Validate{}); p != nil {
					b.Fatal(p)
				}
				x.Response = &exchange.Response{Status: 200, Body: []byte(body)}
				x.Response.Header.Set("Content-Type", "application/json")
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					x.Breaches, x.Reported = x.Breaches[:0], x.Reported[:0]
					run(x, contract.ValidateResponse{})
				}
			})
		}
	}
}
