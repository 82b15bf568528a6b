package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"portway/internal/app/certs"
	"portway/internal/config"
)

// openTLS reads the certificates of the gateway and of the portal.
func (p *program) openTLS() error {
	s := p.settings
	var errs [2]error
	p.certificates = map[string]*certs.Certificates{}
	p.certificates["gateway"], errs[0] = certs.Open("tls-cert", s.TLSCert, s.TLSKey, s.TLSClientCA)
	switch s.PortalTLSCert {
	case "": // browsers are not asked for certificates
		p.certificates["portal"], errs[1] = certs.Open("tls-cert", s.TLSCert, s.TLSKey, "")
	case config.PlainPortal:
	default:
		p.certificates["portal"], errs[1] = certs.Open("portal-tls-cert", s.PortalTLSCert, s.PortalTLSKey, "")
	}
	if errs[0] != nil && s.PortalTLSCert == "" {
		return errs[0] // the same files twice
	}
	return errors.Join(errs[:]...)
}

// overTLS serves a listener with its certificate, or as it is without one.
func (p *program) overTLS(name string, serve func(net.Listener) error) func(net.Listener) error {
	c := p.certificates[name]
	if c == nil {
		return serve
	}
	return func(ln net.Listener) error { return serve(tls.NewListener(ln, c.Config())) }
}

// reloadTLS reads the certificates of one listener again; files that do not fit together change nothing.
func (p *program) reloadTLS(listener string) {
	c := p.certificates[listener]
	if err := c.Read(); err != nil {
		p.metrics.Reload("certificates", "refused")
		p.log.Error("certificates not applied; the old ones stay", "listener", listener, "error", err.Error())
		return
	}
	p.metrics.Reload("certificates", "applied")
	p.log.Info("certificates applied", "listener", listener, "expires", c.Expires().Format(time.RFC3339))
}

// watchTLS reads certificates again when their files change.
func (p *program) watchTLS(ctx context.Context, listener string) {
	p.certificates[listener].Watch(ctx, p.settings.WatchEvery, func() { p.reloadTLS(listener) })
}
