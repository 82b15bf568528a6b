package edge_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"portway/gateway/edge"
	"portway/gateway/exchange"
	"portway/internal/ident"
)

// whoCalls answers what the edge knows of the caller.
var whoCalls = stage{"who", func(_ context.Context, x *exchange.Exchange) error {
	var names []string
	for _, h := range x.Request.Header {
		names = append(names, strings.ToLower(h[0]))
	}
	subject := ""
	if der := x.Request.PeerCertificate; der != nil {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		subject = c.Subject.CommonName
	}
	b, err := json.Marshal(map[string]any{"remote": x.Request.Remote.String(), "secure": x.Request.Secure, "subject": subject, "headers": strings.Join(names, " ")})
	if err != nil {
		return err
	}
	x.Response = &exchange.Response{Status: 200, Body: b}
	return nil
}}

type caller struct {
	Remote, Subject, Headers string
	Secure                   bool
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	proxies, err := ident.ParseProxies("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	trusting := serve(t, &edge.Admit{Proxies: proxies}, edge.Options{}, whoCalls)
	trustingNobody := serve(t, &edge.Admit{}, edge.Options{}, whoCalls)
	head := "GET /o HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-For: 127.0.0.7\r\nX-Forwarded-Proto: http, https\r\n" +
		"Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nClient-Cert: :AAAA:\r\nX-Forwarded-Host: evil.example\r\nX-Kept: yes\r\n\r\n"
	for _, c := range []struct {
		name string
		s    *server
		want caller
	}{
		{"a listed peer", trusting, caller{Remote: "203.0.113.9", Secure: true}},
		{"anyone else", trustingNobody, caller{Remote: "127.0.0.1"}},
	} {
		a := send(t, c.s.addr, head)
		var got caller
		if err := json.Unmarshal(a.body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Remote != c.want.Remote || got.Secure != c.want.Secure {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if got.Headers != "host x-kept" {
			t.Errorf("%s: the pipeline sees the headers %q", c.name, got.Headers)
		}
	}
}

// authority is a certificate authority of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(template, nil, nil)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) issue(name string, usage x509.ExtKeyUsage) tls.Certificate {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{usage}}, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestTLSAndClientCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s := serve(t, &edge.Admit{}, edge.Options{TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ours.issue("server", x509.ExtKeyUsageServerAuth)},
		ClientCAs: ours.pool(), ClientAuth: tls.VerifyClientCertIfGiven}, MaxConnections: 10}, whoCalls)
	ask := func(certificates []tls.Certificate, versions ...uint16) (caller, error) {
		cfg := &tls.Config{RootCAs: ours.pool(), ServerName: "localhost", Certificates: certificates}
		if len(versions) > 0 {
			cfg.MinVersion, cfg.MaxVersion = versions[0], versions[0]
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		defer client.CloseIdleConnections()
		var got caller
		res, err := client.Get("https://" + s.addr + "/o")
		if err != nil {
			return got, err
		}
		defer res.Body.Close()
		return got, json.NewDecoder(res.Body).Decode(&got)
	}
	if got, err := ask(nil); err != nil || !got.Secure || got.Subject != "" || got.Remote != "127.0.0.1" {
		t.Errorf("without a client certificate: %+v %v", got, err)
	}
	if got, err := ask([]tls.Certificate{ours.issue("warehouse", x509.ExtKeyUsageClientAuth)}); err != nil || got.Subject != "warehouse" {
		t.Errorf("with one of ours: %+v %v", got, err)
	}
	stranger := theirs.issue("stranger", x509.ExtKeyUsageClientAuth)
	forced := &tls.Config{RootCAs: ours.pool(), ServerName: "localhost", // sends it although the server did not name its authority
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }}
	if res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: forced}}).Get("https://" + s.addr + "/o"); err == nil {
		res.Body.Close()
		t.Errorf("a certificate of a strange authority is let in: %d", res.StatusCode)
	}
	if _, err := ask(nil, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if got, err := ask(nil, tls.VersionTLS12); err != nil || !got.Secure {
		t.Errorf("TLS 1.2: %v", err)
	}
	if res, err := http.Get("http://" + s.addr + "/o"); err == nil && res.StatusCode == 200 {
		t.Error("plain HTTP is answered on the TLS listener")
	}
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{MaxConnections: 3}, whoCalls)
	open := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	answered := func(c net.Conn) bool {
		if _, err := io.WriteString(c, "GET /o HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return false
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err == nil && res.StatusCode == 200
	}
	var held []net.Conn
	for i := range 3 {
		c := open()
		if !answered(c) {
			t.Fatalf("connection %d is not answered", i+1)
		}
		held = append(held, c)
	}
	if answered(open()) {
		t.Error("a fourth connection is answered")
	}
	if !strings.Contains(s.log.String(), "connections refused") {
		t.Errorf("no line says so: %s", s.log)
	}
	if !answered(held[0]) {
		t.Error("an open connection is not answered any more")
	}
	held[1].Close()
	for deadline := time.Now().Add(5 * time.Second); !answered(open()); {
		if time.Now().After(deadline) {
			t.Fatal("a place that was given back is not given again")
		}
	}
	all, err := ident.ParseProxies("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	behind := serve(t, &edge.Admit{Proxies: all}, edge.Options{MaxConnections: 1, Proxies: all}, whoCalls)
	s = behind
	first, second := open(), open()
	if !answered(first) || !answered(second) {
		t.Error("a trusted proxy is held to the limit of one client")
	}
}

func TestHeaderAndBodyHaveTheirOwnTime(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{HeaderTimeout: 150 * time.Millisecond, ReadTimeout: 20 * time.Second}, stage{"echo", echo})
	began := time.Now()
	a := send(t, s.addr, "GET /o HTTP/1.1\r\nHost: a\r\nX-Test: begins")
	if took := time.Since(began); a.status != 408 || !a.closed || took > 5*time.Second {
		t.Errorf("a slow head: %d after %v", a.status, took)
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /o HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for range 10 { // over twice the time of a head
		<-time.After(40 * time.Millisecond)
		if _, err := io.WriteString(c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("a body that takes its time: %v %v", res, err)
	}
	res.Body.Close()
}

// TestDrainAnswersWhatIsOnItsWay stops a server while callers go on over open connections: every call that was sent
// before the caller was told to stop is answered, and no connection that was open is closed without an answer.
func TestDrainAnswersWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{DrainGrace: 3 * time.Second}, whoCalls)
	const callers = 20
	sent, stop, results := make(chan struct{}, callers), make(chan struct{}), make(chan error, callers)
	for range callers {
		go func() {
			results <- func() error {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					return err
				}
				defer c.Close()
				r := bufio.NewReader(c)
				for n := 0; ; n++ {
					if _, err := fmt.Fprintf(c, "GET /o HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
						return fmt.Errorf("call %d: %w", n, err)
					}
					res, err := http.ReadResponse(r, nil)
					if err != nil {
						return fmt.Errorf("call %d: %w", n, err)
					}
					if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
						return fmt.Errorf("call %d: %d %w", n, res.StatusCode, err)
					}
					if n == 0 {
						sent <- struct{}{}
						<-stop // idle while the server begins to stop
					}
					if res.Close {
						return nil
					}
				}
			}()
		}()
	}
	for range callers {
		<-sent
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- s.Shutdown(ctx)
	}()
	for { // no more connections are taken: the stop has begun
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	close(stop)
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
