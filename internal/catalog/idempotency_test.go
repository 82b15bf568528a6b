package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"portway/internal/ident"
)

const keyedSpec = `
openapi: 3.1.0
info: {title: Keyed, version: 1.0.0}
security: [{oauth2: []}]
paths:
  /jobs:
    get: {operationId: read, responses: {'200': {description: ok}}}
    post:
      operationId: make
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Job'}}}}
      responses: {'201': {description: ok}}
    put:
      operationId: put
      requestBody: {content: {text/plain: {schema: {type: string}}}}
      responses: {'201': {description: ok}}
    delete: {operationId: drop, security: [], responses: {'204': {description: ok}}}
    patch:
      operationId: load
      requestBody: {content: {application/octet-stream: {}}}
      responses: {'204': {description: ok}}
components:
  schemas:
    Job:
      allOf:
        - {$ref: '#/components/schemas/Base'}
        - type: object
          properties:
            lines: {type: array, items: {type: object, properties: {sku: {type: string}, pickedAt: {type: string, format: date-time}, sub: {$ref: '#/components/schemas/Job'}}}}
            "a/b~c": {type: string}
            extra: {type: object, additionalProperties: {type: string}}
    Base: {type: object, properties: {name: {type: string}, sentAt: {type: string, format: date-time}, dueAt: {type: [string, 'null'], format: date-time}}}
`

func keyed(t *testing.T, policies map[string]string) (*Snapshot, string) {
	t.Helper()
	var sb strings.Builder
	sb.WriteString("kind: api\nschema: 1\ntitle: Keyed\nversions: {v1: {}}\noperations:\n")
	for _, op := range []string{"read", "make", "put", "drop", "load"} {
		extra := policies[op]
		if extra != "" {
			extra = ", " + extra
		}
		fmt.Fprintf(&sb, "  %s: {dispatch: proxy, backend: {fixed: b}%s}\n", op, extra)
	}
	snap, problems := Load(Sources{Specs: fstest.MapFS{"keyed/v1/openapi.yaml": &fstest.MapFile{Data: []byte(keyedSpec)}},
		Policies: fstest.MapFS{"apis/keyed.yaml": &fstest.MapFile{Data: []byte(sb.String())},
			"backends/b.yaml": &fstest.MapFile{Data: []byte("kind: backend\nschema: 1\nname: B\nurls: {live: \"http://127.0.0.1:1\"}\nhonoursKey: true\noperations: {make: {repeatable: true}}\n")}},
		ResolveURL: func(s string) (string, error) { return s, nil }, Clock: ident.System{}})
	if err := problems.Err(); err != nil {
		return nil, err.Error()
	}
	return snap, ""
}

func TestIdempotencyByOperation(t *testing.T) {
	t.Parallel()
	snap, problem := keyed(t, map[string]string{
		"make": "idempotency: {key: required, fields: [/name, /lines, /dueAt, /extra/anything], exclude: [/lines/*/sku]}",
		"load": "stream: up",
	})
	if problem != "" {
		t.Fatal(problem)
	}
	got := map[string]Idempotency{}
	api, _ := snap.API("keyed")
	for _, r := range api.Versions[0].Routes {
		got[r.Operation.ID] = r.Idempotency
	}
	for op, want := range map[string]string{"read": KeyNone, "make": KeyRequired, "put": KeyOptional, "drop": KeyNone, "load": KeyNone} {
		if got[op].Key != want {
			t.Errorf("%s: key %q, want %q", op, got[op].Key, want)
		}
	}
	// Moments do not count unless they are named.
	m := got["make"]
	if !slices.Equal(m.Fields, []string{"/dueAt", "/extra/anything", "/lines", "/name"}) || !slices.IsSorted(m.Exclude) ||
		!slices.Contains(m.Exclude, "/lines/*/pickedAt") || !slices.Contains(m.Exclude, "/lines/*/sku") || !slices.Contains(m.Exclude, "/sentAt") || slices.Contains(m.Exclude, "/dueAt") {
		t.Errorf("make: %+v", m)
	}
	if b := snap.Backends["b"]; !b.HonoursKey || !b.Operations["make"].Repeatable {
		t.Errorf("backend %+v", b)
	}
}

func TestIdempotencyProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op, policy, want string
	}{
		"no such mode":       {"make", "idempotency: {key: perhaps}", `idempotency.key is "perhaps"`},
		"a read":             {"read", "idempotency: {key: optional}", "only unsafe calls of known callers"},
		"open to anyone":     {"drop", "idempotency: {key: required}", "only unsafe calls of known callers"},
		"a stream":           {"load", "stream: up, idempotency: {key: optional}", "the operation streams"},
		"a misspelt field":   {"make", "idempotency: {fields: [/nmae]}", `"/nmae" is no place`},
		"below a leaf":       {"make", "idempotency: {fields: [/name/x]}", `"/name/x" is no place`},
		"a misspelt exclude": {"make", "idempotency: {exclude: [/lines/*/skew]}", `"/lines/*/skew" is no place`},
		"no pointer":         {"make", "idempotency: {fields: [name]}", `"name" is no place`},
		"no JSON":            {"put", "idempotency: {fields: [/name]}", "need a JSON body"},
		"fields of nothing":  {"make", "idempotency: {key: none, fields: [/name]}", "for operations that take keys"},
	} {
		_, problem := keyed(t, map[string]string{c.op: c.policy})
		if !strings.Contains(problem, c.want) || !strings.Contains(problem, "policies/apis/keyed.yaml:") {
			t.Errorf("%s: %q, want %q", name, problem, c.want)
		}
	}
	for _, good := range []string{"idempotency: {fields: [/a~1b~0c, /lines/*/sub/name]}", "idempotency: {exclude: [/sentAt]}", "idempotency: {key: none}"} {
		if _, problem := keyed(t, map[string]string{"make": good}); problem != "" {
			t.Errorf("%s: %s", good, problem)
		}
	}
}
