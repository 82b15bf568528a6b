// Package seed holds sample data for the simulated companies; a caller may pass its own instead.
package seed

import _ "embed"

// ERP is sample data of the simulated ERP: items with pack tables and stock.
//
//go:embed demo.json
var ERP []byte

// Parcel is sample data of the simulated carrier with its own JSON: services, prices and number range.
//
//go:embed parcel.json
var Parcel []byte

// Returns is sample data of the simulated carrier shaped like a returns document: key header and receivers.
//
//go:embed returns.json
var Returns []byte
