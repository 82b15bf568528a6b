// Package specs holds the contracts as data: <api>/<version>/openapi.yaml for every API version, and
// events/<type>.schema.json for every canonical event type. No Go code decides what is in them.
package specs

import "embed"

// Files holds every contract by its path below this directory, for example "orders/v1/openapi.yaml" or
// "events/shipment.confirmed.v1.schema.json".
//
//go:embed */*/openapi.yaml events/*.schema.json
var Files embed.FS
