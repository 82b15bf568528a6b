package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
)

// Confirmation is the "cnf" claim (RFC 7800): how the presenter proves that the token is theirs.
type Confirmation struct {
	Certificate string `json:"x5t#S256,omitempty"` // RFC 8705 section 3.1
}

// UnmarshalJSON reads "cnf". A way of proof that is not known here is an error: ignoring it would make a bound token a
// bearer token.
func (c *Confirmation) UnmarshalJSON(b []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil || len(members) != 1 || members["x5t#S256"] == nil {
		return refused("cnf is not a certificate thumbprint")
	}
	if err := json.Unmarshal(members["x5t#S256"], &c.Certificate); err != nil {
		return refused("cnf is not a certificate thumbprint")
	}
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(c.Certificate); err != nil || len(sum) != sha256.Size || len(c.Certificate) != 43 {
		return refused("cnf is not a certificate thumbprint")
	}
	return nil
}

// CertificateThumbprint is "x5t#S256" of a certificate: base64url of the SHA-256 of its DER (RFC 8705 section 3.1).
func CertificateThumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CheckBinding reports whether the token may be used over a connection whose client proved to have cert (nil without
// a client certificate): a bound token only with its certificate (RFC 8705 section 3). The error wraps ErrInvalid.
func (c *Claims) CheckBinding(cert *x509.Certificate) error {
	switch bound := c.Confirmation.Certificate; {
	case bound == "":
		return nil
	case cert == nil:
		return refused("the token is bound to a certificate, and the connection has none")
	case subtle.ConstantTimeCompare([]byte(bound), []byte(CertificateThumbprint(cert))) != 1:
		return refused("the token is bound to another certificate")
	}
	return nil
}
