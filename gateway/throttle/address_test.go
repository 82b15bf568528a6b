package throttle

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::1": "2001:db8:1:2::/64",
		"2001:db8:1:3::1": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "::1": "::/64",
	} {
		if got := network(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s is of %s, want %s", in, got, want)
		}
	}
	if got := network(netip.Addr{}); got != "invalid IP" {
		t.Errorf("no address is of %s", got)
	}
}

// front runs the address stages and a rest that ends a call with a status, with a caller or without.
func front(a *Address, clock ident.Clock) func(from, authorization string, anonymous, known bool, status int) *exchange.Exchange {
	return func(from, authorization string, anonymous, known bool, status int) *exchange.Exchange {
		x := &exchange.Exchange{Route: &catalog.Route{Dispatch: "builtin", Anonymous: anonymous}}
		x.Request.Remote = netip.MustParseAddr(from)
		if authorization != "" {
			x.Request.Header.Set("Authorization", authorization)
		}
		p := exchange.Pipeline{Inbound: []exchange.Stage{a, a.Failures()}, Clock: clock, Log: slog.New(slog.DiscardHandler), Dispatch: map[string]exchange.Stage{"builtin": step(func(x *exchange.Exchange) error {
			if known {
				x.Caller = &partner.Caller{}
			}
			x.Response = &exchange.Response{Status: status}
			return nil
		})}}
		p.Run(context.Background(), x)
		return x
	}
}

func TestAddressRate(t *testing.T) {
	t.Parallel()
	call := front(NewAddress(3, 0, ident.System{}), ident.System{})
	for i := range 5 {
		want := 200
		if i >= 3 {
			want = 429
		}
		x := call("2001:db8::"+fmt.Sprint(i+1), "Bearer t", false, true, 200)
		if x.Response.Status != want {
			t.Errorf("call %d of a /64: %d, want %d", i, x.Response.Status, want)
		}
		if want == 429 && (x.Err.Code != problem.RateExceeded || x.Err.RetryAfter <= 0 || x.Err.RetryAfter > time.Minute) {
			t.Errorf("%+v", x.Err)
		}
	}
	if call("2001:db8:0:1::1", "", false, true, 200).Response.Status != 200 {
		t.Error("another network shares the bucket")
	}
	for range 10 {
		if call("127.0.0.1", "", false, true, 200).Response.Status != 200 || call("::1", "", false, true, 200).Response.Status != 200 {
			t.Fatal("loopback has a rate: a proxy's calls are everybody's")
		}
	}
}

func TestAddressFailures(t *testing.T) {
	t.Parallel()
	call := front(NewAddress(0, 3, ident.System{}), ident.System{})
	const from = "127.0.0.1" // failures count there too
	for range 10 {           // those of somebody known, and what is no failure, do not count
		call(from, "Bearer t", false, true, 403)
		call(from, "", true, false, 200)
		call(from, "", false, false, 400)
	}
	for _, status := range []int{401, 403, 404} {
		if got := call(from, "", false, false, status).Response.Status; got != status {
			t.Fatalf("%d became %d", status, got)
		}
	}
	for name, c := range map[string]struct {
		from, authorization string
		anonymous           bool
		want                int
	}{
		"without a token":                                {from, "", false, 429},
		"with client credentials":                        {from, "Basic eDp5", true, 429},
		"an open operation with a token for a pretext":   {from, "bearer x", true, 429},
		"another system with its token, behind the same": {from, "Bearer t", false, 200},
		"another address":                                {"192.0.2.1", "", true, 200},
	} {
		if got := call(c.from, c.authorization, c.anonymous, c.authorization == "Bearer t", 200).Response.Status; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAddressOff(t *testing.T) {
	t.Parallel()
	call := front(NewAddress(0, 0, ident.System{}), ident.System{})
	for range 100 {
		if call("192.0.2.1", "", true, false, 401).Response.Status != 401 {
			t.Fatal("counted although off")
		}
	}
}
