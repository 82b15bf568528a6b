package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// writerDir is the environment variable that turns this test binary into a process that only writes state.
const writerDir = "SANDBOX_TEST_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := writeForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func writeForever(dir string) error {
	s, _, err := OpenStore(dir, "tally.json", &tally{})
	if err != nil {
		return err
	}
	for {
		n := 0
		if err := s.Update(func(x *tally) bool { x.N++; n = x.N; return true }); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// TestStoreSurvivesKill kills a writing process five times: what it acknowledged is in the file.
func TestStoreSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := 0
	for cycle := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writerDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for k := 0; k < 5+cycle*3 && lines.Scan(); k++ {
			if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				acknowledged = n
			}
		}
		_ = cmd.Wait()
		s, found, err := OpenStore(dir, "tally.json", &tally{})
		if err != nil || !found {
			t.Fatalf("cycle %d: %v, found %v", cycle, err, found)
		}
		s.Read(func(x *tally) {
			if x.N < acknowledged || acknowledged == 0 {
				t.Errorf("cycle %d: acknowledged %d, kept %d", cycle, acknowledged, x.N)
			}
		})
	}
}

func TestStoreIgnoresHalfWrittenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tally.json")
	if err := os.WriteFile(path, []byte(`{"N":7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(`{"N":`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, found, err := OpenStore(dir, "tally.json", &tally{})
	if err != nil || !found || s.state.N != 7 {
		t.Fatalf("%v, found %v", err, found)
	}
	if _, err := os.Stat(path + ".tmp"); !os.IsNotExist(err) {
		t.Error("the half-written file is still there")
	}
	if err := os.WriteFile(path, []byte(`{"N":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenStore(dir, "tally.json", &tally{}); err == nil || !strings.Contains(err.Error(), "tally.json is damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}
