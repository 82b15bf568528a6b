package datafile

import (
	"errors"

	"go.yaml.in/yaml/v4"
)

// Text is a plain value as it was written, quoted or not, with its place: for what is checked after decoding and must
// then be named by its line. The zero value is a key that is not there.
type Text struct {
	Value string
	Line  int // of the value, from 1
	First int // of the first line of its content: a block (| or >) begins one line below its mark
	Set   bool
}

// UnmarshalYAML takes any scalar as written.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return errors.New("a plain value is expected")
	}
	*t = Text{Value: n.Value, Line: n.Line, First: n.Line, Set: true}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		t.First++
	}
	return nil
}

// Lined is a part of a document with the line it begins at.
type Lined[T any] struct {
	Value T
	Line  int // from 1
}

// UnmarshalYAML decodes as strictly as Decode does and keeps the line.
func (l *Lined[T]) UnmarshalYAML(n *yaml.Node) error {
	l.Line = n.Line
	return n.Load(&l.Value, yaml.WithKnownFields())
}
