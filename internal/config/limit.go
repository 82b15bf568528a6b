package config

import (
	"net/url"

	"portway/internal/secret"
)

// limits checks the settings of how much callers may do.
func (s *Settings) limits(bad func(setting, format string, args ...any)) {
	if s.Redis != "" && !secret.IsReference(s.Redis) {
		u, err := url.Parse(s.Redis)
		switch {
		case err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "":
			bad("redis", "give env:NAME, file:/path, or a redis:// address on loopback")
		case u.User != nil || !loopback(u.Hostname()):
			bad("redis", "give it as env:NAME or file:/path: only an address on loopback without a password may stand here")
		}
	}
	if s.Nodes < 1 || s.Nodes > 1000 {
		bad("nodes", "use 1 to 1000")
	}
	for _, n := range []struct {
		setting string
		value   int
	}{{"address-rate", s.AddressRate}, {"address-failures", s.AddressFailures}} {
		if n.value < 0 || n.value > 1_000_000_000 {
			bad(n.setting, "use 0 to 1000000000")
		}
	}
}
