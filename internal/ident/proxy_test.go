package ident

import (
	"net/netip"
	"strings"
	"testing"
)

func TestProxiesClient(t *testing.T) {
	t.Parallel()
	proxies, err := ParseProxies("10.0.0.0/8, 192.0.2.7,2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"no proxy, no header", "203.0.113.9", nil, "203.0.113.9"},
		{"not a proxy: its word is nobody's", "203.0.113.9", []string{"198.51.100.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"the client wrote the left part", "10.0.0.1", []string{"1.1.1.1, 127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
		{"a chain of proxies", "10.0.0.1", []string{"6.6.6.6, 198.51.100.1, 192.0.2.7, 10.2.3.4"}, "198.51.100.1"},
		{"several header lines", "10.0.0.1", []string{"6.6.6.6", "198.51.100.1", "192.0.2.7"}, "198.51.100.1"},
		{"only proxies", "10.0.0.1", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
		{"an entry that is no address", "10.0.0.1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"beyond such an entry nothing is read", "10.0.0.1", []string{"198.51.100.1, _hidden, 10.0.0.9"}, "10.0.0.9"},
		{"empty", "10.0.0.1", []string{""}, "10.0.0.1"},
		{"with ports", "10.0.0.1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "2001:db8::1", []string{"[2a00::5]:443"}, "2a00::5"},
		{"IPv6 in brackets", "2001:db8::1", []string{"[2a00::5]"}, "2a00::5"},
		{"IPv4 mapped into IPv6", "::ffff:10.0.0.1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	} {
		if got := proxies.Client(netip.MustParseAddr(c.peer), c.headers); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestParseProxies(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"proxy.example", "10.0.0.0/33", "10.0.0.1:80", "fe80::1%eth0", "::ffff:10.0.0.0/104"} {
		if _, err := ParseProxies("10.0.0.1," + bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if p, err := ParseProxies(""); err != nil || p != nil || p.Trust(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("nobody: %v %v", p, err)
	}
}

// FuzzProxiesClient checks that what a client invents never decides: with the proxies' own entries appended to
// any text, the client is who the outermost proxy saw.
func FuzzProxiesClient(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "10.0.0.1,,", "unknown, [::1]:80", "10.0.0.1"} {
		f.Add(s)
	}
	proxies, err := ParseProxies("10.0.0.0/8")
	if err != nil {
		f.Fatal(err)
	}
	peer, client := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("198.51.100.1")
	f.Fuzz(func(t *testing.T, invented string) {
		for _, headers := range [][]string{{invented, "198.51.100.1, 10.0.0.2"}, {invented + ", 198.51.100.1, 10.0.0.2"}} {
			if got := proxies.Client(peer, headers); got != client {
				t.Errorf("%q: %s", headers, got)
			}
		}
	})
}
