package storetest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/store"
	"portway/internal/store/eventdb"
)

const (
	childDir    = "STORETEST_CHILD_DIR" // makes the test binary the child of TestKillShort
	killCycles  = 5
	killAfter   = 150 // acknowledged events per cycle
	killClients = 8
)

// statement is a release of an order of its own, with a delivery to make.
func statement(number string) eventlog.Acceptance {
	data := `{"order":"` + number + `","version":1,"lines":[{"lineNo":1,"sku":"A","quantity":{"value":"10","unit":"EA"}}]}`
	return eventlog.Acceptance{
		Document: eventlog.Document{Org: "owner", Environment: ident.Live, Format: "json", Raw: []byte(data)},
		Statements: []eventlog.Statement{{OrderNumber: number, Fulfiller: "fulfiller", BusinessKey: number, Fingerprint: "f",
			Subscribers: []eventlog.Subscriber{{Route: "r", Lane: "normal"}},
			Event: logistics.Event{Type: logistics.OrderReleased, Refs: []logistics.Ref{{Scheme: "so", Value: number}, {Scheme: "po", Value: "P" + number}},
				Data: []byte(data)}}},
	}
}

// child accepts events until it is killed and prints each id after Accept returned.
func child(dir string) int {
	db, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	log := eventdb.New(db, ident.System{}, nil)
	var wg sync.WaitGroup
	for range killClients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				r, err := log.Accept(context.Background(), statement(ident.NewID(ident.System{})))
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Println(r.Outcomes[0].EventID)
			}
		}()
	}
	wg.Wait()
	return 1
}

// TestKillShort kills a process that accepts events, again and again: what it acknowledged is there afterwards, whole.
func TestKillShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for range killCycles {
		killOnce(t, dir, acknowledged)
		db, err := store.Open(context.Background(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var stored []string
		if err := db.Read().Select(context.Background(), &stored, "SELECT id FROM events"); err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, id := range stored {
			have[id] = true
		}
		for id := range acknowledged {
			if !have[id] {
				t.Errorf("event %s was acknowledged and is gone", id)
			}
		}
		for _, table := range []string{"documents", "orders", "business_keys", "deliveries", "event_refs"} {
			var n int
			if err := db.Read().Get(context.Background(), &n, "SELECT count(*) FROM "+table); err != nil {
				t.Fatal(err)
			}
			want := len(stored)
			if table == "event_refs" {
				want *= 2
			}
			if n != want {
				t.Errorf("%d rows in %s for %d events", n, table, len(stored))
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) < killCycles*killAfter {
		t.Errorf("only %d events were acknowledged", len(acknowledged))
	}
	t.Logf("%d kills, %d acknowledged events, none lost", killCycles, len(acknowledged))
}

func killOnce(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	n := 0
	for lines.Scan() {
		if !ident.ValidID(lines.Text()) {
			break // cut off by the kill
		}
		acknowledged[lines.Text()] = true
		if n++; n == killAfter {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("the child ended by itself: %v", err)
	}
	if complaints.Len() > 0 {
		t.Fatalf("the child complained: %s", complaints.String())
	}
}
