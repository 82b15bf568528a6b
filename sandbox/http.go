package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Route is one method on one path pattern (net/http ServeMux syntax) and what answers it.
type Route struct {
	Method string
	Path   string
	Handle http.HandlerFunc
}

// FailFunc answers with an error in a company's own style; problems lists every finding, or is nil.
type FailFunc func(w http.ResponseWriter, status int, detail string, problems []string)

// Mux serves routes; an unknown path is a 404 and an unknown method a 405 with Allow, both written by fail.
func Mux(routes []Route, fail FailFunc) http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for _, r := range routes {
		mux.HandleFunc(r.Method+" "+r.Path, r.Handle)
		allowed[r.Path] = append(allowed[r.Path], r.Method)
	}
	for path, methods := range allowed {
		slices.Sort(methods)
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			fail(w, http.StatusMethodNotAllowed, "the path has no such method, see the Allow header", nil)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "there is no such path", nil)
	})
	return mux
}

// Refusal says why a body was not read: the status to answer and a sentence that names the remedy.
type Refusal struct {
	Status int
	Detail string
}

// ReadBody returns the bytes of a request body of the given media type, else a Refusal:
// 415 for another type, 413 for a body over the server's limit, 400 for one that is empty, cut short or not UTF-8.
func ReadBody(r *http.Request, media string) ([]byte, *Refusal) {
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || got != media || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return nil, &Refusal{http.StatusUnsupportedMediaType, "send the body as Content-Type " + media + " in UTF-8"}
	}
	data, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &Refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case err != nil:
		return nil, &Refusal{http.StatusBadRequest, "the body did not arrive whole"}
	case len(bytes.TrimSpace(data)) == 0:
		return nil, &Refusal{http.StatusBadRequest, "the body is empty, send one JSON object"}
	case !utf8.Valid(data):
		return nil, &Refusal{http.StatusBadRequest, "the body is not UTF-8"}
	}
	return data, nil
}

// Decode reads exactly one JSON value into into; strict refuses members that into does not know.
// The Refusal (always 400) names the member and what was expected, never its value.
func Decode(data []byte, into any, strict bool) *Refusal {
	dec := json.NewDecoder(bytes.NewReader(data))
	if strict {
		dec.DisallowUnknownFields()
	}
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			return nil
		}
		return &Refusal{http.StatusBadRequest, "the body holds more than one JSON value"}
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	detail := strings.TrimPrefix(err.Error(), "json: ")
	switch {
	case errors.As(err, &syntax):
		detail = fmt.Sprintf("the body is not JSON: the error is at byte %d", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		detail = "the body is not JSON: it ends too early"
	case errors.As(err, &kind):
		detail = fmt.Sprintf("member %q has the wrong JSON type (a JSON %s was sent)", kind.Field, strings.Fields(kind.Value)[0])
	}
	return &Refusal{http.StatusBadRequest, detail}
}

// ReadJSON is ReadBody for application/json and a strict Decode.
func ReadJSON(r *http.Request, into any) *Refusal {
	data, refusal := ReadBody(r, "application/json")
	if refusal != nil {
		return refusal
	}
	return Decode(data, into, true)
}

// WriteJSON answers with v as application/json.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	WriteMedia(w, status, "application/json", v)
}

// WriteMedia answers with v as JSON under another media type.
func WriteMedia(w http.ResponseWriter, status int, media string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		// Only a programming error gets here; guard turns it into a 500.
		panic("sandbox: answer cannot be written as JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A caller that has left is no error of ours.
	_, _ = w.Write(append(body, '\n'))
}

// Fail answers with problem details (RFC 9457): title, status, detail, and errors when problems are given.
func Fail(w http.ResponseWriter, status int, detail string, problems []string) {
	body := map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}
	if len(problems) > 0 {
		body["errors"] = problems
	}
	WriteMedia(w, status, "application/problem+json", body)
}
