package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"portway/internal/ident"
	"portway/internal/partner"
)

// ready writes the ready file and tells the person at the terminal what is there.
func (p *program) ready(out io.Writer) error {
	if path := p.settings.ReadyFile; path != "" {
		m := map[string]any{"pid": os.Getpid()}
		for name := range p.listeners {
			m[name] = p.address(name)
		}
		if p.credentialsPath != "" {
			m["demo_credentials"] = p.credentialsPath
		}
		b, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return err
		}
		if err := writeFile(path, append(b, '\n')); err != nil {
			return fmt.Errorf("ready-file: %w", err)
		}
	}
	fmt.Fprintf(out, "\nPortway %s serves.\n  gateway  %s\n  portal   %s\n", Version, p.gatewayURL, p.portalURL)
	if p.listeners["admin"] != nil {
		fmt.Fprintf(out, "  admin    %s\n", p.address("admin"))
	}
	switch {
	case p.settings.Demo:
		p.demoBanner(out)
	case p.client != nil:
		p.specBanner(out)
	}
	return nil
}

func (p *program) demoBanner(out io.Writer) {
	fmt.Fprintf(out, "\nSign in to the portal as\n")
	for _, a := range p.credentials.Accounts {
		fmt.Fprintf(out, "  %-24s %-18s %s, %s\n", a.Email, a.Password, a.Role, a.Organisation)
	}
	c := p.sampleClient()
	if c == nil {
		return
	}
	credential := c.ClientID + ":" + c.Secret
	token := fmt.Sprintf(`$(curl -s -u %s -d grant_type=client_credentials %s/oauth2/token | sed -E 's/.*"access_token":"([^"]+)".*/\1/')`, credential, p.gatewayURL)
	fmt.Fprintf(out, "\nThree calls to paste, as %s in the sandbox\n", c.Organisation)
	fmt.Fprintf(out, "\n# an access token\ncurl -s -u %s -d grant_type=client_credentials %s/oauth2/token\n", credential, p.gatewayURL)
	fmt.Fprintf(out, "\n# what is available, from the ERP\ncurl -s -H \"Authorization: Bearer %s\" '%s/inventory/v1/availability?sku=%s'\n", token, p.gatewayURL, p.sampleSKU())
	fmt.Fprintf(out, "\n# the order feed\ncurl -s -H \"Authorization: Bearer %s\" '%s/orders/v1/feed?limit=10'\n", token, p.gatewayURL)
	fmt.Fprintf(out, "\nPlay an order from release to delivery: %s demo --ready-file %s\n", os.Args[0], p.settings.ReadyFile)
	fmt.Fprintln(out)
}

// sampleClient is a partner's sandbox credential that may read stock and orders.
func (p *program) sampleClient() *clientCredential {
	for i := range p.credentials.Applications {
		c := &p.credentials.Applications[i]
		caller, ok := p.directory.Client(c.ClientID)
		if ok && c.Environment == ident.Sandbox && c.Kind == partner.ClientSecret && caller.Kind != partner.KindVendor && caller.Subscriptions["inventory"] != nil && caller.Subscriptions["orders"] != nil {
			return c
		}
	}
	return nil
}

// sampleSKU is an item the simulated ERP has, as the contract's example names it.
func (p *program) sampleSKU() string {
	a, ok := p.catalogue.Current().API("inventory")
	if !ok {
		return ""
	}
	for _, r := range a.Versions[0].Routes {
		for _, param := range r.Operation.Parameters {
			if param.Name == "sku" {
				switch v := param.Example.(type) {
				case string:
					return v
				case []any:
					if len(v) > 0 {
						return fmt.Sprint(v[0])
					}
				}
			}
		}
	}
	return ""
}

func (p *program) specBanner(out io.Writer) {
	a, _ := p.catalogue.Current().API(specAPI)
	fmt.Fprintf(out, "  backend  %s\n\n%d operations of %q are served.\n", p.settings.Backend, len(a.Versions[0].Routes), a.Title)
	if p.settings.InsecureNoAuth {
		fmt.Fprintln(out, "Every call is taken without a token (--insecure-no-auth).")
		return
	}
	if p.client.Secret == "" {
		fmt.Fprintf(out, "Client %s was made by an earlier start, and its secret shown then; --new-client makes another.\n", p.client.ClientID)
		return
	}
	fmt.Fprintf(out, "Client, shown once:\n  client_id     %s\n  client_secret %s\n\ncurl -s -u %s:%s -d grant_type=client_credentials %s/oauth2/token\n",
		p.client.ClientID, p.client.Secret, p.client.ClientID, p.client.Secret, strings.TrimSuffix(p.gatewayURL, "/"))
}
