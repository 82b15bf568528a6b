package edge

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"portway/internal/problem"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"/", "/a", "/orders/v1/orders/SO-1", "/a/b.json", "/a/..b", "/a/...", "/a/%20b", "/a/%C3%A9", "/a/~b", "/a/A('1')", "/a/b:c@d", "/a/b+c", "/a/b=c,d"} {
		if err := Canonical(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, p := range []string{"", "a", "*", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a/%2e%2e/b", "/a/%2E", "/a/..%2fb",
		"/a/%2Fb", "/a/%5cb", `/a\b`, "/a/%00", "/a/b%0d%0ac", "/a/%7f", "/a/\x01", "/a b", "/caf\xc3\xa9", "/\xc0\xaf", "/a/%c0%af", "/a/%ff",
		"/a/%ed%a0%80", "/a/%e0%80%af", "/a/%252e", "/a/%25", "/a;b", "/a/b;c=d", "/a/%3b", "/a#b", "/a?b", "/a/%", "/a/%2", "/a/%zz", "/a/b%"} {
		if err := Canonical(p); !problem.Is(err, problem.PathNotCanonical) {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// FuzzCanonical checks that a path that is let through has one reading: decoding it changes no boundary,
// cleaning it changes nothing, and decoding twice is decoding once.
func FuzzCanonical(f *testing.F) {
	for _, p := range []string{"/", "/a/b", "/a/%2e%2e/b", "/a/..%2fb", "/a/%20", "/a//b", "/%c3%a9", "/a;b", "/%25"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if Canonical(p) != nil {
			return
		}
		decoded, err := url.PathUnescape(p)
		if err != nil {
			t.Fatalf("%q does not decode: %v", p, err)
		}
		if path.Clean(decoded) != decoded {
			t.Errorf("%q decodes to %q, which cleans to %q", p, decoded, path.Clean(decoded))
		}
		if strings.Count(decoded, "/") != strings.Count(p, "/") || strings.ContainsAny(decoded, "\\;\x00\x7f") {
			t.Errorf("%q decodes to %q", p, decoded)
		}
		if again, err := url.PathUnescape(decoded); err != nil || again != decoded {
			t.Errorf("%q decodes twice, to %q", p, again)
		}
		if u, err := url.Parse("http://host" + p); err != nil || u.EscapedPath() != p && u.Path != decoded || u.Host != "host" {
			t.Errorf("%q is read otherwise by net/url: %v", p, err)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add("Host: a\r\nContent-Length: 5\r\n\r\n")
	f.Add("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	f.Add("Host: a\r\n b\r\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		fields, err := headerFields(raw)
		if err != nil {
			return
		}
		for _, h := range fields {
			if strings.ContainsAny(h[0], " \t\r\n_:") || strings.ContainsAny(h[1], "\r\n\x00") {
				t.Errorf("%q became %q", raw, h)
			}
		}
		if framing("HTTP/1.1", fields) == nil && len(fields.Values("Content-Length"))+len(fields.Values("Transfer-Encoding")) > 1 {
			t.Errorf("%q has two framings", raw)
		}
		if host, err := hostOf(fields); err == nil {
			if u, err := url.Parse("http://" + host + "/"); err != nil || u.User != nil || u.Host != host {
				t.Errorf("host %q is read otherwise by net/url", host)
			}
		}
	})
}
