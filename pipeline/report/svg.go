package report

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// svg collects the elements of a drawing. Lengths are in CSS pixels. What a class looks like stands in report.css, in light and in dark.
type svg struct{ strings.Builder }

// anchor says where a text stands, seen from its point.
type anchor string

const (
	start  anchor = "start"
	middle anchor = "middle"
	end    anchor = "end"
)

// fontSize is that of all text in drawings, and charWidth what a character of it takes at most, on average.
const (
	fontSize  = 11.0
	charWidth = 6.4
	lineSize  = 15.0
)

// widthOf returns about how wide a text is.
func widthOf(text string) float64 {
	return charWidth * (float64(len([]rune(text))) + float64(strings.Count(text, "%"))/2) // a short text has nothing to make up for the broadest sign
}

// fit returns a text that is cut where it is wider than that.
func fit(text string, width float64) string {
	runes := []rune(text)
	if most := int(width / charWidth); len(runes) > most {
		return string(runes[:max(most-1, 0)]) + "…"
	}
	return text
}

// wrap breaks a text into lines of about that width.
func wrap(text string, width float64) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && widthOf(line+" "+word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes all
	return b.String()
}

// px writes a length with at most one digit after the point.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (s *svg) text(x, y float64, at anchor, class, text string) {
	fmt.Fprintf(s, `<text x="%s" y="%s" text-anchor="%s" class="%s">%s</text>`, px(x), px(y), at, class, escape(text))
}

// rect draws a box, which says tip to who points at it.
func (s *svg) rect(x, y, width, height float64, class, tip string) {
	fmt.Fprintf(s, `<rect x="%s" y="%s" width="%s" height="%s" class="%s">`, px(x), px(y), px(width), px(height), class)
	if tip != "" {
		fmt.Fprintf(s, `<title>%s</title>`, escape(tip))
	}
	s.WriteString(`</rect>`)
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(s, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, px(x1), px(y1), px(x2), px(y2), class)
}

func (s *svg) circle(x, y, r float64, class, tip string) {
	fmt.Fprintf(s, `<circle cx="%s" cy="%s" r="%s" class="%s"><title>%s</title></circle>`, px(x), px(y), px(r), class, escape(tip))
}

// panel is a part of a figure.
type panel interface {
	// draw draws it below a point at a width, and returns its height.
	draw(s *svg, left, top, width float64) (height float64)
}

// shadesOf is how many shades cells have.
const shadesOf = 7

// shade returns that of a value between 0 and most.
func shade(value, most float64) int {
	if most <= 0 || math.IsNaN(value) {
		return 0
	}
	return min(max(int(value/most*shadesOf), 0), shadesOf-1)
}

// cell is one of a grid.
type cell struct {
	value float64 // what its shade is of
	label string
	tip   string
	blank bool // without a shade: there is nothing to compare
	open  bool // of a time that is not over
}

// grid is cells in rows and columns, the darker (in the dark: the brighter) the more.
type grid struct {
	title            string
	rowsOf, columnOf string // what rows and columns are
	rows, columns    []string
	cells            [][]cell // by row, as many as it has
	most             float64  // the value of the full shade; 0: that of the greatest cell
	bounds           func(value float64) string
	cellHeight       float64 // 0: that of a line of text
	named            bool    // columns are no numbers that go on: each needs its head
}

// rowsOfWidth is how wide a line is of what rows are.
const rowsOfWidth = 72.0

func (g *grid) draw(s *svg, left, top, width float64) (height float64) {
	y := top
	for _, line := range wrap(g.title, width) {
		y += lineSize
		s.text(left, y-3, start, "b", line)
	}
	y += 4
	rowsOf := wrap(g.rowsOf, rowsOfWidth)
	label := min(max(widest(rowsOf), widest(g.rows))+8, width*0.34)
	y += lineSize * float64(max(len(rowsOf)-2, 0)) // beside its last two lines stand what columns are, and their heads
	side := min((width-label)/float64(len(g.columns)), 96)
	most := g.most
	fits := true
	for _, row := range g.cells {
		for i := range row {
			c := &row[i]
			if !c.blank && g.most == 0 {
				most = max(most, c.value)
			}
			fits = fits && widthOf(c.label) <= side-3
		}
	}
	s.text(left+label, y+lineSize-4, start, "m", fit(g.columnOf, width-label))
	y += lineSize
	y += g.heads(s, left+label, y, side, left+width)
	for i, line := range rowsOf {
		s.text(left, y-4-lineSize*float64(len(rowsOf)-1-i), start, "m", fit(line, label-6))
	}
	high := max(g.cellHeight, 20)
	for r, row := range g.cells {
		s.text(left, y+high/2+4, start, "k", fit(g.rows[r], label-6))
		for i := range row {
			c := &row[i]
			x := left + label + float64(i)*side
			if c.blank {
				s.rect(x+0.5, y+0.5, side-1, high-1, "hn", c.tip)
				if fits && c.label != "" {
					s.text(x+side/2, y+high/2+4, middle, "m", c.label)
				}
				continue
			}
			n := shade(c.value, most)
			class := "h" + strconv.Itoa(n)
			if c.open {
				class += " open"
			}
			s.rect(x+0.5, y+0.5, side-1, high-1, class, c.tip)
			if fits {
				s.text(x+side/2, y+high/2+4, middle, "t"+strconv.Itoa(n), c.label)
			}
		}
		y += high
	}
	if g.bounds != nil && most > 0 {
		y += 6 + legend(s, left, y+6, g.bounds(0), g.bounds(most))
	}
	return y - top
}

// heads draws the heads of the columns, and returns their height: on as many lines as it takes, or upright where a word is too wide; those of numbers that go on every so many as fit.
func (g *grid) heads(s *svg, left, top, side, right float64) (height float64) {
	if !g.named {
		step := int(math.Ceil((widest(g.columns) + 4) / side))
		for i, c := range g.columns {
			if i%step == 0 {
				s.text(min(left+(float64(i)+0.5)*side, right-widthOf(c)/2), top+lineSize-4, middle, "m", c)
			}
		}
		return lineSize
	}
	words := func(c string) []string { // after _ a line may end too
		of := wrap(strings.ReplaceAll(c, "_", "_ "), side-4)
		for i := range of {
			of[i] = strings.ReplaceAll(of[i], "_ ", "_")
		}
		return of
	}
	lines, broad := 1, 0.0
	for _, c := range g.columns {
		of := words(c)
		lines, broad = max(lines, len(of)), max(broad, widest(of))
	}
	if broad <= side-4 {
		for i, c := range g.columns {
			of := words(c)
			for k, line := range of {
				s.text(left+(float64(i)+0.5)*side, top+lineSize*float64(lines-len(of)+k+1)-4, middle, "m", line)
			}
		}
		return lineSize * float64(lines)
	}
	height = widest(g.columns) + 8
	for i, c := range g.columns {
		fmt.Fprintf(s, `<text transform="translate(%s %s) rotate(-90)" class="m">%s</text>`, px(left+(float64(i)+0.5)*side+4), px(top+height-4), escape(c))
	}
	return height
}

// legend draws what the shades mean, from none to the full one.
func legend(s *svg, left, top float64, low, high string) (height float64) {
	const box = 16.0
	s.text(left, top+11, start, "m", low)
	x := left + widthOf(low) + 8
	for n := range shadesOf {
		s.rect(x+float64(n)*box, top, box-1, 13, "h"+strconv.Itoa(n), "")
	}
	s.text(x+shadesOf*box+4, top+11, start, "m", high)
	return 14
}

func widest(texts []string) (width float64) {
	for _, t := range texts {
		width = max(width, widthOf(t))
	}
	return width
}

// square is one of the four of quadrants.
type square struct {
	name  string
	lines []string
	value float64
}

// squares are two by two: the first row is of high value, the second column of high risk.
type squares struct {
	cells     [2][2]square
	most      float64
	low, full string // what the shades mean
}

func (q *squares) draw(s *svg, left, top, width float64) (height float64) {
	const side, gap, head, lines0 = 18.0, 4.0, 18.0, 36.0
	w := (width - side - gap) / 2
	lines := 0
	for r := range q.cells {
		for i := range q.cells[r] {
			of := 0
			for _, line := range q.cells[r][i].lines {
				of += len(wrap(line, w-16))
			}
			lines = max(lines, of)
		}
	}
	high := lines0 + lineSize*float64(lines)
	for i, name := range []string{"low risk of churn", "high risk of churn"} {
		s.text(left+side+float64(i)*(w+gap)+w/2, top+12, middle, "m", name)
	}
	for r, name := range []string{"high value", "low value"} {
		y := top + head + float64(r)*(high+gap)
		fmt.Fprintf(s, `<text transform="translate(%s %s) rotate(-90)" text-anchor="middle" class="m">%s</text>`, px(left+11), px(y+high/2), name)
		for i := range q.cells[r] {
			c := &q.cells[r][i]
			x := left + side + float64(i)*(w+gap)
			n := shade(c.value, q.most)
			text := "t" + strconv.Itoa(n)
			s.rect(x, y, w, high, "h"+strconv.Itoa(n), c.name+": "+strings.Join(c.lines, ", "))
			s.text(x+8, y+18, start, text+" b", c.name)
			at := y + lines0
			for _, line := range c.lines {
				for _, part := range wrap(line, w-16) {
					s.text(x+8, at, start, text, part)
					at += lineSize
				}
			}
		}
	}
	height = head + 2*high + gap + 8
	return height + legend(s, left+side, top+height, q.low, q.full)
}

// bar is one of bars: its parts lie upon another.
type bar struct {
	label string
	parts [2]float64
	tip   string
}

// bars stand side by side.
type bars struct {
	title  string
	bars   []bar
	legend [2]string
	format func(value float64) string
}

func (b *bars) draw(s *svg, left, top, width float64) (height float64) {
	y := top
	for _, line := range wrap(b.title, width) {
		y += lineSize
		s.text(left, y-3, start, "b", line)
	}
	at := left
	for i, name := range b.legend {
		class := "c" + strconv.Itoa(i)
		if at > left && at+16+widthOf(name) > left+width {
			at, y = left, y+lineSize
		}
		s.rect(at, y+4, 10, 10, class, "")
		s.text(at+14, y+13, start, "m", name)
		at += 14 + widthOf(name) + 14
	}
	y += lineSize + 12
	const high = 130.0
	most := 0.0
	for i := range b.bars {
		most = max(most, b.bars[i].parts[0]+b.bars[i].parts[1])
	}
	top0 := niceAbove(most)
	axis := max(widthOf(b.format(top0)), widthOf(b.format(top0/2))) + 6
	for _, share := range []float64{0, 0.5, 1} {
		level := y + high*(1-share)
		s.line(left+axis, level, left+width, level, "grid")
		s.text(left+axis-4, level+4, end, "m", b.format(top0*share))
	}
	side := (width - axis) / float64(len(b.bars))
	labels := make([]string, len(b.bars))
	for i := range b.bars {
		labels[i] = b.bars[i].label
	}
	step := int(math.Ceil((widest(labels) + 6) / side))
	for i := range b.bars {
		x, base := left+axis+float64(i)*side, y+high
		for k, v := range b.bars[i].parts {
			h := 0.0
			if top0 > 0 {
				h = v / top0 * high
			}
			if h > 0 {
				s.rect(x+side*0.15, base-h, side*0.7, h, "c"+strconv.Itoa(k), b.bars[i].tip)
			}
			base -= h
		}
		if i%step == 0 {
			s.text(max(x+side/2, left+widthOf(b.bars[i].label)/2), y+high+lineSize, middle, "m", b.bars[i].label)
		}
	}
	return y + high + lineSize + 6 - top
}

// niceAbove returns a round number that is not below v, and not far above; 1 for 0.
func niceAbove(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}

// point is one of a reliability diagram.
type point struct {
	x, y float64 // shares
	tip  string
}

// reliability shows what was predicted beside what came.
type reliability struct {
	x, y   string // what the axes are
	points []point
}

func (r *reliability) draw(s *svg, left, top, width float64) (height float64) {
	const bottom, side = 34.0, 40.0
	wide := width - side - widthOf(percent(1))/2 - 4 // the last label stands half beyond the axis
	size := min(wide, 340)
	most, step := 0.1, 0.1
	for _, p := range r.points {
		most = max(most, p.x, p.y)
	}
	if most > 0.5 {
		step = 0.2
	}
	ticks := int(math.Ceil(most/step - 1e-9))
	most = float64(ticks) * step
	s.text(left, top+12, start, "m", r.y)
	at := top + 22
	x := func(v float64) float64 { return left + side + v/most*wide }
	y := func(v float64) float64 { return at + size - v/most*size }
	for i := range ticks + 1 {
		v := float64(i) * step
		s.line(x(v), y(0), x(v), y(most), "grid")
		s.line(x(0), y(v), x(most), y(v), "grid")
		s.text(x(v), y(0)+lineSize, middle, "m", percent(v))
		s.text(x(0)-5, y(v)+4, end, "m", percent(v))
	}
	s.line(x(0), y(0), x(most), y(most), "right")
	for _, p := range r.points {
		s.circle(x(p.x), y(p.y), 5, "c0", p.tip)
	}
	s.text(left+side, at+size+bottom-3, start, "m", r.x)
	return 22 + size + bottom + 2
}
