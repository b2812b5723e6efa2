package replay

import (
	"fmt"
	"iter"
	"strings"

	"lull/operators"
	"lull/pipeline/backfill"
	"lull/pipeline/fit"
)

// Fit returns the model that the pipeline would fit to what is known at an instant, the beginning of a day: the run keeps statistics, and has no model. It is in force from
// the start, so that whoever is found at that instant has not just been scored for the first time.
func Fit(run *backfill.Run, records iter.Seq[*Record], config fit.Config, asOf operators.EventTime, day operators.Day) (*operators.Model, error) {
	if _, err := Follow(run, records, Period{From: asOf, Until: asOf}); err != nil {
		return nil, err
	}
	table, err := run.Statistics()
	if err != nil {
		return nil, err
	}
	statistics := fit.NewStatistics()
	for part, content := range table.All() {
		statistics.Put(0, 0, part, content)
	}
	statistics.SetHead(0, fit.Head{AsOf: asOf, Now: float64(day), Customers: table.Customers(), Below: table.Sample().Below(), Parts: table.Count()})
	population, err := statistics.Population(1)
	if err != nil {
		return nil, err
	}
	verdict := config.Judge(population, nil, "fit-"+day.String(), 0)
	if !verdict.Adopted {
		return nil, fmt.Errorf("no model can be fitted to what is known by %s: %s", day, strings.Join(verdict.Reasons, "; "))
	}
	return verdict.Model, nil
}
