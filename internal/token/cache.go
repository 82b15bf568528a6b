package token

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"
)

// ways is how many tokens share one place of the cache.
const ways = 8

// cache remembers verified tokens, keyed by the whole token. Only good tokens enter, so guesses push nothing out; the
// hash is seeded, so nobody can choose tokens that share a place. A put replaces at most one of eight entries, an
// expired or idle one first: a flood of good tokens costs others at most a new signature check. There are no locks.
type cache struct {
	seed   maphash.Seed
	mask   uint64
	places [][ways]atomic.Pointer[remembered]
}

type remembered struct {
	hash     uint64
	raw      string
	verified *Verified
	used     atomic.Bool // since it, or all of its place, was last passed over
}

// newCache returns a cache of at least size tokens.
func newCache(size int) *cache {
	places := 1
	for places*ways < size {
		places *= 2
	}
	return &cache{seed: maphash.MakeSeed(), mask: uint64(places - 1), places: make([][ways]atomic.Pointer[remembered], places)}
}

// get returns what was verified of exactly this token, or nil. Nothing outlives its exp.
func (c *cache) get(raw string, now time.Time) *Verified {
	hash := maphash.String(c.seed, raw)
	place := &c.places[hash&c.mask]
	for i := range place {
		e := place[i].Load()
		if e == nil || e.hash != hash || e.raw != raw {
			continue
		}
		if now.Unix() >= e.verified.Expires {
			place[i].CompareAndSwap(e, nil)
			return nil
		}
		if !e.used.Load() {
			e.used.Store(true)
		}
		return e.verified
	}
	return nil
}

// put remembers a token. The text is copied: it may be part of a request's buffer.
func (c *cache) put(raw string, v *Verified, now time.Time) {
	if now.Unix() >= v.Expires {
		return
	}
	hash := maphash.String(c.seed, raw)
	place := &c.places[hash&c.mask]
	start := int(hash >> 32 % ways)
	victim, idle := -1, -1
	for n := range ways {
		i := (start + n) % ways
		switch e := place[i].Load(); {
		case e != nil && e.hash == hash && e.raw == raw:
			victim, idle = i, -1
		case victim >= 0:
		case e == nil || now.Unix() >= e.verified.Expires:
			victim = i
		case idle < 0 && !e.used.Load():
			idle = i
		}
	}
	if victim < 0 {
		victim = idle
	}
	if victim < 0 { // all were used: one goes, and the others must be used again to stay
		victim = start
		for i := range place {
			if e := place[i].Load(); e != nil {
				e.used.Store(false)
			}
		}
	}
	place[victim].Store(&remembered{hash: hash, raw: strings.Clone(raw), verified: v})
}
