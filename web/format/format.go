// Package format writes dates, durations and counts the one way the pages show them.
// Every instant is shown in UTC; a page names the zone once.
package format

import (
	"strconv"
	"strings"
	"time"
)

// Date is "14 Oct 2026", or "" for the zero time.
func Date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006")
}

// LongDate is "30 November 2026", for the sentence a reader acts on.
func LongDate(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006")
}

// Day is "Wednesday 14 October", the head of a day in a list.
func Day(t time.Time) string { return t.UTC().Format("Monday 2 January") }

// Time is "12:04:18".
func Time(t time.Time) string { return t.UTC().Format("15:04:05") }

// Minute is "14 Oct, 12:04".
func Minute(t time.Time) string { return t.UTC().Format("2 Jan, 15:04") }

// Instant is "14 Oct, 12:04:18.226", for the record of one call.
func Instant(t time.Time) string { return t.UTC().Format("2 Jan, 15:04:05.000") }

// Machine is the value of a time element's datetime attribute: RFC 3339 in UTC with milliseconds.
func Machine(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Count is n with thin groups: "18,204".
func Count(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Counted is a count with its noun: "1 call", "18,204 calls".
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Word is a small number as a word ("three"), digits from ten on; titles use it.
func Word(n int) string {
	words := [...]string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
	if n >= 0 && n < len(words) {
		return words[n]
	}
	return Count(n)
}

// WordCounted is Word with its noun: "one version", "three versions", "no versions".
func WordCounted(n int, one, many string) string {
	if n == 1 {
		return Word(n) + " " + one
	}
	return Word(n) + " " + many
}

// Sentence returns s with its first letter as a capital.
func Sentence(s string) string {
	if s == "" {
		return ""
	}
	r := []rune(s)
	return strings.ToUpper(string(r[0])) + string(r[1:])
}

// Statement returns s as a whole sentence: a capital first, a full stop last.
func Statement(s string) string {
	s = Sentence(strings.TrimSpace(s))
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// Millis is a duration in milliseconds without its unit: one decimal below 100 ms, none above.
func Millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 100 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return Count(int(ms + 0.5))
}

// Duration is Millis with its unit, whole milliseconds from 10 ms on: "0.4 ms", "19 ms", "1.2 s".
func Duration(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
}

// Bytes is a size as people read it, in decimal units: "214 bytes", "1.9 kB", "1 MB".
func Bytes(n int) string {
	switch {
	case n < 1000:
		return Counted(n, "byte", "bytes")
	case n < 1_000_000:
		return trimZero(strconv.FormatFloat(float64(n)/1000, 'f', 1, 64)) + " kB"
	default:
		return trimZero(strconv.FormatFloat(float64(n)/1_000_000, 'f', 1, 64)) + " MB"
	}
}

func trimZero(s string) string { return strings.TrimSuffix(s, ".0") }

// DaysUntil is the number of calendar days (UTC) from now to t; negative once t has passed.
func DaysUntil(now, t time.Time) int {
	a := now.UTC().Truncate(24 * time.Hour)
	b := t.UTC().Truncate(24 * time.Hour)
	return int(b.Sub(a) / (24 * time.Hour))
}

// Number is a short number in groups of four, as it is read aloud: "8KX4 93TD".
func Number(s string) string {
	var b strings.Builder
	for i, r := range []rune(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
