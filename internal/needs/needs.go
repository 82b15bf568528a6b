// Package needs is what tests use for things that a machine may not have: the corpus of other people's documents and
// test vectors, a server, a browser. A test without its thing is skipped, or fails where TEST_REQUIRE lists the thing.
// Only tests and test support import it.
package needs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corpusVariable names the folder of the corpus.
const corpusVariable = "PORTWAY_CORPUS"

// Required reports whether TEST_REQUIRE, a list separated by commas such as "postgres,corpus", has name.
func Required(name string) bool {
	return listed(os.Getenv("TEST_REQUIRE"), name)
}

func listed(list, name string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(have string) bool { return strings.TrimSpace(have) == name })
}

// Missing ends a test that lacks the thing name: it is skipped with the reason, or fails where the thing is required.
func Missing(t testing.TB, name, reason string) {
	t.Helper()
	missing(t, Required(name), name, reason)
}

func missing(t testing.TB, required bool, name, reason string) {
	t.Helper()
	if required {
		t.Fatalf("%s (TEST_REQUIRE lists %s)", reason, name)
	}
	t.Skipf("skipped: %s (TEST_REQUIRE=%s makes this a failure)", reason, name)
}

// Corpus returns the path of a file or folder of the corpus, elem below the folder that PORTWAY_CORPUS names; the
// elements may have slashes. Without the variable the test is skipped, or fails where "corpus" is required.
func Corpus(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv(corpusVariable)
	if root == "" {
		Missing(t, "corpus", corpusVariable+" is not set")
	}
	return filepath.Join(root, filepath.FromSlash(filepath.Join(elem...)))
}

// CorpusFile returns the content of a file of the corpus, as Corpus finds it.
func CorpusFile(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(Corpus(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Suite logs the one line of a conformance suite, "SUITE name passed/total", and fails when a case did not pass or there
// was none. The caller names the cases.
func Suite(t testing.TB, name string, passed, total int) {
	t.Helper()
	Tally(t, name, passed, total)
	if passed < total || total == 0 {
		t.Errorf("the suite %s passed %d of %d", name, passed, total)
	}
}

// Tally logs the line of a suite whose cases are advice: those that do not pass are no failure.
func Tally(t testing.TB, name string, passed, total int) {
	t.Helper()
	t.Logf("SUITE %s %d/%d", name, passed, total)
}
