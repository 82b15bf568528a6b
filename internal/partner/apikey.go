package partner

import (
	"crypto/rand"
	"hash/crc32"
	"strings"
)

// An API key is "pw_<environment>_<random>_<checksum>". The checksum lets a scanner of source code, and the gateway,
// tell a key from a look-alike without asking anyone.
const (
	apiKeyPrefix   = "pw_"
	apiKeyRandom   = 30 // characters of base62, 178 bits
	apiKeyChecksum = 6  // characters of base62, a CRC-32 (IEEE) of all before, left-padded with zeros
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewAPIKey returns a fresh API key. It is shown once and kept as secret.Hash; it panics if the system has no
// randomness.
func NewAPIKey(env Environment) string {
	head := apiKeyPrefix + string(env) + "_"
	random := make([]byte, 0, apiKeyRandom)
	for buffer := make([]byte, 64); len(random) < apiKeyRandom; {
		if _, err := rand.Read(buffer); err != nil {
			panic("partner: no randomness: " + err.Error())
		}
		for _, b := range buffer {
			if b < 248 && len(random) < apiKeyRandom { // the largest multiple of 62: every character is as likely
				random = append(random, base62[b%62])
			}
		}
	}
	head += string(random)
	return head + "_" + checksum(head)
}

// IsAPIKey reports whether a credential that came as a bearer token claims to be an API key.
func IsAPIKey(s string) bool { return strings.HasPrefix(s, apiKeyPrefix) }

// APIKeyEnvironment returns the environment written in an API key; ok is false for anything malformed: another length
// or alphabet, an unknown environment, a wrong checksum.
func APIKeyEnvironment(s string) (env Environment, ok bool) {
	name, rest, ok := strings.Cut(strings.TrimPrefix(s, apiKeyPrefix), "_")
	env = Environment(name)
	if !ok || !IsAPIKey(s) || !env.Valid() || len(rest) != apiKeyRandom+1+apiKeyChecksum || rest[apiKeyRandom] != '_' {
		return "", false
	}
	for i := 0; i < apiKeyRandom; i++ {
		if strings.IndexByte(base62, rest[i]) < 0 {
			return "", false
		}
	}
	if split := len(s) - apiKeyChecksum; checksum(s[:split-1]) != s[split:] {
		return "", false
	}
	return env, true
}

func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var out [apiKeyChecksum]byte // 62^6 is above 2^32
	for i := apiKeyChecksum - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}
