package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// plotsArgument draws what has been measured.
const plotsArgument = "plots"

// The marks in the README between which the table is.
const (
	tableBegins = "<!-- what make bench-plots writes -->\n"
	tableEnds   = "<!-- end -->\n"
)

// The size of the picture.
const (
	figureWidth   = 3.4 * vg.Centimeter
	barWidth      = 4 * vg.Millimeter
	pictureHeight = 11 * vg.Centimeter
)

// runPlots draws a picture and writes the table of the README.
func runPlots(arguments []string) error {
	flags := flag.NewFlagSet("benchmarks plots", flag.ExitOnError)
	from := flags.String("from", "benchmarks/results", "`folder` whose files *.json make bench-peers ARGS=\"-json FILE\" has written")
	picture := flags.String("picture", "benchmarks/results/peers.png", "`file` for the picture")
	readme := flags.String("readme", "README.md", "`file` with the table")
	_ = flags.Parse(arguments)
	if flags.NArg() > 0 {
		return errors.New("plots: no arguments but flags")
	}
	all, err := readResults(*from)
	if err != nil {
		return err
	}
	p, err := all.plot()
	if err != nil {
		return err
	}
	if err := p.Save(all.pictureWidth(), pictureHeight, *picture); err != nil {
		return err
	}
	before, err := os.ReadFile(*readme)
	if err != nil {
		return err
	}
	after, err := all.into(string(before))
	if err != nil {
		return fmt.Errorf("%s: %w", *readme, err)
	}
	return os.WriteFile(*readme, []byte(after), 0o666)
}

// results are all standings that are kept: who catches up first, then those at a fixed rate.
type results []*standings

// readResults reads the files of a folder.
func readResults(folder string) (all results, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no file *.json: make one by make bench-peers ARGS=\"-json FILE\"", folder)
	}
	for _, file := range files {
		m, err := readStandings(file)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b *standings) int {
		return cmp.Or(cmp.Compare(a.Rate, b.Rate), cmp.Compare(b.CommitMs, a.CommitMs), cmp.Compare(a.Events, b.Events))
	})
	return all, nil
}

// scenario says what the contenders did.
func (m *standings) scenario() string {
	if m.Rate > 0 {
		return fmt.Sprintf("%s events a second, commits every %d ms", thousands(m.Rate), m.CommitMs)
	}
	return fmt.Sprintf("catching up, commits every %d ms", m.CommitMs)
}

// shown are the contenders of picture and table, and what they are called there.
var shown = []struct {
	contender, name string
	color           color.Color
}{
	{lullContender, "lull", color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}},
	{streamsContender, "Kafka Streams", color.RGBA{R: 0xc2, G: 0x6b, B: 0x22, A: 0xff}},
	{streamsBestContender, "Kafka Streams, memory stores, 1 s commits", color.RGBA{R: 0xe0, G: 0xb0, B: 0x80, A: 0xff}},
	{floorName(copyFloor), "floor: copy", color.Gray{Y: 0xc8}},
	{floorName(logFloor), "floor: changelog", color.Gray{Y: 0xa8}},
	{floorName(avroFloor), "floor: Avro", color.Gray{Y: 0x88}},
}

// compared are the figures that say something by a ratio.
func (m *standings) compared() (list []*quantity) {
	for i := range m.Figures {
		if m.Figures[i].Compared {
			list = append(list, &m.Figures[i])
		}
	}
	return list
}

// drawn are those of the picture. At a fixed rate those are what the rate is there for.
func (m *standings) drawn() (list []*quantity) {
	for _, f := range m.compared() {
		if m.Rate == 0 || f.Name == steadyCPU || f.Name == latencyP99 {
			list = append(list, f)
		}
	}
	return list
}

func (all results) pictureWidth() vg.Length {
	n := 1 // the legend's room
	for _, m := range all {
		n += len(m.drawn())
	}
	return vg.Length(n) * figureWidth
}

// plot draws the ratios to lull of the figures, the median of the turns.
func (all results) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Times what lull takes in the same turn; less is better"
	p.Title.Padding = 3 * vg.Millimeter
	p.Y.Min = 0
	p.Legend.Top = true
	p.BackgroundColor = color.White
	var names []string
	for i, s := range shown {
		var values plotter.Values
		names = names[:0]
		for _, m := range all {
			for _, f := range m.drawn() {
				name := f.Name
				if m.Rate > 0 {
					name = fmt.Sprintf("%s/s, %d ms: %s", thousands(m.Rate), m.CommitMs, f.Name)
				}
				names = append(names, wrapped(name))
				value := 0.0 // it has none, such as a floor without a changelog
				if ratios := f.ratios(s.contender); len(ratios) > 0 {
					value = median(ratios)
				}
				values = append(values, value)
			}
		}
		bars, err := plotter.NewBarChart(values, barWidth)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = s.color, 0
		bars.Offset = barWidth * vg.Length(float64(i)-float64(len(shown)-1)/2)
		p.Add(bars)
		p.Legend.Add(s.name, bars)
	}
	p.NominalX(names...)
	p.X.Max++ // room for the legend
	return p, nil
}

// wrapped breaks a name into lines that fit under its bars.
func wrapped(name string) string {
	const lineRunes = 16
	var b strings.Builder
	line := 0
	for word := range strings.FieldsSeq(name) {
		switch {
		case line == 0:
		case line+1+len(word) > lineRunes:
			b.WriteByte('\n')
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// table is what the README has: medians, and ratios to lull.
func (all results) table() string {
	var b, below strings.Builder
	head, line := "| |", "|---|"
	for _, s := range shown {
		head, line = head+" "+s.name+" |", line+"--:|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, line)
	for _, m := range all {
		fmt.Fprintf(&b, "| **%s** |%s\n", m.scenario(), strings.Repeat(" |", len(shown)))
		for _, f := range m.compared() {
			f.row(&b)
		}
		turns := "one turn"
		if n := len(m.Figures[0].Runs[lullContender]); n > 1 {
			turns = fmt.Sprintf("medians of %d turns, and of their ratios to lull", n)
		}
		fmt.Fprintf(&below, "- %s: %s events of %s customers; %s; %s; %s; lull %s.\n", m.scenario(), thousands(m.Events), thousands(m.Customers), turns, m.Day, m.Machine, m.Version)
	}
	return b.String() + "\n" + below.String()
}

// row writes the figure as a row of the table.
func (f *quantity) row(b *strings.Builder) {
	fmt.Fprintf(b, "| %s |", f.Name)
	for _, s := range shown {
		runs := f.Runs[s.contender]
		switch {
		case len(runs) == 0:
			b.WriteString(" |")
		case s.contender == lullContender:
			fmt.Fprintf(b, " **"+f.Format+"** |", median(slices.Sorted(slices.Values(runs))))
		default:
			fmt.Fprintf(b, " "+f.Format+" (%.2g×) |", median(slices.Sorted(slices.Values(runs))), median(f.ratios(s.contender)))
		}
	}
	b.WriteString("\n")
}

// into puts the table into a text, between the marks.
func (all results) into(text string) (string, error) {
	before, rest, ok := strings.Cut(text, tableBegins)
	if ok {
		var after string
		if _, after, ok = strings.Cut(rest, tableEnds); ok {
			return before + tableBegins + all.table() + tableEnds + after, nil
		}
	}
	return "", fmt.Errorf("it lacks the marks %q and %q, between which the table goes", tableBegins, tableEnds)
}
