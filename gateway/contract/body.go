package contract

import (
	"context"
	"mime"
	"sort"
	"strconv"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// defaultBodyLimit is the cap of operations that name none: 1 MiB.
const defaultBodyLimit = 1 << 20

// Body agrees on media types and reads the body under the operation's cap, as the bytes that will be
// validated and forwarded.
type Body struct{}

// Name is "body".
func (Body) Name() string { return "body" }

// Run sets Body, or Stream if the operation streams it, and MediaType, or refuses with accept.none,
// body.content_encoding, body.content_type, body.too_large or body.missing. Of an observed API it refuses only an
// encoded body, which would not pass as it came, and one that is too large.
func (Body) Run(_ context.Context, x *exchange.Exchange) error {
	if !acceptable(x.Request.Header.Values("Accept"), x.Route.Responses) {
		if !observed(x, "accept", "wants a type the operation does not answer with") {
			return problem.New(problem.AcceptNone, "the operation answers with %s", strings.Join(x.Route.Responses, " or "))
		}
	}
	if !announced(x.Request.Header) {
		return absent(x)
	}
	if len(x.Route.Bodies) == 0 && !x.Route.Observed() {
		return problem.New(problem.BodyContentType, "the operation takes no body")
	}
	if e := x.Request.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return problem.New(problem.BodyEncoding, "send the body without Content-Encoding")
	}
	media, err := mediaType(x)
	if err != nil && !observed(x, "contentType", "has a media type the operation does not take") {
		return err
	}
	limit := x.Route.BodyLimit
	if limit == 0 {
		limit = defaultBodyLimit
	}
	if x.Route.Stream.Up() {
		x.MediaType = media
		x.Stream, err = x.OpenBody(limit)
		return err
	}
	body, err := x.ReadBody(limit)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return absent(x)
	}
	x.Body, x.MediaType = body, media
	return nil
}

// announced reports whether the head of the request says that a body follows.
func announced(h exchange.Header) bool {
	length := h.Get("Content-Length")
	return length != "" && length != "0" || h.Get("Transfer-Encoding") != ""
}

// observed counts what a call of an observed API breaks, which then passes; of any other it reports false.
func observed(x *exchange.Exchange, keyword, message string) bool {
	if !x.Route.Observed() {
		return false
	}
	x.Break(traffic.Request, []problem.Violation{{In: "header", Keyword: keyword, Message: message}}, false)
	return true
}

// absent decides about a call without a body.
func absent(x *exchange.Exchange) error {
	if !x.Route.BodyRequired || observed(x, "required", "must have a body") {
		return nil
	}
	return problem.New(problem.BodyMissing, "the operation needs a body of type %s", strings.Join(bodyTypes(x), " or "))
}

func bodyTypes(x *exchange.Exchange) []string {
	out := make([]string, 0, len(x.Route.Bodies))
	for t := range x.Route.Bodies {
		out = append(out, t)
	}
	sort.Strings(out)
	return out
}

// mediaType returns the body's media type, with a refusal unless the operation takes it in UTF-8.
func mediaType(x *exchange.Exchange) (string, error) {
	media, params, err := mime.ParseMediaType(x.Request.Header.Get("Content-Type"))
	refuse := func() (string, error) {
		return media, problem.New(problem.BodyContentType, "the operation takes %s in UTF-8", strings.Join(bodyTypes(x), " or "))
	}
	if err != nil {
		return refuse()
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return refuse()
	}
	if _, ok := declared(x, media); !ok {
		return refuse()
	}
	return media, nil
}

// declared returns the key of Route.Bodies that covers a media type: itself, or a range of the contract.
func declared(x *exchange.Exchange, media string) (string, bool) {
	major, _, _ := strings.Cut(media, "/")
	for _, key := range []string{media, major + "/*", "*/*"} {
		if _, ok := x.Route.Bodies[key]; ok {
			return key, true
		}
	}
	return "", false
}

// acceptable reports whether one of the types an operation answers with is wanted (RFC 9110 section 12.5.1).
// No Accept header, and an operation that declares no types, want anything.
func acceptable(accept, responses []string) bool {
	wants := strings.Split(strings.Join(accept, ","), ",")
	if len(responses) == 0 || len(accept) == 0 || strings.TrimSpace(strings.Join(accept, "")) == "" {
		return true
	}
	for _, r := range responses {
		best, quality := -1, 0.0
		for _, w := range wants {
			rank, q := covers(w, r)
			if rank > best {
				best, quality = rank, q
			}
		}
		if best >= 0 && quality > 0 {
			return true
		}
	}
	return false
}

// covers ranks how exactly a media range of an Accept header covers a type: 2 the type itself, 1 its major
// type, 0 anything, -1 not at all. A range that cannot be read covers nothing.
func covers(want, have string) (rank int, quality float64) {
	media, params, err := mime.ParseMediaType(want)
	if err != nil {
		return -1, 0
	}
	quality = 1
	if q, ok := params["q"]; ok {
		if quality, err = strconv.ParseFloat(q, 64); err != nil || quality < 0 || quality > 1 {
			return -1, 0
		}
	}
	have, _, _ = strings.Cut(have, ";")
	major, _, _ := strings.Cut(have, "/")
	switch {
	case strings.EqualFold(media, have) || have == "*/*" || strings.HasSuffix(have, "/*") && strings.HasPrefix(media, major+"/"):
		return 2, quality
	case media == major+"/*":
		return 1, quality
	case media == "*/*":
		return 0, quality
	}
	return -1, 0
}
