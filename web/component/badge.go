package component

import (
	"strconv"

	"portway/web/format"
)

// Tone is the colour role of a state. It never stands alone: a badge always has an icon and a word.
type Tone string

// The tones of LOOK: act and select, the four states, and none.
const (
	Neutral Tone = "neutral"
	Accent  Tone = "acc"
	OK      Tone = "ok"
	Warn    Tone = "warn"
	Bad     Tone = "bad"
	Wait    Tone = "wait"
)

// Badge is one state: tone, shape and word.
type Badge struct {
	Tone Tone
	Icon Icon
	Word string
}

// Lifecycle is where a version or an operation stands in its life.
type Lifecycle string

// The stages of a version's life, in order.
const (
	Preview    Lifecycle = "preview"
	Stable     Lifecycle = "stable"
	Deprecated Lifecycle = "deprecated"
	Retired    Lifecycle = "retired"
)

// Badge is the lifecycle as a badge.
func (l Lifecycle) Badge() Badge {
	switch l {
	case Preview:
		return Badge{Wait, IconBranch, "Preview"}
	case Deprecated:
		return Badge{Warn, IconTriangle, "Deprecated"}
	case Retired:
		return Badge{Neutral, IconCross, "Retired"}
	default:
		return Badge{OK, IconCheck, "Stable"}
	}
}

// Subscription is the state of an application's subscription to one version; "" is none.
type Subscription string

// The states of a subscription.
const (
	NotSubscribed Subscription = ""
	Requested     Subscription = "requested"
	Subscribed    Subscription = "active"
	Paused        Subscription = "paused"
	Closed        Subscription = "closed"
)

// Badge is the subscription as a badge.
func (s Subscription) Badge() Badge {
	switch s {
	case Requested:
		return Badge{Wait, IconWaiting, "Requested"}
	case Subscribed:
		return Badge{OK, IconCheck, "Subscribed"}
	case Paused:
		return Badge{Warn, IconClock, "Paused"}
	case Closed:
		return Badge{Neutral, IconCross, "Closed"}
	default:
		return Badge{Neutral, IconRing, "Not subscribed"}
	}
}

// StatusBadge is an HTTP status as a badge: the number and, with words, what it means for the call.
func StatusBadge(status int, words bool) Badge {
	b := Badge{Bad, IconOctagon, "Failed"}
	switch {
	case status == 0:
		return Badge{Neutral, IconCross, "No answer"}
	case status == 202:
		b = Badge{OK, IconCheck, "Accepted"}
	case status < 300:
		b = Badge{OK, IconCheck, "Answered"}
	case status < 400:
		b = Badge{Neutral, IconRight, "Redirected"}
	case status == 429:
		b = Badge{Warn, IconClock, "Limited"}
	case status < 500:
		b = Badge{Bad, IconOctagon, "Rejected"}
	}
	if words {
		b.Word = strconv.Itoa(status) + " " + b.Word
	} else {
		b.Word = strconv.Itoa(status)
	}
	return b
}

// DaysBadge is the number of days to a sunset, as it stands in the side navigation: "47 d".
func DaysBadge(days int) Badge {
	if days < 0 {
		return Badge{Neutral, IconCross, "Gone"}
	}
	return Badge{Warn, IconCalendar, format.Count(days) + " d"}
}
