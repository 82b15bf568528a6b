package gateway

import (
	"portway/gateway/builtin"
	"portway/gateway/contract"
	"portway/gateway/edge"
	"portway/gateway/exchange"
	"portway/gateway/idempotency"
	"portway/gateway/mediate"
	"portway/gateway/throttle"
	"portway/internal/catalog"
)

// pipeline is the request path of every call, in order. Read this first.
func (g *Gateway) pipeline(d Deps) *exchange.Pipeline {
	return &exchange.Pipeline{
		// Until the first refusal, or the first stage that answers.
		Inbound: []exchange.Stage{
			&edge.Admit{Hosts: d.Hosts, Proxies: d.Proxies}, // strict framing, canonical path, host
			d.Address,                         // how much from one client address
			contract.Match{},                  // which operation
			d.Address.Failures(),              // not from an address that guesses
			d.Identify,                        // who calls
			contract.Authorize{},              // may it: environment, subscription, scope
			contract.Body{},                   // media types, then the bytes under the operation's cap
			idempotency.Lookup{Keys: d.Keys},  // was it answered before
			d.Limit,                           // how much may it
			contract.Validate{},               // parameters and body against the contract
			mediate.Inbound{},                 // which backend, in whose words
			idempotency.Reserve{Keys: d.Keys}, // its key, on disk, before a byte goes out; nothing comes after it
		},
		// One of these, by the route.
		Dispatch: map[string]exchange.Stage{
			string(catalog.Proxy):   d.Proxy,
			string(catalog.Accept):  d.Accept,
			string(catalog.Builtin): d.Builtin,
		},
		// Only what Dispatch produced.
		Produced: []exchange.Stage{
			mediate.Outbound{},          // the backend's answer in our words
			contract.ValidateResponse{}, // which the contract promises
		},
		// Every answer, refusals included.
		Every: []exchange.Stage{
			mediate.NewFallback(d.Clock),     // the last good answer instead of a refusal that is the backend's fault
			idempotency.Settle{Keys: d.Keys}, // what a repeated key will get, before this call's own headers
			builtin.OAuthRefusals{},
			contract.Lifecycle{},
			throttle.Headers{},
		},
		Finish: g.finish, // the record of the call, before the answer leaves
		Docs:   d.Docs,
		Clock:  d.Clock,
		Log:    d.Log,
	}
}
