package ident

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 123_000_000, time.UTC)

func TestNewIDIsAUUIDv7InOrderOfTime(t *testing.T) {
	t.Parallel()
	clock := NewManual(noon)
	var ids []string
	seen := map[string]bool{}
	for range 2000 {
		id := NewID(clock)
		if !ValidID(id) || seen[id] {
			t.Fatalf("id %q: valid %v, seen before %v", id, ValidID(id), seen[id])
		}
		seen[id] = true
		ids = append(ids, id)
		clock.Advance(time.Millisecond)
	}
	if !slices.IsSorted(ids) {
		t.Error("ids of later milliseconds do not sort after earlier ones")
	}
	// RFC 9562 section 5.7: the first 48 bits are Unix milliseconds.
	if want := "01a21293-b67b-7"; !strings.HasPrefix(ids[0], want) {
		t.Errorf("id %q begins with the wrong time, want %q", ids[0], want)
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	const good = "019abadf-4b7b-7abc-8def-0123456789ab"
	if !ValidID(good) {
		t.Fatalf("%q must be valid, or nothing below proves anything", good)
	}
	for name, id := range map[string]string{
		"empty": "", "upper case": strings.ToUpper(good), "version 4": "019abadf-4b7b-4abc-8def-0123456789ab",
		"variant of Microsoft": "019abadf-4b7b-7abc-cdef-0123456789ab", "variant of NCS": "019abadf-4b7b-7abc-0def-0123456789ab",
		"no hyphens": strings.ReplaceAll(good, "-", ""), "braces": "{" + good + "}", "not hexadecimal": "019abadf-4b7b-7abc-8def-0123456789ag",
		"short": good[:35], "long": good + "0", "hyphen moved": "019abad-f4b7b-7abc-8def-0123456789ab", "space": " " + good[1:],
		"non-ASCII": "019abadf-4b7b-7abc-8def-0123456789é",
	} {
		if ValidID(id) {
			t.Errorf("%s: %q is taken for an id", name, id)
		}
	}
}

func TestShortNumber(t *testing.T) {
	t.Parallel()
	if got := ShortNumber("no id"); got != "" {
		t.Errorf("short number of no id: %q", got)
	}
	const id = "019abadf-4b7b-7abc-8def-0123456789ab"
	if a, b := ShortNumber(id), ShortNumber(id); a != b || len(a) != 8 || !ValidShortNumber(a) {
		t.Errorf("short numbers %q and %q", a, b)
	}
	clock := NewManual(noon)
	seen := map[string]bool{}
	for range 20_000 {
		n := ShortNumber(NewID(clock))
		if strings.ContainsAny(n, "ILOU") {
			t.Fatalf("%q has a character that people misread", n)
		}
		seen[n] = true
	}
	if len(seen) < 19_980 { // 35 random bits: a birthday collision among 20,000 is a matter of luck, twenty are not
		t.Errorf("only %d different numbers of 20,000", len(seen))
	}
	for _, s := range []string{"", "0000000", "000000000", "!!!!!!!\x00", "ILOUILOU", "\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if ValidShortNumber(s) {
			t.Errorf("%q is taken for a short number", s)
		}
	}
	if !ValidShortNumber("00000000") || ValidShortNumber(strings.ToLower(ShortNumber(id))) {
		t.Error("the form is eight characters of the alphabet in upper case")
	}
}

// TestCheckCharacterFindsMistakes makes every mistake of two kinds in many numbers. Both kinds are always found.
func TestCheckCharacterFindsMistakes(t *testing.T) {
	t.Parallel()
	clock := NewManual(noon)
	changed, missedChange, swapped, missedSwap, doubled, missedDouble := 0, 0, 0, 0, 0, 0
	numbers := []string{"00000000"}
	for range 300 {
		numbers = append(numbers, ShortNumber(NewID(clock)))
	}
	// Numbers that hold the first and the last character of the alphabet, where a sum modulo 31 is blind.
	for _, s := range []string{"0Z0Z0Z0", "Z000000", "000000Z", "ZZZZZZZ"} {
		numbers = append(numbers, s+string(checkCharacter(s)))
	}
	for _, n := range numbers {
		if !ValidShortNumber(n) {
			t.Fatalf("%q does not check", n)
		}
		for i := range len(n) {
			for _, c := range []byte(crockford) {
				if c == n[i] {
					continue
				}
				b := []byte(n)
				b[i] = c
				changed++
				if ValidShortNumber(string(b)) {
					missedChange++
				}
			}
			for j := i + 1; j < len(n); j++ {
				b := []byte(n)
				b[i], b[j] = b[j], b[i]
				if string(b) == n {
					continue
				}
				if j == i+1 {
					swapped++
					if ValidShortNumber(string(b)) {
						missedSwap++
					}
				} else {
					doubled++
					if ValidShortNumber(string(b)) {
						missedDouble++
					}
				}
			}
		}
	}
	t.Logf("missed: %d of %d changes, %d of %d swaps of neighbours, %d of %d swaps at a distance",
		missedChange, changed, missedSwap, swapped, missedDouble, doubled)
	if missedChange != 0 || missedSwap != 0 || missedDouble != 0 {
		t.Errorf("missed %d changes, %d swaps of neighbours and %d swaps at a distance, want none", missedChange, missedSwap, missedDouble)
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	c := NewCursors([]byte("0123456789abcdef0123456789abcdef"))
	for _, position := range []int64{0, 1, 35, 36, 1 << 40, 1<<63 - 1} {
		sealed := c.Seal("orders/feed/o1", position)
		got, err := c.Open("orders/feed/o1", sealed)
		if err != nil || got != position {
			t.Errorf("position %d came back as %d, %v", position, got, err)
		}
		if _, err := c.Open("orders/feed/o2", sealed); !errors.Is(err, ErrCursor) {
			t.Errorf("a cursor of another organisation opens: %v", err)
		}
		if _, err := NewCursors([]byte("another key")).Open("orders/feed/o1", sealed); !errors.Is(err, ErrCursor) {
			t.Errorf("a cursor of another installation opens: %v", err)
		}
		// Any change of any character, and any character more or less.
		for i := range sealed {
			for _, b := range []byte("0aZ-_.=+\n ") {
				if b == sealed[i] {
					continue
				}
				changed := sealed[:i] + string(b) + sealed[i+1:]
				if p, err := c.Open("orders/feed/o1", changed); err == nil {
					t.Errorf("%q, changed from %q, opens at %d", changed, sealed, p)
				}
			}
			if _, err := c.Open("orders/feed/o1", sealed[:i]); err == nil {
				t.Errorf("the first %d characters of %q open", i, sealed)
			}
			for _, more := range []string{"\n", "\r\n", "=", " ", "A"} {
				if _, err := c.Open("orders/feed/o1", sealed[:i]+more+sealed[i:]); err == nil {
					t.Errorf("%q with %q at %d opens", sealed, more, i)
				}
			}
		}
	}
	for _, s := range []string{"", ".", "..", "0", "0.", strings.Repeat("z", 1000) + ".x"} {
		if _, err := c.Open("s", s); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v, want ErrCursor", s, err)
		}
	}
	if _, err := c.Open("s", c.Seal("s", -1)); !errors.Is(err, ErrCursor) {
		t.Error("a negative position opens")
	}
}

func TestManualClockAndSecret(t *testing.T) {
	t.Parallel()
	c := NewManual(noon)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { c.Advance(time.Second) })
	}
	wg.Wait()
	if got := c.Now(); !got.Equal(noon.Add(50 * time.Second)) {
		t.Errorf("the clock stands at %v", got)
	}
	a, b := Secret(32), Secret(32)
	if len(a) != 64 || a == b || strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("secrets %q and %q", a, b)
	}
	if !Sandbox.Valid() || !Live.Valid() || Environment("").Valid() || Environment("LIVE").Valid() {
		t.Error("there are exactly two environments")
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewID(System{})
	}
}
