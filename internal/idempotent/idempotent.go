// Package idempotent names the record of a call made with an Idempotency-Key.
package idempotent

import "portway/internal/partner"

// Key is one use of an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), scoped to the caller
// and the operation. Fingerprint is the hexadecimal SHA-256 of what the key was used for.
type Key struct {
	Org         partner.OrgID
	Application string
	Operation   string // "orders/v1/claimOrder"
	Value       string // 16 to 255 characters
	Fingerprint string
}

// Record is what is kept of a completed call: the answer to replay.
type Record struct {
	Key       Key
	Status    int
	Header    [][2]string
	Body      []byte
	CreatedAt int64 // Unix microseconds
}
