package carrier

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"portway/internal/needs"
)

// returnsDocument loads the corpus document that Returns is shaped like, served at base.
func returnsDocument(t *testing.T, base string) (routers.Router, *openapi3.T) {
	t.Helper()
	found, err := filepath.Glob(needs.Corpus(t, "openapi", "*returns*.yaml"))
	if err != nil || len(found) != 1 {
		t.Fatalf("returns document of the corpus: %v, %v", found, err)
	}
	doc, err := openapi3.NewLoader().LoadFromFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: base}}
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation())
	if err != nil {
		t.Fatal(err)
	}
	return router, doc
}

// TestSuiteReturnsDocument checks our requests and answers against the published document.
func TestSuiteReturnsDocument(t *testing.T) {
	t.Parallel()
	b := startReturns(t, "")
	router, doc := returnsDocument(t, b.url)
	type vector struct {
		name, method, path, body, key string
		status                        int
		// invalid says that the request itself is against the document.
		invalid bool
	}
	cases := []vector{
		{"version", "GET", "/", "", "", 200, false},
		{"create", "POST", "/orders?labelType=BOTH", aReturn, "k", 201, false},
		{"create again", "POST", "/orders?labelType=SHIPMENT_LABEL", aReturn, "k", 201, false},
		{"create, QR only", "POST", "/orders?labelType=QR_LABEL", aReturn, "k", 201, false},
		{"locations", "GET", "/locations?countryCode=deu&maxResult=5", "", "k", 200, false},
		{"no key", "POST", "/orders", aReturn, "", 401, false},
		{"no key for locations", "GET", "/locations", "", "", 401, false},
		{"unknown receiver", "POST", "/orders", strings.Replace(aReturn, "deu", "nowhere", 1), "k", 422, false},
		{"customs missing", "POST", "/orders", strings.Replace(aReturn, "deu", "che", 1), "k", 422, false},
		{"reference reused", "POST", "/orders", strings.Replace(aReturn, "Eva", "Ada", 1), "k", 422, false},
		{"empty order", "POST", "/orders", `{}`, "k", 400, true},
		{"not JSON", "POST", "/orders", `{`, "k", 400, true},
		{"bad labelType", "POST", "/orders?labelType=PARCEL", aReturn, "k", 400, true},
		{"bad weight", "POST", "/orders", strings.Replace(aReturn, `"kg"`, `"lb"`, 1), "k", 400, true},
		{"bad currency", "POST", "/orders", strings.Replace(aReturn, `"EUR"`, `"USD"`, 1), "k", 400, true},
		{"bad postal code", "POST", "/orders", strings.Replace(aReturn, "53113", "5--3", 1), "k", 400, true},
		{"long name", "POST", "/orders", strings.Replace(aReturn, "Eva", strings.Repeat("E", 50), 1), "k", 400, true},
	}
	for name, example := range doc.Components.Examples {
		body, err := example.Value.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ = bytes.Cut(body, []byte(`"value":`))
		text := strings.TrimSuffix(string(body), "}")
		// The document's examples write house and postal code as YAML numbers where its schema wants strings.
		text = numbersAsStrings(text)
		cases = append(cases, vector{"example " + name, "POST", "/orders", strings.Replace(text, `"Kundenreferenz"`, `"`+name+`"`, 1), "k", 201, false})
	}
	passed := 0
	for _, c := range cases {
		if problem := checkVector(b, router, c.method, c.path, c.body, c.key, c.status, c.invalid); problem != "" {
			t.Errorf("%s: %s", c.name, problem)
			continue
		}
		passed++
	}
	needs.Suite(t, "returns-document", passed, len(cases))
}

func numbersAsStrings(s string) string {
	for _, name := range []string{"addressHouse", "postalCode", "phone"} {
		marker := `"` + name + `":`
		at := strings.Index(s, marker)
		if at < 0 || s[at+len(marker)] == '"' {
			continue
		}
		from := at + len(marker)
		end := from + strings.IndexAny(s[from:], ",}")
		s = s[:from] + `"` + s[from:end] + `"` + s[end:]
	}
	return s
}

func checkVector(b *bench, router routers.Router, method, path, body, key string, status int, invalid bool) string {
	ctx := context.Background()
	build := func() *http.Request {
		req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
		if err != nil {
			b.t.Fatal(err)
		}
		if key != "" {
			req.Header.Set(b.key[0], key)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		return req
	}
	req := build()
	req.URL, _ = url.Parse(b.url + path)
	route, params, err := router.FindRoute(req)
	if err != nil {
		return "no such operation: " + err.Error()
	}
	input := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateRequest(ctx, input); (err != nil) != invalid {
		return "the document says of the request: " + errText(err)
	}
	resp, err := http.DefaultClient.Do(build())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		return "answered " + resp.Status + " " + string(data)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Options: input.Options,
		Body: io.NopCloser(bytes.NewReader(data)),
	}
	if err := openapi3filter.ValidateResponse(ctx, answer); err != nil {
		return "the document says of the answer: " + err.Error()
	}
	return ""
}

func errText(err error) string {
	if err == nil {
		return "valid"
	}
	return err.Error()
}
