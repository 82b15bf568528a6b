package edge

import (
	"strings"
	"unicode/utf8"

	"portway/internal/problem"
)

// Canonical checks that a path has one reading only, and refuses it otherwise as path.not_canonical: dot
// segments, empty segments, a trailing slash, backslashes, raw or escaped separators and control characters,
// percent signs that do not begin an escape, escapes of an escape, and bytes that are not UTF-8 are all
// refused, never cleaned. The path stays percent-encoded; "/" is canonical.
func Canonical(path string) error {
	if path == "" || path[0] != '/' {
		return notCanonical("begins without a slash")
	}
	if path == "/" {
		return nil
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if reason := segmentFault(segment); reason != "" {
			return notCanonical(reason)
		}
	}
	return nil
}

func notCanonical(reason string) error {
	return problem.New(problem.PathNotCanonical, "the path %s", reason)
}

// segmentFault says what is wrong with one segment, "" if nothing is.
func segmentFault(segment string) string {
	switch segment {
	case "":
		return "has an empty segment or a trailing slash"
	case ".", "..":
		return "has a dot segment"
	}
	escaped := false
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		switch {
		case c == '%':
			if i+2 >= len(segment) || !isHex(segment[i+1]) || !isHex(segment[i+2]) {
				return "has a percent sign that begins no escape"
			}
			if reason := escapeFault(unhex(segment[i+1])<<4 | unhex(segment[i+2])); reason != "" {
				return reason
			}
			escaped = true
			i += 2
		case c <= ' ' || c == 0x7f || c >= 0x80:
			return "has a raw control, blank or non-ASCII character"
		case c == '\\' || c == ';' || c == '?' || c == '#':
			return "has a backslash, semicolon or fragment"
		}
	}
	if escaped {
		return decodedFault(segment)
	}
	return ""
}

// escapeFault refuses escapes of characters that another reader of the path might act on.
func escapeFault(c byte) string {
	switch {
	case c < ' ' || c == 0x7f:
		return "has an escaped control character"
	case c == '/' || c == '\\':
		return "has an escaped separator"
	case c == '.':
		return "has an escaped dot"
	case c == '%':
		return "has an escaped percent sign"
	case c == ';':
		return "has an escaped semicolon"
	}
	return ""
}

func decodedFault(segment string) string {
	out := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		if segment[i] == '%' {
			out = append(out, unhex(segment[i+1])<<4|unhex(segment[i+2]))
			i += 2
			continue
		}
		out = append(out, segment[i])
	}
	if !utf8.Valid(out) {
		return "has escapes that are not UTF-8"
	}
	return ""
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
