// Package datafile reads the YAML files that hold policies, mappings and guides: strictly (unknown and
// duplicate keys are errors) and with every problem of a file at once, each with its line.
package datafile

import (
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Problem is one thing wrong with a data file.
type Problem struct {
	File    string
	Line    int // from 1; 0 when the file as a whole is meant
	Message string
}

// Error is "file:line: message".
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Problems is a list of problems as one error.
type Problems []Problem

// Error lists the problems, one a line, in order of file and line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Add adds a problem; line is 0 when the file as a whole is meant.
func (p *Problems) Add(file string, line int, format string, args ...any) {
	*p = append(*p, Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...)})
}

// Err returns p as an error in order of file, line and message; nil when there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p.Sort()
}

// Sort puts p in order of file, line and message, and returns it.
func (p Problems) Sort() Problems {
	sort.SliceStable(p, func(i, j int) bool {
		if p[i].File != p[j].File {
			return p[i].File < p[j].File
		}
		if p[i].Line != p[j].Line {
			return p[i].Line < p[j].Line
		}
		return p[i].Message < p[j].Message
	})
	return p
}

// Head is what every data file begins with; the struct a file decodes into embeds it with `yaml:",inline"`.
type Head struct {
	Kind   string `yaml:"kind"`
	Schema int    `yaml:"schema"`
}

// MaxBytes is the largest data file that is read.
const MaxBytes = 512 << 10

// Decode reads src, named file in messages, into a struct with yaml tags. Every file begins with its kind and
// "schema: 1"; want is the kind expected.
func Decode(file, want string, src []byte, into any) Problems {
	if len(src) > MaxBytes {
		return Problems{{File: file, Message: fmt.Sprintf("larger than %d bytes", MaxBytes)}}
	}
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		return problems(file, err)
	}
	if kind := find(&doc, "kind"); kind.Value != want {
		return Problems{{File: file, Line: kind.Line, Message: fmt.Sprintf("kind is %q: this folder holds kind %q", kind.Value, want)}}
	}
	if version := find(&doc, "schema"); version.Value != "1" {
		return Problems{{File: file, Line: version.Line, Message: fmt.Sprintf("schema is %q: this program reads schema 1", version.Value)}}
	}
	if err := doc.Load(into, yaml.WithKnownFields()); err != nil {
		return problems(file, err)
	}
	return nil
}

// Line returns the line of a value in src, from 1: path holds the keys of mappings (string) and the indexes of
// lists (int) that lead to it. When a part of the path is not there, it is the line of the last part that is;
// it is 0 when src cannot be read. It reads src anew, so it is for reporting a problem.
func Line(src []byte, path ...any) int {
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		return 0
	}
	at := &doc
	if at.Kind == yaml.DocumentNode && len(at.Content) > 0 {
		at = at.Content[0]
	}
	line := at.Line
	for _, part := range path {
		next := (*yaml.Node)(nil)
		switch p := part.(type) {
		case string:
			for i := 0; at.Kind == yaml.MappingNode && i+1 < len(at.Content); i += 2 {
				if at.Content[i].Value == p {
					line, next = at.Content[i].Line, at.Content[i+1]
				}
			}
		case int:
			if at.Kind == yaml.SequenceNode && p >= 0 && p < len(at.Content) {
				next = at.Content[p]
				line = next.Line
			}
		}
		if next == nil {
			return line
		}
		at = next
	}
	return line
}

// find returns the value of a key at the top of a document; an absent one is empty, on the document's first line.
func find(doc *yaml.Node, key string) *yaml.Node {
	at := doc
	if at.Kind == yaml.DocumentNode && len(at.Content) > 0 {
		at = at.Content[0]
	}
	for i := 0; at.Kind == yaml.MappingNode && i+1 < len(at.Content); i += 2 {
		if at.Content[i].Value == key {
			return at.Content[i+1]
		}
	}
	return &yaml.Node{Line: max(at.Line, 1)}
}

var (
	unknownKey = regexp.MustCompile(`^field (.+) not found in type `)
	wrongType  = regexp.MustCompile("^cannot construct !!(\\w+)(?s: `.*`)? into (\\S+)")
)

// plain says in our words what the YAML library says in those of Go's types, and leaves the value out.
func plain(message string) string {
	if m := unknownKey.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("unknown key %q", m[1])
	}
	if m := wrongType.FindStringSubmatch(message); m != nil {
		want := "a value of another form"
		switch into := m[2]; {
		case into == "string":
			want = "text"
		case into == "int", into == "int64":
			want = "a whole number"
		case into == "bool":
			want = "true or false"
		case into == "time.Duration":
			want = "a duration like 30s"
		case strings.HasPrefix(into, "[]"):
			want = "a list"
		case into == "struct", strings.HasPrefix(into, "map["):
			want = "a mapping"
		}
		found := map[string]string{"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "seq": "a list", "map": "a mapping", "null": "nothing"}[m[1]]
		if found == "" {
			found = "of another form"
		}
		return fmt.Sprintf("the value is %s, where %s is expected", found, want)
	}
	return message
}

var lineIn = regexp.MustCompile(`line (\d+)`)

func problems(file string, err error) Problems {
	var many *yaml.LoadErrors
	if errors.As(err, &many) {
		var out Problems
		for _, e := range many.Errors {
			out = append(out, Problem{File: file, Line: e.Mark.Line, Message: plain(e.Message)})
		}
		return out
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		return Problems{{File: file, Line: one.Mark.Line, Message: plain(one.Message)}}
	}
	p := Problem{File: file, Message: err.Error()}
	if m := lineIn.FindStringSubmatch(p.Message); m != nil {
		fmt.Sscan(m[1], &p.Line)
	}
	return Problems{p}
}
