// Package component holds the parts every page is built of: icons, badges, notes, tables' cells,
// the waybill header, the route line and the decision trail. They know nothing of Portway's domains.
package component

// Icon names one of our 16 by 16 drawings. An icon always stands beside its word.
type Icon string

// The drawings. Shapes carry meaning: octagon = stopped, triangle = attention, dashed circle = waiting,
// circle with arrow = call, sheet = document, square with square hole = Portway itself.
const (
	IconNone     Icon = ""
	IconCheck    Icon = "check"
	IconReceipt  Icon = "receipt"
	IconCross    Icon = "cross"
	IconOctagon  Icon = "octagon"
	IconTriangle Icon = "triangle"
	IconClock    Icon = "clock"
	IconWaiting  Icon = "waiting"
	IconPlay     Icon = "play"
	IconRing     Icon = "ring"
	IconRight    Icon = "right"
	IconLeft     Icon = "left"
	IconChevron  Icon = "chevron"
	IconDown     Icon = "down"
	IconDocument Icon = "document"
	IconDiamond  Icon = "diamond"
	IconKey      Icon = "key"
	IconBranch   Icon = "branch"
	IconPlus     Icon = "plus"
	IconCalendar Icon = "calendar"
	IconWrench   Icon = "wrench"
	IconMenu     Icon = "menu"
	IconPerson   Icon = "person"
	IconBulb     Icon = "bulb"
	IconPortway  Icon = "portway"
	IconShield   Icon = "shield"
	IconLeave    Icon = "leave"
	IconBook     Icon = "book"
)

// Icons lists every drawing in the order of the sheet.
func Icons() []Icon {
	return []Icon{
		IconCheck, IconReceipt, IconCross, IconOctagon, IconTriangle, IconClock, IconWaiting, IconPlay, IconRing,
		IconRight, IconLeft, IconChevron, IconDown, IconDocument, IconDiamond, IconKey, IconBranch, IconPlus,
		IconCalendar, IconWrench, IconMenu, IconPerson, IconBulb, IconPortway, IconShield, IconLeave, IconBook,
	}
}

// path is the SVG path of the drawing on a 16 by 16 grid, stroked 1.5 wide.
func (i Icon) path() string {
	switch i {
	case IconCheck:
		return "M3.25 8.5 6.5 11.75 12.75 4.5"
	case IconReceipt:
		return "M8 1.75a6.25 6.25 0 1 1 0 12.5 6.25 6.25 0 0 1 0-12.5ZM5.25 8.25l2 2 3.5-4"
	case IconCross:
		return "M4 4l8 8M12 4l-8 8"
	case IconOctagon:
		return "M5.4 1.75h5.2l3.65 3.65v5.2l-3.65 3.65H5.4L1.75 10.6V5.4ZM6 6l4 4M10 6l-4 4"
	case IconTriangle:
		return "M8 2.25 14.5 13.5h-13ZM8 6.75V9M8 11.2v.1"
	case IconClock:
		return "M8 1.75a6.25 6.25 0 1 1 0 12.5 6.25 6.25 0 0 1 0-12.5ZM8 4.75V8.5l2.25 1.25"
	case IconWaiting:
		return dashedRing
	case IconPlay:
		return "M4.75 3.5v9L12 8Z"
	case IconRing:
		return "M8 2.75a5.25 5.25 0 1 1 0 10.5 5.25 5.25 0 0 1 0-10.5Z"
	case IconRight:
		return "M3 8h9.5M9 4.25 12.75 8 9 11.75"
	case IconLeft:
		return "M13 8H3.5M7 4.25 3.25 8 7 11.75"
	case IconChevron:
		return "M6 3.75 10.25 8 6 12.25"
	case IconDown:
		return "M3.75 6 8 10.25 12.25 6"
	case IconDocument:
		return "M3.25 1.75h6l3.5 3.5v9h-9.5ZM5.75 8.25h4.5M5.75 11h4.5"
	case IconDiamond:
		return "M8 1.9 14.1 8 8 14.1 1.9 8Z"
	case IconKey:
		return "M4.5 5.25a2.75 2.75 0 1 1 0 5.5 2.75 2.75 0 0 1 0-5.5ZM7.5 8h7v2.25M11.5 8v2"
	case IconBranch:
		return "M4.25 2.25v11.5M4.25 10.5H6c4 0 5.75-2 5.75-5.25v-3"
	case IconPlus:
		return "M8 3v10M3 8h10"
	case IconCalendar:
		return "M2.25 3.5h11.5v10.25H2.25ZM2.5 6.75h11M5.25 1.75v3M10.75 1.75v3"
	case IconWrench:
		return "M2.5 13.5 8 8M13.6 4.4a3.5 3.5 0 1 1-2-2L9.9 4.1l.3 1.7 1.7.3Z"
	case IconMenu:
		return "M2.25 4h11.5M2.25 8h11.5M2.25 12h11.5"
	case IconPerson:
		return "M8 2.25a2.75 2.75 0 1 1 0 5.5 2.75 2.75 0 0 1 0-5.5ZM2.75 13.75c.3-2.6 2.2-3.75 5.25-3.75s4.95 1.15 5.25 3.75"
	case IconBulb:
		return "M5.75 11.25C5.5 9.5 3.75 8.75 3.75 6a4.25 4.25 0 0 1 8.5 0c0 2.75-1.75 3.5-2 5.25ZM6.25 14.25h3.5"
	case IconPortway:
		return "M2.25 2.25h11.5v11.5H2.25ZM6.25 6.25h3.5v3.5h-3.5Z"
	case IconShield:
		return "M8 1.75l5.25 1.75v4.25c0 3-2 5-5.25 6.5-3.25-1.5-5.25-3.5-5.25-6.5V3.5Z"
	case IconLeave:
		return "M8.5 2.25H2.75v11.5H8.5M6.5 8h7M10.5 4.75 13.75 8l-3.25 3.25"
	case IconBook:
		return "M2.25 2.75h3.5C7 2.75 8 3.5 8 4.75c0-1.25 1-2 2.25-2h3.5v9.5h-4C8.75 12.25 8 13 8 13.75c0-.75-.75-1.5-1.75-1.5h-4ZM8 5v8.5"
	default:
		return ""
	}
}

// dashedRing is a circle of radius 6 in eight dashes, drawn as arcs so that it needs no dash attribute.
const dashedRing = "M13.88 6.83A6 6 0 0 1 13.88 9.17M12.99 11.33A6 6 0 0 1 11.33 12.99M9.17 13.88A6 6 0 0 1 6.83 13.88" +
	"M4.67 12.99A6 6 0 0 1 3.01 11.33M2.12 9.17A6 6 0 0 1 2.12 6.83M3.01 4.67A6 6 0 0 1 4.67 3.01" +
	"M6.83 2.12A6 6 0 0 1 9.17 2.12M11.33 3.01A6 6 0 0 1 12.99 4.67"
