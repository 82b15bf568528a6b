package mapping

import (
	"strings"
	"time"
)

// Where the offset of a time came from; values of Result.TimezoneSource.
const (
	fromMessage  = "message"         // the value carried its own offset
	fromPartner  = "partner-default" // the partner's zone
	fromLocation = "location"        // the zone named in the mapping
)

// timeFormat is one alternative of a field's format: Go layout for a fixed set of tokens.
type timeFormat struct {
	layout string
	offset bool // the value carries its own offset
	width  int
}

// parseFormats compiles "CCYYMMDDHHMM|CCYYMMDD" or "rfc3339"; ok is false for a token it does not know.
func parseFormats(s string) (out []timeFormat, ok bool) {
	for _, alt := range strings.Split(s, "|") {
		f, ok := parseFormat(alt)
		if !ok {
			return nil, false
		}
		out = append(out, f)
	}
	return out, true
}

func parseFormat(s string) (timeFormat, bool) {
	if s == "rfc3339" {
		return timeFormat{layout: time.RFC3339, offset: true}, true
	}
	f := timeFormat{width: len(s)}
	hour, any := false, false
	for i := 0; i < len(s); {
		rest := s[i:]
		token, layout := "", ""
		switch {
		case strings.HasPrefix(rest, "CCYY"):
			token, layout = "CCYY", "2006"
		case strings.HasPrefix(rest, "YYYY"):
			token, layout = "YYYY", "2006"
		case strings.HasPrefix(rest, "YY"):
			token, layout = "YY", "06"
		case strings.HasPrefix(rest, "MM") && hour:
			token, layout = "MM", "04"
		case strings.HasPrefix(rest, "MM"):
			token, layout = "MM", "01"
		case strings.HasPrefix(rest, "DD"):
			token, layout = "DD", "02"
		case strings.HasPrefix(rest, "HH"):
			token, layout, hour = "HH", "15", true
		case strings.HasPrefix(rest, "SS"):
			token, layout = "SS", "05"
		case strings.IndexByte("-/.: T", rest[0]) >= 0:
			f.layout, i = f.layout+rest[:1], i+1
			continue
		default:
			return f, false
		}
		f.layout, i, any = f.layout+layout, i+len(token), true
	}
	return f, any
}

// parseTime reads v by the first alternative that fits, in the zone given for values without offset.
func parseTime(formats []timeFormat, v string, zone *time.Location) (t time.Time, own, ok bool) {
	for _, f := range formats {
		if f.offset {
			if t, err := time.Parse(time.RFC3339, v); err == nil {
				return t, true, true
			}
			// The same form without an offset means the partner's wall clock.
			if t, err := time.ParseInLocation("2006-01-02T15:04:05", v, zone); err == nil {
				return t, false, true
			}
			continue
		}
		if len(v) != f.width {
			continue
		}
		if t, err := time.ParseInLocation(f.layout, v, zone); err == nil {
			return t, false, true
		}
	}
	return time.Time{}, false, false
}
