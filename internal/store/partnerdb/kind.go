package partnerdb

import (
	"strings"

	"portway/internal/partner"
)

// kind describes one sort of object to Apply.
type kind[T comparable] struct {
	name    string   // as in the changes table
	plural  string   // as in pointers, and the table's name
	columns []string // all but retention, as in the db tags
	find    string   // condition that finds the object by its unique name
	key     func(*T) []any
	label   func(*T) string // the name, for people
	head    func(*T) head
	// keep copies into want what an update leaves as it is; nil if nothing.
	keep func(want, have *T)
	// check names what is wrong with an object by itself; nil if nothing can be.
	check func(*T) string
}

// head is what Apply handles alike for all kinds. org and state are nil where a kind has none.
type head struct {
	id     *string
	org    *partner.OrgID
	state  *partner.State
	origin *partner.Origin
	rev    *partner.Rev
}

func (k *kind[T]) selectFrom() string {
	return "SELECT " + strings.Join(quoted(k.columns), ", ") + " FROM " + k.plural
}

func (k *kind[T]) insert() string {
	return "INSERT INTO " + k.plural + " (" + strings.Join(quoted(k.columns), ", ") + ") VALUES (:" + strings.Join(k.columns, ", :") + ")"
}

func (k *kind[T]) update() string {
	sets := make([]string, 0, len(k.columns))
	for i, c := range quoted(k.columns) {
		if c != "id" && c != "org_id" {
			sets = append(sets, c+" = :"+k.columns[i])
		}
	}
	return "UPDATE " + k.plural + " SET " + strings.Join(sets, ", ") + " WHERE id = :id"
}

// quoted protects the one column whose name is a keyword of SQLite.
func quoted(columns []string) []string {
	out := append([]string(nil), columns...)
	for i, c := range out {
		if c == "plan" {
			out[i] = `"plan"`
		}
	}
	return out
}

var organisations = kind[partner.Organisation]{
	name: "organisation", plural: "organisations", columns: strings.Fields("id slug name kind state zone origin rev"),
	find:  "slug = ?",
	key:   func(o *partner.Organisation) []any { return []any{o.Slug} },
	label: func(o *partner.Organisation) string { return o.Slug },
	head: func(o *partner.Organisation) head {
		return head{(*string)(&o.ID), nil, &o.State, &o.Origin, &o.Rev}
	},
	check: func(o *partner.Organisation) string {
		switch o.Kind {
		case partner.KindInternal, partner.Kind3PL, partner.KindCarrier, partner.KindShipper, partner.KindVendor:
			return ""
		}
		return "kind is internal, 3pl, carrier, shipper or vendor"
	},
}

var sites = kind[partner.Site]{
	name: "site", plural: "sites", columns: strings.Fields("id org_id code name gln zone cut_off origin rev"),
	find:  "org_id = ? AND code = ?",
	key:   func(o *partner.Site) []any { return []any{o.Org, o.Code} },
	label: func(o *partner.Site) string { return o.Code },
	head:  func(o *partner.Site) head { return head{&o.ID, &o.Org, nil, &o.Origin, &o.Rev} },
}

var brands = kind[partner.Brand]{
	name: "brand", plural: "brands", columns: strings.Fields("id org_id code name business_unit origin rev"),
	find:  "org_id = ? AND code = ?",
	key:   func(o *partner.Brand) []any { return []any{o.Org, o.Code} },
	label: func(o *partner.Brand) string { return o.Code },
	head:  func(o *partner.Brand) head { return head{&o.ID, &o.Org, nil, &o.Origin, &o.Rev} },
}

var applications = kind[partner.Application]{
	name: "application", plural: "applications", columns: strings.Fields("id org_id slug name state origin rev"),
	find:  "org_id = ? AND slug = ?",
	key:   func(o *partner.Application) []any { return []any{o.Org, o.Slug} },
	label: func(o *partner.Application) string { return o.Slug },
	head:  func(o *partner.Application) head { return head{&o.ID, &o.Org, &o.State, &o.Origin, &o.Rev} },
}

var credentials = kind[partner.Credential]{
	name: "credential", plural: "credentials",
	columns: strings.Fields(`id org_id application_id environment kind client_id secret_hash last_four public_keys thumbprints subject
		state expires_at revoked_before created_at origin rev`),
	find:  "client_id = ?",
	key:   func(o *partner.Credential) []any { return []any{o.ClientID} },
	label: func(o *partner.Credential) string { return o.ClientID },
	head:  func(o *partner.Credential) head { return head{&o.ID, &o.Org, &o.State, &o.Origin, &o.Rev} },
	keep: func(want, have *partner.Credential) {
		want.CreatedAt = have.CreatedAt
		want.RevokedBefore = max(want.RevokedBefore, have.RevokedBefore)
		if want.SecretHash == "" && want.Kind == have.Kind { // a secret is none of another kind
			want.SecretHash, want.LastFour = have.SecretHash, have.LastFour
		}
	},
	check: func(o *partner.Credential) string {
		switch o.Kind {
		case partner.ClientSecret, partner.PrivateKeyJWT, partner.MutualTLS, partner.APIKey:
			return environment(o.Environment)
		}
		return "kind is client_secret, private_key_jwt, mtls or api_key"
	},
}

var addressRules = kind[partner.AddressRule]{
	name: "address rule", plural: "address_rules",
	columns: strings.Fields("id org_id application_id environment mode allow origin rev"),
	find:    "org_id = ? AND application_id = ? AND environment = ?",
	key:     func(o *partner.AddressRule) []any { return []any{o.Org, o.Application, o.Environment} },
	label:   func(o *partner.AddressRule) string { return o.Application + "/" + string(o.Environment) },
	head:    func(o *partner.AddressRule) head { return head{&o.ID, &o.Org, nil, &o.Origin, &o.Rev} },
	check: func(o *partner.AddressRule) string {
		switch o.Mode {
		case partner.AddressEnforce, partner.AddressLog, partner.AddressOff:
			return environment(o.Environment)
		}
		return "mode is enforce, log or off"
	},
}

var vendorGrants = kind[partner.VendorGrant]{
	name: "grant", plural: "vendor_grants",
	columns: strings.Fields("id org_id vendor application environment scopes state origin rev"),
	find:    "org_id = ? AND vendor = ? AND application = ? AND environment = ?",
	key:     func(o *partner.VendorGrant) []any { return []any{o.Org, o.Vendor, o.Application, o.Environment} },
	label: func(o *partner.VendorGrant) string {
		return o.Vendor + "/" + o.Application + "/" + string(o.Environment)
	},
	head:  func(o *partner.VendorGrant) head { return head{&o.ID, &o.Org, &o.State, &o.Origin, &o.Rev} },
	check: func(o *partner.VendorGrant) string { return environment(o.Environment) },
}

var subscriptions = kind[partner.Subscription]{
	name: "subscription", plural: "subscriptions",
	columns: strings.Fields("id org_id application_id api environment plan scopes state origin rev"),
	find:    "org_id = ? AND application_id = ? AND api = ? AND environment = ?",
	key:     func(o *partner.Subscription) []any { return []any{o.Org, o.Application, o.API, o.Environment} },
	label:   func(o *partner.Subscription) string { return o.Application + "/" + o.API + "/" + string(o.Environment) },
	head:    func(o *partner.Subscription) head { return head{&o.ID, &o.Org, &o.State, &o.Origin, &o.Rev} },
	check:   func(o *partner.Subscription) string { return environment(o.Environment) },
}

var connections = kind[partner.Connection]{
	name: "connection", plural: "connections",
	columns: strings.Fields(`id org_id slug environment format sender_qualifier sender_id receiver_qualifier receiver_id zone documents
		state origin rev`),
	find:  "org_id = ? AND slug = ?",
	key:   func(o *partner.Connection) []any { return []any{o.Org, o.Slug} },
	label: func(o *partner.Connection) string { return o.Slug },
	head:  func(o *partner.Connection) head { return head{&o.ID, &o.Org, &o.State, &o.Origin, &o.Rev} },
	check: func(o *partner.Connection) string {
		if !documents(o.Documents) {
			return "documents is a JSON object of transaction set to mapping"
		}
		return environment(o.Environment)
	},
}

var accounts = kind[partner.Account]{
	name: "account", plural: "accounts", columns: strings.Fields("id org_id email name role password_hash state origin rev"),
	find:  "email = ?",
	key:   func(o *partner.Account) []any { return []any{o.Email} },
	label: func(o *partner.Account) string { return o.Email },
	head:  func(o *partner.Account) head { return head{&o.ID, &o.Org, &o.State, &o.Origin, &o.Rev} },
	keep: func(want, have *partner.Account) {
		if want.PasswordHash == "" {
			want.PasswordHash = have.PasswordHash
		}
	},
}

func environment(e partner.Environment) string {
	if e.Valid() {
		return ""
	}
	return "environment is sandbox or live"
}
