package contract

import (
	"strings"
	"testing"

	"portway/web/page"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	m := newMarkdown()
	for in, want := range map[string]page.SafeHTML{
		"":                              "",
		"Plain.":                        "<p>Plain.</p>\n",
		"# Top\n\n## Next\n\n##### 5":   "<h3>Top</h3>\n<h4>Next</h4>\n<h4>5</h4>\n",
		"a `b` **c** *d*":               "<p>a <code>b</code> <strong>c</strong> <em>d</em></p>\n",
		"- a\n- b":                      "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n",
		"|a|b|\n|-|:-:|\n|1|2|":         "<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table>\n",
		"[a](https://x.example)":        `<p><a href="https://x.example" rel="nofollow noreferrer">a</a></p>` + "\n",
		"[a](/sign-out) [b](//x.y)":     "<p>a b</p>\n",
		"[a](#b)":                       "<p>a</p>\n",
		"![a](https://x.example/p.gif)": "<p></p>\n",
		"<h1 id=main>x</h1>":            "\n",
	} {
		if got := m.html(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

// hostile is what a contract may hold to get at its readers.
var hostile = []string{
	"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))",
	"[x](data:text/html;base64,PHNjcmlwdD4=)", "[x](vbscript:x)", "[x](java\nscript:alert(1))", "<javascript:alert(1)>", "[x]: javascript:alert(1)\n\n[x]",
	"<a href=\"javascript:alert(1)\">x</a>", "<iframe src=//evil.example></iframe>", "<style>*{display:none}</style>", "<p style=\"position:fixed\">x</p>",
	"<form action=//evil.example><button>x</button></form>", "<meta http-equiv=refresh content=0>", "<base href=//evil.example>",
	"```\"><script>alert(1)</script>\nx\n```", "`<script>alert(1)</script>`", "[\"><script>alert(1)</script>](https://x.example)",
	"[x](https://x.example/\"onmouseover=alert(1))", "![x\" onerror=\"alert(1)](x)", "[x](https://x.example 'a\" onclick=\"alert(1)')",
	"# <img src=x onerror=alert(1)> {#main onclick=alert(1)}", "<!--><script>alert(1)</script>-->", "<![CDATA[<script>alert(1)</script>]]>", "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
	"&lt;script&gt;alert(1)&lt;/script&gt;", "&#106;avascript:alert(1)", "[x](&#106;avascript:alert(1))", "<details open ontoggle=alert(1)>", "<x/onclick=alert(1)>x",
}

func dangerous(out string) string {
	out = strings.ToLower(out)
	for _, bad := range []string{"<script", "<img", "<svg", "<iframe", "<style", "<form", "<meta", "<base", "<math", "<details", "<h1", "<h2", "<x", "javascript:", "data:text", "vbscript:", " id=", " style=", " class="} {
		if i := strings.Index(out, bad); i >= 0 {
			if tag := strings.LastIndexByte(out[:i+1], '<'); tag >= 0 && !strings.Contains(out[tag:i], ">") {
				return bad // inside a tag, or opening one
			}
		}
	}
	for _, tag := range strings.SplitAfter(out, ">") {
		if open := strings.LastIndexByte(tag, '<'); open >= 0 && strings.Contains(tag[open:], " on") {
			return tag[open:]
		}
	}
	return ""
}

func TestMarkdownHostile(t *testing.T) {
	t.Parallel()
	m := newMarkdown()
	for _, in := range hostile {
		if bad := dangerous(string(m.html(in))); bad != "" {
			t.Errorf("%q gives %q: %s", in, m.html(in), bad)
		}
	}
	for bad, want := range map[string]string{`<p onclick=x>`: "<p onclick=x>", "<script>": "<script", `<a href="javascript:x">`: "javascript:"} {
		if got := dangerous(bad); got != want {
			t.Errorf("the check itself says %q of %q", got, bad)
		}
	}
}

func FuzzMarkdown(f *testing.F) {
	m := newMarkdown()
	for _, in := range hostile {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if bad := dangerous(string(m.html(in))); bad != "" {
			t.Errorf("%q gives %q: %s", in, m.html(in), bad)
		}
		if text := m.text(in); strings.ContainsAny(text, "\n\t") {
			t.Errorf("%q gives text %q", in, text)
		}
	})
}

func TestMarkdownText(t *testing.T) {
	t.Parallel()
	m := newMarkdown()
	for in, want := range map[string]string{
		"  One\n  line. \n\nAnother paragraph.": "One line.",
		"The `order` of **this** [page](x).":    "The order of this page.",
		"a < b & c":                             "a < b & c",
		"<b>x</b> y":                            "x y",
		"one_two":                               "one_two",
		"":                                      "",
	} {
		if got := m.text(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}
