package openapi

import "encoding/json"

// DeclaredNames are the names a contract declares: of properties, anywhere, of what is required, and of parameters.
func (d *Document) DeclaredNames() map[string]bool {
	out := map[string]bool{}
	for i := range d.Operations {
		for j := range d.Operations[i].Parameters {
			out[d.Operations[i].Parameters[j].Name] = true
		}
	}
	var tree any
	if json.Unmarshal(d.Bundle, &tree) != nil {
		return out // the schema compiler says why
	}
	var walk func(v any)
	walk = func(v any) {
		switch t := v.(type) {
		case map[string]any:
			for key, child := range t {
				switch members := child.(type) {
				case map[string]any:
					if key == "properties" {
						for name := range members {
							out[name] = true
						}
					}
				case []any:
					for _, name := range members {
						if s, ok := name.(string); ok && key == "required" {
							out[s] = true
						}
					}
				}
				walk(child)
			}
		case []any:
			for _, child := range t {
				walk(child)
			}
		}
	}
	walk(tree)
	return out
}
