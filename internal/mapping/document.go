package mapping

import (
	"encoding/json"
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"

	"portway/internal/datafile"
	"portway/internal/logistics"
)

// document is a mapping file as written. Every part keeps its line, so that each problem can name it.
type document struct {
	datafile.Head `yaml:",inline"`
	Version       datafile.Text              `yaml:"version"`
	Source        sourceDoc                  `yaml:"source"`
	Target        datafile.Text              `yaml:"target"`
	Let           yaml.Node                  `yaml:"let"`
	Tables        map[string]yaml.Node       `yaml:"tables"`
	Fields        []datafile.Lined[fieldDoc] `yaml:"fields"`
	Tests         []datafile.Lined[testDoc]  `yaml:"tests"`
}

type sourceDoc struct {
	Format  datafile.Text `yaml:"format"`
	Set     datafile.Text `yaml:"set"`
	Version datafile.Text `yaml:"version"`
}

type fieldDoc struct {
	To        datafile.Text              `yaml:"to"`
	Expr      datafile.Text              `yaml:"expr"`
	Const     yaml.Node                  `yaml:"const"`
	Each      datafile.Text              `yaml:"each"`
	When      datafile.Text              `yaml:"when"`
	Where     datafile.Text              `yaml:"where"`
	Value     datafile.Text              `yaml:"value"`
	Unit      datafile.Text              `yaml:"unit"`
	Type      datafile.Text              `yaml:"type"`
	Format    datafile.Text              `yaml:"format"`
	TZ        datafile.Text              `yaml:"tz"`
	Required  bool                       `yaml:"required"`
	Default   yaml.Node                  `yaml:"default"`
	OnDefault datafile.Text              `yaml:"onDefault"`
	Lookup    datafile.Text              `yaml:"lookup"`
	OnMissing datafile.Text              `yaml:"onMissing"`
	Fields    []datafile.Lined[fieldDoc] `yaml:"fields"`
}

type testDoc struct {
	Name     datafile.Text `yaml:"name"`
	In       datafile.Text `yaml:"in"`
	Out      datafile.Text `yaml:"out"`
	Vars     yaml.Node     `yaml:"vars"`
	Zone     datafile.Text `yaml:"zone"`
	Errors   []string      `yaml:"errors"`
	Warnings []string      `yaml:"warnings"`
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
			d, err := logistics.ParseNumber(n.Value)
			if err != nil {
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
