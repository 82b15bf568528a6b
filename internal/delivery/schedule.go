package delivery

import "time"

// defaultSchedule spends 75 hours on a silent target: the waits before each attempt.
var defaultSchedule = [...]time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
	5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}

const (
	lockedWait    = 15 * time.Second
	noRouteWait   = 5 * time.Minute
	maxRetryAfter = 24 * time.Hour
	jitter        = 0.2  // of a wait, to either side
	youngest      = 0.75 // of its nominal age is a delivery at least: the jitter, and clocks that round
)

// schedule holds the waits before each attempt; the first is 0.
type schedule []time.Duration

// newSchedule reads a route's schedule: the waits between attempts, with or without the leading 0.
func newSchedule(waits []time.Duration) schedule {
	if len(waits) == 0 {
		return defaultSchedule[:]
	}
	if waits[0] == 0 {
		return waits
	}
	return append(schedule{0}, waits...)
}

// next returns the wait after the given number of attempts and whether there is one left. Attempts alone would not
// do: tries at a locked record, and postponements while a target is silent, count as attempts but must not use up
// the time that the schedule gives. So the age of the delivery decides too: nothing ends before its time, and the
// wait is never one that belongs to a greater age.
func (s schedule) next(attempts int, age time.Duration) (time.Duration, bool) {
	i, sum := 0, time.Duration(0)
	for ; i < len(s); i++ {
		sum += s[i]
		if float64(sum)*youngest > float64(max(age, 0)) {
			break
		}
	}
	if i == len(s) && attempts >= len(s) {
		return 0, false
	}
	return s[min(attempts, i, len(s)-1)], true
}

// spread moves a wait by at most the jitter; r is from [0, 1).
func spread(wait time.Duration, r float64) time.Duration {
	return time.Duration(float64(wait) * (1 - jitter + 2*jitter*r))
}
