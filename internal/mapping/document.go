package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"portway/internal/mapping/jq"
)

// document is a mapping file as written. Every struct keeps its line, so that each problem can name it.
type document struct {
	Kind    text                 `yaml:"kind"`
	Schema  text                 `yaml:"schema"`
	Version text                 `yaml:"version"`
	Source  sourceDoc            `yaml:"source"`
	Target  text                 `yaml:"target"`
	Let     yaml.Node            `yaml:"let"`
	Tables  map[string]yaml.Node `yaml:"tables"`
	Fields  []fieldDoc           `yaml:"fields"`
	Tests   []testDoc            `yaml:"tests"`
}

type sourceDoc struct {
	Format  text `yaml:"format"`
	Set     text `yaml:"set"`
	Version text `yaml:"version"`
}

type fieldDoc struct {
	To        text       `yaml:"to"`
	Expr      text       `yaml:"expr"`
	Const     yaml.Node  `yaml:"const"`
	Each      text       `yaml:"each"`
	When      text       `yaml:"when"`
	Where     text       `yaml:"where"`
	Value     text       `yaml:"value"`
	Unit      text       `yaml:"unit"`
	Type      text       `yaml:"type"`
	Format    text       `yaml:"format"`
	TZ        text       `yaml:"tz"`
	Required  bool       `yaml:"required"`
	Default   yaml.Node  `yaml:"default"`
	OnDefault text       `yaml:"onDefault"`
	Lookup    text       `yaml:"lookup"`
	OnMissing text       `yaml:"onMissing"`
	Fields    []fieldDoc `yaml:"fields"`
	line      int
}

type testDoc struct {
	Name     text      `yaml:"name"`
	In       text      `yaml:"in"`
	Out      text      `yaml:"out"`
	Vars     yaml.Node `yaml:"vars"`
	Zone     text      `yaml:"zone"`
	Errors   []string  `yaml:"errors"`
	Warnings []string  `yaml:"warnings"`
	line     int
}

// UnmarshalYAML decodes strictly and keeps the line.
func (d *fieldDoc) UnmarshalYAML(n *yaml.Node) error {
	type plain fieldDoc
	d.line = n.Line
	return n.Load((*plain)(d), yaml.WithKnownFields())
}

// UnmarshalYAML decodes strictly and keeps the line.
func (d *testDoc) UnmarshalYAML(n *yaml.Node) error {
	type plain testDoc
	d.line = n.Line
	return n.Load((*plain)(d), yaml.WithKnownFields())
}

// text is a YAML scalar with its line. first is the line its content begins at: a block scalar begins one
// line below its indicator.
type text struct {
	value       string
	line, first int
	set         bool
}

// UnmarshalYAML takes any scalar as written.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return errors.New("a plain value is expected")
	}
	t.value, t.line, t.first, t.set = n.Value, n.Line, n.Line, true
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		t.first++
	}
	return nil
}

// value turns a YAML node into what JSON would hold; numbers keep their digits.
func value(n *yaml.Node, depth int) (any, error) {
	if depth > 32 {
		return nil, errors.New("the value is nested too deep")
	}
	switch n.Kind {
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return nil, nil
		case "!!bool":
			return strings.EqualFold(n.Value, "true"), nil
		case "!!int", "!!float":
			d, ok := jq.ParseDecimal(n.Value)
			if !ok {
				return nil, errors.New("the number is not a decimal: quote it to use it as text")
			}
			return json.Number(d.String()), nil
		default:
			return n.Value, nil
		}
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := value(c, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := value(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			out[n.Content[i].Value] = v
		}
		return out, nil
	}
	return nil, errors.New("aliases are not used in mappings")
}

// loadProblems turns the decoder's errors into problems in our words.
func (c *compiler) loadProblems(err error) {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
		for _, e := range many.Errors {
			c.add(e.Mark.Line, "%s", loadMessage(e.Message))
		}
	case errors.As(err, &one):
		c.add(one.Mark.Line, "%s", loadMessage(one.Message))
	default:
		c.add(1, "not a YAML document")
	}
}

func loadMessage(m string) string {
	if f, _, ok := strings.Cut(strings.TrimPrefix(m, "field "), " not found in type "); ok {
		return fmt.Sprintf("unknown field %q", f)
	}
	if strings.HasPrefix(m, "cannot construct ") {
		return "the value has the wrong type"
	}
	return strings.TrimPrefix(m, "yaml: ")
}
