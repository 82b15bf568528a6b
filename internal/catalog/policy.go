package catalog

import (
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/datafile"
)

// The files of policies/, one kind a folder, the id being the file's name without ".yaml".

type apiFile struct {
	datafile.Head `yaml:",inline"`
	Title         string                   `yaml:"title"`
	Summary       string                   `yaml:"summary"`
	Internal      bool                     `yaml:"internal"`
	Credentials   []string                 `yaml:"credentials"` // what a call may carry: token, api_key; token when absent
	Version       versionChoice            `yaml:"version"`
	Observe       bool                     `yaml:"observe"` // every call passes unmodified, checked and counted only (RULES 24)
	Versions      map[string]versionFile   `yaml:"versions"`
	Operations    map[string]operationFile `yaml:"operations"`
}

type versionFile struct {
	Base      *string       `yaml:"base"` // "/{api}/{version}" when absent
	Lifecycle lifecycleFile `yaml:"lifecycle"`
}

type lifecycleFile struct {
	State      string `yaml:"state"`
	Deprecated string `yaml:"deprecated"` // date, 2026-09-01
	Sunset     string `yaml:"sunset"`
	Successor  string `yaml:"successor"`
}

// operationFile is what is enforced for an operation. Keys are "operationId" for all versions, or
// "version/operationId", which wins.
type operationFile struct {
	Dispatch Dispatch        `yaml:"dispatch"`
	Event    string          `yaml:"event"`   // accept
	Mapping  string          `yaml:"mapping"` // accept
	Handler  string          `yaml:"handler"` // builtin, and accept of documents; the operation id when absent
	Backend  backendSelect   `yaml:"backend"` // proxy
	Up       string          `yaml:"up"`      // proxy: mapping of the request to the next version
	Down     string          `yaml:"down"`    // proxy: mapping of the answer back
	InFlight bool            `yaml:"inFlight"`
	Cost     int             `yaml:"cost"`
	Body     string          `yaml:"body"` // largest body: "1MiB"
	Timeout  time.Duration   `yaml:"timeout"`
	Stream   egress.Stream   `yaml:"stream"`   // proxy
	Answer   string          `yaml:"answer"`   // proxy: largest answer
	Fallback egress.Fallback `yaml:"fallback"` // proxy
	Request  Mode            `yaml:"request"`  // enforce, the default, or report
	Response Mode            `yaml:"response"` // proxy: off, report (the default) or enforce
	Report   reportFile      `yaml:"report"`   // whose requests are reported although others' are enforced
	// Idempotency is about calls that carry an Idempotency-Key.
	Idempotency *idempotencyFile `yaml:"idempotency"`
	Refs        []RefRule        `yaml:"refs"` // business numbers for the record of a call: pointers from /path, /query, /body or /answer
}

type reportFile struct {
	Partners []string `yaml:"partners"` // slugs of organisations
}

type backendSelect struct {
	Fixed string `yaml:"fixed"`
	Body  string `yaml:"body"`
	Path  string `yaml:"path"`
}

type routeFile struct {
	datafile.Head `yaml:",inline"`
	Events        []string        `yaml:"events"`
	Backend       string          `yaml:"backend"`
	Path          string          `yaml:"path"`
	Answers       Answers         `yaml:"answers"`
	Schedule      []time.Duration `yaml:"schedule"`
}

// eventMeta is the "x-portway" of an event schema.
type eventMeta struct {
	Entity      string    `json:"entity"`
	EntityKey   string    `json:"entityKey"`
	Time        string    `json:"time"`
	Lane        string    `json:"lane"`
	BusinessKey []string  `json:"businessKey"`
	Fingerprint []string  `json:"fingerprint"`
	Refs        []RefRule `json:"refs"`
}
