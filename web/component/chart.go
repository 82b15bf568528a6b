package component

import (
	"strings"
)

// Sparkline is the course of one number, 96 by 24 pixels. Beside it always stands the number itself.
type Sparkline struct {
	// Values are equally spaced, oldest first.
	Values []int
	// Label says the same in words.
	Label string
	// Trouble draws it in crimson: only where the trend itself is the problem.
	Trouble bool
}

const (
	sparkWidth  = 94.0
	sparkTop    = 3.0
	sparkBottom = 23.0
)

func (s Sparkline) point(i, top int) (x, y float64) {
	x = 1.0
	if len(s.Values) > 1 {
		x += float64(i) * (sparkWidth - 1) / float64(len(s.Values)-1)
	}
	y = sparkBottom
	if top > 0 {
		y -= float64(s.Values[i]) * (sparkBottom - sparkTop) / float64(top)
	}
	return x, y
}

func (s Sparkline) top() int {
	top := 0
	for _, v := range s.Values {
		top = max(top, v)
	}
	return top
}

// line is the path of the stroke, area the ground below it.
func (s Sparkline) line() string {
	var b strings.Builder
	top := s.top()
	for i := range s.Values {
		x, y := s.point(i, top)
		if i == 0 {
			b.WriteString("M")
		} else {
			b.WriteString("L")
		}
		b.WriteString(number(x) + " " + number(y))
	}
	return b.String()
}

func (s Sparkline) area() string {
	if len(s.Values) == 0 {
		return ""
	}
	last, _ := s.point(len(s.Values)-1, s.top())
	return s.line() + "L" + number(last) + " 24L1 24Z"
}

func (s Sparkline) end() (x, y string) {
	fx, fy := s.point(len(s.Values)-1, s.top())
	return number(fx), number(fy)
}

// Column is one bar of a column chart: what went through, and what failed on top of it.
type Column struct {
	Label      string
	OK, Failed int
}

// Columns is a small column chart with a caption for readers and a label under the first, middle and last bar.
type Columns struct {
	Label   string
	Columns []Column
}

const (
	columnPitch  = 20.0
	columnWidth  = 12.0
	columnHeight = 48.0
)

type columnBar struct {
	x, y, height float64
	failed       bool
}

func (c Columns) top() int {
	top := 0
	for _, col := range c.Columns {
		top = max(top, col.OK+col.Failed)
	}
	return top
}

// bars are the rectangles, failed ones above the others; a count above zero is at least 2 units high.
func (c Columns) bars() []columnBar {
	top := c.top()
	if top == 0 {
		return nil
	}
	height := func(n int) float64 {
		if n == 0 {
			return 0
		}
		return max(2, float64(n)*(columnHeight-2)/float64(top))
	}
	var out []columnBar
	for i, col := range c.Columns {
		x := float64(i) * columnPitch
		ok, failed := height(col.OK), height(col.Failed)
		if ok > 0 {
			out = append(out, columnBar{x, columnHeight - ok, ok, false})
		}
		if failed > 0 {
			out = append(out, columnBar{x, columnHeight - ok - failed, failed, true})
		}
	}
	return out
}

func (c Columns) width() float64 {
	return float64(len(c.Columns))*columnPitch - (columnPitch - columnWidth)
}

func (c Columns) viewBox() string { return "0 0 " + number(max(c.width(), 1)) + " 50" }

// share is part of whole in percent, for the width attribute of a bar; it stays within 0 and 100.
func share(part, whole float64) string {
	if whole <= 0 {
		return "0%"
	}
	return number(min(max(part/whole, 0), 1)*100) + "%"
}
