package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// backend answers as the workload says, and serves the issuer's keys.
type backend struct {
	address string
	server  *fasthttp.Server
	keys    keys
}

func startBackend(w *workload) (*backend, error) {
	b := &backend{}
	if err := b.keys.load(); err != nil {
		return nil, err
	}
	set, err := b.keys.jwks()
	if err != nil {
		return nil, err
	}
	b.server = &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		c.SetContentType("application/json")
		switch {
		case bytes.Equal(c.Path(), []byte("/jwks.json")):
			c.SetBody(set)
		case c.IsPost():
			c.SetStatusCode(201)
			c.SetBody(w.backendPost)
		default:
			c.SetBody(w.backendGet)
		}
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.address = ln.Addr().String()
	go func() {
		if err := b.server.Serve(ln); err != nil { // nil after stop
			fmt.Fprintln(os.Stderr, "bench: backend:", err)
		}
	}()
	return b, nil
}

// issuer is the iss of the tokens.
func (b *backend) issuer() string { return "http://" + b.address + "/" }

func (b *backend) stop() {
	if err := b.server.Shutdown(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: backend:", err)
	}
}

// loaded is what one run of load saw.
type loaded struct {
	requests  int64
	wrong     int64
	firstBad  string
	took      time.Duration
	latencies []time.Duration // a sample
}

// load sends a scenario's requests over n connections until the time is up, or the fresh tokens are.
func load(target string, w *workload, s *scenario, tokens []string, n int, d time.Duration, skip int) loaded {
	var out loaded
	var mu sync.Mutex
	var next atomic.Int64
	next.Store(int64(skip))
	deadline := time.Now().Add(d)
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			client := &fasthttp.HostClient{Addr: target, MaxConns: 1, MaxIdemponentCallAttempts: 1, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
			req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(res)
			req.Header.SetHost(target)
			prepare(req, w, s, target)
			var requests, wrong int64
			var firstBad string
			var sample []time.Duration
			for time.Now().Before(deadline) {
				if len(tokens) > 0 {
					i := int(next.Add(1)) - 1
					if s.fresh && i >= len(tokens) {
						break
					}
					req.Header.Set("Authorization", "Bearer "+tokens[i%len(tokens)])
				}
				at := time.Now()
				err := client.Do(req, res)
				requests++
				if requests%16 == 0 {
					sample = append(sample, time.Since(at))
				}
				if ok := err == nil && (res.StatusCode() == s.want || s.want == 400 && res.StatusCode()/100 == 4 && res.StatusCode() != 401 && res.StatusCode() != 429); !ok {
					wrong++
					if firstBad == "" {
						firstBad = fmt.Sprintf("%d %v %.200s", res.StatusCode(), err, res.Body())
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out.requests += requests
			out.wrong += wrong
			if out.firstBad == "" {
				out.firstBad = firstBad
			}
			out.latencies = append(out.latencies, sample...)
		})
	}
	wg.Wait()
	out.took = time.Since(began)
	sort.Slice(out.latencies, func(i, j int) bool { return out.latencies[i] < out.latencies[j] })
	return out
}

func prepare(req *fasthttp.Request, w *workload, s *scenario, target string) {
	req.Header.SetMethod("GET")
	req.SetRequestURI("http://" + target + "/v1/shipments/shp_01hzyk3e7c")
	if !s.post {
		return
	}
	req.Header.SetMethod("POST")
	req.SetRequestURI("http://" + target + "/v1/shipments")
	req.Header.SetContentType("application/json")
	body := w.valid
	if s.invalid {
		body = w.invalid
	}
	req.SetBody(body)
}

// quantile is the latency below which a part of the sample lies.
func (l *loaded) quantile(q float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(len(l.latencies)-1, int(q*float64(len(l.latencies))))]
}
