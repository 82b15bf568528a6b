// Package partner says who may do what: organisations with their sites, brands, people, applications,
// credentials, subscriptions and connections, and the in-memory Directory the gateway asks on every call.
package partner

import (
	"portway/internal/ident"
)

// OrgID, Environment and Rev are the shared names; see ident.
type (
	OrgID       = ident.OrgID
	Environment = ident.Environment
	Rev         = ident.Rev
)

// Kind is what an organisation is to the operator.
type Kind string

// The kinds of organisation (RULES 2).
const (
	KindInternal Kind = "internal" // a team of the operator, such as the ERP's
	Kind3PL      Kind = "3pl"
	KindCarrier  Kind = "carrier"
	KindShipper  Kind = "shipper"
	KindVendor   Kind = "vendor" // software acting for several 3PLs
)

// State is where an organisation, application, credential, subscription or connection stands.
type State string

// The states. Only an active thing counts on the request path.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Revoked   State = "revoked"
)

// Origin says who owns an object: a policy file or the portal, never both (RULES 7).
type Origin string

// The origins. File-managed objects are read-only in the portal.
const (
	FromFile   Origin = "file"
	FromPortal Origin = "portal"
)

// Organisation is the isolation boundary: everything a partner owns carries its id.
type Organisation struct {
	ID     OrgID  `db:"id"`
	Slug   string `db:"slug"` // unique, lower case; what policies and order releases name
	Name   string `db:"name"`
	Kind   Kind   `db:"kind"`
	State  State  `db:"state"`
	Zone   string `db:"zone"` // IANA time zone of times sent without an offset
	Origin Origin `db:"origin"`
	Rev    Rev    `db:"rev"`
}

// Site is a place goods are handled at (RULES 5).
type Site struct {
	ID     string `db:"id"`
	Org    OrgID  `db:"org_id"`
	Code   string `db:"code"` // our code, such as "CHI"; unique per organisation
	Name   string `db:"name"`
	GLN    string `db:"gln"`  // GS1 Global Location Number, 13 digits, or ""
	Zone   string `db:"zone"` // IANA time zone
	CutOff string `db:"cut_off"`
	Origin Origin `db:"origin"`
	Rev    Rev    `db:"rev"`
}

// Brand is a brand of the operator that orders are shipped for; records and roles are scoped by it.
type Brand struct {
	ID           string `db:"id"`
	Org          OrgID  `db:"org_id"`
	Code         string `db:"code"`
	Name         string `db:"name"`
	BusinessUnit string `db:"business_unit"`
	Origin       Origin `db:"origin"`
	Rev          Rev    `db:"rev"`
}

// Application is a partner's system that calls us or that we call.
type Application struct {
	ID     string `db:"id"`
	Org    OrgID  `db:"org_id"`
	Slug   string `db:"slug"` // unique per organisation
	Name   string `db:"name"`
	State  State  `db:"state"`
	Origin Origin `db:"origin"`
	Rev    Rev    `db:"rev"`
}

// The kinds of credential. The first three authenticate a client at the token endpoint, an API key a call itself.
const (
	ClientSecret  = "client_secret"   // client_secret_basic and client_secret_post (RFC 6749 section 2.3.1)
	PrivateKeyJWT = "private_key_jwt" // an assertion signed by the client (RFC 7523)
	MutualTLS     = "mtls"            // the certificate of the connection (RFC 8705)
	APIKey        = "api_key"
)

// Credential is one way an application proves itself, in one environment. A secret or API key is shown once and kept
// only as a SHA-256 of at least 128 random bits; of a key pair or certificate only the public part is known here.
type Credential struct {
	ID          string      `db:"id"`
	Org         OrgID       `db:"org_id"`
	Application string      `db:"application_id"`
	Environment Environment `db:"environment"`
	Kind        string      `db:"kind"`
	ClientID    string      `db:"client_id"`   // of an API key its public name
	SecretHash  string      `db:"secret_hash"` // hexadecimal SHA-256
	LastFour    string      `db:"last_four"`
	PublicKeys  string      `db:"public_keys"` // a JWK set (RFC 7517 section 5) as JSON, "" without
	// Thumbprints are the SHA-256 of the certificates accepted, hexadecimal, separated by blanks: the next one may be
	// here before the change. Subject is the RFC 4514 name a certificate must also have, "" for any.
	Thumbprints string `db:"thumbprints"`
	Subject     string `db:"subject"`
	State       State  `db:"state"`
	ExpiresAt   int64  `db:"expires_at"` // Unix microseconds, 0 = never
	// RevokedBefore voids the tokens issued before it, in Unix microseconds; see Store.RevokeTokens.
	RevokedBefore int64  `db:"revoked_before"`
	CreatedAt     int64  `db:"created_at"` // Unix microseconds
	Origin        Origin `db:"origin"`
	Rev           Rev    `db:"rev"`
}

// The modes of an AddressRule.
const (
	AddressEnforce = "enforce" // calls from elsewhere are refused
	AddressLog     = "log"     // they are logged and pass
	AddressOff     = "off"
)

// AddressRule says from where an application may call in an environment.
type AddressRule struct {
	ID          string      `db:"id"`
	Org         OrgID       `db:"org_id"`
	Application string      `db:"application_id"`
	Environment Environment `db:"environment"`
	Mode        string      `db:"mode"`
	Allow       string      `db:"allow"` // prefixes ("203.0.113.0/24"), separated by blanks
	Origin      Origin      `db:"origin"`
	Rev         Rev         `db:"rev"`
}

// VendorGrant lets the application of a software vendor act for an organisation, which owns the grant (RULES 3). It
// names both by slug; while there is no such vendor it gives nothing.
type VendorGrant struct {
	ID          string      `db:"id"`
	Org         OrgID       `db:"org_id"`      // who is acted for
	Vendor      string      `db:"vendor"`      // slug of the vendor's organisation
	Application string      `db:"application"` // slug of the vendor's application
	Environment Environment `db:"environment"`
	Scopes      string      `db:"scopes"` // space-separated, sorted; the application's own subscriptions cap them
	State       State       `db:"state"`
	Origin      Origin      `db:"origin"`
	Rev         Rev         `db:"rev"`
}

// RevokedToken is an access token of ours that counts no longer, although it has not expired.
type RevokedToken struct {
	ID        string `db:"id"` // its jti
	Org       OrgID  `db:"org_id"`
	ClientID  string `db:"client_id"`
	RevokedAt int64  `db:"revoked_at"` // Unix microseconds
	ExpiresAt int64  `db:"expires_at"` // Unix microseconds
}

// Subscription lets an application use an API in an environment under a plan, with these scopes at most.
type Subscription struct {
	ID          string      `db:"id"`
	Org         OrgID       `db:"org_id"`
	Application string      `db:"application_id"`
	API         string      `db:"api"`
	Environment Environment `db:"environment"`
	Plan        string      `db:"plan"`
	Scopes      string      `db:"scopes"` // space-separated, sorted
	State       State       `db:"state"`
	Origin      Origin      `db:"origin"`
	Rev         Rev         `db:"rev"`
}

// Connection is a way of exchanging documents that is not an API call (RULES 4): here an X12 identity pair.
type Connection struct {
	ID                string      `db:"id"`
	Org               OrgID       `db:"org_id"`
	Slug              string      `db:"slug"` // unique per organisation
	Environment       Environment `db:"environment"`
	Format            string      `db:"format"` // "x12"
	SenderQualifier   string      `db:"sender_qualifier"`
	SenderID          string      `db:"sender_id"`
	ReceiverQualifier string      `db:"receiver_qualifier"`
	ReceiverID        string      `db:"receiver_id"`
	Zone              string      `db:"zone"` // IANA zone of its local times; the organisation's when ""
	// Documents maps a transaction set ("945") to the id of its mapping document, as JSON.
	Documents string `db:"documents"`
	State     State  `db:"state"`
	Origin    Origin `db:"origin"`
	Rev       Rev    `db:"rev"`
}

// Account is a person who signs in to the portal.
type Account struct {
	ID           string `db:"id"`
	Org          OrgID  `db:"org_id"`
	Email        string `db:"email"` // lower case, unique
	Name         string `db:"name"`
	Role         string `db:"role"` // "developer", "admin", …
	PasswordHash string `db:"password_hash"`
	State        State  `db:"state"`
	Origin       Origin `db:"origin"`
	Rev          Rev    `db:"rev"`
}

// Session is a sign-in. Its id is the SHA-256 of the cookie's 256 random bits, so the table opens no door.
type Session struct {
	ID        string `db:"id"`
	Account   string `db:"account_id"`
	Org       OrgID  `db:"org_id"`
	CSRF      string `db:"csrf"`
	CreatedAt int64  `db:"created_at"` // Unix microseconds
	ExpiresAt int64  `db:"expires_at"` // absolute end
	SeenAt    int64  `db:"seen_at"`    // for the idle limit
}

// Change is one entry of the changes table: something about an object changed at a position.
type Change struct {
	Position int64  `db:"position"`
	Kind     string `db:"kind"`      // "organisation", "application", "connection", …
	ID       string `db:"object_id"` // the organisation's id; of kind "token", the id of the RevokedToken
}
