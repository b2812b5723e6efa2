package score

import (
	"errors"
	"fmt"
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
)

// ValidateModel reports every fault for which customers cannot be scored with the model.
func ValidateModel(m *operators.Model) error {
	var errs []error
	if m.Version == "" {
		errs = append(errs, errors.New("version is empty; every model has a name of its own"))
	}
	if family, err := bgnbd.ParseFamily(m.Family); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, bgnbd.Params{Family: family, R: m.R, Alpha: m.Alpha, A: m.A, B: m.B}.Validate())
	}
	errs = append(errs, gammagamma.Params{P: m.P, Q: m.Q, V: m.V}.Validate())
	if !(m.HighValue > 0) || math.IsInf(m.HighValue, 1) {
		errs = append(errs, fmt.Errorf("high value is %v, must be finite and above 0", m.HighValue))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("model %q: %w", m.Version, err)
	}
	return nil
}

// paramsOf returns the two halves of a valid model.
func paramsOf(m *operators.Model) (bgnbd.Params, gammagamma.Params) {
	family, err := bgnbd.ParseFamily(m.Family)
	if err != nil {
		panic(fmt.Errorf("scoring with a model that was not validated: %w", err))
	}
	return bgnbd.Params{Family: family, R: m.R, Alpha: m.Alpha, A: m.A, B: m.B}, gammagamma.Params{P: m.P, Q: m.Q, V: m.V}
}

// tables are what is dear to compute of one model, and depends on little: see bgnbd.Discounted.
type tables struct {
	params    bgnbd.Params
	value     *bgnbd.Discounted // purchases over the horizon, discounted
	purchases *bgnbd.Discounted // the same, not discounted
}

// tablesKept is for how many models an operator keeps tables: partitions adopt a new one each at its own time, and a customer whose silence is caught up with is seen by the models that were in force.
const tablesKept = 4

// tablesOf returns the tables of a model's parameters. They say the same whenever they are made: the operator keeps those of the models that were asked for last, because customers come by the thousand for each.
func (op *Operator) tablesOf(params bgnbd.Params) *tables {
	kept := op.tables.Load()
	if kept != nil {
		for _, t := range kept {
			if t != nil && t.params == params {
				return t
			}
		}
	} else {
		kept = new([tablesKept]*tables)
	}
	c := &op.config
	t := &tables{params: params, value: params.Discounted(c.HorizonMonths, c.MonthDays, c.DiscountMonthly), purchases: params.Discounted(1, op.horizonDays, 0)}
	next := &[tablesKept]*tables{t}
	copy(next[1:], kept[:])
	op.tables.Store(next) // of two that do so at once one's tables are made again
	return t
}
