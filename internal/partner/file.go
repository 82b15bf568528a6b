package partner

import (
	"encoding/json"
	"fmt"
	"net/mail"
	"regexp"
	"sort"
	"strings"
	"time"

	"portway/internal/datafile"
	"portway/internal/secret"
)

// file is a partner as a policy file declares it: policies/partners/<slug>.yaml.
type file struct {
	datafile.Head `yaml:",inline"`
	Organisation  struct {
		Name string `yaml:"name"`
		Kind Kind   `yaml:"kind"`
		Zone string `yaml:"zone"`
	} `yaml:"organisation"`
	Sites []struct {
		Code   string `yaml:"code"`
		Name   string `yaml:"name"`
		GLN    string `yaml:"gln"`
		Zone   string `yaml:"zone"`
		CutOff string `yaml:"cutOff"`
	} `yaml:"sites"`
	Brands []struct {
		Code         string `yaml:"code"`
		Name         string `yaml:"name"`
		BusinessUnit string `yaml:"businessUnit"`
	} `yaml:"brands"`
	Applications []struct {
		Slug        string `yaml:"slug"`
		Name        string `yaml:"name"`
		Credentials []struct {
			Environment Environment `yaml:"environment"`
			ClientID    string      `yaml:"clientId"`
			Secret      string      `yaml:"secret"` // env:NAME or file:/path, never the secret itself
		} `yaml:"credentials"`
		Subscriptions []struct {
			API          string        `yaml:"api"`
			Environments []Environment `yaml:"environments"`
			Plan         string        `yaml:"plan"`
			Scopes       []string      `yaml:"scopes"`
		} `yaml:"subscriptions"`
	} `yaml:"applications"`
	Connections []struct {
		Slug        string            `yaml:"slug"`
		Environment Environment       `yaml:"environment"`
		Format      string            `yaml:"format"`
		Sender      identityFile      `yaml:"sender"`
		Receiver    identityFile      `yaml:"receiver"`
		Zone        string            `yaml:"zone"`
		Documents   map[string]string `yaml:"documents"`
	} `yaml:"connections"`
	Accounts []struct {
		Email string `yaml:"email"`
		Name  string `yaml:"name"`
		Role  string `yaml:"role"`
	} `yaml:"accounts"`
}

type identityFile struct {
	Qualifier string `yaml:"qualifier"`
	ID        string `yaml:"id"`
}

var slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$`)

// Decode reads a partner file; slug is the file's name without ".yaml". Ids, secrets and password hashes are
// empty: Store.Apply fills in ids, and secrets are never in a file. All problems are returned at once.
func Decode(slug, name string, src []byte) (*Bundle, datafile.Problems) {
	var f file
	if p := datafile.Decode(name, "partner", src, &f); p != nil {
		return nil, p
	}
	d := decoder{file: name, bundle: &Bundle{Organisation: Organisation{Slug: slug, Name: f.Organisation.Name,
		Kind: f.Organisation.Kind, Zone: f.Organisation.Zone, State: Active, Origin: FromFile}, SecretReferences: map[string]string{}}}
	d.need(slugForm.MatchString(slug), "the file's name is not a slug: lower-case letters, digits and hyphens")
	d.need(f.Organisation.Name != "", "organisation.name is missing")
	switch f.Organisation.Kind {
	case KindInternal, Kind3PL, KindCarrier, KindShipper, KindVendor:
	default:
		d.need(false, "organisation.kind is %q: use internal, 3pl, carrier, shipper or vendor", f.Organisation.Kind)
	}
	d.zone("organisation.zone", f.Organisation.Zone)
	for _, s := range f.Sites {
		d.need(s.Code != "", "a site has no code")
		d.zone("site "+s.Code+" zone", s.Zone)
		d.bundle.Sites = append(d.bundle.Sites, Site{Code: s.Code, Name: s.Name, GLN: s.GLN, Zone: s.Zone, CutOff: s.CutOff, Origin: FromFile})
	}
	for _, b := range f.Brands {
		d.need(b.Code != "", "a brand has no code")
		d.bundle.Brands = append(d.bundle.Brands, Brand{Code: b.Code, Name: b.Name, BusinessUnit: b.BusinessUnit, Origin: FromFile})
	}
	d.applications(&f)
	d.connections(&f)
	for _, a := range f.Accounts {
		if _, err := mail.ParseAddress(a.Email); err != nil || a.Email != strings.ToLower(a.Email) {
			d.need(false, "an account's email is not a lower-case address")
		}
		d.bundle.Accounts = append(d.bundle.Accounts, Account{Email: a.Email, Name: a.Name, Role: a.Role, State: Active, Origin: FromFile})
	}
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return d.bundle, nil
}

type decoder struct {
	file     string
	bundle   *Bundle
	problems datafile.Problems
}

func (d *decoder) need(ok bool, format string, args ...any) {
	if !ok {
		d.problems = append(d.problems, datafile.Problem{File: d.file, Message: fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) zone(what, name string) {
	if _, err := time.LoadLocation(name); name == "" || err != nil {
		d.need(false, "%s %q is not an IANA time zone", what, name)
	}
}

// applications ties credentials and subscriptions to their application by its slug, which stands in for the
// id until the store has one.
func (d *decoder) applications(f *file) {
	for _, a := range f.Applications {
		d.need(slugForm.MatchString(a.Slug), "application slug %q is not a slug", a.Slug)
		d.bundle.Applications = append(d.bundle.Applications, Application{Slug: a.Slug, Name: a.Name, State: Active, Origin: FromFile})
		for _, c := range a.Credentials {
			d.need(c.Environment.Valid(), "application %q: environment %q: use sandbox or live", a.Slug, c.Environment)
			d.need(c.ClientID != "", "application %q: a credential has no clientId", a.Slug)
			d.need(c.Secret == "" || secret.IsReference(c.Secret), "application %q: a secret is given as env:NAME or file:/path, never written out", a.Slug)
			if c.Secret != "" {
				d.bundle.SecretReferences[c.ClientID] = c.Secret
			}
			d.bundle.Credentials = append(d.bundle.Credentials, Credential{Application: a.Slug, Environment: c.Environment,
				Kind: "client_secret", ClientID: c.ClientID, State: Active, Origin: FromFile})
		}
		for _, s := range a.Subscriptions {
			scopes := append([]string(nil), s.Scopes...)
			sort.Strings(scopes)
			d.need(len(s.Environments) > 0, "application %q: the subscription to %q names no environments", a.Slug, s.API)
			for _, env := range s.Environments {
				d.need(env.Valid(), "application %q: environment %q: use sandbox or live", a.Slug, env)
				d.bundle.Subscriptions = append(d.bundle.Subscriptions, Subscription{Application: a.Slug, API: s.API,
					Environment: env, Plan: s.Plan, Scopes: strings.Join(scopes, " "), State: Active, Origin: FromFile})
			}
		}
	}
}

func (d *decoder) connections(f *file) {
	for _, c := range f.Connections {
		d.need(c.Environment.Valid(), "connection %q: environment %q: use sandbox or live", c.Slug, c.Environment)
		d.need(c.Format == "x12", "connection %q: format %q: use x12", c.Slug, c.Format)
		d.need(c.Sender.ID != "" && c.Receiver.ID != "", "connection %q: sender and receiver need an id", c.Slug)
		if c.Zone != "" {
			d.zone("connection "+c.Slug+" zone", c.Zone)
		}
		documents, err := json.Marshal(c.Documents)
		d.need(err == nil && len(c.Documents) > 0, "connection %q takes no documents", c.Slug)
		d.bundle.Connections = append(d.bundle.Connections, Connection{Slug: c.Slug, Environment: c.Environment, Format: c.Format,
			SenderQualifier: c.Sender.Qualifier, SenderID: c.Sender.ID, ReceiverQualifier: c.Receiver.Qualifier,
			ReceiverID: c.Receiver.ID, Zone: c.Zone, Documents: string(documents), State: Active, Origin: FromFile})
	}
}
