package jose

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Set is a JWK Set (RFC 7517 section 5) of keys for verifying, each under its own kid. It is immutable.
type Set struct {
	keys []*Key
	byID map[string]*Key
}

// maxKeys bounds a set.
const maxKeys = 64

// NewSet returns a Set of keys, or an error when two have one kid, when symmetric and public keys are mixed, or when
// there are more than 64.
func NewSet(keys ...*Key) (*Set, error) {
	s := &Set{byID: map[string]*Key{}}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	for _, k := range keys {
		switch {
		case s.byID[k.ID] != nil:
			return nil, fmt.Errorf("two keys have the kid of key %d", len(s.keys)+1)
		case (k.kty == "oct") != (keys[0].kty == "oct"):
			return nil, errors.New("symmetric and public keys in one set")
		}
		s.keys = append(s.keys, k)
		s.byID[k.ID] = k
	}
	return s, nil
}

// Find returns the key of that kid, or nil.
func (s *Set) Find(kid string) *Key {
	if s == nil {
		return nil
	}
	return s.byID[kid]
}

// Renew returns the set next, with the keys of s in place of those that are the same: a key keeps its identity as
// long as it is there.
func (s *Set) Renew(next *Set) (*Set, error) {
	keys := make([]*Key, 0, next.Len())
	for _, k := range next.keys {
		if old := s.Find(k.ID); old != nil && old.Same(k) {
			k = old
		}
		keys = append(keys, k)
	}
	return NewSet(keys...)
}

// Len is the number of keys.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// MarshalJSON returns the JWK Set.
func (s *Set) MarshalJSON() ([]byte, error) {
	keys := s.keys
	if keys == nil {
		keys = []*Key{}
	}
	return json.Marshal(struct {
		Keys []*Key `json:"keys"`
	}{keys})
}

// ParseSet reads a JWK Set that somebody registers with us: every key must be one ParseJWK takes, and kids must
// differ. The error names each bad key by its place, from 1.
func ParseSet(b []byte) (*Set, error) {
	list, err := rawKeys(b)
	if err != nil {
		return nil, err
	}
	var keys []*Key
	var problems []error
	for i, raw := range list {
		k, err := ParseJWK(raw)
		if err == nil && !ValidKeyID(k.ID) {
			err = errors.New("kid is not of 1 to 128 letters, digits and . _ ~ -")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		keys = append(keys, k)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return NewSet(keys...)
}

// ParsePublished reads a JWK Set that an issuer publishes for everybody: keys for other uses or of other types, and
// ones without a usable kid, are left out, and so are all keys of a kid that names two. The reasons come back too. A
// set that shows a private or symmetric key is refused whole: it is compromised, or would mix key types.
func ParsePublished(b []byte) (set *Set, left []error, err error) {
	list, err := rawKeys(b)
	if err != nil {
		return nil, nil, err
	}
	byID := map[string][]*Key{}
	var order []string
	for i, raw := range list {
		k, err := parseJWK(raw, false)
		switch {
		case errors.Is(err, ErrPrivate):
			return nil, nil, fmt.Errorf("key %d: %w", i+1, err)
		case err != nil:
			left = append(left, fmt.Errorf("key %d: %w", i+1, err))
			continue
		case !ValidKeyID(k.ID):
			left = append(left, fmt.Errorf("key %d: kid is missing or malformed", i+1))
			continue
		}
		if byID[k.ID] == nil {
			order = append(order, k.ID)
		}
		byID[k.ID] = append(byID[k.ID], k)
	}
	var keys []*Key
	for _, kid := range order {
		if len(byID[kid]) > 1 {
			left = append(left, fmt.Errorf("%d keys have one kid", len(byID[kid])))
			continue
		}
		keys = append(keys, byID[kid][0])
	}
	set, err = NewSet(keys...)
	return set, left, err
}

func rawKeys(b []byte) ([]json.RawMessage, error) {
	m, err := Members(b, "key set", []string{"keys"})
	if err != nil {
		return nil, errors.New("not a JSON object without duplicate members")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(m["keys"], &list); err != nil || list == nil {
		return nil, errors.New(`"keys" is missing or not a list`)
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	return list, nil
}
