package outbound

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/problem"
)

func TestBasicCredential(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(r.Header.Get("Authorization")) })
	b := backend(s.URL)
	b.Auth.Basic = &egress.BasicAuth{User: "env:USER", Password: "env:PASS"}
	r := newRig(map[string]string{"USER": "erp", "PASS": "p:w"})
	if _, err := r.call(b, "GET", ""); err != nil || got.Load() != "Basic ZXJwOnA6dw==" {
		t.Errorf("got %v, %v", got.Load(), err)
	}
	if _, _, _, err := NewHTTP(r.Client).Post(context.Background(), b, ident.Sandbox, "o1", "/e", "text/plain", nil); err != nil || got.Load() != "Basic ZXJwOnA6dw==" {
		t.Errorf("a delivery sent %v, %v", got.Load(), err)
	}
	if _, err := newRig(map[string]string{"USER": "erp"}).call(b, "GET", ""); code(err) != problem.BackendUnreachable || strings.Contains(problem.From(err).Detail, "PASS") {
		t.Errorf("without the password: %v", err)
	}
}

// issuer is a token endpoint; the backend beside it takes only the token issued last.
type issuer struct {
	*httptest.Server
	mu       sync.Mutex
	issued   int
	expires  any
	fail     bool
	entered  chan struct{} // when set, a fetch reports here and waits for leave
	leave    chan struct{}
	request  *http.Request
	revoked  bool
	accepted int
	refused  int
}

func newIssuer(t *testing.T) (*issuer, *catalog.Backend, *rig) {
	t.Helper()
	i := &issuer{expires: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if i.entered != nil {
			i.entered <- struct{}{}
			<-i.leave
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		i.request = r
		if i.fail {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"secret s3cret+/ is wrong"}`)
			return
		}
		i.issued++
		i.revoked = false
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":%v}`, i.issued, i.expires)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.revoked || r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", i.issued) {
			i.refused++
			w.WriteHeader(401)
			return
		}
		i.accepted++
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	b := backend(i.URL)
	b.Auth.OAuth = &egress.OAuth{TokenURL: i.URL + "/token", ClientID: "env:ID", Secret: "env:SECRET", Scope: "orders", Audience: "erp"}
	return i, b, newRig(map[string]string{"ID": "us", "SECRET": "s3cret+/"})
}

func TestOAuthTokenIsFetchedOnceForManyCalls(t *testing.T) {
	t.Parallel()
	i, b, r := newIssuer(t)
	i.entered, i.leave = make(chan struct{}, 1), make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a, err := r.call(b, "POST", ""); err != nil || a.Status != 200 {
				t.Errorf("got %v %v", a, err)
			}
		})
	}
	<-i.entered
	close(i.leave)
	wg.Wait()
	user, password, _ := i.request.BasicAuth()
	if i.issued != 1 || i.accepted != 20 || user != "us" || password != "s3cret%2B%2F" || i.request.PostForm.Encode() != "audience=erp&grant_type=client_credentials&scope=orders" {
		t.Errorf("%d tokens, %d calls, %s %s %s", i.issued, i.accepted, user, password, i.request.PostForm.Encode())
	}
}

func TestOAuthTokenIsRefreshedAhead(t *testing.T) {
	t.Parallel()
	i, b, r := newIssuer(t)
	i.expires = `"600"` // some issuers write it as text
	call := func() {
		t.Helper()
		if a, err := r.call(b, "POST", ""); err != nil || a.Status != 200 {
			t.Fatalf("got %v %v", a, err)
		}
	}
	call()
	r.clock.Advance(539 * time.Second)
	call()
	if i.issued != 1 {
		t.Fatalf("%d tokens before it was time", i.issued)
	}
	r.clock.Advance(2 * time.Second)
	p, err := r.pool(b, ident.Sandbox)
	if err != nil {
		t.Fatal(err)
	}
	old, err := p.oauth.token(context.Background())
	if err != nil || old.header != "Bearer token-1" {
		t.Fatalf("while the next token is on its way: %v %v", old, err)
	}
	f, err := p.oauth.begin(r.clock.Now()) // joins what that began, or finds it done
	if err != nil {
		t.Fatal(err)
	}
	<-f.done
	call()
	if i.issued != 2 || i.refused != 0 {
		t.Errorf("%d tokens, %d refusals", i.issued, i.refused)
	}
	r.clock.Advance(time.Hour) // nobody called for long: the next call waits
	call()
	if i.issued != 3 {
		t.Errorf("%d tokens", i.issued)
	}
}

func TestOAuthRefusedTokenIsFetchedOnceMore(t *testing.T) {
	t.Parallel()
	i, b, r := newIssuer(t)
	call := func(method string) error {
		_, err := r.call(b, method, "")
		return err
	}
	if err := call("GET"); err != nil {
		t.Fatal(err)
	}
	i.revoked = true
	if err := call("GET"); err != nil || i.issued != 2 || i.refused != 1 {
		t.Errorf("a read: %v, %d tokens, %d refusals", err, i.issued, i.refused)
	}
	i.revoked = true
	if err := call("POST"); code(err) != problem.BackendUnavailable || i.refused != 2 {
		t.Errorf("a post is sent again, or what to do is not said: %v, %d refusals", err, i.refused)
	}
	if err := call("POST"); err != nil || i.issued != 3 {
		t.Errorf("the next post: %v, %d tokens", err, i.issued)
	}
}

func TestOAuthFailure(t *testing.T) {
	t.Parallel()
	i, b, r := newIssuer(t)
	var logged bytes.Buffer
	r.log = slog.New(slog.NewTextHandler(&logged, nil))
	i.fail = true
	for range 10 {
		_, err := r.call(b, "GET", "")
		p := problem.From(err)
		if p.Code != problem.BackendUnavailable || p.RetryAfter < time.Second || !strings.Contains(p.Detail, "nothing was sent") {
			t.Fatalf("got %v", err)
		}
		if text := err.Error() + logged.String(); strings.Contains(text, "s3cret") || strings.Contains(text, "invalid_client") {
			t.Errorf("a secret or the issuer's text is told: %s", text)
		}
	}
	if _, _, _, err := NewHTTP(r.Client).Post(context.Background(), b, ident.Sandbox, "o1", "/e", "text/plain", nil); code(err) != problem.BackendUnavailable || !strings.Contains(err.Error(), ErrNotSent.Error()) {
		t.Errorf("a delivery: %v", err)
	}
	if i.accepted+i.refused != 0 || r.metrics.outcomes[NoToken] != 11 {
		t.Errorf("the backend was called, outcomes %v", r.metrics.outcomes)
	}
	i.fail = false
	r.clock.Advance(2 * time.Second)
	if _, err := r.call(b, "GET", ""); err != nil {
		t.Errorf("when the issuer is back: %v", err)
	}
}

// authority is a test CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return "file:" + path
}

// issue returns references to a certificate and its key.
func (a *authority) issue(name string) (cert, key string, pair tls.Certificate) {
	own, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, _ := x509.MarshalPKCS8PrivateKey(own)
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", private), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	_, _, server := ca.issue("backend")
	cert, key, _ := ca.issue("portway")
	var seen atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	s.StartTLS()
	defer s.Close()
	call := func(c egress.TLS) (string, error) {
		b, r := backend(s.URL), newRig(nil)
		b.TLS = c
		seen.Store("")
		if _, err := r.call(b, "POST", ""); err != nil {
			return "", err
		}
		if _, _, _, err := NewHTTP(r.Client).Post(context.Background(), b, ident.Sandbox, "o1", "/e", "text/plain", nil); err != nil {
			return "", err
		}
		if a, err := r.Stream(context.Background(), b, ident.Sandbox, Request{Method: "GET", Path: "/"}, true); err != nil {
			return "", err
		} else if err := a.Stream.Close(); err != nil {
			return "", err
		}
		return seen.Load().(string), nil
	}
	authorities := "file:" + filepath.Join(ca.dir, "ca.pem")
	if name, err := call(egress.TLS{CA: authorities, Cert: cert, Key: key}); err != nil || name != "portway" {
		t.Errorf("got %q %v", name, err)
	}
	other := newAuthority(t)
	otherCert, otherKey, _ := other.issue("stranger")
	for name, c := range map[string]egress.TLS{
		"unknown authority":      {Cert: cert, Key: key},
		"other authority":        {CA: "file:" + filepath.Join(other.dir, "ca.pem"), Cert: cert, Key: key},
		"no certificate":         {CA: authorities},
		"a stranger's":           {CA: authorities, Cert: otherCert, Key: otherKey},
		"a key of another":       {CA: authorities, Cert: cert, Key: otherKey},
		"an authority of nobody": {CA: key, Cert: cert, Key: key},
		"a file that is missing": {CA: authorities, Cert: cert + "x", Key: key},
	} {
		if who, err := call(c); err == nil || seen.Load() != "" {
			t.Errorf("%s: the call was made as %q", name, who)
		} else if p := problem.From(err); p.Code != problem.BackendBadAnswer && p.Code != problem.BackendUnreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
}
