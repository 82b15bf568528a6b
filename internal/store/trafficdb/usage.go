package trafficdb

import (
	"context"
	"sort"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/store"
	"portway/internal/traffic"
)

type count struct{ calls, failed int64 }

// add counts a call under its hour; counts are keyed by a Usage without numbers.
func add(usage map[traffic.Usage]*count, c *traffic.Call) {
	key := traffic.Usage{Hour: c.Received.UTC().Truncate(time.Hour), Org: c.Org, Application: c.Application, Environment: c.Environment,
		API: c.API, Version: c.Version, Operation: c.Operation}
	n := usage[key]
	if n == nil {
		n = &count{}
		usage[key] = n
	}
	n.calls++
	if c.Status >= 400 {
		n.failed++
	}
}

// addUsage adds counts to the hourly rows, always in the same order, so that two appends never wait for each other.
func addUsage(ctx context.Context, tx *store.Tx, usage map[traffic.Usage]*count) error {
	keys := make([]traffic.Usage, 0, len(usage))
	for k := range usage {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return name(&keys[i]) < name(&keys[j]) })
	for _, k := range keys {
		if _, err := tx.Exec(ctx, `INSERT INTO usage_hourly (org_id, hour, application_id, environment, api, version, operation, calls, failed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org_id, hour, application_id, environment, api, version, operation)
			DO UPDATE SET calls = usage_hourly.calls + excluded.calls, failed = usage_hourly.failed + excluded.failed`,
			k.Org, k.Hour.UnixMicro(), k.Application, k.Environment, k.API, k.Version, k.Operation, usage[k].calls, usage[k].failed); err != nil {
			return err
		}
	}
	return nil
}

func name(u *traffic.Usage) string {
	return u.Hour.Format(time.RFC3339) + "\x00" + string(u.Org) + "\x00" + u.Application + "\x00" + string(u.Environment) + "\x00" +
		u.API + "\x00" + u.Version + "\x00" + u.Operation
}

// Usage implements traffic.Store.
func (s *Store) Usage(ctx context.Context, org partner.OrgID, since time.Time) ([]traffic.Usage, error) {
	if org == "" {
		return nil, nil
	}
	out := []traffic.Usage{}
	for _, r := range s.readers("") {
		var rows []struct {
			Org         ident.OrgID       `db:"org_id"`
			Hour        int64             `db:"hour"`
			Application string            `db:"application_id"`
			Environment ident.Environment `db:"environment"`
			API         string            `db:"api"`
			Version     string            `db:"version"`
			Operation   string            `db:"operation"`
			Calls       int64             `db:"calls"`
			Failed      int64             `db:"failed"`
		}
		if err := r.Select(ctx, &rows, `SELECT org_id, hour, application_id, environment, api, version, operation, calls, failed
			FROM usage_hourly WHERE org_id = ? AND hour >= ?`, org, since.UTC().Truncate(time.Hour).UnixMicro()); err != nil {
			return nil, err
		}
		for _, u := range rows {
			out = append(out, traffic.Usage{Hour: time.UnixMicro(u.Hour).UTC(), Org: u.Org, Application: u.Application, Environment: u.Environment,
				API: u.API, Version: u.Version, Operation: u.Operation, Calls: u.Calls, Failed: u.Failed})
		}
	}
	sort.Slice(out, func(i, j int) bool { return name(&out[i]) < name(&out[j]) })
	return out, nil
}
