package schema_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portway/internal/needs"
	"portway/internal/schema"
)

// scannerVerdicts are our answers to the files that RFC 8259 leaves to the implementation.
var scannerVerdicts = map[string]struct {
	accept bool
	why    string
}{
	"i_number_double_huge_neg_exp.json":                   {false, "exponent beyond 308"},
	"i_number_huge_exp.json":                              {false, "exponent beyond 308"},
	"i_number_neg_int_huge_exp.json":                      {false, "exponent beyond 308"},
	"i_number_pos_double_huge_exp.json":                   {false, "exponent beyond 308"},
	"i_number_real_neg_overflow.json":                     {false, "exponent beyond 308"},
	"i_number_real_pos_overflow.json":                     {false, "exponent beyond 308"},
	"i_number_real_underflow.json":                        {false, "exponent beyond 308"},
	"i_number_too_big_neg_int.json":                       {true, "numbers stay exact decimals"},
	"i_number_too_big_pos_int.json":                       {true, "numbers stay exact decimals"},
	"i_number_very_big_negative_int.json":                 {true, "numbers stay exact decimals"},
	"i_object_key_lone_2nd_surrogate.json":                {false, "lone surrogate"},
	"i_string_1st_surrogate_but_2nd_missing.json":         {false, "lone surrogate"},
	"i_string_1st_valid_surrogate_2nd_invalid.json":       {false, "lone surrogate"},
	"i_string_UTF-16LE_with_BOM.json":                     {false, "not UTF-8"},
	"i_string_UTF-8_invalid_sequence.json":                {false, "not UTF-8"},
	"i_string_UTF8_surrogate_U+D800.json":                 {false, "not UTF-8"},
	"i_string_incomplete_surrogate_and_escape_valid.json": {false, "lone surrogate"},
	"i_string_incomplete_surrogate_pair.json":             {false, "lone surrogate"},
	"i_string_incomplete_surrogates_escape_valid.json":    {false, "lone surrogate"},
	"i_string_invalid_lonely_surrogate.json":              {false, "lone surrogate"},
	"i_string_invalid_surrogate.json":                     {false, "lone surrogate"},
	"i_string_invalid_utf-8.json":                         {false, "not UTF-8"},
	"i_string_inverted_surrogates_U+1D11E.json":           {false, "lone surrogate"},
	"i_string_iso_latin_1.json":                           {false, "not UTF-8"},
	"i_string_lone_second_surrogate.json":                 {false, "lone surrogate"},
	"i_string_lone_utf8_continuation_byte.json":           {false, "not UTF-8"},
	"i_string_not_in_unicode_range.json":                  {false, "not UTF-8"},
	"i_string_overlong_sequence_2_bytes.json":             {false, "not UTF-8"},
	"i_string_overlong_sequence_6_bytes.json":             {false, "not UTF-8"},
	"i_string_overlong_sequence_6_bytes_null.json":        {false, "not UTF-8"},
	"i_string_truncated-utf-8.json":                       {false, "not UTF-8"},
	"i_string_utf16BE_no_BOM.json":                        {false, "not UTF-8"},
	"i_string_utf16LE_no_BOM.json":                        {false, "not UTF-8"},
	"i_structure_500_nested_arrays.json":                  {false, "deeper than 64"},
	"i_structure_UTF-8_BOM_empty_object.json":             {false, "byte order mark"},
}

// duplicateNames are the files JSONTestSuite accepts and we do not: two parsers may pick different members.
var duplicateNames = []string{"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}

func TestSuiteJSONParsing(t *testing.T) {
	t.Parallel()
	dir := needs.Corpus(t, "vectors/json-parsing/test_parsing")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	total, passed, undecided := 0, 0, 0
	for _, f := range files {
		name := f.Name()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.HasPrefix(name, "y_") && !slices.Contains(duplicateNames, name)
		if strings.HasPrefix(name, "i_") {
			verdict, ok := scannerVerdicts[name]
			if !ok {
				t.Errorf("%s has no verdict", name)
			}
			want = verdict.accept
			undecided++
		} else {
			total++
		}
		err = schema.Scan(b, schema.Limits{})
		switch {
		case (err == nil) != want:
			t.Errorf("%s: accepted is %v, want %v (%v)", name, err == nil, want, err)
		case !strings.HasPrefix(name, "i_"):
			passed++
		}
		if _, derr := schema.Decode(b, schema.Limits{}); (derr == nil) != (err == nil) {
			t.Errorf("%s: Scan says %v, Decode says %v", name, err, derr)
		}
	}
	if undecided != len(scannerVerdicts) {
		t.Errorf("%d verdicts for %d files", len(scannerVerdicts), undecided)
	}
	t.Logf("refused on purpose although the suite accepts them: %v", duplicateNames)
	needs.Suite(t, "json-parsing", passed, total)
}

func TestSuiteJSONSchemaDraft4(t *testing.T) {
	t.Parallel()
	runSchemaSuite(t, "json-schema-draft4", "draft4", schema.Draft4, 618)
}

func TestSuiteJSONSchema202012(t *testing.T) {
	t.Parallel()
	runSchemaSuite(t, "json-schema-2020-12", "draft2020-12", schema.Draft202012, 1299)
}

// remotes reads the suite's documents by the address the suite gives them.
func remotes(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out["http://localhost:1234/"+filepath.ToSlash(rel)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func runSchemaSuite(t *testing.T, name, draft string, dialect schema.Dialect, want int) {
	root := needs.Corpus(t, "vectors/json-schema-test-suite")
	resources := remotes(t, filepath.Join(root, "remotes"))
	options := []schema.Option{schema.Resources(resources)}
	if dialect != schema.Draft4 {
		options = append(options, schema.FormatsAsAnnotations())
	}
	files, err := filepath.Glob(filepath.Join(root, "tests", draft, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	total, passed := 0, 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var groups []struct {
			Description string
			Schema      json.RawMessage
			Tests       []struct {
				Description string
				Data        json.RawMessage
				Valid       bool
			}
		}
		if err := json.Unmarshal(b, &groups); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			where := filepath.Base(f) + ": " + g.Description
			total += len(g.Tests)
			c, err := schema.NewCompiler(g.Schema, dialect, options...)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			s, _, err := c.Compile("", schema.Either)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			for _, test := range g.Tests {
				if got := s.Validate(test.Data); (len(got) == 0) != test.Valid {
					t.Errorf("%s: %s: want valid %v, got %v", where, test.Description, test.Valid, got)
					continue
				}
				passed++
			}
		}
	}
	needs.Suite(t, name, passed, total)
	if total != want {
		t.Errorf("%d cases, want %d", total, want)
	}
}
