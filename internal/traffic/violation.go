package traffic

import (
	"time"

	"portway/internal/partner"
)

// Direction says which side of a call broke the contract.
type Direction string

// The directions.
const (
	Request  Direction = "request"  // the partner's
	Response Direction = "response" // the backend's
)

// Breach is one place where a call broke the contract, as it is counted. It holds nothing of the document: Pointer
// names only what the contract declares, "*" stands for the rest.
type Breach struct {
	Direction Direction
	Backend   string // whose answer it is, for a Response
	Pointer   string // "/lines/*/sku", "limit", ""
	Keyword   string // of the schema ("required", "maxLength"), or "json", "status", "contentType", "mapping"
	Refused   bool   // the document was refused, not only reported
}

// Ref is a business number a call carried.
type Ref struct {
	Scheme string // "so", "shipment"
	Value  string
}

// ContractViolation counts the calls that broke the contract of an operation in one place. Requests are counted by the
// organisation that sent them; answers by backend, whoever called. A rule is promoted from report to enforce when
// nobody breaks it any more, or all who do were told.
type ContractViolation struct {
	Org         partner.OrgID // of requests; "" for answers, and for calls without a caller
	Backend     string        // of answers
	Environment partner.Environment
	API         string
	Version     string
	Operation   string
	Direction   Direction
	Pointer     string
	Keyword     string
	Calls       int64 // calls with at least one such breach
	Refused     int64 // of these, how many were refused
	First, Last time.Time
	Sample      string // the request id of the last one
}
