// Package certs keeps the TLS identity of a listener as its files say, and reads it again while it serves.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"portway/internal/datafile"
)

// Certificates are the TLS identity of one listener, as the files had it when they were last good.
type Certificates struct {
	setting                string // that names the certificate: problems begin with it
	cert, key, authorities string // files; authorities is "" where no client certificate is asked for
	current                atomic.Pointer[tls.Config]
	watch                  *datafile.Watch
}

// Open reads the files of a listener; a setting without a certificate has none, nil.
func Open(setting, cert, key, authorities string) (*Certificates, error) {
	if cert == "" {
		return nil, nil
	}
	c := &Certificates{setting: setting, cert: cert, key: strings.TrimPrefix(key, "file:"), authorities: authorities}
	c.watch = datafile.NewWatch(c.files()...)
	return c, c.Read()
}

func (c *Certificates) files() []string {
	files := []string{c.cert, c.key}
	if c.authorities != "" {
		files = append(files, c.authorities)
	}
	return files
}

// Read puts the files in force, all of them or none. Where client certificates are asked for no session is resumed: the
// client was verified against the authorities of its time.
func (c *Certificates) Read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("%s: %w", c.setting, err)
	}
	next := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if c.authorities != "" {
		pem, err := os.ReadFile(c.authorities)
		if err != nil {
			return fmt.Errorf("tls-client-ca: %w", err)
		}
		next.ClientCAs, next.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		next.SessionTicketsDisabled = true
		if !next.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls-client-ca: %s holds no certificate in PEM", c.authorities)
		}
	}
	c.current.Store(next)
	return nil
}

// Config is for a listener: every new connection gets what is in force. A nil *Certificates has none.
func (c *Certificates) Config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }}
}

// Expires is when the certificate ends, in UTC.
func (c *Certificates) Expires() time.Time {
	if leaf := c.current.Load().Certificates[0].Leaf; leaf != nil {
		return leaf.NotAfter.UTC()
	}
	return time.Time{}
}

// Watch calls changed, which calls Read, when the files change, until ctx ends.
func (c *Certificates) Watch(ctx context.Context, every time.Duration, changed func()) {
	c.watch.Run(ctx, every, changed)
}
