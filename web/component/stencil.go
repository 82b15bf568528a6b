package component

import "strconv"

// Stencil is one number drawn in stencil numerals. It is for the one number of a page that decides something.
type Stencil struct {
	// Text may hold digits, ":", ".", "/" and "-".
	Text string
	// Label is the whole statement for readers that do not see: "47 days left".
	Label string
	// Height is 44, 30 or 22 pixels.
	Height int
}

// The grid of the drawing: a numeral stands in a box of 20 by 30 units, 4.5 units from the next.
const (
	stencilBox    = 20.0
	stencilHeight = 30.0
	stencilGap    = 4.5
)

type stencilGlyph struct {
	x    float64
	path string
}

func (g stencilGlyph) transform() string { return "translate(" + number(g.x) + ")" }

// glyphs places each numeral; characters without a drawing are left out.
func (s Stencil) glyphs() []stencilGlyph {
	var out []stencilGlyph
	x := 0.0
	for _, r := range s.Text {
		path := stencilPath(r)
		if path == "" {
			continue
		}
		out = append(out, stencilGlyph{x, path})
		x += stencilWidth(r) + stencilGap
	}
	return out
}

func (s Stencil) width() float64 {
	w := -stencilGap
	for _, r := range s.Text {
		if stencilPath(r) != "" {
			w += stencilWidth(r) + stencilGap
		}
	}
	return max(w, 0)
}

func (s Stencil) viewBox() string { return "0 0 " + number(s.width()) + " " + number(stencilHeight) }

func (s Stencil) pixels() (width, height string) {
	return number(s.width() * float64(s.Height) / stencilHeight), strconv.Itoa(s.Height)
}

func stencilWidth(r rune) float64 {
	switch r {
	case ':', '.':
		return 6
	case '/':
		return 13
	case '-':
		return 10
	default:
		return stencilBox
	}
}

// stencilPath is the drawing of one character: strokes 5 wide with butt ends and a bridge at top and bottom centre.
func stencilPath(r rune) string {
	switch r {
	case '0':
		return "M8.8 2.5H8.5A6 6 0 0 0 2.5 8.5V21.5A6 6 0 0 0 8.5 27.5H8.8M11.2 2.5H11.5A6 6 0 0 1 17.5 8.5V21.5A6 6 0 0 1 11.5 27.5H11.2"
	case '1':
		return "M12.2 0V30M3.6 9.2 7.6 6.3"
	case '2':
		return "M8.8 2.5H8.5A6 6 0 0 0 2.5 8.5V9.6M11.2 2.5H11.5A6 6 0 0 1 17.5 8.5V9.5C17.5 14.8 10.5 16.5 6 22.8M2 27.5H18.6"
	case '3':
		return "M8.8 2.5H8.5A6 6 0 0 0 2.5 8.5V9.6M11.2 2.5H11.5A6 6 0 0 1 17.5 8.5V9.2A5.8 5.8 0 0 1 11.7 15H8M11.7 15A5.8 5.8 0 0 1 17.5 20.8V21.5A6 6 0 0 1 11.5 27.5H11.2M8.8 27.5H8.5A6 6 0 0 1 2.5 21.5V20.4"
	case '4':
		return "M10.2 0 3 18.2M.6 21.5H10.6M14 11.5V30M17.4 21.5H19.6"
	case '5':
		return "M6.4 2.5H17.6M4.8 0V11.4M2.4 14H11.5A6 6 0 0 1 17.5 20V21.5A6 6 0 0 1 11.5 27.5H11.2M8.8 27.5H8.5A6 6 0 0 1 2.5 21.5V20.4"
	case '6':
		return "M8.8 2.5H8.5A6 6 0 0 0 2.5 8.5V21.5A6 6 0 0 0 8.5 27.5H8.8M11.2 2.5H11.5A6 6 0 0 1 17.5 8.5V9.4M6.2 14H11.5A6 6 0 0 1 17.5 20V21.5A6 6 0 0 1 11.5 27.5H11.2"
	case '7':
		return "M1.4 2.5H18.4M16.6 6.4 8.4 30"
	case '8':
		return "M8.8 2.5H8.5A6 6 0 0 0 2.5 8.5V9A6 6 0 0 0 8.5 15H8.8M8.5 15A6 6 0 0 0 2.5 21V21.5A6 6 0 0 0 8.5 27.5H8.8" +
			"M11.2 2.5H11.5A6 6 0 0 1 17.5 8.5V9A6 6 0 0 1 11.5 15H11.2M11.5 15A6 6 0 0 1 17.5 21V21.5A6 6 0 0 1 11.5 27.5H11.2"
	case '9':
		return "M11.2 2.5H11.5A6 6 0 0 1 17.5 8.5V21.5A6 6 0 0 1 11.5 27.5H11.2M13.8 16H8.5A6 6 0 0 1 2.5 10V8.5A6 6 0 0 1 8.5 2.5H8.8M8.8 27.5H8.5A6 6 0 0 1 2.5 21.5V20.4"
	case ':':
		return "M3 8.2v5M3 18.8v5"
	case '.':
		return "M3 25v5"
	case '/':
		return "M2 32 11 -2"
	case '-':
		return "M1 15H9"
	default:
		return ""
	}
}

// number writes a coordinate with at most two decimals.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}
