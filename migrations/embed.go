// Package migrations is the numbered SQL that builds the databases. One number means the same step in every
// folder; steps only go forward, and a published one is never edited.
package migrations

import "embed"

// Files holds the folders sqlite/portway, sqlite/traffic and postgres.
//
//go:embed sqlite/portway/*.sql sqlite/traffic/*.sql postgres/*.sql
var Files embed.FS
