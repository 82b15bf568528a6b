// Package secret keeps secrets from being printed, finds them where a setting points, and seals what must be
// stored so that it can be used again.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Secret is a value that prints as dots, in logs and in JSON alike. It is behind a function, because a struct that
// holds a Secret in an unexported field is printed without asking the Secret's methods.
type Secret struct{ reveal func() string }

const hidden = "•••"

// Of wraps a value.
func Of(value string) Secret { return Secret{func() string { return value }} }

// Reveal returns the value, "" of the zero Secret; its result goes to the wire, never to a log.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String hides the value.
func (Secret) String() string { return hidden }

// Format hides the value, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText hides the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// IsReference reports whether s points to a secret: "env:NAME" or "file:/path".
func IsReference(s string) bool { return strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") }

// Resolve returns the secret a reference points to. A secret written out is refused: settings and policy
// files hold references only.
func Resolve(reference string, getenv func(string) string) (Secret, error) {
	switch {
	case strings.HasPrefix(reference, "env:"):
		name := strings.TrimPrefix(reference, "env:")
		v := getenv(name)
		if v == "" {
			return Secret{}, fmt.Errorf("environment variable %s is empty", name)
		}
		return Of(v), nil
	case strings.HasPrefix(reference, "file:"):
		path := strings.TrimPrefix(reference, "file:")
		b, err := os.ReadFile(path)
		if err != nil {
			return Secret{}, fmt.Errorf("secret file: %w", err)
		}
		v := strings.TrimRight(string(b), "\r\n")
		if v == "" {
			return Secret{}, fmt.Errorf("secret file %s is empty", path)
		}
		return Of(v), nil
	}
	return Secret{}, errors.New("a secret is given as env:NAME or file:/path, never written out")
}

// Hash is the hexadecimal SHA-256 of a secret of at least 128 random bits, as stores keep it.
func Hash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// Matches compares a presented value with a stored Hash in constant time.
func Matches(value, hash string) bool {
	return hash != "" && subtle.ConstantTimeCompare([]byte(Hash(value)), []byte(hash)) == 1
}

// Sealer encrypts what must be stored and used again, with AES-256-GCM; the key's id is on every value.
type Sealer struct {
	id   string
	aead cipher.AEAD
}

// NewSealer returns a Sealer for a 32-byte key.
func NewSealer(key []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != 32 {
		return nil, errors.New("the seal key is not 32 bytes")
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key)
	return &Sealer{id: hex.EncodeToString(sum[:4]), aead: aead}, nil
}

// OpenSealer reads the key from a file of 64 hexadecimal digits, or makes it with mode 0600 if it is absent.
func OpenSealer(path string) (*Sealer, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(path); err == nil {
			b, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("seal key %s: not 64 hexadecimal digits", path)
	}
	return NewSealer(key)
}

// makeKey writes a fresh key beside path and links it there, whole and durable, so that a crash leaves no half
// key under what it sealed, and of two starts at once both read the key of the first.
func makeKey(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".seal-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	err = errors.Join(err, os.Remove(f.Name()))
	if d, openErr := os.Open(dir); openErr == nil { // the folder's entry must outlive a crash like the file
		err = errors.Join(err, d.Sync(), d.Close())
	}
	return err
}

// Seal encrypts plain; name is bound to the result, so that a value cannot be moved to another place.
func (s *Sealer) Seal(name string, plain []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		panic("secret: no randomness: " + err.Error())
	}
	head := append([]byte(s.id), nonce...)
	return s.aead.Seal(head, nonce, plain, []byte(name))
}

// Open decrypts what Seal made for name.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	n := len(s.id) + s.aead.NonceSize()
	if len(sealed) < n || string(sealed[:len(s.id)]) != s.id {
		return nil, errors.New("sealed with another key: give the seal key this data directory was made with")
	}
	plain, err := s.aead.Open(nil, sealed[len(s.id):n], sealed[n:], []byte(name))
	if err != nil {
		return nil, fmt.Errorf("sealed value %q was changed or belongs to another name", name)
	}
	return plain, nil
}
