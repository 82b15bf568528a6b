package edge_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/gateway/edge"
	"portway/internal/needs"
)

type probe struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Verdict  string   `json:"verdict"`
	Payloads []string `json:"payloads"`
}

// TestSuiteHTTP11Probe sends the literal payloads of the Http11Probe corpus. A request that must be rejected
// is answered 4xx or 5xx, or closed without an answer, and never reaches an operation.
func TestSuiteHTTP11Probe(t *testing.T) {
	t.Parallel()
	var corpus struct {
		Tests []probe `json:"tests"`
	}
	if err := json.Unmarshal(needs.CorpusFile(t, "vectors/http11probe/http11probe.json"), &corpus); err != nil {
		t.Fatal(err)
	}
	s := serve(t, &edge.Admit{}, edge.Options{ReadTimeout: 300 * time.Millisecond}, stage{"echo", echo})
	var must, prefer tally
	for _, p := range corpus.Tests {
		if p.Kind != "single" {
			continue
		}
		status := s.probe(t, p.Payloads[0])
		rejected := status == 0 || status >= 400
		switch p.Verdict {
		case "must-reject":
			must.count(p.ID, rejected)
		case "prefer-reject":
			prefer.count(p.ID, rejected)
		}
		if p.ID == "COMP-BASELINE" && status != 200 {
			t.Fatalf("the baseline got %d", status)
		}
	}
	needs.Suite(t, "http11probe", must.passed, must.total)
	needs.Tally(t, "http11probe-preferred", prefer.passed, prefer.total)
	for _, id := range slices.Concat(must.failed, prefer.failed) {
		t.Logf("accepted: %s", id)
	}
	for _, id := range must.failed {
		t.Errorf("%s must be rejected", id)
	}
}

type tally struct {
	passed, total int
	failed        []string
}

func (y *tally) count(id string, ok bool) {
	y.total++
	if ok {
		y.passed++
		return
	}
	y.failed = append(y.failed, id)
}

// probe sends a payload and returns the status of the answer, 0 when the connection was closed without one.
func (s *server) probe(t *testing.T, payload string) int {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 0, len(payload))
	for _, r := range strings.ReplaceAll(payload, "{{HOST}}", s.addr) {
		raw = append(raw, byte(r)) // the corpus writes bytes as Latin-1
	}
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		t.Errorf("no answer and no close: %q", payload)
		return 0
	case err != nil:
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}
