package page

import "portway/web/component"

// Styleguide is the sheet of components and states, served in development only.
type Styleguide struct{}

// Title is the title of the page.
func (Styleguide) Title() string { return "Components and states" }

func tokens() []string {
	return []string{"canvas", "surface", "sunken", "hover", "line", "line-2", "ctl", "ink", "ink-2", "ink-3", "acc", "acc-h", "acc-t",
		"ok", "ok-t", "warn", "warn-t", "bad", "bad-t", "wait", "wait-t", "mark"}
}

func sampleBadges() []component.Badge {
	return []component.Badge{
		{Tone: component.OK, Icon: component.IconCheck, Word: "Delivered"},
		{Tone: component.OK, Icon: component.IconReceipt, Word: "Acknowledged"},
		component.Stable.Badge(), component.Deprecated.Badge(), component.Preview.Badge(), component.Retired.Badge(),
		{Tone: component.Warn, Icon: component.IconClock, Word: "Slow"},
		component.DaysBadge(47),
		{Tone: component.Bad, Icon: component.IconOctagon, Word: "Failed"},
		{Tone: component.Bad, Icon: component.IconClock, Word: "Late"},
		{Tone: component.Wait, Icon: component.IconWaiting, Word: "Waiting"},
		{Tone: component.Accent, Icon: component.IconPlay, Word: "Running"},
		{Tone: component.Accent, Icon: component.IconPlus, Word: "New"},
		{Tone: component.Neutral, Icon: component.IconRing, Word: "Not started"},
		component.Subscribed.Badge(), component.Requested.Badge(), component.Paused.Badge(), component.NotSubscribed.Badge(),
		component.StatusBadge(200, true), component.StatusBadge(202, true), component.StatusBadge(422, true),
		component.StatusBadge(429, true), component.StatusBadge(502, true), component.StatusBadge(0, true),
	}
}

func sampleStates() []component.State {
	return []component.State{component.Done, component.Now, component.Waiting, component.Ahead, component.Failed,
		component.Attention, component.NotReached, component.End}
}

func sampleStops() []component.Stop {
	return []component.Stop{{Label: "Announced", Sub: "1 Mar", State: component.Done}, {Label: "Notice 3", Sub: "1 Sep", State: component.Done},
		{Label: "Brownout", Sub: "20 Oct", State: component.Now}, {Label: "Sunset", Sub: "30 Nov", State: component.Ahead},
		{Label: "Removed", Sub: "31 Dec", State: component.End}}
}

func sampleCells() []component.Cell {
	return []component.Cell{
		{Label: "Request", Value: "8KX4 93TD", Mono: true, Boxed: true},
		{Label: "Received", Value: "14 Oct, 12:04:18.226", Sub: "UTC"},
		{Label: "Application", Value: "Dock client", Sub: "Example 3PL, sandbox"},
		{Label: "Operation", Value: "POST /shipments/v2/confirmations", Mono: true, Sub: "Confirm a shipment"},
		{Label: "Answer", Badge: component.StatusBadge(422, true), Sub: "not passed on"},
		{Label: "Days left", Stencil: component.Stencil{Text: "47", Label: "47 days left", Height: 30}},
	}
}

func sampleCode() string {
	return "{\n  \"shipment\": \"SH-204417\",\n  \"lines\": [\n    { \"sku\": \"QY-1180-BL\", \"pallets\": 2, \"final\": true, \"lot\": null }\n  ]\n}"
}
