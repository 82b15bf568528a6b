package trafficdb

import (
	"context"
	"sort"
	"strings"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/store"
	"portway/internal/traffic"
)

// tally is what one batch adds to a row of contract violations.
type tally struct {
	calls, refused int64
	first, last    time.Time
	sample         string
}

// tallies are keyed by a ContractViolation without numbers and times.
type tallies map[traffic.ContractViolation]*tally

// addBreaches counts a call once in every place it broke its contract, whatever number of breaches it has there.
func (t tallies) addBreaches(c *traffic.Call) {
	if len(c.Breaches) == 0 {
		return
	}
	seen := map[traffic.ContractViolation]bool{} // whether it was refused
	for _, b := range c.Breaches {
		key := traffic.ContractViolation{Org: c.Org, Environment: c.Environment, API: c.API, Version: c.Version, Operation: c.Operation,
			Direction: b.Direction, Pointer: b.Pointer, Keyword: b.Keyword}
		if b.Direction == traffic.Response {
			key.Org, key.Backend = "", b.Backend
		}
		seen[key] = seen[key] || b.Refused
	}
	for key, refused := range seen {
		row := t[key]
		if row == nil {
			row = &tally{first: c.Received}
			t[key] = row
		}
		row.calls++
		if refused {
			row.refused++
		}
		if c.Received.Before(row.first) {
			row.first = c.Received
		}
		if !c.Received.Before(row.last) {
			row.last, row.sample = c.Received, c.ID
		}
	}
}

// write adds the tallies to their rows, always in the same order, so that two appends never wait for each other.
func (t tallies) write(ctx context.Context, tx *store.Tx) error {
	keys := make([]traffic.ContractViolation, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return place(&keys[i]) < place(&keys[j]) })
	for _, k := range keys {
		n := t[k]
		if _, err := tx.Exec(ctx, `INSERT INTO contract_violations (org_id, backend, environment, api, version, operation, direction, pointer, keyword,
				calls, refused, first_seen, last_seen, sample) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (org_id, backend, environment, api, version, operation, direction, pointer, keyword) DO UPDATE SET
				calls = contract_violations.calls + excluded.calls, refused = contract_violations.refused + excluded.refused,
				first_seen = CASE WHEN excluded.first_seen < contract_violations.first_seen THEN excluded.first_seen ELSE contract_violations.first_seen END,
				last_seen = CASE WHEN excluded.last_seen >= contract_violations.last_seen THEN excluded.last_seen ELSE contract_violations.last_seen END,
				sample = CASE WHEN excluded.last_seen >= contract_violations.last_seen THEN excluded.sample ELSE contract_violations.sample END`,
			k.Org, k.Backend, k.Environment, k.API, k.Version, k.Operation, k.Direction, k.Pointer, k.Keyword,
			n.calls, n.refused, n.first.UnixMicro(), n.last.UnixMicro(), n.sample); err != nil {
			return err
		}
	}
	return nil
}

func place(v *traffic.ContractViolation) string {
	return strings.Join([]string{string(v.Org), v.Backend, string(v.Environment), v.API, v.Version, v.Operation, string(v.Direction), v.Pointer, v.Keyword}, "\x00")
}

// addRefs writes the business numbers of a call.
func addRefs(ctx context.Context, tx *store.Tx, c *traffic.Call) error {
	for _, r := range c.Refs {
		if _, err := tx.Exec(ctx, `INSERT INTO call_refs (org_id, scheme, value, call_id) VALUES (?, ?, ?, ?)
			ON CONFLICT (org_id, scheme, value, call_id) DO NOTHING`, c.Org, r.Scheme, r.Value, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// refsOf reads the business numbers of a call from where its record was found.
func refsOf(ctx context.Context, r *store.Reader, id string) ([]traffic.Ref, error) {
	var rows []struct {
		Scheme string `db:"scheme"`
		Value  string `db:"value"`
	}
	if err := r.Select(ctx, &rows, "SELECT scheme, value FROM call_refs WHERE call_id = ? ORDER BY scheme, value", id); err != nil {
		return nil, err
	}
	var out []traffic.Ref
	for _, row := range rows {
		out = append(out, traffic.Ref{Scheme: row.Scheme, Value: row.Value})
	}
	return out, nil
}

// ContractViolations implements traffic.Store.
func (s *Store) ContractViolations(ctx context.Context, org partner.OrgID, since time.Time) ([]traffic.ContractViolation, error) {
	if org == "" {
		return nil, nil
	}
	return s.violations(ctx, "org_id = ? AND backend = '' AND last_seen >= ?", org, since.UnixMicro())
}

// BackendViolations implements traffic.Store.
func (s *Store) BackendViolations(ctx context.Context, since time.Time) ([]traffic.ContractViolation, error) {
	return s.violations(ctx, "org_id = '' AND direction = 'response' AND last_seen >= ?", since.UnixMicro())
}

// violations reads rows of both environments; each row is in one place only, as its environment says.
func (s *Store) violations(ctx context.Context, where string, args ...any) ([]traffic.ContractViolation, error) {
	var out []traffic.ContractViolation
	for _, r := range s.readers("") {
		var rows []violationRow
		if err := r.Select(ctx, &rows, `SELECT org_id, backend, environment, api, version, operation, direction, pointer, keyword,
			calls, refused, first_seen, last_seen, sample FROM contract_violations WHERE `+where, args...); err != nil {
			return nil, err
		}
		for i := range rows {
			out = append(out, rows[i].violation())
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Calls != out[j].Calls {
			return out[i].Calls > out[j].Calls
		}
		return place(&out[i]) < place(&out[j])
	})
	return out, nil
}

type violationRow struct {
	Org         ident.OrgID       `db:"org_id"`
	Backend     string            `db:"backend"`
	Environment ident.Environment `db:"environment"`
	API         string            `db:"api"`
	Version     string            `db:"version"`
	Operation   string            `db:"operation"`
	Direction   string            `db:"direction"`
	Pointer     string            `db:"pointer"`
	Keyword     string            `db:"keyword"`
	Calls       int64             `db:"calls"`
	Refused     int64             `db:"refused"`
	First       int64             `db:"first_seen"`
	Last        int64             `db:"last_seen"`
	Sample      string            `db:"sample"`
}

func (r *violationRow) violation() traffic.ContractViolation {
	return traffic.ContractViolation{Org: r.Org, Backend: r.Backend, Environment: r.Environment, API: r.API, Version: r.Version,
		Operation: r.Operation, Direction: traffic.Direction(r.Direction), Pointer: r.Pointer, Keyword: r.Keyword, Calls: r.Calls,
		Refused: r.Refused, First: time.UnixMicro(r.First).UTC(), Last: time.UnixMicro(r.Last).UTC(), Sample: r.Sample}
}
