package main

import (
	"errors"
	"flag"
	"fmt"
	"image/color"
	"os"
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
	figureWidth   = 6 * vg.Centimeter
	pictureHeight = 11 * vg.Centimeter
)

// runPlots draws a picture and writes the table of the README.
func runPlots(arguments []string) error {
	flags := flag.NewFlagSet("benchmarks plots", flag.ExitOnError)
	from := flags.String("from", "benchmarks/results/peers.json", "`file` that make bench-peers ARGS=\"-json FILE\" has written")
	picture := flags.String("picture", "benchmarks/results/peers.png", "`file` for the picture")
	readme := flags.String("readme", "README.md", "`file` with the table")
	_ = flags.Parse(arguments)
	if flags.NArg() > 0 {
		return errors.New("plots: no arguments but flags")
	}
	m, err := readStandings(*from)
	if err != nil {
		return err
	}
	p, err := m.plot()
	if err != nil {
		return err
	}
	if err := p.Save(m.pictureWidth(), pictureHeight, *picture); err != nil {
		return err
	}
	before, err := os.ReadFile(*readme)
	if err != nil {
		return err
	}
	after, err := m.into(string(before))
	if err != nil {
		return fmt.Errorf("%s: %w", *readme, err)
	}
	return os.WriteFile(*readme, []byte(after), 0o666)
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

func (m *standings) pictureWidth() vg.Length { return vg.Length(len(m.compared())) * figureWidth }

// plot draws the ratios to lull of all figures that are compared, the median of the turns.
func (m *standings) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s events: times what lull takes in the same turn; less is better", thousands(m.Events))
	p.Title.Padding = 3 * vg.Millimeter
	p.Y.Min = 0
	p.Legend.Top = true
	p.BackgroundColor = color.White
	var names []string
	width := 5.5 * vg.Millimeter
	for i, s := range shown {
		var values plotter.Values
		names = names[:0]
		for _, f := range m.compared() {
			names = append(names, strings.Replace(f.Name, ", ", ",\n", 1))
			value := 0.0 // it has none, such as a floor without a changelog
			if ratios := f.ratios(s.contender); len(ratios) > 0 {
				value = median(ratios)
			}
			values = append(values, value)
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = s.color, 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(shown)-1)/2)
		p.Add(bars)
		p.Legend.Add(s.name, bars)
	}
	p.NominalX(names...)
	p.X.Max++ // room for the legend
	return p, nil
}

// table is what the README has: medians, and ratios to lull.
func (m *standings) table() string {
	var b strings.Builder
	head, line := "| |", "|---|"
	for _, s := range shown {
		head, line = head+" "+s.name+" |", line+"--:|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, line)
	for _, f := range m.compared() {
		fmt.Fprintf(&b, "| %s |", f.Name)
		for _, s := range shown {
			runs := f.Runs[s.contender]
			switch {
			case len(runs) == 0:
				b.WriteString(" |")
				continue
			case s.contender == lullContender:
				fmt.Fprintf(&b, " **"+f.Format+"** |", median(slices.Sorted(slices.Values(runs))))
			default:
				fmt.Fprintf(&b, " "+f.Format+" (%.2g×) |", median(slices.Sorted(slices.Values(runs))), median(f.ratios(s.contender)))
			}
		}
		b.WriteString("\n")
	}
	how := "all there before"
	if m.Rate > 0 {
		how = thousands(m.Rate) + " a second"
	}
	fmt.Fprintf(&b, "\n%s: %s events of %s customers, %s; commits every %d ms; medians of %d turns, and of their ratios to lull; %s; lull %s.\n",
		m.Day, thousands(m.Events), thousands(m.Customers), how, m.CommitMs, len(m.Figures[0].Runs[lullContender]), m.Machine, m.Version)
	return b.String()
}

// into puts the table into a text, between the marks.
func (m *standings) into(text string) (string, error) {
	before, rest, ok := strings.Cut(text, tableBegins)
	if ok {
		var after string
		if _, after, ok = strings.Cut(rest, tableEnds); ok {
			return before + tableBegins + m.table() + tableEnds + after, nil
		}
	}
	return "", fmt.Errorf("it lacks the marks %q and %q, between which the table goes", tableBegins, tableEnds)
}
