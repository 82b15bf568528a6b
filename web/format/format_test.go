package format

import (
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 10, 14, 14, 4, 18, 226e6, time.FixedZone("", 2*3600))
	cases := []struct{ name, got, want string }{
		{"date", Date(at), "14 Oct 2026"},
		{"date of the zero time", Date(time.Time{}), ""},
		{"long date", LongDate(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)), "30 November 2026"},
		{"long date of the zero time", LongDate(time.Time{}), ""},
		{"day", Day(at), "Wednesday 14 October"},
		{"time in UTC", Time(at), "12:04:18"},
		{"minute", Minute(at), "14 Oct, 12:04"},
		{"instant", Instant(at), "14 Oct, 12:04:18.226"},
		{"machine", Machine(at), "2026-10-14T12:04:18.226Z"},
		{"count", Count(1234567), "1,234,567"},
		{"small count", Count(999), "999"},
		{"negative count", Count(-18204), "-18,204"},
		{"negative three digits", Count(-100), "-100"},
		{"one", Counted(1, "call", "calls"), "1 call"},
		{"none", Counted(0, "call", "calls"), "0 calls"},
		{"word", WordCounted(3, "API", "APIs"), "three APIs"},
		{"word none", WordCounted(0, "API", "APIs"), "no APIs"},
		{"word ten", WordCounted(10, "API", "APIs"), "10 APIs"},
		{"sentence", Sentence("élan"), "Élan"},
		{"statement", Statement(" the token has expired"), "The token has expired."},
		{"statement that is one", Statement("Done."), "Done."},
		{"no statement", Statement(""), ""},
		{"millis", Millis(400 * time.Microsecond), "0.4"},
		{"millis above 100", Millis(161200 * time.Microsecond), "161"},
		{"duration", Duration(400 * time.Microsecond), "0.4 ms"},
		{"duration in whole ms", Duration(19100 * time.Microsecond), "19 ms"},
		{"duration in seconds", Duration(1250 * time.Millisecond), "1.2 s"},
		{"bytes", Bytes(214), "214 bytes"},
		{"kilobytes", Bytes(1912), "1.9 kB"},
		{"megabytes", Bytes(1_000_000), "1 MB"},
		{"number", Number("8KX493TD"), "8KX4 93TD"},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestDaysUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 14, 23, 59, 0, 0, time.UTC)
	for _, c := range []struct {
		to   time.Time
		want int
	}{
		{time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC), 47},
		{time.Date(2026, 10, 14, 0, 0, 0, 0, time.UTC), 0},
		{time.Date(2026, 10, 15, 0, 1, 0, 0, time.UTC), 1},
		{time.Date(2026, 10, 13, 12, 0, 0, 0, time.UTC), -1},
	} {
		if got := DaysUntil(now, c.to); got != c.want {
			t.Errorf("to %s: %d, want %d", c.to, got, c.want)
		}
	}
}
