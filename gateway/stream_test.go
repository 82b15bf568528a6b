package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/traffic"
)

const streamSpec = `
openapi: 3.1.0
info: {title: Files, version: 1.0.0}
security: [{oauth2: ['stock:read']}]
paths:
  /files/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string, maxLength: 20}}]
    get:
      operationId: getFile
      responses: {'200': {description: ok, content: {application/octet-stream: {}}}}
    put:
      operationId: putFile
      requestBody: {required: true, content: {application/octet-stream: {}}}
      responses: {'200': {description: ok, content: {text/plain: {}}}}
    post:
      operationId: convertFile
      requestBody: {required: true, content: {application/octet-stream: {}}}
      responses: {'200': {description: ok, content: {application/octet-stream: {}}}}
  /rates:
    get:
      operationId: getRates
      responses: {'200': {description: ok, content: {application/json: {}}}}
components:
  securitySchemes:
    oauth2: {type: oauth2, flows: {clientCredentials: {tokenUrl: /token, scopes: {'stock:read': read}}}}
`

// streaming is a gateway whose operations stream, with small limits unless large.
func streaming(t *testing.T, backend string, large bool) *running {
	t.Helper()
	up, down := "1MiB", "2MiB"
	if large {
		up, down = "200MiB", "400MiB"
	}
	files := maps.Clone(policies)
	delete(files, "mappings/stock.yaml")
	files["apis/stock.yaml"] = fmt.Sprintf(`
kind: api
schema: 1
title: Files
versions: {v1: {lifecycle: {state: stable}}}
operations:
  getFile: {dispatch: proxy, backend: {fixed: erp}, stream: down, answer: %s}
  putFile: {dispatch: proxy, backend: {fixed: erp}, stream: up, body: %s}
  convertFile: {dispatch: proxy, backend: {fixed: erp}, stream: both, body: %[2]s, answer: %[1]s}
  getRates: {dispatch: proxy, backend: {fixed: erp}, fallback: {kind: last_good, maxAge: 1h}}
`, down, up)
	files["backends/erp.yaml"] = "kind: backend\nschema: 1\nname: ERP\nurls: {sandbox: erp}\ntimeout: 2s\n"
	return startWith(t, backend, streamSpec, files)
}

type pattern struct{ left int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.left))
	for i := range n {
		b[i] = byte(p.left - int64(i))
	}
	p.left -= int64(n)
	return n, nil
}

// same reads r and reports whether it is pattern{n}, and its length.
func same(r io.Reader, n int64) (bool, int64, error) {
	buf, ok, got := make([]byte, 32<<10), true, int64(0)
	for {
		m, err := r.Read(buf)
		for i := range m {
			ok = ok && buf[i] == byte(n-got-int64(i))
		}
		got += int64(m)
		if err == io.EOF {
			return ok && got == n, got, nil
		}
		if err != nil {
			return false, got, err
		}
	}
}

// fileServer answers GET with ?n bytes, checks what is PUT, and gives back what is POSTed.
func fileServer(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int64
		fmt.Sscan(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], &n)
		switch r.Method {
		case "GET":
			if n%2 == 0 {
				w.Header().Set("Content-Length", fmt.Sprint(n))
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			io.Copy(w, &pattern{n})
		case "PUT":
			ok, got, err := same(r.Body, n)
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, ok, " ", got, " ", err == nil)
		case "POST":
			w.Header().Set("Content-Type", "application/octet-stream")
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				t.Error(err)
			}
			io.Copy(w, r.Body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// eventually waits for what happens after an answer is on its way, such as its record.
func (r *running) eventually(t *testing.T, id string) traffic.Call {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r.records.mu.Lock()
		c, ok := r.records.calls[id]
		r.records.mu.Unlock()
		if ok {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("no record of call %q", id)
		}
		runtime.Gosched()
	}
}

// TestLargeBodiesAreNotHeld sends much more than the heap may grow by, both ways, with and without a length.
func TestLargeBodiesAreNotHeld(t *testing.T) {
	up, down, most := int64(24<<20), int64(48<<20), uint64(12<<20)
	if os.Getenv("SOAK") != "" {
		up, down, most = 100<<20, 200<<20, 32<<20
	}
	r := streaming(t, fileServer(t).URL, true)
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapAlloc))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	call := func(method string, n int64, body io.Reader, length int64) *http.Response {
		req, err := http.NewRequest(method, fmt.Sprint(r.url, "/stock/v1/files/", n), body)
		if err != nil {
			t.Fatal(err)
		}
		if body != nil {
			req.ContentLength = length
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			b, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s: %d %s", method, resp.StatusCode, b)
		}
		return resp
	}
	for _, length := range []int64{up, -1} {
		resp := call("PUT", up, &pattern{up}, length)
		if got, _ := io.ReadAll(resp.Body); string(got) != fmt.Sprint(true, " ", up, " ", true) {
			t.Errorf("the backend saw %s", got)
		}
		if c := r.eventually(t, resp.Header.Get("X-Request-Id")); c.BytesIn != up || c.Status != 200 {
			t.Errorf("record %+v", c)
		}
	}
	for _, n := range []int64{down, down + 1} {
		resp := call("GET", n, nil, 0)
		if ok, got, err := same(resp.Body, n); !ok || err != nil || n == down && resp.ContentLength != n {
			t.Errorf("down: %t after %d bytes, length %d, %v", ok, got, resp.ContentLength, err)
		}
		if c := r.eventually(t, resp.Header.Get("X-Request-Id")); c.BytesOut != n || c.Code != "" {
			t.Errorf("record %+v", c)
		}
	}
	resp := call("POST", up, &pattern{up}, -1)
	if ok, got, err := same(resp.Body, up); !ok || err != nil {
		t.Errorf("both ways at once: %t after %d bytes, %v", ok, got, err)
	}
	close(stop)
	<-stopped
	if grown := peak.Load() - min(before.HeapAlloc, peak.Load()); grown > most {
		t.Errorf("the heap grew by %d KiB for %d MiB up and %d MiB down", grown>>10, up>>20, down>>20)
	} else {
		t.Logf("peak heap growth %d KiB, client and backend included, for %d MiB up and %d MiB down", grown>>10, up>>20, down>>20)
	}
}

func TestStreamedLimits(t *testing.T) {
	t.Parallel()
	r := streaming(t, fileServer(t).URL, false)
	send := func(method, name string, body io.Reader) (*http.Response, error) {
		req, err := http.NewRequest(method, r.url+"/stock/v1/files/"+name, body)
		if err != nil {
			t.Fatal(err)
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		return http.DefaultClient.Do(req)
	}
	for _, body := range []io.Reader{io.MultiReader(&pattern{1<<20 + 1}), strings.NewReader(strings.Repeat("a", 1<<20+1))} {
		resp, err := send("PUT", "1", body)
		if err != nil || resp.StatusCode != 413 {
			t.Fatalf("too large: %v %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		if c := r.eventually(t, resp.Header.Get("X-Request-Id")); c.Code != "body.too_large" {
			t.Errorf("record %+v", c)
		}
	}
	if resp, err := send("GET", fmt.Sprint(2<<20+2), nil); err != nil || resp.StatusCode != 502 { // its length is known ahead
		t.Errorf("an answer that is too large: %v %v", resp, err)
	}
	resp, err := send("GET", fmt.Sprint(2<<20+1), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("an answer of unknown length: %v %v", resp, err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("an answer that is too large ended well after %d bytes", n)
	}
	if c := r.eventually(t, resp.Header.Get("X-Request-Id")); c.Code != "backend.bad_answer" || c.BytesOut > 2<<20 {
		t.Errorf("record %+v", c)
	}
	for range 3 { // and the gateway lives on, with connections that are in order
		if resp, err := send("PUT", "5", io.MultiReader(&pattern{5})); err != nil || resp.StatusCode != 200 {
			t.Errorf("afterwards: %v %v", resp, err)
		} else if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "true 5 true" {
			t.Errorf("afterwards: %s %v", got, err)
		}
	}
}

// cut is a backend that reads a head and then does what a test says.
func cut(t *testing.T, serve func(c net.Conn, r *bufio.Reader, head *http.Request)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if head, err := http.ReadRequest(r); err == nil {
					serve(c, r, head)
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// An answer that breaks off breaks off for the caller too: no end of a chunked body, no full length.
func TestABrokenAnswerIsNoSuccess(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{"length": "Content-Length: 100000\r\n\r\n", "chunked": "Transfer-Encoding: chunked\r\n\r\n2710\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := streaming(t, cut(t, func(c net.Conn, _ *bufio.Reader, _ *http.Request) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"+head+strings.Repeat("a", 10000))
				if name == "chunked" {
					io.WriteString(c, "\r\n")
				}
			}), false)
			resp, err := http.Get(r.url + "/stock/v1/files/1")
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("got %v %v", resp, err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("the answer ended well after %d bytes", n)
			}
			if c := r.eventually(t, resp.Header.Get("X-Request-Id")); c.Code != "backend.bad_answer" {
				t.Errorf("record %+v", c)
			}
		})
	}
}

// A body that the caller breaks off is broken off for the backend too.
func TestABrokenBodyIsNoBody(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	r := streaming(t, cut(t, func(_ net.Conn, _ *bufio.Reader, head *http.Request) {
		_, err := io.Copy(io.Discard, head.Body)
		ended <- err
	}), false)
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "PUT /stock/v1/files/1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 400 || !resp.Close {
		t.Errorf("the caller got %v %v", resp, err)
	}
	if err := <-ended; err == nil {
		t.Error("the backend saw a whole body")
	}
	if rec := r.eventually(t, resp.Header.Get("X-Request-Id")); rec.Code != "http.framing" {
		t.Errorf("record %+v", rec)
	}
	c.Close()
}

// A caller that stops reading is given up; one that goes on reading, however long it takes, gets everything.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	backend := fileServer(t)
	r := streaming(t, backend.URL, true)
	const n = 64 << 20
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /stock/v1/files/%d HTTP/1.1\r\nHost: a\r\n\r\n", n)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v %v", resp, err)
	}
	rec := r.eventually(t, resp.Header.Get("X-Request-Id"))
	if last := rec.Trail[len(rec.Trail)-1]; rec.Code != "" || rec.BytesOut >= n || last.Note != "the caller went away" {
		t.Errorf("record %+v", rec)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the answer ended well")
	}
	resp, err = http.Get(r.url + "/stock/v1/files/" + fmt.Sprint(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	began, got := time.Now(), int64(0)
	for err == nil { // a whole answer takes longer than a part may
		var m int64
		m, err = io.CopyN(io.Discard, resp.Body, 64<<10)
		got += m
		<-pace.C
	}
	if err != io.EOF || got != 16<<20 || time.Since(began) < 300*time.Millisecond {
		t.Errorf("a slow reader got %d bytes in %s: %v", got, time.Since(began), err)
	}
}

func TestLastGoodAnswer(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(503)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"rate":"7.10"}`)
	}))
	defer s.Close()
	r := streaming(t, s.URL, false)
	fresh, body, _ := r.do(t, "GET", "/stock/v1/rates", "", "")
	if fresh.StatusCode != 200 || body["rate"] != "7.10" || fresh.Header.Get("Portway-Fallback") != "" {
		t.Fatalf("got %v %v", fresh, body)
	}
	down.Store(true)
	old, body, c := r.do(t, "GET", "/stock/v1/rates", "", "")
	if old.StatusCode != 200 || body["rate"] != "7.10" || old.Header.Get("Portway-Fallback") != "last-good" || old.Header.Get("Age") == "" ||
		old.Header.Get("X-Request-Id") == fresh.Header.Get("X-Request-Id") || c.Status != 200 {
		t.Errorf("got %v %v %+v", old, body, c)
	}
}

// A chunked body whose caller stops sending between two chunks is not whole, even if what came is valid.
func TestAChunkedBodyWithoutItsEnd(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer s.Close()
	r := start(t, s.URL)
	for _, end := range []string{"", "0\r\n", "0"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "PUT /stock/v1/stock/A HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"count\":1}\r\n"+end)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 400 || calls.Load() != 0 {
			t.Errorf("ending in %q: %v %v, %d calls", end, resp, err, calls.Load())
		}
		c.Close()
	}
}
