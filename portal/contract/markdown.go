package contract

import (
	"bytes"
	"html"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"portway/web/page"
)

// markdown turns descriptions of contracts into markup that is safe to show: raw HTML is off, and what comes
// out is sanitised again. It is safe for concurrent use.
type markdown struct {
	convert  goldmark.Markdown
	sanitise *bluemonday.Policy
	strip    *bluemonday.Policy
}

func newMarkdown() *markdown {
	policy := bluemonday.NewPolicy()
	policy.AllowElements("p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "br", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td")
	policy.AllowAttrs("href").OnElements("a")
	policy.AllowURLSchemes("https", "http", "mailto")
	policy.RequireParseableURLs(true)
	policy.AllowRelativeURLs(false)
	policy.RequireNoFollowOnLinks(true)
	policy.RequireNoReferrerOnLinks(true)
	return &markdown{convert: goldmark.New(goldmark.WithExtensions(extension.Table)), sanitise: policy, strip: bluemonday.StrictPolicy()}
}

// html returns the markup of a CommonMark text, "" if it cannot be converted. Its headings start below those of
// the page.
func (m *markdown) html(source string) page.SafeHTML {
	return page.SafeHTML(m.sanitise.SanitizeBytes(m.rendered(source)))
}

// text is a description's first paragraph on one line without markup, for a cell of a table.
func (m *markdown) text(source string) string {
	source, _, _ = strings.Cut(strings.TrimSpace(source), "\n\n")
	if strings.ContainsAny(source, "`*_[<&\\") {
		source = html.UnescapeString(m.strip.Sanitize(string(m.rendered(source))))
	}
	return strings.Join(strings.Fields(source), " ")
}

func (m *markdown) rendered(source string) []byte {
	src := []byte(source)
	doc := m.convert.Parser().Parse(text.NewReader(src))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if h, ok := n.(*ast.Heading); ok && entering {
			h.Level = min(h.Level+2, 4)
		}
		return ast.WalkContinue, nil
	})
	var out bytes.Buffer
	if err != nil || m.convert.Renderer().Render(&out, src, doc) != nil {
		return nil
	}
	return out.Bytes()
}
