package store

// Queued is how many writes wait for the writer of portway.db.
func (db *DB) Queued() int { return len(db.main.writer.queue) }
