package app

import (
	"errors"
	"fmt"

	"portway/internal/datafile"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/secret"
	"portway/internal/token"
)

type keyCommand struct {
	Environment ident.Environment `name:"environment" required:"" enum:"sandbox,live" help:"Where the key counts: sandbox or live."`
}

// checkCallers finds public keys that are not fit for use, and grants to vendors that no partner file declares.
func checkCallers(bundles []*partner.Bundle) datafile.Problems {
	var problems datafile.Problems
	vendors := map[string]bool{} // "organisation/application"
	for _, b := range bundles {
		if b.Organisation.Kind == partner.KindVendor {
			for _, a := range b.Applications {
				vendors[b.Organisation.Slug+"/"+a.Slug] = true
			}
		}
	}
	for _, b := range bundles {
		file := "policies/partners/" + b.Organisation.Slug + ".yaml"
		for _, c := range b.Credentials {
			if c.Kind != partner.PrivateKeyJWT {
				continue
			}
			if _, err := token.ParseKeySet([]byte(c.PublicKeys)); err != nil {
				problems.Add(file, 0, "client %q: %v", c.ClientID, err)
			}
		}
		for _, g := range b.VendorGrants {
			if !vendors[g.Vendor+"/"+g.Application] {
				problems.Add(file, 0, "a grant names the application %q of vendor %q, which no partner file declares", g.Application, g.Vendor)
			}
		}
	}
	return problems
}

// checkSecret says what is wrong with the secret or API key of a credential.
func checkSecret(c *partner.Credential, given string) error {
	if c.Kind == partner.APIKey {
		if env, ok := partner.APIKeyEnvironment(given); !ok || env != c.Environment {
			return fmt.Errorf("no API key for %s; make one with \"portway key --environment %s\"", c.Environment, c.Environment)
		}
		return nil
	}
	if len(given) < 32 {
		return errors.New("shorter than 32 characters")
	}
	return nil
}

// demoSecret gives a credential of the example set the secret or API key it had, or a new one, and returns it; "" for
// kinds whose secret is the partner's alone.
func demoSecret(c *partner.Credential, kept *credentialsFile) string {
	given := kept.secretOf(c.ClientID)
	switch {
	case c.Kind == partner.ClientSecret && given == "":
		given = ident.Secret(32)
	case c.Kind == partner.APIKey:
		if env, ok := partner.APIKeyEnvironment(given); !ok || env != c.Environment {
			given = partner.NewAPIKey(c.Environment)
		}
	case c.Kind != partner.ClientSecret:
		return ""
	}
	c.SecretHash, c.LastFour = secret.Hash(given), given[len(given)-4:]
	return given
}
