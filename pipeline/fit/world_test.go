package fit_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
	"lull/operators/statistics"
	"lull/pipeline/fit"
)

// purchase is a day on which somebody bought, and for how much.
type purchase struct {
	day operators.Day
	net operators.Money
}

// person is a customer: all that they will ever buy, in order, at least once.
type person struct {
	id        string
	purchases []purchase
}

// kept is how many purchase days lie in a customer's record.
const kept = 16

// known returns what is known of a person when the days before a day have passed; of count 0 if they have not bought by then.
func (p *person) known(before operators.Day) (k operators.Purchases, newest []operators.PurchaseDay) {
	for _, b := range p.purchases {
		if b.day >= before {
			break
		}
		if k.Count == 0 {
			k.First, k.FirstStart, k.FirstNet = b.day, operators.EventTime(b.day)*operators.DayMs, b.net
		}
		k.Count++
		k.Orders++
		k.Net += b.net
		k.Last = b.day
		newest = append(newest, operators.PurchaseDay{Day: b.day, Orders: 1, Net: b.net})
	}
	return k, newest[max(0, len(newest)-kept):]
}

// table counts people as they are when the days before a day have passed.
func table(people []person, before operators.Day, sampled int) *statistics.Table {
	t := statistics.NewTable(sampled)
	for i := range people {
		k, newest := people[i].known(before)
		t.Change(people[i].id, &operators.Purchases{}, &k, newest)
		t.Trim()
	}
	return t
}

// publish tells of a table as its task would.
func publish(s *fit.Statistics, partition int32, t *statistics.Table, now float64) {
	for part, content := range t.All() {
		s.Put(partition, 1, part, content)
	}
	s.SetHead(partition, headOf(t, now))
}

func headOf(t *statistics.Table, now float64) fit.Head {
	return fit.Head{
		Edition: 1, AsOf: operators.EventTime(now * operators.DayMs), Now: now, Customers: t.Customers(), Below: t.Sample().Below(), Parts: t.Count(),
	}
}

// population is what one task knows when the days before a day have passed.
func population(t testing.TB, people []person, before operators.Day) *fit.Population {
	t.Helper()
	return populationOf(t, table(people, before, statistics.SampleSize), float64(before))
}

func populationOf(t testing.TB, table *statistics.Table, now float64) *fit.Population {
	t.Helper()
	s := fit.NewStatistics()
	publish(s, 0, table, now)
	p, err := s.Population(1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// config fits MBG/NBD with all defaults.
func config() *fit.Config {
	var c fit.Config
	c.EnsureDefaults()
	c.Score.EnsureDefaults()
	return &c
}

const effective = operators.EventTime(99)

// mbg and spend are those of CDNOW, in days and dollars.
var (
	mbg   = bgnbd.Params{Family: bgnbd.MBGNBD, R: 0.52484, Alpha: 43.2816, A: 0.89136, B: 1.614}
	spend = gammagamma.Params{P: 6.24957, Q: 3.74422, V: 15.4435}
)

func modelOf(p bgnbd.Params, s gammagamma.Params) *operators.Model {
	return &operators.Model{
		Version: "known", Family: p.Family.String(), R: p.R, Alpha: p.Alpha, A: p.A, B: p.B, P: s.P, Q: s.Q, V: s.V, HighValue: 10,
	}
}

func gamma(r *rand.Rand, shape float64) float64 {
	return distuv.Gamma{Alpha: shape, Beta: 1, Src: r}.Rand()
}

// start is the first day of simulated shops.
const start operators.Day = 9125

// pace is how fast time goes for customers on a day: 1 is as the model has it.
type pace func(operators.Day) float64

func steady(operators.Day) float64 { return 1 }

// shop draws customers of the models, born at any time within some days from start on, with what they buy in these.
func shop(seed uint64, p bgnbd.Params, s gammagamma.Params, customers int, days operators.Day, pace pace) []person {
	r := rand.New(rand.NewPCG(seed, 1))
	clock := make([]float64, days+1) // customers' time by the start of each day
	for d := range days {
		clock[d+1] = clock[d] + pace(start+d)
	}
	people := make([]person, customers)
	for i := range people {
		born := float64(days) * r.Float64()
		rate := gamma(r, p.R) / p.Alpha
		dying, living := gamma(r, p.A), gamma(r, p.B)
		dropOut := dying / (dying + living)
		amounts := gamma(r, s.Q) / s.V // ν
		buy := func(day operators.Day) {
			list := &people[i].purchases
			net := operators.Money(math.Round(100 * gamma(r, s.P) / amounts))
			if last := len(*list) - 1; last >= 0 && (*list)[last].day == day {
				(*list)[last].net += net
				return
			}
			*list = append(*list, purchase{day, net})
		}
		people[i].id = fmt.Sprint("customer ", i)
		day := operators.Day(born)
		buy(start + day)
		at := clock[day] + (born-float64(day))*(clock[day+1]-clock[day])
		for gone := p.Family == bgnbd.MBGNBD && r.Float64() < dropOut; !gone; gone = r.Float64() < dropOut {
			if at += r.ExpFloat64() / rate; at >= clock[days] {
				break
			}
			for at >= clock[day+1] {
				day++
			}
			buy(start + day)
		}
	}
	return people
}

// readCSV reads a packed file, of which it returns the lines after the first.
func readCSV(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(unpacked).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// cohort returns the customers of CDNOW.
func cohort(t testing.TB) []person {
	t.Helper()
	byID := make(map[string][]purchase)
	for _, row := range readCSV(t, "../../cmd/lull/cdnow/transactions.csv.gz") { // in the order of dates
		amount, err := strconv.ParseFloat(row[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		date, net := day(t, row[1]), operators.Money(math.Round(100*amount))
		list := byID[row[0]]
		if last := len(list) - 1; last >= 0 && list[last].day == date {
			list[last].net += net
		} else {
			byID[row[0]] = append(list, purchase{date, net})
		}
	}
	people := make([]person, 0, len(byID))
	for id, purchases := range byID {
		people = append(people, person{id, purchases})
	}
	slices.SortFunc(people, func(a, b person) int { return strings.Compare(a.id, b.id) })
	return people
}

// tenth returns the customers of the CDNOW sample of which the reference is.
func tenth(t testing.TB) []person {
	t.Helper()
	sampled := make(map[string]bool)
	for _, row := range readCSV(t, "../../operators/bgnbd/testdata/cdnow_customers_golden.csv.gz") {
		sampled[row[0]] = true
	}
	people := slices.DeleteFunc(cohort(t), func(p person) bool { return !sampled[p.id] })
	if len(people) != 2357 {
		t.Fatalf("the sample has %d customers", len(people))
	}
	return people
}

func day(t testing.TB, date string) operators.Day {
	t.Helper()
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		t.Fatal(err)
	}
	return operators.Day(at.Unix() / 86_400)
}
