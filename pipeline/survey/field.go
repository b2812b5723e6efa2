package survey

import (
	"strings"
	"time"
	"unicode"

	"lull/schemas"
)

// Field is what the records of a sample have at one path.
type Field struct {
	Path string
	// Records is how many have a value there, and Distinct how many different ones there are.
	Records, Distinct int
	// Example is the value of the first that has one.
	Example string

	words    []string // of the path, in lower case
	values   map[string]int
	ids      int // that can be an id: a text or a whole number
	equalKey int // that are the record's key
	keyed    int // whose record has a key
	numbers  int
	dated    int                // whose format tells that they are times
	times    [len(readings)]int // that are times, by how they can be read
	naked    [len(readings)]int // of these, such as tell no zone
	points   int                // numbers, with a decimal point or without
	commas   int                // numbers, with a decimal comma or without
	broken   int                // numbers with digits behind the point or comma
	digits   int                // the most that stand there
	below    int                // numbers below 0
	small    int                // whole numbers below 1000
	grouped  int                // numbers with separators of thousands, which no mapping reads
}

// reading is how times are written.
type reading struct {
	format, layout string
}

// readings are tried in this order; the first by which nearly all values are times counts. Units of numbers hold for instants from 1990 to 2100, which do not overlap.
var readings = [...]reading{
	{},
	{format: "seconds"}, {format: "milliseconds"}, {format: "microseconds"}, {format: "nanoseconds"},
	{layout: "2006-01-02 15:04"}, {layout: "2006-01-02T15:04"}, {layout: "2006-01-02 15:04:05 MST"}, {layout: "2006-01-02 15:04:05 -0700"},
	{layout: "02.01.2006 15:04:05"}, {layout: "02.01.2006 15:04"}, {layout: "02.01.2006"},
	{layout: "2.1.2006 15:04:05"}, {layout: "2.1.2006 15:04"}, {layout: "2.1.2006"},
	{layout: "02/01/2006 15:04:05"}, {layout: "01/02/2006 15:04:05"},
	{layout: "02/01/2006 15:04"}, {layout: "01/02/2006 15:04"}, {layout: "02/01/2006"}, {layout: "01/02/2006"},
	{layout: "20060102"}, {layout: "20060102150405"}, {layout: time.RFC1123Z}, {layout: time.RFC1123},
}

// The bounds of instants that a number is taken for: 1990 and 2100, in milliseconds.
const (
	numberedFrom = 631_152_000_000
	numberedTo   = 4_102_444_800_000
)

// anotherZone shows which times tell no zone: they are other instants there.
var anotherZone = time.FixedZone("another", 3600)

func newField(path string) *Field {
	words := wordsOf(path)
	for len(words) > 1 && anyOf(words[:1], envelopes) {
		words = words[1:]
	}
	return &Field{Path: path, words: words, values: make(map[string]int)}
}

// envelopes are words of what a record is wrapped in, such as that of a change in a database: they tell nothing of its fields.
const envelopes = "after payload data body detail"

func (f *Field) add(leaf *schemas.Leaf, of *schemas.Source) {
	f.Records++
	text := leaf.Shown()
	if f.Example == "" {
		f.Example = strings.Clone(text)
	}
	if f.values[text]++; f.values[text] == 1 {
		f.Distinct++
	}
	if leaf.IsID() {
		f.ids++
	}
	if leaf.IsNumber() {
		f.numbers++
	}
	if len(of.Key) > 0 {
		f.keyed++
		if string(of.Key) == leaf.Text() {
			f.equalKey++
		}
	}
	f.addTime(leaf)
	f.addNumber(leaf)
}

func (f *Field) addTime(leaf *schemas.Leaf) {
	if leaf.IsDated() {
		f.dated++
	}
	for i, r := range readings {
		if f.Records > 20 && 2*f.times[i] < f.Records { // it has been seen not to be one
			continue
		}
		t, ok := leaf.Time(r.format, r.layout, time.UTC)
		if ok && r.format != "" && (t < numberedFrom || t >= numberedTo) {
			ok = false
		}
		if !ok {
			continue
		}
		f.times[i]++
		if elsewhere, _ := leaf.Time(r.format, r.layout, anotherZone); elsewhere != t {
			f.naked[i]++
		}
	}
}

func (f *Field) addNumber(leaf *schemas.Leaf) {
	text := strings.TrimSpace(leaf.Text())
	digits, negative, point := leaf.Decimal(false)
	commaDigits, commaNegative, comma := leaf.Decimal(true)
	if point {
		f.points++
	}
	if comma {
		f.commas++
	}
	if !point && comma {
		digits, negative = commaDigits, commaNegative
	}
	switch {
	case !point && !comma:
		if separated(text) {
			f.grouped++
		}
		return
	case negative:
		f.below++
	case digits == 0 && len(text) <= 3:
		f.small++
	}
	if digits > 0 {
		f.broken++
	}
	f.digits = max(f.digits, digits)
}

// separated reports whether a text is a number but for what separates its thousands or names its currency: 1.234,50 or 12,50 €.
func separated(text string) bool {
	digits, separators := 0, 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case strings.ContainsRune(".,' \u00a0\u202f€$£-+", c):
			separators++
		default:
			return false
		}
	}
	return digits > 0 && separators > 0 && separators <= digits
}

// nearly reports whether n is nearly all of them: a sample may have a few wrong values.
func nearly(n, of int) bool { return of > 0 && 100*n >= 95*of }

// reading returns how the times are written that the field has, -1 if it has none. format is that of a mapping: of numbers the unit.
func (f *Field) reading() int {
	for i := range readings {
		if nearly(f.times[i], f.Records) {
			return i
		}
	}
	return -1
}

// likeliest is as reading, but of a field that is known to have times: the one that reads the most of them, -1 if none reads any.
func (f *Field) likeliest() int {
	if r := f.reading(); r >= 0 {
		return r
	}
	best, most := -1, 0
	for i, n := range f.times {
		if n > most {
			best, most = i, n
		}
	}
	return best
}

// ambiguous reports whether the times can be read with day and month exchanged too.
func (f *Field) ambiguous(reading int) bool {
	layout := readings[reading].layout
	exchanged := strings.NewReplacer("02/01/", "01/02/", "01/02/", "02/01/").Replace(layout)
	for i, r := range readings {
		if r.layout == exchanged && exchanged != layout {
			return nearly(f.times[i], f.Records)
		}
	}
	return false
}

// isAmount reports whether the values can be amounts of money.
func (f *Field) isAmount() bool {
	return f.dated == 0 && 2*(max(f.points, f.commas)) >= f.Records && nearly(max(f.points, f.commas)+f.grouped, f.Records)
}

// comma reports whether numbers are written with a decimal comma.
func (f *Field) comma() bool { return f.commas > f.points }

// wordsOf returns the words of a path in lower case, without umlauts: order.customerId has order, customer and id.
func wordsOf(path string) (words []string) {
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	runes := []rune(path)
	for i, c := range runes {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			end()
			continue
		}
		if unicode.IsUpper(c) && i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			end()
		}
		if c = unicode.ToLower(c); spelt[c] != "" {
			word.WriteString(spelt[c])
		} else {
			word.WriteRune(c)
		}
	}
	end()
	return words
}

// spelt is how letters with marks are written without them.
var spelt = map[rune]string{
	'ä': "ae", 'ö': "oe", 'ü': "ue", 'ß': "ss", 'à': "a", 'â': "a", 'ç': "c", 'é': "e", 'è': "e", 'ê': "e", 'ë': "e", 'î': "i", 'ï': "i", 'ô': "o", 'œ': "oe", 'ù': "u", 'û': "u",
}
