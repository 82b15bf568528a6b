package component

import "portway/web/format"

// Link is a word with an address. An empty Href is the current place, shown as text.
type Link struct {
	Label, Href string
}

// Note is a message that sits in its place: what happened and what to do.
type Note struct {
	Tone Tone
	// Bold is the fact, Text the rest of the sentence.
	Bold, Text string
	// Links lead to the fields or pages the note is about.
	Links []Link
	// ID, if set, makes the note a summary that takes focus after a post (role alert, focusable).
	ID string
}

func (n Note) icon() Icon {
	switch n.Tone {
	case OK:
		return IconCheck
	case Warn:
		return IconTriangle
	case Bad:
		return IconOctagon
	case Wait:
		return IconWaiting
	default:
		return IconBulb
	}
}

// Empty is what stands where a list would be: a fact, what will appear, and one way on.
type Empty struct {
	Fact, Text string
	Link       Link
}

// Chip is a filter: a link whose address holds the choice.
type Chip struct {
	Label string
	Icon  Icon
	// Count stands after the label unless it is 0.
	Count   int
	Href    string
	Current bool
}

func (c Chip) text() string {
	if c.Count == 0 {
		return c.Label
	}
	return c.Label + " " + format.Count(c.Count)
}

// Input is one form control with its label, hint and error. A typed value is never cleared;
// a password is not sent back.
type Input struct {
	// Name is the form name and the id of the control.
	Name, Label string
	// Type is the HTML input type.
	Type         string
	Value        string
	Autocomplete string
	Hint, Error  string
	Required     bool
	Autofocus    bool
}

// describedBy lists the ids of the hint and the error that exist.
func (i Input) describedBy() string {
	switch {
	case i.Error != "" && i.Hint != "":
		return i.Name + "-error " + i.Name + "-hint"
	case i.Error != "":
		return i.Name + "-error"
	case i.Hint != "":
		return i.Name + "-hint"
	default:
		return ""
	}
}
