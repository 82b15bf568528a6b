package component

import "strings"

// Code is a block of code with token colours. The copied text is exactly Text.
type Code struct {
	// ID is unique on the page.
	ID string
	// Title stands in the head of the block, for example "Example body".
	Title string
	// Note stands beside the title, for example the content type.
	Note string
	// Language is "json", "curl", or "" for plain text.
	Language string
	Text     string
	// Lines shows line numbers.
	Lines bool
}

// token is a run of text and its class: "" ink, s string, n number, l literal, p punctuation.
type token struct {
	class, text string
}

func (c Code) lines() [][]token {
	text := strings.TrimRight(c.Text, "\n")
	var tokens []token
	switch c.Language {
	case "json":
		tokens = jsonTokens(text)
	case "curl":
		tokens = shellTokens(text)
	default:
		tokens = []token{{"", text}}
	}
	return splitLines(merge(tokens))
}

// merge joins neighbours of one class, taking white space along, so that the page carries few elements.
func merge(in []token) []token {
	var out []token
	for _, t := range in {
		last := len(out) - 1
		if last >= 0 && (out[last].class == t.class || strings.TrimSpace(t.text) == "") {
			out[last].text += t.text
			continue
		}
		out = append(out, t)
	}
	return out
}

func splitLines(in []token) [][]token {
	lines := [][]token{nil}
	for _, t := range in {
		for i, part := range strings.Split(t.text, "\n") {
			if i > 0 {
				lines = append(lines, nil)
			}
			if part != "" {
				lines[len(lines)-1] = append(lines[len(lines)-1], token{t.class, part})
			}
		}
	}
	return lines
}

// jsonTokens colours JSON text. It never fails: what it does not know stays plain.
func jsonTokens(s string) []token {
	var out []token
	for i := 0; i < len(s); {
		start := i
		switch c := s[i]; {
		case c == '"':
			i = stringEnd(s, i)
			class := "s"
			if strings.HasPrefix(strings.TrimLeft(s[i:], " \t\r\n"), ":") {
				class = ""
			}
			out = append(out, token{class, s[start:i]})
		case strings.IndexByte("{}[],:", c) >= 0:
			i++
			out = append(out, token{"p", s[start:i]})
		case c == '-' || c >= '0' && c <= '9':
			i = run(s, i, "+-.eE0123456789")
			out = append(out, token{"n", s[start:i]})
		case c >= 'a' && c <= 'z':
			i = run(s, i, "abcdefghijklmnopqrstuvwxyz")
			class := ""
			if w := s[start:i]; w == "true" || w == "false" || w == "null" {
				class = "l"
			}
			out = append(out, token{class, s[start:i]})
		default:
			i++
			out = append(out, token{"", s[start:i]})
		}
	}
	return out
}

// shellTokens colours the quoted strings, addresses and variables of a command.
func shellTokens(s string) []token {
	var out []token
	for i := 0; i < len(s); {
		start := i
		switch c := s[i]; {
		case c == '"':
			i = stringEnd(s, i)
			out = append(out, token{"s", s[start:i]})
		case c == '\'':
			if end := strings.IndexByte(s[i+1:], '\''); end >= 0 {
				i += end + 2
			} else {
				i = len(s)
			}
			out = append(out, token{"s", s[start:i]})
		case strings.HasPrefix(s[i:], "http://"), strings.HasPrefix(s[i:], "https://"), c == '@':
			if end := strings.IndexAny(s[i:], " \n"); end >= 0 {
				i += end
			} else {
				i = len(s)
			}
			out = append(out, token{"s", s[start:i]})
		default:
			i++
			out = append(out, token{"", s[start:i]})
		}
	}
	return out
}

// stringEnd is the index after the closing quote of the string that opens at i.
func stringEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

func run(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
		i++
	}
	return i
}
