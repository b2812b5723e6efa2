package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/net/html"

	"lull/operators"
	"lull/pipeline/report"
	"lull/pipeline/snapshot"
)

// The rows of a shop, with the columns of a snapshot that reports read (TestColumns holds them against those that there are).
type (
	shopCustomer struct {
		ID            string               `parquet:"customer_id"`
		Purchases     int64                `parquet:"purchases"`
		First         *operators.Day       `parquet:"first_purchase,date"`
		RealizedValue float64              `parquet:"realized_value"`
		Frequency     *float64             `parquet:"frequency"`
		LastAge       *float64             `parquet:"recency"`
		T             *float64             `parquet:"T"`
		RFMSince      *int32               `parquet:"rfm_recency"`
		RFMFrequency  *int32               `parquet:"rfm_frequency"`
		RFMGroup      string               `parquet:"rfm_group,dict"`
		PAlive        *float64             `parquet:"p_alive"`
		CLV           *float64             `parquet:"clv"`
		ValueAtRisk   *float64             `parquet:"value_at_risk"`
		AboutToBeLost *float64             `parquet:"value_about_to_be_lost"`
		Quadrant      string               `parquet:"quadrant,dict"`
		NextDeadline  *operators.EventTime `parquet:"next_deadline,timestamp(millisecond:utc)"`
		NextWhat      *string              `parquet:"next_deadline_what"`
		Orders        int64                `parquet:"orders"`
		Quality       float64              `parquet:"data_quality"`
		Invalid       int64                `parquet:"invalid_records"`
		MissingField  int64                `parquet:"missing_field_records"`
		NoCurrency    int64                `parquet:"unknown_currency_records"`
		ClockSkewed   int64                `parquet:"clock_skewed_records"`
		Duplicate     int64                `parquet:"duplicate_records"`
		Late          int64                `parquet:"late_records"`
	}
	shopOrder struct {
		CustomerID string         `parquet:"customer_id"`
		Day        *operators.Day `parquet:"day,date"`
		Completed  bool           `parquet:"completed"`
		Cancelled  bool           `parquet:"cancelled"`
		Net        float64        `parquet:"net"`
	}
	shopChange struct {
		Time        operators.EventTime `parquet:"time,timestamp(millisecond:utc)"`
		Dimension   string              `parquet:"dimension,dict"`
		From        string              `parquet:"from_segment,dict"`
		To          string              `parquet:"to_segment,dict"`
		Cause       string              `parquet:"cause,dict"`
		ValueAtRisk *float64            `parquet:"value_at_risk"`
	}
	shopModel struct {
		Version      string  `parquet:"version"`
		Current      bool    `parquet:"current"`
		Family       string  `parquet:"family,dict"`
		HighValue    float64 `parquet:"high_value"`
		FitCustomers *int64  `parquet:"fit_customers"`
	}
	shopQuality struct {
		Source          string        `parquet:"source,dict"`
		Day             operators.Day `parquet:"day,date"`
		Partition       int32         `parquet:"partition"`
		Records         int64         `parquet:"records"`
		Invalid         int64         `parquet:"invalid"`
		MissingField    int64         `parquet:"missing_field"`
		UnknownCurrency int64         `parquet:"unknown_currency"`
		ClockSkewed     int64         `parquet:"clock_skewed"`
		Duplicate       int64         `parquet:"duplicate"`
		Late            int64         `parquet:"late"`
	}
)

// shop is a snapshot as tests make one.
type shop struct {
	manifest  snapshot.Manifest
	customers []shopCustomer
	orders    []shopOrder
	changes   []shopChange
	models    []shopModel
	quality   []shopQuality
	lacks     []string // tables
}

const (
	shopName = "20250610T120000.000Z-0123456789ab"
	shopAsOf = operators.EventTime(1_749_556_800_000) // 2025-06-10T12:00:00Z
)

// newShop makes a shop of customers who begin in the 400 days before the snapshot; every fifth has never bought. No number is of a model: the report only sums up.
func newShop(seed uint64, customers int) *shop {
	r := rand.New(rand.NewPCG(seed, 0))
	model := "m-2025-06"
	s := &shop{manifest: snapshot.Manifest{
		Format: 1, Snapshot: shopName, Application: "corner shop.", AsOf: shopAsOf.String(), Model: &model, WrittenBy: "test",
		Terms: snapshot.Terms{Currency: "EUR", HorizonDays: 365.25, ContactDays: 30, DiscountMonthly: 0.01, Margin: 0.4},
	}}
	asOf := shopAsOf.UTCDay()
	lists := func(list []string) string { return list[r.IntN(len(list))] }
	for i := range customers {
		c := shopCustomer{ID: fmt.Sprintf("c%07d", i), Quadrant: "none", RFMGroup: "prospects", Orders: int64(i % 6), Quality: 1}
		if i%7 == 3 {
			c.Duplicate, c.Late, c.MissingField = int64(1+i%11), int64(i%2), int64(i%3)
			c.Quality = float64(1+c.Orders) / float64(1+c.Orders+c.Duplicate+c.Late+c.MissingField)
		}
		if i%5 == 4 {
			s.customers = append(s.customers, c)
			continue
		}
		first := asOf - operators.Day(r.IntN(400))
		last, interval := first, 2+r.ExpFloat64()*40
		for day, left := first, 1+r.IntN(8); day <= asOf && left > 0; left-- {
			net := math.Round(r.ExpFloat64()*5000) / 100
			order := shopOrder{c.ID, &[]operators.Day{day}[0], true, r.IntN(20) == 0 && day != first, net}
			if order.Cancelled {
				order.Net = 0
			} else {
				if day > last || c.Purchases == 0 {
					c.Purchases++
				}
				last, c.RealizedValue = day, c.RealizedValue+net
			}
			s.orders = append(s.orders, order)
			if r.IntN(4) > 0 { // else another on the same day
				day += operators.Day(1 + r.ExpFloat64()*interval)
			}
		}
		c.First = &first
		x, lastAge, age := float64(c.Purchases-1), float64(last-first), shopAsOf.DaysSince(operators.EventTime(int64(first)*operators.DayMs))
		alive := math.Exp(-(age - lastAge) / (30 + 10*r.Float64()*(1+x)))
		clv := alive * 120 * r.ExpFloat64()
		risk, lost := (1-alive)*clv, clv/10
		c.Frequency, c.LastAge, c.T, c.PAlive, c.CLV, c.ValueAtRisk, c.AboutToBeLost = &x, &lastAge, &age, &alive, &clv, &risk, &lost
		since, frequency := int32(1+r.IntN(5)), int32(1+min(c.Purchases-1, 4))
		c.RFMSince, c.RFMFrequency = &since, &frequency
		c.RFMGroup = lists([]string{"new", "champions", "at_risk", "dormant"})
		c.Quadrant = map[bool]map[bool]string{true: {true: "save", false: "advocate"}, false: {true: "efficiency", false: "nurture"}}[clv > 60][alive < 0.3]
		if r.IntN(10) > 0 {
			next, what := shopAsOf+operators.EventTime(r.ExpFloat64()*40*operators.DayMs), lists([]string{"churn risk reaches 0.7", "churn risk reaches 0.85", "CLV falls under the cut of 60.00 EUR"})
			c.NextDeadline, c.NextWhat = &next, &what
		}
		s.customers = append(s.customers, c)
	}
	quadrants := []string{"none", "advocate", "save", "nurture", "efficiency"}
	stages := []string{"prospect", "new", "active", "at_risk", "dormant", "lost", "won_back"}
	for range customers / 2 {
		risk := 30 * r.ExpFloat64()
		c := shopChange{Time: shopAsOf - operators.EventTime(r.IntN(60*operators.DayMs)), Cause: lists([]string{"event", "deadline", "deadline", "model"}), ValueAtRisk: &risk}
		c.Dimension, c.From, c.To = "quadrant", lists(quadrants), lists(quadrants[1:])
		if r.IntN(2) == 0 {
			c.Dimension, c.From, c.To = "lifecycle", lists(stages), lists(stages[1:])
		}
		if c.From != c.To {
			s.changes = append(s.changes, c)
		}
	}
	s.models = []shopModel{{Version: "older", Family: "bgnbd", HighValue: 1}, {Version: model, Current: true, Family: "mbgnbd", HighValue: 60}}
	for _, source := range []string{"orders.web", "points-of-sale.of-all-our-shops.in-the-north-and-the-south.v2", `<script>alert("x")</script>&amp;`} {
		for day := asOf - 40; day <= asOf; day++ {
			for partition := range int32(2) {
				s.quality = append(s.quality, shopQuality{
					Source: source, Day: day, Partition: partition, Records: int64(500 + r.IntN(500)), Invalid: int64(r.IntN(5)), MissingField: int64(r.IntN(3)),
					Duplicate: int64(r.IntN(60)), Late: int64(r.IntN(25)),
				})
			}
		}
	}
	slices.SortFunc(s.quality, func(a, b shopQuality) int { return bytes.Compare([]byte(a.Source), []byte(b.Source)) })
	return s
}

// write writes the shop as a snapshot, and returns the folder that it is in.
func (s *shop) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, shopName), 0o700); err != nil {
		t.Fatal(err)
	}
	writeRows(t, s, dir, "customers", s.customers)
	writeRows(t, s, dir, "orders", s.orders)
	writeRows(t, s, dir, "segment_changes", s.changes)
	writeRows(t, s, dir, "models", s.models)
	writeRows(t, s, dir, "data_quality", s.quality)
	manifest, err := json.Marshal(&s.manifest)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{shopName + "/manifest.json": manifest, "latest": []byte(shopName + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeRows[R any](t testing.TB, s *shop, dir, table string, rows []R) {
	t.Helper()
	if slices.Contains(s.lacks, table) {
		return
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[R](&b, parquet.MaxRowsPerRowGroup(100_000))
	_, err := w.Write(rows)
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, shopName, table+".parquet"), b.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	s.manifest.Tables = append(s.manifest.Tables, snapshot.Table{Name: table, File: table + ".parquet", Rows: int64(len(rows)), Bytes: int64(b.Len()), SHA256: hex.EncodeToString(sum[:])})
}

// reportOf makes the report of the snapshot in a folder, and returns where it is.
func reportOf(t testing.TB, snapshots string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := drawReport(t, snapshots, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// drawReport makes the report of the snapshot in a folder.
func drawReport(t testing.TB, snapshots, dir string) error {
	t.Helper()
	target, err := snapshot.Kept(t.Context(), snapshots)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	tables, err := target.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	_, err = report.Snapshot(t.Context(), tables, dir)
	return err
}

// page is a report as a browser reads it.
type page struct {
	t    testing.TB
	root *html.Node
}

func pageOf(t testing.TB, dir string) *page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, report.Page))
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return &page{t, root}
}

// section returns the figure of an id.
func (p *page) section(id string) *html.Node {
	p.t.Helper()
	for n := range p.root.Descendants() {
		if n.Data == "section" && attribute(n, "id") == id {
			return n
		}
	}
	p.t.Fatalf("the page has no figure %s", id)
	return nil
}

// table returns a table of a figure without its head, by what its first columns say, put together.
func (p *page) table(id string, number int) (rows [][]string) {
	p.t.Helper()
	for n := range p.section(id).Descendants() {
		if n.Data != "table" {
			continue
		}
		if number > 0 {
			number--
			continue
		}
		for row := range n.Descendants() {
			var cells []string
			for c := range row.ChildNodes() {
				if row.Data == "tr" && c.Data == "td" {
					cells = append(cells, textOf(c))
				}
			}
			if cells != nil {
				rows = append(rows, cells)
			}
		}
		return rows
	}
	p.t.Fatalf("figure %s has no such table", id)
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b bytes.Buffer
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func days(t operators.Day) time.Time { return time.Unix(int64(t)*86400, 0).UTC() }

// table returns what the manifest says of a table.
func (s *shop) table(name string) *snapshot.Table {
	at := slices.IndexFunc(s.manifest.Tables, func(t snapshot.Table) bool { return t.Name == name })
	return &s.manifest.Tables[at]
}

// rewrite writes the manifest anew.
func (s *shop) rewrite(t testing.TB, dir string) string {
	t.Helper()
	manifest, err := json.Marshal(&s.manifest)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, shopName, "manifest.json"), manifest, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
