// Package contract shows the contracts the gateway enforces as people read them: the view of a version, made once,
// whoever reads.
package contract

import (
	"sync"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/web/page"
)

// Reader keeps the versions of one Snapshot as people read them. It is emptied when the Snapshot is swapped, and
// safe for concurrent use.
type Reader struct {
	gateway  string
	markdown *markdown

	mu    sync.Mutex
	snap  *catalog.Snapshot
	known map[*catalog.Version]*Contract
}

// Contract is a version as its reference shows it, whoever reads. Callers must not change it.
type Contract struct {
	Description page.SafeHTML
	Servers     []page.Server
	Groups      []page.OperationGroup
	operations  map[string]bool // by id
}

// Has reports whether the version serves an operation with this id.
func (c *Contract) Has(id string) bool { return c.operations[id] }

// NewReader returns a Reader whose samples call the gateway at this address.
func NewReader(gateway string) *Reader {
	return &Reader{gateway: gateway, markdown: newMarkdown()}
}

// Of returns the contract of a version of snap. The first reader waits while it is made, a few milliseconds for
// each 100 kB of document.
func (c *Reader) Of(snap *catalog.Snapshot, ver *catalog.Version) *Contract {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snap != snap {
		c.snap, c.known = snap, map[*catalog.Version]*Contract{}
	}
	if known := c.known[ver]; known != nil {
		return known
	}
	doc := &schemas{markdown: c.markdown}
	doc.parse(ver.Document.Bundle)
	out := &Contract{Description: c.markdown.html(ver.Document.Description), Servers: servers(c.gateway, ver, Environments(snap, ver)),
		operations: map[string]bool{}}
	for _, r := range ver.Routes {
		out.operations[r.Operation.ID] = true
		out.Groups = grouped(out.Groups, ver.Document, r, c.operation(r, doc))
	}
	c.known[ver] = out
	return out
}

// Environments are those in which at least one operation of the version is served.
func Environments(snap *catalog.Snapshot, ver *catalog.Version) []string {
	var out []string
	for _, env := range []ident.Environment{ident.Sandbox, ident.Live} {
		for _, r := range ver.Routes {
			if r.Select != nil && r.Select.Fixed != "" && (snap.Backends[r.Select.Fixed] == nil || snap.Backends[r.Select.Fixed].URLs[env] == "") {
				continue
			}
			out = append(out, string(env))
			break
		}
	}
	return out
}

// servers are the base addresses by environment; where both have one, the credential decides. The header that
// chooses the version, if one does, is named beside them.
func servers(gateway string, ver *catalog.Version, environments []string) []page.Server {
	url, with := gateway+ver.Base, ""
	if h := ver.API.VersionHeader; h != "" {
		with = ", with " + h + ": " + ver.Name
	}
	if len(environments) == 2 {
		return []page.Server{{Environment: string(ident.Sandbox) + " and " + string(ident.Live) + with, URL: url}}
	}
	var out []page.Server
	for _, e := range environments {
		out = append(out, page.Server{Environment: e + with, URL: url})
	}
	return out
}
