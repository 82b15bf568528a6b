package partner

import "context"

// Store keeps organisations and what they own. Every write appends to the changes table in its own
// transaction and returns after commit.
type Store interface {
	// Apply creates or updates the objects of a Bundle, matching organisations by slug and their parts by their
	// unique names; objects of another origin with the same name are refused. It is all or nothing. Ids are filled
	// in on the bundle.
	Apply(ctx context.Context, b *Bundle) error
	// Organisations returns every organisation: for staff and for building the Directory.
	Organisations(ctx context.Context) ([]Organisation, error)
	// Organisation returns one organisation with all it owns, or problem.NotFound.
	Organisation(ctx context.Context, org OrgID) (*Bundle, error)
	// SetState changes the state of an "organisation", "application", "credential", "subscription", "connection" or
	// "grant" of org, or returns problem.NotFound.
	SetState(ctx context.Context, org OrgID, kind, id string, s State) error
	// Changes returns the changes after position, in order, at most 1,000.
	Changes(ctx context.Context, after int64) ([]Change, error)
	// Listen calls hint after changes by other nodes, as far as the database can tell; polling stays the truth.
	// It returns when ctx ends.
	Listen(ctx context.Context, hint func()) error
	// RevokeToken voids one access token; a token that is void already stays as it is.
	RevokeToken(ctx context.Context, t RevokedToken) error
	// RevokeTokens voids every token that a credential of org got before at (Unix microseconds), or returns
	// problem.NotFound. Tokens name their time in whole seconds: those of the same second are void too.
	RevokeTokens(ctx context.Context, org OrgID, credential string, at int64) error
	// RevokedToken returns one, or problem.NotFound.
	RevokedToken(ctx context.Context, id string) (*RevokedToken, error)
	// RevokedTokens returns those that expire after (Unix microseconds): for building the Directory.
	RevokedTokens(ctx context.Context, after int64) ([]RevokedToken, error)
}

// AccountStore keeps portal accounts and sessions.
type AccountStore interface {
	// AccountByEmail returns an account by its lower-case e-mail, or problem.NotFound.
	AccountByEmail(ctx context.Context, email string) (*Account, error)
	// Account returns an account by id, or problem.NotFound.
	Account(ctx context.Context, id string) (*Account, error)
	// StartSession stores a new session.
	StartSession(ctx context.Context, s Session) error
	// Session returns the session with this id (a hash), or problem.NotFound.
	Session(ctx context.Context, id string) (*Session, error)
	// TouchSession records that a session was used at (Unix microseconds).
	TouchSession(ctx context.Context, id string, at int64) error
	// EndSession removes a session; an absent one is no error.
	EndSession(ctx context.Context, id string) error
	// EndExpiredSessions removes sessions past their absolute or idle limit (Unix microseconds) and returns how many.
	EndExpiredSessions(ctx context.Context, now, idleBefore int64) (int64, error)
}

// Bundle is an organisation with all it owns: the unit that policy files declare and the Directory loads.
type Bundle struct {
	Organisation  Organisation
	Sites         []Site
	Brands        []Brand
	Applications  []Application
	Credentials   []Credential
	Subscriptions []Subscription
	AddressRules  []AddressRule
	Connections   []Connection
	Accounts      []Account
	// VendorGrants are those this organisation gives.
	VendorGrants []VendorGrant
	// SecretReferences says where the secret or API key of a declared credential is, by client id; stores ignore it.
	SecretReferences map[string]string
}
