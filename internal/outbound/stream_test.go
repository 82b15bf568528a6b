package outbound

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/outbound/budget"
	"portway/internal/problem"
)

// letters is n bytes that are not held anywhere.
func letters(n int64) io.Reader { return io.LimitReader(endless{}, n) }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte('a' + i%26)
	}
	return len(p), nil
}

func (r *rig) stream(b *catalog.Backend, q Request) (*Answer, error) {
	q.Path, q.Method = "/o", "PUT"
	return r.Stream(context.Background(), b, ident.Sandbox, q, true)
}

func TestStreamBothWays(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Length", fmt.Sprint(r.ContentLength))
		fmt.Fprintf(w, "%d %x\n", n, sum.Sum(nil))
		io.Copy(w, letters(3<<20))
	})
	for _, length := range []int64{5 << 20, -1} {
		r := newRig(nil)
		a, err := r.stream(backend(s.URL), Request{Stream: letters(5 << 20), Length: length, Key: "k"})
		if err != nil || a.Status != 200 || a.Stream == nil {
			t.Fatalf("got %v %v", a, err)
		}
		if n := r.State()[0].InFlight; n != 1 {
			t.Errorf("%d calls are under way while an answer is read", n)
		}
		var got bytes.Buffer
		if _, err := io.Copy(&got, a.Stream); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Stream.Close(), a.Stream.Close()); err != nil {
			t.Error(err)
		}
		line, err := got.ReadString('\n')
		want := sha256.New()
		io.Copy(want, letters(5<<20))
		if err != nil || line != fmt.Sprintf("%d %x\n", 5<<20, want.Sum(nil)) || got.Len() != 3<<20 || r.State()[0].InFlight != 0 || r.metrics.outcomes[Answered] != 1 {
			t.Errorf("got %q and %d bytes, %v", line, got.Len(), r.metrics.outcomes)
		}
		for _, h := range a.Header {
			if h[0] == "Length" && h[1] != fmt.Sprint(length) {
				t.Errorf("the backend was told a length of %s, want %d", h[1], length)
			}
		}
	}
}

func TestStreamedRefusalIsHeld(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(422)
		fmt.Fprint(w, "no")
	})
	r := newRig(nil)
	a, err := r.stream(backend(s.URL), Request{Stream: strings.NewReader("x"), Length: 1})
	if err != nil || a.Status != 422 || a.Stream != nil || string(a.Body) != "no" || r.State()[0].InFlight != 0 {
		t.Errorf("got %+v %v", a, err)
	}
}

// halting is a caller that stops; Close ends its Read.
type halting struct {
	first  io.Reader
	closed chan struct{}
}

func (h *halting) Read(p []byte) (int, error) {
	if n, err := h.first.Read(p); err == nil {
		return n, nil
	}
	<-h.closed
	return 0, errors.New("closed")
}

func (h *halting) Close() error {
	close(h.closed)
	return nil
}

// A backend that answers early is heard; the caller's body is let go, not waited for.
func TestStreamEarlyAnswer(t *testing.T) {
	t.Parallel()
	u := raw(t, func(c net.Conn, _ int) {
		head := make([]byte, 1024)
		if _, err := c.Read(head); err == nil {
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		}
	})
	r := newRig(nil)
	a, err := r.stream(backend(u), Request{Stream: &halting{first: strings.NewReader("begin"), closed: make(chan struct{})}, Length: -1})
	if err != nil || a.Status != 413 || string(a.Body) != "no" {
		t.Errorf("got %+v %v", a, err)
	}
}

func TestStreamFailures(t *testing.T) {
	t.Parallel()
	refused := problem.New(problem.BodyTooLarge, "too large")
	silent := func(c net.Conn, _ int) { io.Copy(io.Discard, c) }
	answering := func(text string) func(net.Conn, int) {
		return func(c net.Conn, _ int) {
			if _, err := readHead(c); err == nil {
				io.WriteString(c, text)
			}
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn, int)
		body  io.Reader
		want  problem.Code
		read  problem.Code // of the answer
		good  bool         // the target is not blamed
	}{
		"silent":          {serve: silent, want: problem.BackendTimeout},
		"never reads":     {serve: func(net.Conn, int) { <-t.Context().Done() }, body: letters(64 << 20), want: problem.BackendTimeout},
		"closes":          {serve: func(c net.Conn, _ int) { readHead(c) }, want: problem.BackendBadAnswer},
		"garbage":         {serve: answering("garbage\r\n\r\n"), want: problem.BackendBadAnswer},
		"too large":       {serve: answering("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\na"), want: problem.BackendBadAnswer},
		"too large later": {serve: answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("a", 1001) + "\r\n0\r\n\r\n"), read: problem.BackendBadAnswer},
		"cut short":       {serve: answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), read: problem.BackendBadAnswer},
		"chunks cut":      {serve: answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), read: problem.BackendBadAnswer},
		"stalls": {serve: func(c net.Conn, _ int) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
			io.Copy(io.Discard, c)
		}, read: problem.BackendTimeout},
		"caller too large": {serve: silent, body: io.MultiReader(letters(1<<20), failing{refused}), want: problem.BodyTooLarge, good: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newRig(nil), backend(raw(t, c.serve))
			body := c.body
			if body == nil {
				body = strings.NewReader("hello")
			}
			timeout := 20 * time.Second
			if c.want == problem.BackendTimeout || c.read == problem.BackendTimeout {
				timeout = 150 * time.Millisecond
			}
			a, err := r.stream(b, Request{Stream: body, Length: -1, Limit: 1000, Timeout: timeout})
			if err == nil {
				_, err = io.Copy(io.Discard, a.Stream)
				if closed := a.Stream.Close(); closed != nil {
					t.Error(closed)
				}
				if c.want != "" || code(err) != c.read {
					t.Errorf("reading: %v, want %s", err, c.read)
				}
			} else if code(err) != c.want || c.want == "" {
				t.Errorf("got %v, want %s", err, c.want)
			}
			p, _ := r.pool(b, ident.Sandbox)
			if n := p.inFlight.Load(); n != 0 || (p.targets[0].failures.Load() == 0) != c.good {
				t.Errorf("%d under way, %d failures", n, p.targets[0].failures.Load())
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A caller that goes away in the middle of an answer gives its place back and blames nobody.
func TestStreamClosedEarly(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, endless{}) })
	r := newRig(nil)
	b := backend(s.URL)
	a, err := r.stream(b, Request{Stream: strings.NewReader(""), Length: 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, a.Stream, 1<<20); err != nil {
		t.Error(err)
	}
	a.Stream.Close()
	p, _ := r.pool(b, ident.Sandbox)
	if p.inFlight.Load() != 0 || p.targets[0].failures.Load() != 0 {
		t.Errorf("%d under way, %d failures", p.inFlight.Load(), p.targets[0].failures.Load())
	}
}

// BenchmarkResilience is what pools, places, budgets and breakers add to a call.
func BenchmarkResilience(b *testing.B) {
	for name, allowed := range map[string]egress.Budget{"plain": {}, "budget": {Rate: 1e9, Per: time.Second, Burst: 1e9}} {
		b.Run(name, func(b *testing.B) {
			c := NewClient(Options{Getenv: func(string) string { return "" }})
			of := backend("http://127.0.0.1:1")
			of.Budget = allowed
			r := Request{Method: "GET", Path: "/o", Org: "o1"}
			said := budget.NewLimits()
			b.ReportAllocs()
			for b.Loop() {
				p, err := c.ready(of, ident.Sandbox, &r)
				if err != nil {
					b.Fatal(err)
				}
				if err := c.enter(p); err != nil {
					b.Fatal(err)
				}
				p.retries.Earn()
				t, permit, err := c.begin(p, "o1", 0)
				if err != nil {
					b.Fatal(err)
				}
				said.Header("Content-Type", "application/json")
				said.Header("Content-Length", "17")
				p.share.Learn(200, &said, start)
				c.settle(p, t, permit, true, Answered, time.Millisecond)
				p.leave()
			}
		})
	}
}

// BenchmarkSend is a whole call to a backend on this machine.
func BenchmarkSend(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"a":1}`) })}
	go s.Serve(ln)
	defer s.Close()
	c := NewClient(Options{Getenv: func(string) string { return "" }})
	of := backend("http://" + ln.Addr().String())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Send(context.Background(), of, ident.Sandbox, Request{Method: "GET", Path: "/o", Org: "o1"}); err != nil {
			b.Fatal(err)
		}
	}
}
