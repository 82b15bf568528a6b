package gateway

import (
	"portway/gateway/builtin"
	"portway/gateway/contract"
	"portway/gateway/edge"
	"portway/gateway/exchange"
	"portway/gateway/mediate"
	"portway/gateway/throttle"
	"portway/internal/catalog"
)

// pipeline is the request path of every call, in order. Read this first.
func (g *Gateway) pipeline(d Deps) *exchange.Pipeline {
	return &exchange.Pipeline{
		// Until the first refusal, or the first stage that answers.
		Inbound: []exchange.Stage{
			&edge.Admit{Hosts: d.Hosts}, // strict framing, canonical path, host
			contract.Match{},            // which operation
			d.Identify,                  // who calls
			contract.Authorize{},        // may it: environment, subscription, scope
			contract.Body{},             // media types, then the bytes under the operation's cap
			d.Limit,                     // how much may it
			contract.Validate{},         // parameters and body against the contract
			mediate.Inbound{},           // which backend, in whose words
		},
		// One of these, by the route.
		Dispatch: map[string]exchange.Stage{
			string(catalog.Proxy):   d.Proxy,
			string(catalog.Accept):  d.Accept,
			string(catalog.Builtin): d.Builtin,
		},
		// Only what Dispatch produced.
		Produced: []exchange.Stage{
			mediate.Outbound{}, // the backend's answer in our words
		},
		// Every answer, refusals included.
		Every: []exchange.Stage{
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
