package component

import (
	"context"
	"io"
	"strings"

	"github.com/a-h/templ"
)

// The two components here are written by hand because in them every space counts:
// the template engine may put white space between its nodes.

// PathMark shows a path template: it breaks before slashes only, and its variables are set back.
func PathMark(path string) templ.Component {
	return text(func(b *strings.Builder) {
		for i, part := range pathParts(path) {
			if i > 0 {
				b.WriteString("<wbr>")
			}
			writePart(b, part)
		}
	})
}

// writePart sets the variables of a path template apart.
func writePart(b *strings.Builder, part string) {
	for part != "" {
		open := strings.IndexByte(part, '{')
		end := strings.IndexByte(part, '}')
		if open < 0 || end < open {
			b.WriteString(templ.EscapeString(part))
			return
		}
		b.WriteString(templ.EscapeString(part[:open]))
		b.WriteString("<var>" + templ.EscapeString(part[open:end+1]) + "</var>")
		part = part[end+1:]
	}
}

// codeText shows the lines of a block with their token classes; without its tags it is exactly the block's text.
func codeText(c Code) templ.Component {
	return text(func(b *strings.Builder) {
		for i, line := range c.lines() {
			if i > 0 {
				b.WriteByte('\n')
			}
			if c.Lines {
				b.WriteString(`<span class="line"></span>`)
			}
			for _, t := range line {
				if t.class == "" {
					b.WriteString(templ.EscapeString(t.text))
					continue
				}
				b.WriteString(`<span class="` + t.class + `">` + templ.EscapeString(t.text) + `</span>`)
			}
		}
	})
}

func text(write func(*strings.Builder)) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		write(&b)
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// pathParts cuts a path before each slash but the first, where a line may break.
func pathParts(path string) []string {
	var out []string
	for path != "" {
		i := strings.IndexByte(path[1:], '/')
		if i < 0 {
			return append(out, path)
		}
		out = append(out, path[:i+1])
		path = path[i+1:]
	}
	return out
}
