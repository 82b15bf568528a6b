// Package layout is the frame around every page: head, top bar, sandbox strip, main, foot.
package layout

import "strings"

// Frame is what the caller knows about the reader and the place, whatever the page shows.
// The zero value of a part leaves that part out.
type Frame struct {
	// Asset turns a file name of web/static into its address ("app.css" → "/static/app.<hash>.css").
	Asset func(name string) string
	// Home is the address of the logo.
	Home string
	// Nav has only the entries that exist for this reader.
	Nav     []NavItem
	Context Context
	// Sandbox shows the strip that marks test data.
	Sandbox bool
	// User is the zero value when nobody is signed in.
	User User
	// SignIn is where a reader who is not signed in goes; SignOut is posted to.
	SignIn, SignOut string
	// CSRF is the token of every form in the frame.
	CSRF string
	// Theme is "light", "dark" or "" (the system's choice); ThemeAction is posted to with fields theme, return and csrf.
	Theme, ThemeAction string
	// Path is the address of this page, where ThemeAction returns to.
	Path string
}

// NavItem is an entry of the top bar.
type NavItem struct {
	Label, Href string
	Current     bool
}

// Context says for whom and with what the reader acts.
type Context struct {
	Organisation, Application string
	// Applications are those to choose from, for a reader with several.
	Applications []NavItem
}

// User is the signed-in person.
type User struct {
	Name, Email, Role string
}

// Initials are at most two letters for the role tile.
func (u User) Initials() string {
	var out []rune
	start := true
	for _, r := range u.Name {
		if r == ' ' || r == '-' {
			start = true
			continue
		}
		if start && len(out) < 2 {
			out = append(out, r)
		}
		start = false
	}
	return strings.ToUpper(string(out))
}

// known reports whether somebody is signed in.
func (u User) known() bool { return u.Name != "" || u.Email != "" }

type themeChoice struct {
	value, label string
}

func themes() []themeChoice {
	return []themeChoice{{"", "As the system"}, {"light", "Light"}, {"dark", "Dark"}}
}
