package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowly is how a client keeps a connection busy with as little as it can.
var slowly = map[string]func(c net.Conn, token string) error{
	"a head that never ends": func(c net.Conn, _ string) error {
		_, err := io.WriteString(c, "GET /things/v1/things/1 HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n")
		return err
	},
	"a body that never comes": func(c net.Conn, _ string) error {
		_, err := io.WriteString(c, "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant")
		return err
	},
	"nothing at all": func(net.Conn, string) error { return nil },
	"answers that are not read": func(c net.Conn, token string) error {
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			return err
		}
		_, err := io.WriteString(c, strings.Repeat("GET /things/v1/things/big HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+"\r\n\r\n", 100))
		return err
	},
}

// TestSlowClients holds connections open in every slow way: good calls are answered as before, memory is bounded, and
// those that send no head in time are gone. SOAK makes it 1,000 connections, and compares the latencies.
func TestSlowClients(t *testing.T) {
	each, soak := 25, os.Getenv("SOAK") != ""
	if soak {
		each = 250
	}
	p := launch(t, secretsOfRunning(), "--config="+runningInstallation(t, bigThing), "--max-connections=0", "--log-level=error")
	token := bearer(t, p.at("gateway"))
	base := measure(t, p.at("gateway"), token, 300)
	_, metrics := p.get("/metrics")
	memory := number(t, metrics, "process_resident_memory_bytes")
	address := strings.TrimPrefix(p.at("gateway"), "http://")
	var heads sync.WaitGroup
	gone := make(chan string, each)
	for name, begin := range slowly {
		for range each {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if err := begin(c, token); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if name == "a head that never ends" {
				heads.Go(func() {
					if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
						gone <- err.Error()
						return
					}
					b, err := io.ReadAll(c)
					if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
						gone <- fmt.Sprintf("%v %.40q", err, b)
					}
				})
			}
		}
	}
	before, still := -1.0, 0
	within(t, time.Minute, "the answers are stuck", func() bool {
		_, metrics := p.get("/metrics")
		now := number(t, metrics, `portway_calls_total{class="2xx",environment="live",operation="things/v1/getThing"}`)
		if still++; now != before {
			before, still = now, 0
		}
		return still == 10
	})
	held := measure(t, p.at("gateway"), token, 300)
	_, metrics = p.get("/metrics")
	grown := number(t, metrics, "process_resident_memory_bytes") - memory
	t.Logf("%d slow connections: p99 of good calls %v, without them %v; memory +%.1f MiB", each*len(slowly), held, base, grown/(1<<20))
	if grown > 100<<20 {
		t.Errorf("memory grew by %.0f bytes", grown)
	}
	if soak && held > 2*base+5*time.Millisecond {
		t.Errorf("p99 of good calls is %v, without slow clients %v", held, base)
	}
	heads.Wait()
	close(gone)
	for g := range gone {
		t.Errorf("a head that never ends got %s, want 408 and the end of the connection", g)
	}
}

// measure makes n good calls one after the other and returns the 99th percentile of their time.
func measure(t *testing.T, gateway, token string, n int) time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		req, err := http.NewRequest("GET", gateway+"/things/v1/things/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if took[i] = time.Since(began); err != nil || res.StatusCode != 200 {
			t.Fatalf("a good call: %d %v", res.StatusCode, err)
		}
	}
	slices.Sort(took)
	return took[n*99/100]
}
