package ident

// OrgID is the id of an organisation: the isolation boundary of everything a partner owns. It is never empty
// in a query; staff access is a different method, not a wildcard.
type OrgID string

// Environment says which of the two separate worlds something belongs to.
type Environment string

// The environments. Sandbox traffic never reaches a live backend.
const (
	Sandbox Environment = "sandbox"
	Live    Environment = "live"
)

// Valid reports whether e is one of the two environments.
func (e Environment) Valid() bool { return e == Sandbox || e == Live }

// Retention is the class that decides how long a row is kept; every table names one.
type Retention string

// The retention classes, from longest to shortest kept.
const (
	RetainReference   Retention = "reference"   // as long as the organisation exists
	RetainTransaction Retention = "transaction" // business records: events, documents, orders
	RetainDelivery    Retention = "delivery"    // attempts and outboxes after their end
	RetainTelemetry   Retention = "telemetry"   // call records and usage
	RetainSession     Retention = "session"     // sign-ins and other short-lived state
)
