package eventdb

import (
	"context"

	"portway/internal/eventlog"
)

// maxControl is the largest control number of nine digits (ISA13, GS06, ST02); 1 follows.
const maxControl = 999_999_999

// acknowledge draws control numbers and lets the caller render the acknowledgement. A number is used up only if the
// acceptance commits, so the partner sees no gap.
func (a *acceptance) acknowledge(ctx context.Context) error {
	if a.in.Acknowledge == nil {
		return nil
	}
	connection := string(a.doc.Org) + "/" + a.doc.Connection
	if a.in.Interchange != nil {
		connection = a.in.Interchange.Connection
	}
	sets := max(1, int64(a.in.AckSets))
	var c eventlog.Control
	for _, draw := range []struct {
		kind  string
		count int64
		first *int64
	}{{"interchange", 1, &c.Interchange}, {"group", sets, &c.Group}, {"set", sets, &c.Set}} {
		var last int64
		// A run of numbers never wraps in its middle: it starts again at 1 instead.
		err := a.tx.Get(ctx, &last, `INSERT INTO control_numbers (connection_id, kind, org_id, last) VALUES (?, ?, ?, ?)
			ON CONFLICT (connection_id, kind) DO UPDATE SET last = CASE WHEN control_numbers.last + excluded.last > ? THEN excluded.last
			ELSE control_numbers.last + excluded.last END RETURNING last`,
			connection, draw.kind, a.doc.Org, draw.count, maxControl)
		if err != nil {
			return err
		}
		*draw.first = last - draw.count + 1
	}
	ack, status, err := a.in.Acknowledge(c, a.result.Outcomes)
	if err != nil {
		return err
	}
	a.doc.Ack, a.doc.AckStatus = ack, status
	a.result.Ack, a.result.AckStatus = ack, status
	return nil
}
