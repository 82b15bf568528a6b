// Package web holds what the browser sees: the static files, and below it layout, component and page.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
)

// Static is the directory static: the style sheet, the script, the drawings.
//
//go:embed static
var Static embed.FS

// Prefix is where the static files are served.
const Prefix = "/static/"

// Policy is the Content-Security-Policy (W3C CSP Level 3) every page is written for: no inline style or script.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Assets are the static files under addresses that carry a hash of their content, so that they can be cached for ever.
type Assets struct {
	url  map[string]string
	file map[string]Asset
}

// Asset is one static file.
type Asset struct {
	Body []byte
	// Type is the value of the Content-Type header.
	Type string
	// ETag is a strong entity tag, quotes included (RFC 9110 section 8.8.3).
	ETag string
	// Immutable is set when the name carried the right hash: it may be cached for a year.
	Immutable bool
}

// NewAssets hashes every static file once. It panics if the embedded files cannot be read, which only a broken build can cause.
func NewAssets() *Assets {
	a := &Assets{url: map[string]string{}, file: map[string]Asset{}}
	entries, err := fs.ReadDir(Static, "static")
	if err != nil {
		panic("web: embedded static files: " + err.Error())
	}
	for _, e := range entries {
		body, err := fs.ReadFile(Static, "static/"+e.Name())
		if err != nil {
			panic("web: embedded static files: " + err.Error())
		}
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:6])
		ext := path.Ext(e.Name())
		hashed := strings.TrimSuffix(e.Name(), ext) + "." + hash + ext
		asset := Asset{Body: body, Type: contentType(ext), ETag: `"` + hash + `"`}
		a.file[e.Name()] = asset
		asset.Immutable = true
		a.file[hashed] = asset
		a.url[e.Name()] = Prefix + hashed
	}
	return a
}

// URL is the address of a file of static ("app.css" → "/static/app.0f3a….css"). A name that does not exist
// gives its plain address, which answers 404.
func (a *Assets) URL(name string) string {
	if u, ok := a.url[name]; ok {
		return u
	}
	return Prefix + name
}

// Open returns the file for what follows Prefix in an address, hashed or plain, and whether it exists.
// The body is shared: callers must not change it.
func (a *Assets) Open(name string) (Asset, bool) {
	f, ok := a.file[name]
	return f, ok
}

// contentType is fixed here rather than asked of the system, whose table differs from machine to machine.
func contentType(ext string) string {
	switch ext {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "application/octet-stream"
	}
}
