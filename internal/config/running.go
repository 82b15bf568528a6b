package config

import (
	"strings"
	"time"

	"portway/internal/ident"
)

// PlainPortal is the value of portal-tls-cert that leaves the portal without TLS.
const PlainPortal = "off"

// running checks the settings of listeners and of the running program.
func (s *Settings) running(bad func(setting, format string, args ...any)) {
	pairs := []struct{ certSetting, cert, keySetting, key string }{
		{"tls-cert", s.TLSCert, "tls-key", s.TLSKey}, {"portal-tls-cert", s.PortalTLSCert, "portal-tls-key", s.PortalTLSKey}}
	for _, p := range pairs {
		switch {
		case p.cert == PlainPortal && p.certSetting == "portal-tls-cert":
			if p.key != "" {
				bad(p.keySetting, "there is no certificate it belongs to")
			}
		case (p.cert == "") != (p.key == ""):
			bad(p.certSetting, "--%s and --%s go together", p.certSetting, p.keySetting)
		case p.key != "" && !strings.HasPrefix(p.key, "file:"):
			bad(p.keySetting, "give it as file:/path: it is read again when it changes")
		}
	}
	if s.TLSClientCA != "" && s.TLSCert == "" {
		bad("tls-client-ca", "client certificates need --tls-cert")
	}
	if _, err := ident.ParseProxies(s.TrustedProxies); err != nil {
		bad("trusted-proxies", "%v", err)
	}
	if s.MaxConnections < 0 {
		bad("max-connections", "give a number of connections, or 0 for no limit")
	}
	if s.DrainDelay < 0 || s.DrainDelay > 10*time.Minute {
		bad("drain-delay", "use 0s to 10m")
	}
	if s.WatchEvery < 0 {
		bad("watch-every", "give a time, or 0 to read again on SIGHUP only")
	}
}
