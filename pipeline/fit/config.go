package fit

import (
	"errors"
	"fmt"
	"slices"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/score"
)

// Config says how models are fitted and judged.
type Config struct {
	// Families are the models of purchases to fit; of several the one is taken under which the past is likeliest. The default is MBG/NBD.
	Families []bgnbd.Family
	// Score holds the months, the discount and the margin of CLV, and the minor units in which money is counted. It is complete and valid.
	Score score.Config
	// HoldoutWeeks is how many weeks are held out at most, to see how models would have predicted them. The default is 13.
	HoldoutWeeks int
}

// EnsureDefaults sets the fields that are zero to their defaults, but for Score.
func (c *Config) EnsureDefaults() {
	if len(c.Families) == 0 {
		c.Families = []bgnbd.Family{bgnbd.MBGNBD}
	}
	if c.HoldoutWeeks == 0 {
		c.HoldoutWeeks = 13
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	switch {
	case len(c.Families) == 0:
		return errors.New("fit: Families is empty; it must name a model")
	case slices.ContainsFunc(c.Families, func(f bgnbd.Family) bool { return f > bgnbd.BGNBD }):
		return fmt.Errorf("fit: Families is %v; it must hold mbgnbd and bgnbd only", c.Families)
	case c.HoldoutWeeks < holdoutWeeksMin || c.HoldoutWeeks > 104:
		return fmt.Errorf("fit: HoldoutWeeks is %d; it must be %d to 104", c.HoldoutWeeks, holdoutWeeksMin)
	}
	return nil
}

func (c *Config) major(amount operators.Money) float64 {
	return float64(amount) / float64(c.Score.MinorPerMajor)
}
