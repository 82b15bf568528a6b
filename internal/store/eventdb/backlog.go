package eventdb

import (
	"context"
	"time"

	"portway/internal/delivery"
)

// Backlog returns what is pending and dead in every lane that has such deliveries, in order of lane. Its cost grows with
// their number, not with that of the delivered ones.
func (s *Store) Backlog(ctx context.Context) ([]delivery.Backlog, error) {
	var rows []struct {
		Lane    string `db:"lane"`
		Pending int64  `db:"pending"`
		Dead    int64  `db:"dead"`
		Oldest  int64  `db:"oldest"`
	}
	err := s.db.Read().Select(ctx, &rows, `SELECT lane, sum(pending) AS pending, sum(dead) AS dead, sum(oldest) AS oldest FROM (
		SELECT lane, count(*) AS pending, 0 AS dead, min(created) AS oldest FROM deliveries WHERE ended = 0 GROUP BY lane
		UNION ALL SELECT lane, 0, count(*), 0 FROM deliveries WHERE state = 'dead' GROUP BY lane) parts GROUP BY lane ORDER BY lane`)
	if err != nil {
		return nil, err
	}
	out := make([]delivery.Backlog, len(rows))
	for i, r := range rows {
		out[i] = delivery.Backlog{Lane: r.Lane, Pending: r.Pending, Dead: r.Dead}
		if r.Oldest > 0 {
			out[i].Oldest = time.UnixMicro(r.Oldest).UTC()
		}
	}
	return out, nil
}
