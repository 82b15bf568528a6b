package app

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/internal/telemetry"
)

// authority makes certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// issue returns a certificate for a name and loopback, and its key, in PEM.
func (a *authority) issue(name string) (cert, key []byte) {
	a.t.Helper()
	c, k := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// presented is the name in the certificate a new connection to a base address gets.
func (a *authority) presented(base string) string {
	a.t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := tls.Dial("tcp", u.Host, a.trust())
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// tlsFiles are the files of a listener.
type tlsFiles struct {
	*authority
	cert, key, clients string
}

func newTLSFiles(t *testing.T) *tlsFiles {
	dir := t.TempDir()
	f := &tlsFiles{newAuthority(t), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "clients.crt")}
	f.put("first")
	f.write(f.clients, f.pem())
	return f
}

func (f *tlsFiles) write(file string, b []byte) {
	f.t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// put replaces certificate and key, one after the other.
func (f *tlsFiles) put(name string) {
	f.t.Helper()
	cert, key := f.issue(name)
	f.write(f.key, key)
	f.write(f.cert, cert)
}

func (f *tlsFiles) start(args ...string) *running {
	f.t.Helper()
	return start(f.t, map[string]string{"RUNNING_SECRET": runningSecret}, append([]string{"--data=" + f.t.TempDir(), "--config=" + runningInstallation(f.t, thing),
		"--watch-every=10ms", "--admin-listen=127.0.0.1:0", "--tls-cert=" + f.cert, "--tls-key=file:" + f.key}, args...)...)
}

// TestCertificatesAreReadAgain replaces the certificate under an open connection: it goes on, new ones get the new
// certificate, and files that do not fit together change nothing.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	ca := newTLSFiles(t)
	r := ca.start()
	gateway, portal, admin := r.at("gateway"), r.at("portal"), r.at("admin")
	if !strings.HasPrefix(gateway, "https://") || !strings.HasPrefix(portal, "https://") || !strings.HasPrefix(admin, "http://") {
		t.Fatalf("addresses: %s %s %s", gateway, portal, admin)
	}
	open, err := tls.Dial("tcp", strings.TrimPrefix(gateway, "https://"), ca.trust())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	reader := bufio.NewReader(open)
	call := func() {
		t.Helper()
		if _, err := fmt.Fprintf(open, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode >= 500 {
			t.Fatalf("%d %v", res.StatusCode, err)
		}
	}
	call()
	if first, other := ca.presented(gateway), ca.presented(portal); first != "first" || other != "first" {
		t.Errorf("certificates of %q and %q", first, other)
	}
	ca.put("second")
	for name, base := range map[string]string{"gateway": gateway, "portal": portal} {
		until(t, "the new certificate of the "+name, func() bool { return ca.presented(base) == "second" })
	}
	call()
	ca.write(ca.key, []byte("not a key"))
	until(t, "a refusal", func() bool { return strings.Contains(r.logs.String(), "certificates not applied") })
	if got := ca.presented(gateway); got != "second" {
		t.Errorf("after a bad key: %q", got)
	}
	call()
	ca.put("third")
	until(t, "the third certificate", func() bool { return ca.presented(gateway) == "third" })
	_, health := fetch(t, admin+"/healthz")
	var report telemetry.Report
	if err := json.Unmarshal([]byte(health), &report); err != nil || report.Details["certificates"] == nil || slices.Contains(report.Degraded, "certificates") {
		t.Errorf("health: %v %s", err, health)
	}
}

// TestClientCertificates lets in who has a certificate of a listed authority, or none; the list is read again.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newTLSFiles(t), newAuthority(t)
	r := ca.start("--tls-client-ca=" + ca.clients)
	sessions := tls.NewLRUClientSessionCache(8)
	ask := func(by *authority) error {
		cfg := ca.trust()
		cfg.ClientSessionCache = sessions // what was once let in is not for that let in again
		if by != nil {
			cert, key := by.issue("client")
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		defer client.CloseIdleConnections()
		res, err := client.Get(r.at("gateway") + "/.well-known/jwks.json")
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	if err := ask(nil); err != nil {
		t.Errorf("without a client certificate: %v", err)
	}
	if err := ask(ca.authority); err != nil {
		t.Errorf("with one of ours: %v", err)
	}
	if err := ask(other); err == nil {
		t.Error("a certificate of another authority is let in")
	}
	ca.write(ca.clients, bytes.Join([][]byte{ca.pem(), other.pem()}, nil))
	until(t, "the other authority is listed", func() bool { return ask(other) == nil })
	ca.write(ca.clients, ca.pem())
	until(t, "the other authority is not listed any more", func() bool { return ask(other) != nil })
}

func TestBadCertificatesAreNamedAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"tls-cert: ":        {"--tls-cert=" + filepath.Join(dir, "absent"), "--tls-key=file:" + filepath.Join(dir, "absent")},
		"portal-tls-cert: ": {"--portal-tls-cert=" + filepath.Join(dir, "absent"), "--portal-tls-key=file:" + filepath.Join(dir, "absent")},
	} {
		code, _, stderr := invoke(nil, append([]string{"serve", "--gateway-listen=127.0.0.1:0", "--portal-listen=127.0.0.1:0", "--data=" + t.TempDir()}, args...)...)
		if code != 1 || strings.Count(stderr, name) != 1 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s%d %s", name, code, stderr)
		}
	}
}
