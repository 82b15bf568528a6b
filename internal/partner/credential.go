package partner

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"portway/internal/secret"
)

// credentialFile is a credential as a partner file declares it. What is secret is named by env:NAME or file:/path.
type credentialFile struct {
	Environment Environment    `yaml:"environment"`
	Kind        string         `yaml:"kind"` // client_secret when absent
	ClientID    string         `yaml:"clientId"`
	Secret      string         `yaml:"secret"` // client_secret: a reference
	Key         string         `yaml:"key"`    // api_key: a reference
	JWK         map[string]any `yaml:"jwk"`    // private_key_jwt: one public key (RFC 7517 section 4)
	JWKS        *keySetFile    `yaml:"jwks"`   // or several, so that they can overlap
	Thumbprint  string         `yaml:"thumbprint"`
	Thumbprints []string       `yaml:"thumbprints"` // mtls: SHA-256 of a certificate in hexadecimal, with or without colons
	Subject     string         `yaml:"subject"`     // mtls: its RFC 4514 name, in addition
}

type keySetFile struct {
	Keys []map[string]any `yaml:"keys"`
}

type addressFile struct {
	Environments []Environment `yaml:"environments"`
	Mode         string        `yaml:"mode"`
	Allow        []string      `yaml:"allow"`
}

type grantFile struct {
	Vendor       string        `yaml:"vendor"`
	Application  string        `yaml:"application"`
	Environments []Environment `yaml:"environments"`
	Scopes       []string      `yaml:"scopes"`
}

// credential reads one credential of an application; at is where it stands in the file.
func (d *decoder) credential(app string, c *credentialFile, at ...any) {
	in := func(member string) *decoder { return d.at(append(slices.Clone(at), member)...) }
	if c.Kind == "" {
		c.Kind = ClientSecret
	}
	in("environment").need(c.Environment.Valid(), "application %q: environment %q: use sandbox or live", app, c.Environment)
	in("clientId").need(c.ClientID != "", "application %q: a credential has no clientId", app)
	d.once("client", c.ClientID)
	for _, m := range []struct {
		member, kind string
		given        bool
	}{
		{"secret", ClientSecret, c.Secret != ""}, {"key", APIKey, c.Key != ""},
		{"jwk", PrivateKeyJWT, c.JWK != nil}, {"jwks", PrivateKeyJWT, c.JWKS != nil},
		{"thumbprint", MutualTLS, c.Thumbprint != ""}, {"thumbprints", MutualTLS, c.Thumbprints != nil}, {"subject", MutualTLS, c.Subject != ""},
	} {
		in(m.member).need(!m.given || m.kind == c.Kind, "application %q: a credential of kind %s has no %s", app, c.Kind, m.member)
	}
	out := Credential{Application: app, Environment: c.Environment, Kind: c.Kind, ClientID: c.ClientID, State: Active, Origin: FromFile}
	switch c.Kind {
	case ClientSecret, APIKey:
		member, ref := "secret", c.Secret
		if c.Kind == APIKey {
			member, ref = "key", c.Key
			in("kind").need(d.bundle.Organisation.Kind != KindVendor,
				"application %q: an API key cannot say for whom a vendor calls; use another kind of credential", app)
		}
		in(member).need(ref == "" || secret.IsReference(ref), "application %q: a %s is given as env:NAME or file:/path, never written out", app, member)
		if ref != "" {
			d.bundle.SecretReferences[c.ClientID] = ref
		}
	case PrivateKeyJWT:
		out.PublicKeys = d.publicKeys(app, c, in)
	case MutualTLS:
		out.Subject = c.Subject
		out.Thumbprints = d.thumbprints(app, c, in)
	default:
		in("kind").need(false, "application %q: kind %q: use client_secret, private_key_jwt, mtls or api_key", app, c.Kind)
	}
	d.bundle.Credentials = append(d.bundle.Credentials, out)
}

// privateMembers are the members of a JWK that only its owner may know (RFC 7518 section 6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

func (d *decoder) publicKeys(app string, c *credentialFile, in func(string) *decoder) string {
	keys := []map[string]any{}
	if c.JWK != nil {
		keys = append(keys, c.JWK)
	}
	if c.JWKS != nil {
		in("jwks").need(c.JWK == nil, "application %q: a credential has jwk or jwks, not both", app)
		keys = append(keys, c.JWKS.Keys...)
	}
	in("jwk").need(len(keys) > 0, "application %q: a credential of kind %s has jwk, or jwks with keys", app, PrivateKeyJWT)
	for _, k := range keys {
		member := "jwk"
		if c.JWKS != nil {
			member = "jwks"
		}
		for _, name := range privateMembers {
			_, there := k[name]
			in(member).need(!there, "application %q: a key holds the private member %q: it is not to be used any more; make another pair and declare its public key", app, name)
		}
		kty, _ := k["kty"].(string)
		in(member).need(slices.Contains([]string{"EC", "RSA", "OKP"}, kty), "application %q: the kty of a key is EC, RSA or OKP", app)
	}
	set, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		in("jwk").need(false, "application %q: a key cannot be written as JSON", app)
	}
	return string(set)
}

func (d *decoder) thumbprints(app string, c *credentialFile, in func(string) *decoder) string {
	all := c.Thumbprints
	if c.Thumbprint != "" {
		in("thumbprint").need(len(all) == 0, "application %q: a credential has thumbprint or thumbprints, not both", app)
		all = append([]string{c.Thumbprint}, all...)
	}
	in("thumbprint").need(len(all) > 0, "application %q: a credential of kind %s has a thumbprint", app, MutualTLS)
	out := make([]string, 0, len(all))
	for _, t := range all {
		t = strings.ToLower(strings.ReplaceAll(t, ":", ""))
		ok := len(t) == 64 && strings.Trim(t, "0123456789abcdef") == ""
		in("thumbprint").need(ok, "application %q: a thumbprint is the SHA-256 of a certificate, 64 hexadecimal digits", app)
		out = append(out, t)
	}
	return strings.Join(out, " ")
}

func (d *decoder) addresses(app string, f *addressFile, at ...any) {
	in := func(member string) *decoder { return d.at(append(slices.Clone(at), member)...) }
	in("mode").need(f.Mode == AddressEnforce || f.Mode == AddressLog || f.Mode == AddressOff,
		"application %q: addresses: mode %q: use enforce, log or off", app, f.Mode)
	in("environments").need(len(f.Environments) > 0, "application %q: addresses name no environments", app)
	in("allow").need(len(f.Allow) > 0 || f.Mode == AddressOff, "application %q: addresses allow nothing; use mode off to lift them", app)
	for _, text := range f.Allow {
		p, err := parsePrefix(text)
		in("allow").need(err == nil && p == p.Masked() && !p.Addr().Is4In6(),
			"application %q: addresses: %q is not a prefix like 203.0.113.0/24, or one address", app, text)
	}
	for _, env := range f.Environments {
		in("environments").need(env.Valid(), "application %q: environment %q: use sandbox or live", app, env)
		d.once("address list", app+" in "+string(env))
		d.bundle.AddressRules = append(d.bundle.AddressRules, AddressRule{Application: app, Environment: env, Mode: f.Mode,
			Allow: strings.Join(f.Allow, " "), Origin: FromFile})
	}
}

// grants reads what the organisation grants to vendors. A vendor owns one application, and grants nothing itself.
func (d *decoder) grants(f *file) {
	if f.Organisation.Kind == KindVendor {
		d.at("applications").need(len(f.Applications) <= 1, "a vendor owns one application; its customers grant that one access")
		d.at("grants").need(len(f.Grants) == 0, "a vendor acts for others; nobody acts for a vendor")
	}
	for i, g := range f.Grants {
		scopes := append([]string(nil), g.Scopes...)
		sort.Strings(scopes)
		d.at("grants", i, "vendor").need(slugForm.MatchString(g.Vendor), "a grant names no vendor")
		d.at("grants", i, "application").need(slugForm.MatchString(g.Application), "the grant to %q names no application", g.Vendor)
		d.at("grants", i, "scopes").need(len(scopes) > 0, "the grant to %q gives no scopes", g.Vendor)
		d.at("grants", i, "environments").need(len(g.Environments) > 0, "the grant to %q names no environments", g.Vendor)
		for _, env := range g.Environments {
			d.need(env.Valid(), "the grant to %q: environment %q: use sandbox or live", g.Vendor, env)
			d.once("grant", fmt.Sprintf("%s/%s in %s", g.Vendor, g.Application, env))
			d.bundle.VendorGrants = append(d.bundle.VendorGrants, VendorGrant{Vendor: g.Vendor, Application: g.Application,
				Environment: env, Scopes: strings.Join(scopes, " "), State: Active, Origin: FromFile})
		}
	}
}

// parsePrefix reads "203.0.113.0/24", "2001:db8::/32" or one address.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return a.Prefix(a.BitLen())
	}
	return netip.ParsePrefix(s)
}
