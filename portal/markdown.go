package portal

import (
	"bytes"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"

	"portway/web/page"
)

// markdown turns descriptions of contracts into markup that is safe to show: raw HTML is off, and what comes
// out is sanitised again.
type markdown struct {
	convert  goldmark.Markdown
	sanitise *bluemonday.Policy
}

func newMarkdown() *markdown {
	policy := bluemonday.NewPolicy()
	policy.AllowElements("p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "br", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td")
	policy.AllowStandardURLs()
	policy.AllowAttrs("href").OnElements("a")
	policy.RequireNoFollowOnLinks(true)
	return &markdown{convert: goldmark.New(), sanitise: policy}
}

// html returns the markup of a CommonMark text, "" if it cannot be converted.
func (m *markdown) html(text string) page.SafeHTML {
	var out bytes.Buffer
	if err := m.convert.Convert([]byte(text), &out); err != nil {
		return ""
	}
	return page.SafeHTML(m.sanitise.SanitizeBytes(out.Bytes()))
}
