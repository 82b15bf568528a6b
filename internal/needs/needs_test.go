package needs

import (
	"fmt"
	"runtime"
	"testing"
)

// record stands in for a test and keeps what was done to it. FailNow and SkipNow end the goroutine, as testing does.
type record struct {
	testing.TB
	log  []string
	done string
}

func (r *record) Helper()                   {}
func (r *record) Logf(f string, a ...any)   { r.log = append(r.log, fmt.Sprintf(f, a...)) }
func (r *record) Errorf(f string, a ...any) { r.Logf(f, a...); r.done = "failed" }
func (r *record) Fatal(a ...any) {
	r.log, r.done = append(r.log, fmt.Sprint(a...)), "failed"
	runtime.Goexit()
}
func (r *record) Fatalf(f string, a ...any) { r.Errorf(f, a...); runtime.Goexit() }
func (r *record) Skipf(f string, a ...any)  { r.Logf(f, a...); r.done = "skipped"; runtime.Goexit() }

// played returns what do did to its test, and its log.
func played(do func(t testing.TB)) (string, []string) {
	r, ended := &record{done: "passed"}, make(chan struct{})
	go func() {
		defer close(ended)
		do(r)
	}()
	<-ended
	return r.done, r.log
}

func TestListed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list string
		want bool
	}{
		{"", false}, {"corpus", true}, {"postgres,corpus", true}, {"corpus,postgres", true}, {"postgres, corpus", true},
		{"corpus2", false}, {"my-corpus", false}, {"postgres", false}, {",", false}, {"corpus postgres", false},
	} {
		if got := listed(c.list, "corpus"); got != c.want {
			t.Errorf("%q lists corpus: %v", c.list, got)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for required, want := range map[bool]string{true: "failed", false: "skipped"} {
		if got, log := played(func(t testing.TB) { missing(t, required, "corpus", "it is not there") }); got != want || len(log) != 1 {
			t.Errorf("required %v: %s with %q", required, got, log)
		}
	}
}

// The environment is the process's, so this test is not parallel.
func TestCorpus(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PORTWAY_CORPUS", dir)
	if got := Corpus(t); got != dir {
		t.Errorf("%s, want %s", got, dir)
	}
	if got := Corpus(t, "a/b", "c"); got != dir+"/a/b/c" {
		t.Errorf("%s", got)
	}
	if got, _ := played(func(t testing.TB) { CorpusFile(t, "absent") }); got != "failed" {
		t.Errorf("a file that is not in the corpus: %s", got)
	}
	t.Setenv("PORTWAY_CORPUS", "")
	for list, want := range map[string]string{"": "skipped", "postgres": "skipped", "postgres,corpus": "failed"} {
		t.Setenv("TEST_REQUIRE", list)
		if got, log := played(func(t testing.TB) { Corpus(t) }); got != want {
			t.Errorf("TEST_REQUIRE=%s: %s with %q", list, got, log)
		}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		passed, total int
		do            func(testing.TB, string, int, int)
		want          string
	}{{3, 3, Suite, "passed"}, {2, 3, Suite, "failed"}, {0, 0, Suite, "failed"}, {2, 3, Tally, "passed"}} {
		got, log := played(func(t testing.TB) { c.do(t, "x", c.passed, c.total) })
		if got != c.want || log[0] != fmt.Sprintf("SUITE x %d/%d", c.passed, c.total) {
			t.Errorf("%d of %d: %s with %q", c.passed, c.total, got, log)
		}
	}
}
