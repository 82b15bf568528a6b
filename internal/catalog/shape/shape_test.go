package shape_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"portway/internal/catalog/shape"
)

func TestShape(t *testing.T) {
	t.Parallel()
	s := shape.Of([]byte(`{"defs":{"base":{"properties":{"at":{"type":["string","null"],"format":"date-time"}}},
		"job":{"allOf":[{"$ref":"#/defs/base"}],"type":"object","properties":{"a/b~c":{},"lines":{"type":"array","items":{"oneOf":[{"$ref":"#/defs/base"},{"$ref":"#/defs/job"}]}},
		"closed":{"type":"object","additionalProperties":false},"open":{"type":"object"}}}}}`), "/defs/job")
	for pointer, want := range map[string]bool{"/at": true, "/lines": true, "/lines/*": true, "/lines/*/at": true, "/lines/*/lines/*/at": true, "/a~1b~0c": true, "/open/any/thing": true,
		"": false, "at": false, "/": false, "/lines/0": false, "/lines/*/no": false, "/closed/x": false, "/no": false, "/at/x": false} {
		if s.Has(pointer) != want {
			t.Errorf("%q: %v", pointer, !want)
		}
	}
	if m := s.Moments(); len(m) < 2 || !slices.Contains(m, "/at") || !slices.Contains(m, "/lines/*/at") {
		t.Errorf("moments %v", m)
	}
	if shape.Of([]byte(`{}`)) != nil || shape.Of([]byte(`{`), "/x") != nil || len(shape.Of([]byte(`{"x":[1]}`), "/x/0")) != 0 {
		t.Error("nothing has a shape")
	}
}

// TestShapeOfATrap ends in time: a schema that refers to itself many times over would have more places than there is memory.
func TestShapeOfATrap(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range 50 {
		all = append(all, fmt.Sprintf(`"p%d":{"$ref":"#/x"}`, i))
	}
	s := shape.Of([]byte(`{"x":{"oneOf":[{"$ref":"#/x"},{"$ref":"#/x"}],"properties":{`+strings.Join(all, ",")+`}}}`), "/x")
	if len(s) == 0 || len(s) > 20_000 || !s.Has("/p0") {
		t.Errorf("%d places", len(s))
	}
}
