package survey

import (
	"fmt"
	"slices"
	"strings"
)

// named are the fields that somebody has said to have a role: no name and no value speaks against them.
type named struct {
	fields  [rolesEnd]*Field
	byKey   bool // the record's key is the customer
	byStamp bool // Kafka's timestamp is the time
}

// FieldNames are the fields of an event that Name takes, and kind, the field that tells what happened.
func FieldNames() []string { return slices.Clone(roleNames[:]) }

// Name says which field of the records is that of an event, by its path; $key can be the customer_id, $timestamp the time. The error says what cannot be.
func (p *Profile) Name(field, path string) error {
	r := role(slices.Index(roleNames[:], field))
	if !slices.Contains(roleNames[:], field) {
		return fmt.Errorf("%q is no field of an event: it must be one of %s", field, strings.Join(roleNames[:], ", "))
	}
	switch {
	case r == customerRole && path == "$key":
		if p.Keyed == 0 {
			return fmt.Errorf("%s cannot be $key: no record of the sample has a key", field)
		}
		p.named.byKey = true
		return nil
	case r == timeRole && path == "$timestamp":
		if p.stampless() {
			return fmt.Errorf("%s cannot be $timestamp: the records are those of a file, and have none", field)
		}
		p.named.byStamp = true
		return nil
	}
	f := p.byPath[path]
	if f == nil {
		return fmt.Errorf("%s cannot be %q: there is no such field; there are %s", field, path, strings.Join(p.paths(), ", "))
	}
	if wrong := f.unfit(r); wrong != "" {
		return fmt.Errorf("%s cannot be %q: its values, such as %q, are %s", field, path, shortened(f.Example), wrong)
	}
	p.named.fields[r] = f
	return nil
}

// pathsMost bounds how many paths are told to somebody who has named one that is none.
const pathsMost = 30

func (p *Profile) paths() (list []string) {
	for _, f := range p.Fields {
		if len(list) == pathsMost {
			return append(list, fmt.Sprintf("%d more", len(p.Fields)-pathsMost))
		}
		list = append(list, f.Path)
	}
	return list
}

// unfit says what the values are instead of those that a role has; "" if they can be such.
func (f *Field) unfit(r role) string {
	switch {
	case r != quantityRole && strings.Contains(f.Path, "[]"):
		return "of the elements of a list, and it is one value: only quantity is their sum"
	case r == timeRole && f.likeliest() < 0:
		return "no times that a mapping reads"
	case (r == amountRole || r == quantityRole) && f.numbersOf() == 0:
		return "no numbers that a mapping reads"
	case r == currencyRole && f.currencies() == 0:
		return "no currencies: codes of ISO 4217, or their signs"
	case r == kindRole && f.Distinct > kindsMax:
		return fmt.Sprintf("%d different ones: what happens has at most %d names", f.Distinct, kindsMax)
	case r != timeRole && r != amountRole && r != quantityRole && f.ids == 0:
		return "neither texts nor whole numbers"
	}
	return ""
}
