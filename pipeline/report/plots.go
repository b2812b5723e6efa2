// Package report draws what analysts look at.
package report

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"lull/operators/bgnbd"
	"lull/pipeline/backtest"
)

var (
	blue = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	red  = color.RGBA{R: 0xc2, G: 0x3b, B: 0x22, A: 0xff}
	grey = color.Gray{Y: 0x90}
)

// The size and resolution of a picture.
const (
	width  = 16 * vg.Centimeter
	height = 11 * vg.Centimeter
	dpi    = 144
)

// Backtest draws the three pictures of a backtest into a folder, which is made if it is not there: calibration.png, purchases.png and alive.png. The
// same result gives the same bytes.
func Backtest(folder string, past *backtest.Past, r *backtest.Result) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for _, picture := range []struct {
		name string
		draw func() (*plot.Plot, error)
	}{
		{"calibration.png", func() (*plot.Plot, error) { return calibration(r) }},
		{"purchases.png", func() (*plot.Plot, error) { return purchases(past, r) }},
		{"alive.png", func() (*plot.Plot, error) { return alive(past, r) }},
	} {
		p, err := picture.draw()
		if err == nil {
			err = save(p, filepath.Join(folder, picture.name))
		}
		if err != nil {
			return fmt.Errorf("drawing %s: %w", picture.name, err)
		}
	}
	return nil
}

func save(p *plot.Plot, name string) error {
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
	p.Draw(draw.Crop(draw.New(canvas), 3*vg.Millimeter, -5*vg.Millimeter, 3*vg.Millimeter, -3*vg.Millimeter))
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(file); err != nil {
		_ = file.Close() // the error that counts is the first
		return err
	}
	return file.Close()
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding, p.X.Padding, p.Y.Padding = 2*vg.Millimeter, 0, 0
	p.BackgroundColor = color.White
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks{}, roundTicks{}
	p.Legend.Left, p.Legend.Top = true, true
	p.Legend.XOffs, p.Legend.YOffs = 2*vg.Millimeter, -2*vg.Millimeter
	p.Legend.Padding = vg.Millimeter
	return p
}

// roundTicks are at multiples of 1, 2 or 5 times a power of ten.
type roundTicks struct {
	end float64 // of the data, if the axis goes further; else 0
}

// Ticks returns up to ten ticks.
func (t roundTicks) Ticks(from, to float64) []plot.Tick {
	const most = 10
	if t.end > 0 {
		to = t.end
	}
	step := math.Pow(10, math.Floor(math.Log10((to-from)/most)))
	for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10
		if (to-from)/step <= most {
			break
		}
		step *= factor
	}
	var ticks []plot.Tick
	for i := math.Ceil(from / step); i*step <= to; i++ {
		// Multiplying by a fraction would print 0.30000000000000004.
		ticks = append(ticks, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'g', 6, 64)})
	}
	return ticks
}

// line adds a line to the plot; it stands in the legend if it has a name there.
func line(p *plot.Plot, name string, points plotter.XYs, c color.Color, dashes ...vg.Length) error {
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width, l.Dashes = c, vg.Points(1.5), dashes
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

// dashed are the dashes of lines that show no data.
var dashed = []vg.Length{vg.Points(4), vg.Points(3)}

// bins are the points of the calibration plot with what chance alone does to the observed share: two standard deviations.
type bins []backtest.Bin

func (b bins) Len() int                { return len(b) }
func (b bins) XY(i int) (x, y float64) { return b[i].Predicted, b[i].Observed }
func (b bins) YError(i int) (low, high float64) {
	p := b[i].Observed
	e := 2 * math.Sqrt(p*(1-p)/float64(b[i].Customers))
	return e, e
}

// calibration shows, for tenths of the customers by P(buys again), how many of them did.
func calibration(r *backtest.Result) (*plot.Plot, error) {
	p := newPlot("Buys again in the holdout: predicted and observed", "mean predicted probability of a tenth of the customers", "share of them who bought")
	points := bins(r.Churn.Bins)
	scatter, err := plotter.NewScatter(points)
	if err != nil {
		return nil, err
	}
	scatter.Color, scatter.Shape, scatter.Radius = blue, draw.CircleGlyph{}, vg.Points(3)
	bars, err := plotter.NewYErrorBars(points)
	if err != nil {
		return nil, err
	}
	bars.Color = blue
	if err := line(p, "as predicted", plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, grey, dashed...); err != nil {
		return nil, err
	}
	p.Add(bars, scatter)
	p.Legend.Add("observed, and two standard deviations", scatter)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	return p, nil
}

// purchases shows the repeat purchases of all customers as they came, and as the model expects them from births alone.
func purchases(past *backtest.Past, r *backtest.Result) (*plot.Plot, error) {
	p := newPlot("Repeat purchases of all customers", "weeks since "+past.Periods.First.String(), "repeat purchases so far")
	week := func(i int) float64 { return float64(past.Weeks[i].Until-past.Periods.First+1) / 7 }
	actual, expected := make(plotter.XYs, len(past.Weeks)), make(plotter.XYs, len(past.Weeks))
	most := 0.0
	for i := range past.Weeks {
		actual[i] = plotter.XY{X: week(i), Y: float64(past.Weeks[i].Repeats)}
		expected[i] = plotter.XY{X: week(i), Y: r.Expected[i]}
		most = max(most, actual[i].Y, expected[i].Y)
	}
	end := float64(past.Periods.Calibrate-past.Periods.First+1) / 7
	if err := line(p, "end of calibration", plotter.XYs{{X: end, Y: 0}, {X: end, Y: most}}, grey, dashed...); err != nil {
		return nil, err
	}
	if err := line(p, "actual", actual, blue); err != nil {
		return nil, err
	}
	if err := line(p, r.Models.Purchases.Params.Family.String(), expected, red, vg.Points(6), vg.Points(2)); err != nil {
		return nil, err
	}
	p.X.Min, p.Y.Min = 0, 0
	return p, nil
}

// shades are ten blues, from light to dark, for tenths of a probability.
type shades struct{}

// Colors returns them.
func (shades) Colors() []color.Color {
	const count = 10
	colors := make([]color.Color, count)
	for i := range colors {
		mix := func(light, dark float64) uint8 { return uint8(light + (dark-light)*float64(i)/(count-1)) }
		colors[i] = color.RGBA{R: mix(0xee, 0x08), G: mix(0xf4, 0x2a), B: mix(0xfb, 0x66), A: 0xff}
	}
	return colors
}

// matrix is P(alive) at the greatest age, by the number of repeat purchases (columns, from 1) and the time of the last one (rows).
type matrix struct {
	params  bgnbd.Params
	columns int
	age     float64
}

const matrixRows = 60

func (m matrix) Dims() (columns, rows int) { return m.columns, matrixRows }
func (m matrix) X(column int) float64      { return float64(column + 1) }
func (m matrix) Y(row int) float64         { return m.age * float64(row) / (matrixRows - 1) }
func (m matrix) Z(column, row int) float64 {
	return m.params.PAlive(bgnbd.History{X: column + 1, TX: m.Y(row), T: m.age})
}

// alive shows P(alive) of the oldest customers by what they have bought and when last.
func alive(past *backtest.Past, r *backtest.Result) (*plot.Plot, error) {
	m := matrix{params: r.Models.Purchases.Params, columns: 1}
	for i := range r.Predictions {
		h := &r.Predictions[i].History
		m.age = max(m.age, h.T)
		m.columns = max(m.columns, h.X)
	}
	m.columns, m.age = max(2, min(m.columns, 30)), max(m.age, 1) // what is beyond 30 looks the same
	once := m.params.PAlive(bgnbd.History{T: m.age})
	p := newPlot(fmt.Sprintf("P(alive) on %s of customers of %.0f days (who bought once: %.2f)", past.Periods.Calibrate, m.age, once),
		"repeat purchases", "age at the last purchase, days")
	heat := plotter.NewHeatMap(m, shades{})
	heat.Min, heat.Max = 0, 1
	p.Add(heat)
	thumbs := plotter.PaletteThumbnailers(shades{})
	for i := len(thumbs) - 1; i >= 0; i-- {
		p.Legend.Add(fmt.Sprintf("%.1f to %.1f", float64(i)/float64(len(thumbs)), float64(i+1)/float64(len(thumbs))), thumbs[i])
	}
	p.Legend.Left, p.Legend.XOffs, p.Legend.YOffs = false, 0, 0
	// The legend stands to the right of the matrix, which begins half a column before the first.
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0.5, 0.5+1.28*float64(m.columns), 0, m.age
	p.X.Tick.Marker = roundTicks{end: float64(m.columns)}
	return p, nil
}
