package edge

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/problem"
)

// wire is the head of a request as its bytes came, before any parser cleaned them.
type wire struct {
	protocol, target, header string
}

type wireKey struct{}

// Admit is the first stage: it reads the head of the request strictly and fills in x.Request, or refuses what
// two readers could understand differently. After a framing problem the connection is closed.
type Admit struct {
	// Hosts are the host names served, in lower case, each with the environment it belongs to, "" for both.
	// Empty means that any name is served.
	Hosts map[string]ident.Environment
	// Proxies are the peers whose X-Forwarded-For and X-Forwarded-Proto are believed.
	Proxies ident.Proxies
}

// Name is "admit".
func (*Admit) Name() string { return "admit" }

// Run fills in x.Request and x.HostEnvironment, or refuses with http.*, path.not_canonical or route.method.
func (s *Admit) Run(ctx context.Context, x *exchange.Exchange) error {
	w, ok := ctx.Value(wireKey{}).(*wire)
	if !ok {
		return problem.New(problem.Internal, "the request did not come through the edge")
	}
	fields, err := headerFields(w.header)
	if err != nil {
		return err
	}
	if err := framing(w.protocol, fields); err != nil {
		return err
	}
	if err := headers(fields); err != nil {
		return err
	}
	host, err := hostOf(fields)
	if err != nil {
		return err
	}
	x.Request.Header, x.Request.Host = s.forwarded(x, fields), host
	x.ClientRequestID = clientID(fields.Get("X-Request-Id"))
	if m := x.Request.Method; m == "CONNECT" || m == "TRACE" {
		p := problem.New(problem.RouteMethod, "the gateway serves no %s", m)
		p.Header = [][2]string{{"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE"}}
		return closing(p)
	}
	path, query, err := split(w.target, host)
	if err != nil {
		return err
	}
	if err := Canonical(path); err != nil {
		return err
	}
	if err := plainQuery(query); err != nil {
		return err
	}
	x.Request.Path, x.Request.Query = path, query
	if len(s.Hosts) == 0 {
		return nil
	}
	env, served := s.Hosts[strings.ToLower(hostname(host))]
	if !served {
		return closing(problem.New(problem.HTTPWrongHost, "this gateway does not serve that host name"))
	}
	x.HostEnvironment = env
	return nil
}

// headerFields splits the raw header block: CRLF after every line, no continuation lines, token names, no
// control characters in values (RFC 9112 sections 2.2 and 5).
func headerFields(raw string) (exchange.Header, error) {
	fields := make(exchange.Header, 0, strings.Count(raw, "\n"))
	for raw != "" {
		line, rest, ok := strings.Cut(raw, "\n")
		if !ok || !strings.HasSuffix(line, "\r") {
			return nil, malformed("a header line does not end in CRLF")
		}
		raw = rest
		line = line[:len(line)-1]
		if line == "" {
			if raw != "" {
				return nil, malformed("something follows the end of the headers")
			}
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			return nil, malformed("a header continues on a second line")
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, malformed("a header line has no name")
		}
		for i := 0; i < len(name); i++ {
			if name[i] == '_' {
				return nil, closing(problem.New(problem.HTTPHeader, "a header name has an underscore"))
			}
			if !tokenChar(name[i]) {
				return nil, malformed("a header name has a character that names cannot have")
			}
		}
		value = strings.Trim(value, " \t")
		for i := 0; i < len(value); i++ {
			if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
				return nil, malformed("a header value has a control character")
			}
		}
		fields.Add(name, value)
	}
	return fields, nil
}

func malformed(what string) error { return closing(problem.New(problem.HTTPFraming, "%s", what)) }

// tokenChar reports whether c may stand in a header name (RFC 9110 section 5.6.2).
func tokenChar(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// framing allows exactly one statement about the body's length (RFC 9112 section 6.3).
func framing(protocol string, fields exchange.Header) error {
	if protocol != "HTTP/1.1" && protocol != "HTTP/1.0" {
		return malformed("the protocol version is not HTTP/1.1")
	}
	lengths, encodings := fields.Values("Content-Length"), fields.Values("Transfer-Encoding")
	switch {
	case len(lengths) > 1:
		return malformed("there is more than one Content-Length")
	case len(encodings) > 1:
		return malformed("there is more than one Transfer-Encoding")
	case len(lengths) == 1 && len(encodings) == 1:
		return malformed("there are both a Content-Length and a Transfer-Encoding")
	case len(encodings) == 1 && protocol != "HTTP/1.1":
		return malformed("Transfer-Encoding needs HTTP/1.1")
	case len(encodings) == 1 && !strings.EqualFold(encodings[0], "chunked"):
		return malformed("the Transfer-Encoding is not exactly \"chunked\"")
	case len(lengths) == 1 && !plainLength(lengths[0]):
		return malformed("the Content-Length is not a plain decimal number")
	}
	return nil
}

// plainLength admits decimal digits without sign or leading zero, below 10^15.
func plainLength(s string) bool {
	if s == "" || len(s) > 15 || len(s) > 1 && s[0] == '0' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// forwarded takes the word of a trusted proxy about the client, and returns the headers without everything of that kind:
// behind the edge there is one answer to who calls.
func (s *Admit) forwarded(x *exchange.Exchange, fields exchange.Header) exchange.Header {
	if peer := x.Request.Remote; s.Proxies.Trust(peer) {
		x.Request.Remote = s.Proxies.Client(peer, fields.Values("X-Forwarded-For"))
		if schemes := fields.Values("X-Forwarded-Proto"); len(schemes) > 0 {
			last := schemes[len(schemes)-1]
			x.Request.Secure = strings.EqualFold(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]), "https")
		}
	}
	kept := fields[:0]
	for _, f := range fields {
		if !spokenByProxies(f[0]) {
			kept = append(kept, f)
		}
	}
	return kept
}

// spokenByProxies reports whether a header says who a client is, or what it asked for, in the name of a proxy.
func spokenByProxies(name string) bool {
	switch name = strings.ToLower(name); name {
	case "forwarded", "x-real-ip", "client-cert", "client-cert-chain", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "cf-connecting-ip":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-") || name == "x-forwarded"
}

// headers refuses repetition of fields that mean one thing.
func headers(fields exchange.Header) error {
	for _, name := range []string{"Content-Type", "Content-Encoding", "Expect", "Idempotency-Key"} {
		if len(fields.Values(name)) > 1 {
			return problem.New(problem.HTTPHeader, "the header %s is repeated", name)
		}
	}
	return nil
}

// hostOf returns the one Host of the request, "name" or "name:port" (RFC 9112 section 3.2).
func hostOf(fields exchange.Header) (string, error) {
	hosts := fields.Values("Host")
	if len(hosts) != 1 || !plainHost(hosts[0]) {
		return "", closing(problem.New(problem.HTTPHeader, "send one Host header with a host name and perhaps a port"))
	}
	return hosts[0], nil
}

func plainHost(host string) bool {
	name := hostname(host)
	if port := host[len(name):]; port != "" {
		if n, err := strconv.ParseUint(port[1:], 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if strings.HasPrefix(name, "[") {
		a, err := netip.ParseAddr(strings.TrimSuffix(name[1:], "]"))
		return err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(name, "]")
	}
	if name == "" || len(name) > 253 {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// hostname is a host without its port.
func hostname(host string) string {
	if strings.HasPrefix(host, "[") {
		if i := strings.IndexByte(host, ']'); i >= 0 && (i+1 == len(host) || host[i+1] == ':') {
			return host[:i+1]
		}
		return host
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		return host[:i]
	}
	return host
}

// split takes the request target apart (RFC 9112 section 3.2). An absolute form must name the same authority
// as the Host header.
func split(target, host string) (path, query string, err error) {
	if strings.IndexByte(target, '#') >= 0 {
		return "", "", notCanonical("has a backslash, semicolon or fragment")
	}
	path, query, _ = strings.Cut(target, "?")
	if strings.HasPrefix(path, "/") {
		return path, query, nil
	}
	scheme, rest, ok := strings.Cut(path, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", "", malformed("the request target is neither a path nor an http address")
	}
	authority, path, slash := strings.Cut(rest, "/")
	if !strings.EqualFold(authority, host) {
		return "", "", malformed("the request target names another host than the Host header")
	}
	if !slash {
		return "/", query, nil
	}
	return "/" + path, query, nil
}

// plainQuery refuses raw bytes that no URI has.
func plainQuery(query string) error {
	for i := 0; i < len(query); i++ {
		if c := query[i]; c <= ' ' || c >= 0x7f {
			return problem.New(problem.ParameterInvalid, "the query has a raw control, blank or non-ASCII character; percent-encode it")
		}
	}
	return nil
}

// clientID keeps the caller's own request id if it is at most 128 printable ASCII characters.
func clientID(s string) string {
	if len(s) > 128 {
		return ""
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
