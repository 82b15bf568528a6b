package schema

import "portway/internal/schema/strictjson"

// Limits of the strict JSON scanner. A zero field means its default.
type Limits = strictjson.Limits

// ScanError says where and why a text is not strict JSON. It holds member names (in Pointer), never a value.
type ScanError = strictjson.Error

// Scan checks that b is one strict RFC 8259 JSON text: UTF-8 without a byte order mark, no member name twice
// in one object (compared after unescaping), no lone surrogates, nothing after the value, everything within l.
// The error is a *ScanError. The cost is one pass over b.
func Scan(b []byte, l Limits) error { return strictjson.Scan(b, l) }

// Decode is Scan that also returns the value: nil, bool, string, json.Number, []any or map[string]any.
// The error is a *ScanError.
func Decode(b []byte, l Limits) (any, error) { return strictjson.Decode(b, l) }
