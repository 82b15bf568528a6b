// Package page holds the pages of the portal: one file each, with the view model a handler fills
// and the template that shows it. Titles are findings computed here from the same data as the page.
package page

import "portway/web/component"

// SignIn is the sign-in form.
type SignIn struct {
	// Action is posted to with fields email, password, next and csrf.
	Action, CSRF string
	// Next is where the reader goes afterwards: a path of the portal, checked by the handler.
	Next string
	// Email is what was typed.
	Email string
	// Refused is the sentence of the summary when the pair is wrong or the account is locked; it does not say which.
	Refused string
	// EmailError and PasswordError name what to enter when a field is empty or malformed.
	EmailError, PasswordError string
}

// Title is the title of the page.
func (v SignIn) Title() string { return "Sign in to Portway" }

func (v SignIn) failed() bool { return v.Refused != "" || v.EmailError != "" || v.PasswordError != "" }

// summary lists the fields that need a change; it takes focus after the post.
func (v SignIn) summary() component.Note {
	n := component.Note{Tone: component.Bad, ID: "summary", Bold: v.Refused}
	if v.EmailError != "" {
		n.Links = append(n.Links, component.Link{Label: "Email", Href: "#email"})
	}
	if v.PasswordError != "" {
		n.Links = append(n.Links, component.Link{Label: "Password", Href: "#password"})
	}
	if n.Bold == "" {
		n.Bold = map[bool]string{true: "One field needs a change.", false: "Two fields need a change."}[len(n.Links) == 1]
	}
	return n
}

func (v SignIn) email() component.Input {
	return component.Input{Name: "email", Label: "Email", Type: "email", Value: v.Email, Autocomplete: "username",
		Error: v.EmailError, Required: true, Autofocus: !v.failed()}
}

func (v SignIn) password() component.Input {
	return component.Input{Name: "password", Label: "Password", Type: "password", Autocomplete: "current-password",
		Error: v.PasswordError, Required: true}
}
