package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboardFile is the dashboard for Grafana.
const dashboardFile = "../deploy/helm/lull/monitoring/dashboard.json"

// panel is one of a dashboard.
type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		RefID  string `json:"refId"`
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	} `json:"targets"`
}

func dashboard(t *testing.T) (panels []panel) {
	t.Helper()
	content, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d.Panels
}

// TestDashboardLayout proves that the dashboard has a row for each thing that is looked at, and panels that do not lie on one another and have something to show.
func TestDashboardLayout(t *testing.T) {
	var rows []string
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range dashboard(t) {
		if ids[p.ID] {
			t.Errorf("%s: another panel has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("%s lies on %q, or beside the grid", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
		} else if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
	}
	if got, want := strings.Join(rows, ", "), "Lag and latency, Transactions and aborts, State and restore, Triggers and decisions, Sources and data quality, Model"; got != want {
		t.Errorf("the rows are %s, want %s", got, want)
	}
}

// testDashboard proves with promtool that every query of the dashboard, over two hours, finds something in what processes have exposed, and that all of it has the labels that the query and the legend name.
func testDashboard(t *testing.T, promtool string, recordings map[string]*recording) {
	test := promtoolTest{Name: "dashboard", Interval: "60s"}
	for _, name := range []string{"nothing", "records refused", "transaction left open", "source silent", "disk fills up"} {
		rec := recordings[name]
		if rec == nil {
			t.Fatalf("there is no recording of %q", name)
		}
		was, is := fmt.Sprintf("instance=%q", rec.hosts[0].s.Instance), fmt.Sprintf("instance=%q", name)
		for _, series := range slices.Sorted(maps.Keys(rec.series)) {
			test.Series = append(test.Series, promtoolSeries{strings.Replace(series, was, is, 1), strings.Join(rec.series[series], " ")})
		}
	}
	grouped, legend := regexp.MustCompile(`\bby \(([^)]*)\)`), regexp.MustCompile(`{{(\w+)}}`)
	variables := strings.NewReplacer(`"$job"`, `"`+job+`"`, "$__rate_interval", "5m")
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			query := variables.Replace(target.Expr)
			if strings.Contains(query, "$") {
				t.Errorf("%s: a variable of %s is not known", p.Title, query)
			}
			found := fmt.Sprintf("count_over_time((%s)[2h:5m])", query)
			labels := map[string]bool{}
			for _, names := range grouped.FindAllStringSubmatch(query, -1) {
				for name := range strings.SplitSeq(names[1], ", ") {
					labels[name] = true
				}
			}
			delete(labels, "le") // quantiles take it away
			for _, name := range legend.FindAllStringSubmatch(target.Legend, -1) {
				labels[name[1]] = true
			}
			labelled := []string{`"complete", "yes", "", ""`} // of everything
			for _, name := range slices.Sorted(maps.Keys(labels)) {
				labelled = append(labelled, fmt.Sprintf(`"complete", "yes", %q, ".+"`, name))
			}
			for _, how := range labelled { // of what lacks the label, complete is not set: a sample more
				test.Queries = append(test.Queries, promtoolQuery{
					Expr: fmt.Sprintf("count by (complete) (label_replace(%s, %s)) > bool 0", strings.ReplaceAll(found, "\n", " "), how), At: "2h", Samples: []promtoolSample{{`{complete="yes"}`, 1}},
				})
			}
		}
	}
	if len(test.Queries) == 0 {
		t.Fatal("the dashboard has no query")
	}
	test.passes(t, promtool)
}
