// Package carrier is two simulated carriers that make real label documents: Parcel speaks a small JSON of its
// own, Returns is shaped like a published parcel returns document (orders and locations). Names, keys, services,
// prices and receivers are data given by the caller.
package carrier

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"portway/internal/ident"
	"portway/sandbox"
)

// DefaultVoidWindow is how long a label may be voided when Options.VoidWindow is 0.
const DefaultVoidWindow = 24 * time.Hour

// Options says what a simulated carrier needs from its caller.
type Options struct {
	// Clock tells the time; nil means the machine's clock.
	Clock ident.Clock
	// Log receives one record per call; nil means none.
	Log *slog.Logger
	// Name is the carrier's name as labels, logs and the state file (Dir/Name.json) show it: a slug such as "parcel".
	Name string
	// Dir keeps the state over restarts; "" keeps it in memory only.
	Dir string
	// Seed is the carrier's own data as JSON; package sandbox/seed has a sample for each.
	Seed []byte
	// APIKey is what callers must send; it is required.
	APIKey string
	// VoidWindow is how long after its creation a label may be voided; 0 means DefaultVoidWindow.
	VoidWindow time.Duration
}

func (o Options) check() (Options, error) {
	if o.Clock == nil {
		o.Clock = ident.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.VoidWindow <= 0 {
		o.VoidWindow = DefaultVoidWindow
	}
	var errs []error
	if !isSlug(o.Name) {
		errs = append(errs, errors.New("carrier: name must be 1 to 40 lower-case letters, digits or hyphens"))
	}
	if o.APIKey == "" {
		errs = append(errs, errors.New("carrier: an API key is required"))
	}
	return o, errors.Join(errs...)
}

// isSlug keeps the name fit for a file name.
func isSlug(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 40
}

func (o Options) serve(routes []sandbox.Route, fail sandbox.FailFunc, keyHeader string) *sandbox.Server {
	return sandbox.New(sandbox.Options{
		Name: o.Name, Clock: o.Clock, Log: o.Log, SecretHeaders: []string{keyHeader},
	}, sandbox.Mux(routes, fail))
}

// readSeed reads the seed into a carrier's own structure.
func (o Options) readSeed(into any) error {
	if refusal := sandbox.Decode(o.Seed, into, true); refusal != nil {
		return errors.New("carrier seed: " + refusal.Detail)
	}
	return nil
}

// keyed lets through what carries the API key in header; the rest is answered 401 by fail.
func (o Options) keyed(header string, fail sandbox.FailFunc, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !sameKey(r.Header.Get(header), o.APIKey) {
			fail(w, http.StatusUnauthorized, "send a valid key in the header "+header, nil)
			return
		}
		next(w, r)
	}
}

// sameKey compares in constant time.
func sameKey(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// fingerprint is a digest of what makes two orders for one reference the same.
func fingerprint(parts ...any) string {
	data, err := json.Marshal(parts)
	if err != nil {
		panic("carrier: fingerprint: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// firstSerial starts a number range at a point that moves on with time, so that a carrier which lost its state
// does not hand out the numbers of its former life again.
func firstSerial(clock ident.Clock) int64 { return clock.Now().Unix() % 1_000_000_000 }

// checkDigit is the modulo 10 digit of digits whose weights, from the right, alternate between first and second:
// 3 and 1 for GS1 keys (General Specifications 7.9), 4 and 9 for the postal identcode.
func checkDigit(digits string, first, second int) byte {
	sum := 0
	for i := 0; i < len(digits); i++ {
		weight := first
		if i%2 == 1 {
			weight = second
		}
		sum += int(digits[len(digits)-1-i]-'0') * weight
	}
	return byte('0' + (10-sum%10)%10)
}
