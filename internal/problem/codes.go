package problem

import "sort"

// The closed set of codes. The order is that of the request path.
const (
	HTTPFraming          Code = "http.framing"
	HTTPHeader           Code = "http.header"
	HTTPWrongHost        Code = "http.wrong_host"
	HTTPTimeout          Code = "http.timeout"
	HTTPHeaderTooLarge   Code = "http.header_too_large"
	PathNotCanonical     Code = "path.not_canonical"
	RouteUnknown         Code = "route.unknown"
	RouteMethod          Code = "route.method"
	VersionUnknown       Code = "version.unknown"
	VersionRetired       Code = "version.retired"
	AuthMissing          Code = "auth.missing"
	AuthInvalidToken     Code = "auth.invalid_token"
	AuthExpired          Code = "auth.expired"
	AuthEnvironment      Code = "auth.environment_mismatch"
	AuthNotSubscribed    Code = "auth.not_subscribed"
	AuthScope            Code = "auth.insufficient_scope"
	AuthSuspended        Code = "auth.suspended"
	AuthAddress          Code = "auth.address"
	AuthUnavailable      Code = "auth.unavailable"
	BodyTooLarge         Code = "body.too_large"
	BodyContentType      Code = "body.content_type"
	BodyEncoding         Code = "body.content_encoding"
	BodyMalformed        Code = "body.malformed"
	BodyMissing          Code = "body.missing"
	AcceptNone           Code = "accept.none"
	RateExceeded         Code = "rate.exceeded"
	ParameterInvalid     Code = "parameter.invalid"
	ParameterUnknown     Code = "parameter.unknown"
	SchemaViolation      Code = "schema.violation"
	MappingFailed        Code = "mapping.failed"
	CursorInvalid        Code = "cursor.invalid"
	NotFound             Code = "resource.not_found"
	Conflict             Code = "resource.conflict"
	BusinessConflict     Code = "business_key.conflict"
	IdempotencyKey       Code = "idempotency.key_invalid"
	IdempotencyReuse     Code = "idempotency.key_reused"
	IdempotencyBusy      Code = "idempotency.in_progress"
	IdempotencyInDoubt   Code = "idempotency.in_doubt"
	OrderUnknown         Code = "order.unknown"
	OrderTooLate         Code = "order.too_late"
	OrderState           Code = "order.state"
	OrderVersion         Code = "order.version"
	OrderLedger          Code = "order.ledger"
	NotOwner             Code = "order.not_owner"
	EDIUnreadable        Code = "edi.unreadable"
	EDIUnknownConnection Code = "edi.unknown_connection"
	EDIDuplicate         Code = "edi.duplicate_interchange"
	EDIRejected          Code = "edi.rejected"
	BackendUnreachable   Code = "backend.unreachable"
	BackendTimeout       Code = "backend.timeout"
	BackendBadAnswer     Code = "backend.bad_answer"
	BackendUnknown       Code = "backend.unknown"
	BackendRejected      Code = "backend.rejected"
	BackendUnavailable   Code = "backend.unavailable"
	StoreUnavailable     Code = "store.unavailable"
	Internal             Code = "internal"
)

type entry struct {
	status int
	title  string
	help   string
}

// table is code → status → title → what to do, shown on the portal's problem pages.
var table = map[Code]entry{
	HTTPFraming:          {400, "Request framing is ambiguous", "Send exactly one Content-Length or one \"Transfer-Encoding: chunked\", and well-formed header lines. The connection is closed."},
	HTTPHeader:           {400, "A header is not acceptable", "Send header names without underscores, one Host header, and plain printable values."},
	HTTPWrongHost:        {421, "This host is not served here", "Use the host name of the environment shown in the portal."},
	HTTPTimeout:          {408, "The request did not arrive in time", "Send the whole request within the limit, on a new connection."},
	HTTPHeaderTooLarge:   {431, "The request headers are too large", "Keep all headers together under 16 KiB."},
	PathNotCanonical:     {400, "The path is not in canonical form", "Send the path without dot segments, doubled slashes, backslashes, a trailing slash or encoded separators."},
	RouteUnknown:         {404, "No such operation", "Compare the path with the reference in the portal."},
	RouteMethod:          {405, "The operation has no such method", "Use one of the methods in the Allow header."},
	VersionUnknown:       {404, "The API has no such version", "Use one of the versions named in the detail."},
	VersionRetired:       {410, "This version was retired", "Move to the successor named in the Link header."},
	AuthMissing:          {401, "No credential was sent", "Send \"Authorization: Bearer\" with a token from /oauth2/token."},
	AuthInvalidToken:     {401, "The token is not acceptable", "Ask /oauth2/token for a new one with this installation's client."},
	AuthExpired:          {401, "The token has expired", "Ask /oauth2/token for a new one."},
	AuthEnvironment:      {403, "The credential belongs to the other environment", "Use the sandbox credential on sandbox and the live one on live."},
	AuthNotSubscribed:    {403, "The application is not subscribed to this API", "Subscribe the application in the portal."},
	AuthScope:            {403, "The token lacks the scope of this operation", "Ask for a token with the scope named in the WWW-Authenticate header."},
	AuthSuspended:        {403, "The organisation or application is not active", "Ask your integration manager."},
	AuthAddress:          {403, "Calls from this address are not allowed", "Call from an address on the application's list, or ask your integration manager to add this one."},
	AuthUnavailable:      {503, "Callers cannot be checked at the moment", "Try again after Retry-After."},
	BodyTooLarge:         {413, "The body is larger than this operation takes", "Stay under the size shown in the reference."},
	BodyContentType:      {415, "The content type is not accepted", "Send one of the content types of the operation."},
	BodyEncoding:         {415, "The content encoding is not accepted", "Send the body without Content-Encoding."},
	BodyMalformed:        {400, "The body is not well-formed", "Send strict JSON (RFC 8259): UTF-8, no duplicate members, nothing after the value."},
	BodyMissing:          {400, "The operation needs a body", "Send the body described in the reference."},
	AcceptNone:           {406, "None of the accepted types can be produced", "Accept one of the response types of the operation."},
	RateExceeded:         {429, "The rate limit is used up", "Wait for Retry-After seconds."},
	ParameterInvalid:     {400, "A parameter is not acceptable", "Correct the parameters listed under violations."},
	ParameterUnknown:     {400, "An undeclared parameter was sent", "Remove the parameters listed under violations."},
	SchemaViolation:      {422, "The body breaks its contract", "Correct every place listed under violations."},
	MappingFailed:        {422, "The document could not be translated", "Correct every place listed under violations."},
	CursorInvalid:        {400, "The cursor is not valid", "Start again without a cursor."},
	NotFound:             {404, "No such resource", "Check the identifier."},
	Conflict:             {409, "The resource changed in between", "Read it again and repeat the change."},
	BusinessConflict:     {409, "The same business key was used for something else", "Send a correction, or use the key of the new document."},
	IdempotencyKey:       {400, "The Idempotency-Key is missing or malformed", "Send a quoted string of 16 to 255 characters."},
	IdempotencyReuse:     {422, "The Idempotency-Key was used for another request", "Use a new key for a new request."},
	IdempotencyBusy:      {409, "The first call with this key is under way", "Send the same request with the same key after Retry-After."},
	IdempotencyInDoubt:   {409, "How the first call with this key ended is not known", "Read the resource: if the call was carried out, you are done; if not, send it again with a new key."},
	OrderUnknown:         {404, "No such order", "Check the order number and the organisation it was released to."},
	OrderTooLate:         {409, "The order can no longer be changed", "See the state in the problem; agree on a return instead."},
	OrderState:           {409, "The order is not in a state that allows this", "See the state in the problem."},
	OrderVersion:         {409, "The order has another version", "Read the order and repeat with its version."},
	OrderLedger:          {422, "The quantities do not fit the order", "Per line, shipped, backordered and cancelled cannot exceed what was ordered."},
	NotOwner:             {403, "Another system owns this", "See the ownership policy of the field."},
	EDIUnreadable:        {422, "The interchange cannot be read", "Check the ISA envelope. The file was quarantined for an operator."},
	EDIUnknownConnection: {422, "The interchange matches no connection", "Check the identifiers in ISA05 to ISA08 against the connection in the portal. The file was quarantined."},
	EDIDuplicate:         {409, "The interchange was received before", "Use a new interchange control number. The file was quarantined."},
	EDIRejected:          {422, "A transaction set was rejected", "Correct the segments named in the 997 and send the set again with a new interchange control number."},
	BackendUnreachable:   {502, "The backend could not be reached", "Try again later; nothing was sent."},
	BackendTimeout:       {504, "The backend did not answer in time", "Read the resource before you repeat the call."},
	BackendBadAnswer:     {502, "The backend's answer breaks its contract", "Our operators were told; try again later."},
	BackendUnknown:       {422, "No backend serves this value", "Use one of the values in the reference."},
	BackendRejected:      {422, "The backend does not accept the request", "Correct what the backend's contract asks for, for example the address or the service, and send it again."},
	BackendUnavailable:   {503, "The backend takes no calls at the moment", "Try again after Retry-After."},
	StoreUnavailable:     {503, "Nothing can be stored at the moment", "Try again after Retry-After; nothing was accepted."},
	Internal:             {500, "Internal error", "Try again; name the request id to support."},
}

// Status is the HTTP status of a code, 500 if it is not in the table.
func (c Code) Status() int {
	if e, ok := table[c]; ok {
		return e.status
	}
	return 500
}

// Title is the short name of a code.
func (c Code) Title() string {
	if e, ok := table[c]; ok {
		return e.title
	}
	return table[Internal].title
}

// Help says what the caller can do about a code.
func (c Code) Help() string { return table[c].help }

// Codes lists every code in alphabetical order.
func Codes() []Code {
	out := make([]Code, 0, len(table))
	for c := range table {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}
