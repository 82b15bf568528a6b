package delivery

import "time"

// Backlog is what a lane has not delivered, over all nodes.
type Backlog struct {
	Lane    string
	Pending int64 // to be tried, or being tried
	Dead    int64 // given up, each with its reason
	// Oldest is when the oldest pending one was made; zero when none is pending.
	Oldest time.Time
}
