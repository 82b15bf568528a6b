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
		Slug          string           `yaml:"slug"`
		Name          string           `yaml:"name"`
		Credentials   []credentialFile `yaml:"credentials"`
		Addresses     []addressFile    `yaml:"addresses"`
		Subscriptions []struct {
			API          string        `yaml:"api"`
			Environments []Environment `yaml:"environments"`
			Plan         string        `yaml:"plan"`
			Scopes       []string      `yaml:"scopes"`
		} `yaml:"subscriptions"`
	} `yaml:"applications"`
	Grants      []grantFile `yaml:"grants"`
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
	d := decoder{file: name, src: src, seen: map[string]bool{}, bundle: &Bundle{Organisation: Organisation{Slug: slug, Name: f.Organisation.Name,
		Kind: f.Organisation.Kind, Zone: f.Organisation.Zone, State: Active, Origin: FromFile}, SecretReferences: map[string]string{}}}
	d.need(slugForm.MatchString(slug), "the file's name is not a slug: lower-case letters, digits and hyphens")
	d.at("organisation", "name").need(f.Organisation.Name != "", "organisation.name is missing")
	switch f.Organisation.Kind {
	case KindInternal, Kind3PL, KindCarrier, KindShipper, KindVendor:
	default:
		d.at("organisation", "kind").need(false, "organisation.kind is %q: use internal, 3pl, carrier, shipper or vendor", f.Organisation.Kind)
	}
	d.at("organisation", "zone").zone("organisation.zone", f.Organisation.Zone)
	d.places(&f)
	d.applications(&f)
	d.grants(&f)
	d.connections(&f)
	for i, a := range f.Accounts {
		d.at("accounts", i, "email")
		address, err := mail.ParseAddress(a.Email)
		d.need(err == nil && address.Address == a.Email && a.Email == strings.ToLower(a.Email), "an account's email is not a lower-case address")
		d.once("account", a.Email)
		d.at("accounts", i, "role").need(a.Role != "", "an account has no role")
		d.bundle.Accounts = append(d.bundle.Accounts, Account{Email: a.Email, Name: a.Name, Role: a.Role, State: Active, Origin: FromFile})
	}
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return d.bundle, nil
}

type decoder struct {
	file     string
	src      []byte
	path     []any           // of what is being checked
	seen     map[string]bool // "kind name" of what must be there once
	bundle   *Bundle
	problems datafile.Problems
}

// at says what the following checks are about.
func (d *decoder) at(path ...any) *decoder {
	d.path = path
	return d
}

func (d *decoder) need(ok bool, format string, args ...any) {
	if !ok {
		d.problems = append(d.problems, datafile.Problem{File: d.file, Line: datafile.Line(d.src, d.path...), Message: fmt.Sprintf(format, args...)})
	}
}

// once refuses a second thing of one kind and name: which of the two counts would be chance. A missing name has its
// own problem.
func (d *decoder) once(kind, name string) {
	key := kind + " " + name
	d.need(name == "" || !d.seen[key], "%s %q is declared twice", kind, name)
	d.seen[key] = true
}

func (d *decoder) zone(what, name string) {
	if _, err := time.LoadLocation(name); name == "" || name == "Local" || err != nil {
		d.need(false, "%s %q is not an IANA time zone", what, name)
	}
}

func (d *decoder) places(f *file) {
	for i, s := range f.Sites {
		d.at("sites", i, "code").need(s.Code != "", "a site has no code")
		d.once("site", s.Code)
		d.at("sites", i, "gln").need(s.GLN == "" || validGLN(s.GLN), "site %q: gln is not 13 digits with their check digit", s.Code)
		d.at("sites", i, "zone").zone(fmt.Sprintf("site %q: zone", s.Code), s.Zone)
		if _, err := time.Parse("15:04", s.CutOff); s.CutOff != "" && (err != nil || len(s.CutOff) != 5) {
			d.at("sites", i, "cutOff").need(false, "site %q: cutOff is not a time of day like \"14:00\"", s.Code)
		}
		d.bundle.Sites = append(d.bundle.Sites, Site{Code: s.Code, Name: s.Name, GLN: s.GLN, Zone: s.Zone, CutOff: s.CutOff, Origin: FromFile})
	}
	for i, b := range f.Brands {
		d.at("brands", i, "code").need(b.Code != "", "a brand has no code")
		d.once("brand", b.Code)
		d.bundle.Brands = append(d.bundle.Brands, Brand{Code: b.Code, Name: b.Name, BusinessUnit: b.BusinessUnit, Origin: FromFile})
	}
}

// validGLN reports whether s is a GS1 Global Location Number: 13 digits, the last one the check digit of the rest
// (GS1 General Specifications section 7.9).
func validGLN(s string) bool {
	sum := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		sum += int(s[i]-'0') * (1 + i%2*2)
	}
	return len(s) == 13 && sum%10 == 0
}

// applications ties credentials and subscriptions to their application by its slug, which stands in for the
// id until the store has one.
func (d *decoder) applications(f *file) {
	for i, a := range f.Applications {
		d.at("applications", i, "slug").need(slugForm.MatchString(a.Slug), "application slug %q is not a slug", a.Slug)
		d.once("application", a.Slug)
		d.bundle.Applications = append(d.bundle.Applications, Application{Slug: a.Slug, Name: a.Name, State: Active, Origin: FromFile})
		for j := range a.Credentials {
			d.credential(a.Slug, &a.Credentials[j], "applications", i, "credentials", j)
		}
		for j := range a.Addresses {
			d.addresses(a.Slug, &a.Addresses[j], "applications", i, "addresses", j)
		}
		for j, s := range a.Subscriptions {
			d.at("applications", i, "subscriptions", j)
			scopes := append([]string(nil), s.Scopes...)
			sort.Strings(scopes)
			d.need(s.API != "", "application %q: a subscription names no api", a.Slug)
			d.need(s.Plan != "", "application %q: the subscription to %q names no plan", a.Slug, s.API)
			d.need(len(s.Environments) > 0, "application %q: the subscription to %q names no environments", a.Slug, s.API)
			for _, env := range s.Environments {
				d.need(env.Valid(), "application %q: environment %q: use sandbox or live", a.Slug, env)
				d.once("subscription", a.Slug+" to "+s.API+" in "+string(env))
				d.bundle.Subscriptions = append(d.bundle.Subscriptions, Subscription{Application: a.Slug, API: s.API,
					Environment: env, Plan: s.Plan, Scopes: strings.Join(scopes, " "), State: Active, Origin: FromFile})
			}
		}
	}
}

func (d *decoder) connections(f *file) {
	for i, c := range f.Connections {
		d.at("connections", i, "slug").need(slugForm.MatchString(c.Slug), "connection slug %q is not a slug", c.Slug)
		d.once("connection", c.Slug)
		d.at("connections", i, "environment").need(c.Environment.Valid(), "connection %q: environment %q: use sandbox or live", c.Slug, c.Environment)
		d.at("connections", i, "format").need(c.Format == "x12", "connection %q: format %q: use x12", c.Slug, c.Format)
		for what, id := range map[string]identityFile{"sender": c.Sender, "receiver": c.Receiver} {
			// X12 elements I05 and I06: two characters, and at most fifteen.
			d.at("connections", i, what).need(len(id.Qualifier) == 2 && id.ID != "" && len(id.ID) <= 15,
				"connection %q: %s needs a qualifier of two characters and an id of at most fifteen", c.Slug, what)
		}
		if c.Zone != "" {
			d.at("connections", i, "zone").zone(fmt.Sprintf("connection %q: zone", c.Slug), c.Zone)
		}
		documents, err := json.Marshal(c.Documents)
		d.at("connections", i, "documents").need(err == nil && len(c.Documents) > 0, "connection %q takes no documents", c.Slug)
		d.at("connections", i).once("identity pair", strings.Join([]string{string(c.Environment), c.Sender.Qualifier, c.Sender.ID, c.Receiver.Qualifier, c.Receiver.ID}, "/"))
		d.bundle.Connections = append(d.bundle.Connections, Connection{Slug: c.Slug, Environment: c.Environment, Format: c.Format,
			SenderQualifier: c.Sender.Qualifier, SenderID: c.Sender.ID, ReceiverQualifier: c.Receiver.Qualifier,
			ReceiverID: c.Receiver.ID, Zone: c.Zone, Documents: string(documents), State: Active, Origin: FromFile})
	}
}
