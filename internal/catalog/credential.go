package catalog

import (
	"slices"
	"time"
)

// credentials reads what calls of an API may carry. Access tokens always count: they expire, and can be bound.
func (l *loader) credentials(a *API, file string, f *apiFile) {
	for i, c := range f.Credentials {
		switch c {
		case "token":
		case "api_key":
			a.APIKeys = true
		default:
			l.fail(file, l.line("credentials", i), "credentials: %q: use token or api_key", c)
		}
	}
	if len(f.Credentials) > 0 && !slices.Contains(f.Credentials, "token") {
		l.fail(file, l.line("credentials"), "credentials leave out token; an API takes access tokens in any case")
	}
}

// tokenLifetime checks a plan's: shorter than a minute, and clients would do little but ask for tokens.
func (l *loader) tokenLifetime(file string, d time.Duration) {
	if d != 0 && (d < time.Minute || d > 24*time.Hour) {
		l.fail(file, l.line("tokenLifetime"), "tokenLifetime is from 1m to 24h")
	}
}
