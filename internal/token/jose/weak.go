package jose

import (
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"slices"
)

// rocaPrimes are the primes of the ROCA test (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017).
var rocaPrimes = []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// hasROCA reports whether n looks like a product of primes that are powers of 65537 modulo every small prime, as a
// flawed chip library made them. A sound modulus does so with a probability below 2^-25.
func hasROCA(n *big.Int) bool {
	rest := new(big.Int)
	for _, prime := range rocaPrimes {
		want := rest.Mod(n, big.NewInt(prime)).Int64()
		found := false
		for power, i := int64(1), int64(0); i < prime; i++ {
			if power == want {
				found = true
				break
			}
			power = power * (65537 % prime) % prime
		}
		if !found {
			return false
		}
	}
	return true
}

// smallOrder are the encodings of the points of Ed25519 whose order is at most 8, without the sign bit, the
// non-canonical ones included.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func hasSmallOrder(p ed25519.PublicKey) bool {
	b := slices.Clone(p)
	b[31] &= 0x7f
	return slices.Contains(smallOrder, hex.EncodeToString(b))
}
