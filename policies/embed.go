// Package policies is enforcement as data: what is allowed, how often, where to. The part below std is
// shipped with every installation; the rest is the example set that "serve --demo" runs with.
package policies

import "embed"

// Files holds every policy file of this folder.
//
//go:embed std apis plans backends mappings routes partners
var Files embed.FS
