package schemas

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"lull/operators"
)

// TestKindsPage proves that docs/formats/mapping.md lists every kind of event, with the fields that a mapping must give it, and those that it may.
func TestKindsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile("`?([a-z_]+)`?")
	fields := func(text string, quoted bool) (of []string) {
		for _, w := range word.FindAllStringSubmatch(text, -1) {
			if name := w[1]; slices.Contains(fieldNames[:], name) && (!quoted || w[0] == "`"+name+"`") {
				of = append(of, name)
			}
		}
		slices.Sort(of)
		return slices.Compact(of)
	}
	type row struct{ needs, may []string }
	rows := make(map[string]row)
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for _, w := range word.FindAllStringSubmatch(cells[1], -1) {
			rows[w[1]] = row{fields(cells[2], true), fields(cells[3], true)}
		}
	}
	everywhere := []string{fieldNames[customerField], fieldNames[timeField], fieldNames[messageField], fieldNames[quantityField]}
	for kind := operators.EventKind(1); int(kind) <= operators.EventKinds; kind++ {
		got, has := rows[kind.String()]
		if !has {
			t.Errorf("%s is not on the page", kind)
			continue
		}
		var f mappingFile
		f.checkComplete(&yaml.Node{}, kind, &rule{})
		var want row
		for _, p := range f.problems {
			_, need, _ := strings.Cut(p.text, " need ")
			need, _, _ = strings.Cut(need, ":")
			want.needs = append(want.needs, fields(need, false)...)
		}
		for of := range fieldNames {
			if name := fieldNames[of]; field(of).usedBy(kind) && !slices.Contains(want.needs, name) && !slices.Contains(everywhere, name) {
				want.may = append(want.may, name)
			}
		}
		want.needs = slices.DeleteFunc(want.needs, func(name string) bool { return slices.Contains(everywhere, name) })
		slices.Sort(want.needs)
		slices.Sort(want.may)
		if !slices.Equal(got.needs, want.needs) || !slices.Equal(got.may, want.may) {
			t.Errorf("%s: the page has it need %q and take %q, a mapping %q and %q", kind, got.needs, got.may, want.needs, want.may)
		}
	}
}
