package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"portway/internal/app/observe"
	"portway/internal/catalog"
	"portway/internal/catalog/golden"
	"portway/internal/ident"
	"portway/internal/openapi"
	"portway/policies"
	"portway/specs"
)

// check reports on a contract or an installation folder. It fails when operations cannot be built or a file
// of the folder is wrong.
func check(c *checkCommand, out io.Writer) error {
	switch {
	case (c.Spec == "") == (c.Config == ""):
		return fmt.Errorf("check: give either --spec FILE or --config DIR")
	case c.Spec != "":
		return checkSpec(c, out)
	}
	return checkConfig(c.Config, out)
}

func checkSpec(c *checkCommand, out io.Writer) error {
	doc, findings, err := readSpec(c.Spec, c.Ref)
	if err != nil && doc == nil {
		return fmt.Errorf("check: %s: %w", c.Spec, err)
	}
	if err := errors.Join(err, openapi.Report(out, doc, findings)); err != nil {
		return fmt.Errorf("check: %s: %w", c.Spec, err)
	}
	for _, f := range findings {
		if f.Severity == openapi.SeverityError {
			return errReported
		}
	}
	return nil
}

func readSpec(file string, refs []string) (*openapi.Document, []openapi.Finding, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	opts := openapi.Options{File: file, References: map[string][]byte{}}
	for _, r := range refs {
		url, path, ok := strings.Cut(r, "=")
		if !ok {
			return nil, nil, fmt.Errorf("--ref %q is not URL=FILE", r)
		}
		if opts.References[url], err = os.ReadFile(path); err != nil {
			return nil, nil, err
		}
	}
	return openapi.Load(src, opts)
}

// checkConfig loads an installation folder as serve would, with every backend address taken as given, and runs the
// golden cases of its mapping documents.
func checkConfig(dir string, out io.Writer) error {
	src := catalog.Sources{StdSpecs: specs.Files, StdPolicies: policies.Files, Clock: ident.System{},
		Specs: os.DirFS(filepath.Join(dir, "specs")), Policies: os.DirFS(filepath.Join(dir, "policies")),
		ResolveURL: func(ref string) (string, error) { return ref, nil }}
	snap, problems := catalog.Load(src)
	bundles, partners := readPartners(src.Policies)
	problems = append(problems, partners...)
	if snap != nil {
		problems = append(problems, checkPartners(bundles, snap)...)
		problems = append(problems, golden.Check(snap, src)...)
	}
	if err := problems.Err(); err != nil {
		return err
	}
	for _, w := range snap.Warnings {
		fmt.Fprintf(out, "%s:%d: %s %s: %s\n", w.File, w.Line, w.Severity, w.Rule, w.Message)
	}
	fmt.Fprintf(out, "%d APIs, %d operations, %d backends, %d mappings, %d event types: no problem\n",
		len(snap.APIs), observe.Operations(snap), len(snap.Backends), len(snap.Mappings), len(snap.Events))
	return nil
}
