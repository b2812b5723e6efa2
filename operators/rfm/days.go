package rfm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"lull/operators"
)

const (
	// pageBits is the logarithm of the number of days that a page covers: page n holds the days from 256 n to 256 n + 255. It is part of the state
	// format.
	pageBits = 8
	// PageDays is the number of days that a page covers.
	PageDays = 1 << pageBits
	// PagesMax is the number of pages that a customer can have: event times lie between the years 1970 and 2200.
	PagesMax = 230*366/PageDays + 2
)

// outcome is what a change has done to a day.
type outcome uint8

const (
	remains outcome = iota
	appeared
	vanished
)

// changeDay changes a day, wherever it lies. At most kept days lie in the record, all newer than those on pages.
func changeDay(c *operators.Customer, by change, kept int) outcome {
	d := &c.Days
	if len(d.Pages) > 0 && by.day < d.Newest[0].Day {
		page := pageOf(by.day)
		days, what := changeIn(readPage(c, page), by)
		writePage(c, page, days)
		return what
	}
	var what outcome
	d.Newest, what = changeIn(d.Newest, by)
	switch {
	case len(d.Newest) > kept:
		page := pageOf(d.Newest[0].Day)
		writePage(c, page, append(readPage(c, page), d.Newest[0]))
		d.Newest = slices.Delete(d.Newest, 0, 1)
	case len(d.Newest) == 0 && len(d.Pages) > 0:
		page := d.Pages[len(d.Pages)-1]
		days := readPage(c, page)
		older := max(0, len(days)-kept)
		d.Newest = append(d.Newest, days[older:]...)
		writePage(c, page, days[:older])
	}
	return what
}

// changeIn changes a day in a sorted list of days with orders, or its absence from it.
func changeIn(days []operators.PurchaseDay, by change) ([]operators.PurchaseDay, outcome) {
	i, found := slices.BinarySearchFunc(days, by.day, func(d operators.PurchaseDay, day operators.Day) int { return cmp.Compare(d.Day, day) })
	if !found {
		if by.orders <= 0 {
			panic(fmt.Errorf("the purchase day %s is missing", by.day))
		}
		return slices.Insert(days, i, operators.PurchaseDay{Day: by.day, DayStart: by.start, Orders: uint32(by.orders), Net: by.net}), appeared
	}
	days[i].Orders = uint32(int(days[i].Orders) + by.orders)
	days[i].Net += by.net
	if days[i].Orders == 0 {
		return slices.Delete(days, i, i+1), vanished
	}
	return days, remains
}

// oldestDay returns the first of the customer's days, of which there is at least one.
func oldestDay(c *operators.Customer) operators.PurchaseDay {
	if len(c.Days.Pages) == 0 {
		return c.Days.Newest[0]
	}
	return readPage(c, c.Days.Pages[0])[0]
}

// All returns all of the customer's purchase days, in order. It reads every page, and panics if one is missing or corrupt.
func All(c *operators.Customer) (days []operators.PurchaseDay) {
	for _, page := range c.Days.Pages {
		days = append(days, readPage(c, page)...)
	}
	return append(days, c.Days.Newest...)
}

func pageOf(day operators.Day) int32 { return int32(day) >> pageBits }

// readPage returns the days of a page, in memory of their own; none if there is no such page.
func readPage(c *operators.Customer, page int32) []operators.PurchaseDay {
	if _, found := slices.BinarySearch(c.Days.Pages, page); !found {
		return nil
	}
	value, ok := c.Parts.Get(partName(page))
	if !ok {
		panic(fmt.Errorf("page %d of purchase days is missing", page))
	}
	days, err := operators.DecodeDays(value)
	if err != nil {
		panic(fmt.Errorf("reading page %d of purchase days: %w", page, err))
	}
	return days
}

// writePage makes these the days of a page. An empty page is none.
func writePage(c *operators.Customer, page int32, days []operators.PurchaseDay) {
	i, found := slices.BinarySearch(c.Days.Pages, page)
	switch {
	case len(days) == 0 && found:
		c.Parts.Delete(partName(page))
		c.Days.Pages = slices.Delete(c.Days.Pages, i, i+1)
		return
	case !found:
		c.Days.Pages = slices.Insert(c.Days.Pages, i, page)
	}
	c.Parts.Set(partName(page), operators.AppendDays(nil, days))
}

// partName is the name of a page in Parts.
func partName(page int32) string { return "d" + strconv.Itoa(int(page)) }
