package ident

import (
	"fmt"
	"net/netip"
	"strings"
)

// Proxies are the addresses of proxies whose word about the client is believed; nil believes nobody.
type Proxies []netip.Prefix

// ParseProxies reads addresses and CIDR ranges separated by commas; "" is nil.
func ParseProxies(list string) (Proxies, error) {
	var out Proxies
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if addr, err := netip.ParseAddr(part); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither an address nor a range such as 10.0.0.0/8", part)
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}

// Trust reports whether an address is one of the proxies.
func (p Proxies) Trust(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Client is the address of who began a call that peer handed over, by the values of its X-Forwarded-For headers. Each
// proxy appends whom it spoke with, so the list is read from the right, for as long as who wrote an entry is trusted:
// the first address that is not a proxy's is the client. What stands further left may be invented, and is not read. An
// entry that is no address ends the list, with the proxy that wrote it as the client.
func (p Proxies) Client(peer netip.Addr, forwardedFor []string) netip.Addr {
	client := peer.Unmap()
	for i := len(forwardedFor) - 1; i >= 0; i-- {
		for rest, more := forwardedFor[i], true; more; {
			if !p.Trust(client) {
				return client
			}
			entry := rest
			if at := strings.LastIndexByte(rest, ','); at >= 0 {
				rest, entry = rest[:at], rest[at+1:]
			} else {
				more = false
			}
			addr, ok := forwardedAddress(strings.TrimSpace(entry))
			if !ok {
				return client
			}
			client = addr
		}
	}
	return client
}

// forwardedAddress reads an entry: an address, perhaps with a port, as some proxies write it.
func forwardedAddress(entry string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(entry)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}
