package main

import (
	"slices"
	"strings"
	"testing"
)

// TestClassify proves that permissive licences are told by their words, however the lines are broken, and that anything else is refused.
func TestClassify(t *testing.T) {
	for _, c := range []struct{ name, text, want, refused string }{
		{"MIT", "Permission is hereby granted, free of charge, to\nany person obtaining a copy", "MIT", ""},
		{"BSD", "Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided", "BSD", ""},
		{"Apache", "                Apache License\n          Version 2.0, January 2004", "Apache-2.0", ""},
		{"two", "Apache License, Version 2.0\nPermission is hereby granted, free of charge, to any person", "Apache-2.0 MIT", ""},
		{"attribution", "Creative Commons Attribution 4.0 International Public License", "CC-BY-4.0", ""},
		{"attribution, and share alike", "Creative Commons Attribution-ShareAlike 4.0 International", "", "states no licence"},
		{"FreeType, or GPL", "subject to your choice of exactly one of\nthe following two licenses:\n  * The FreeType License, which\n  * The GNU General Public License", "FTL", ""},
		{"GPL", "GNU GENERAL PUBLIC LICENSE\nVersion 3", "", "GNU GENERAL PUBLIC LICENSE"},
		{"MIT, and AGPL", "Permission is hereby granted, free of charge, to any person; GNU Affero General Public License", "", "Affero"},
		{"MPL", "Mozilla Public License Version 2.0", "", "Mozilla"},
		{"none", "", "", "states no licence"},
		{"another", "All rights reserved.", "", "states no licence"},
	} {
		got, err := classify(c.text)
		if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestFiles proves which files are read.
func TestFiles(t *testing.T) {
	for name, want := range map[string]bool{
		"LICENSE": true, "License": true, "LICENSE.txt": true, "LICENSE-SIL": true, "LICENCE.md": true, "COPYING": true, "NOTICE": true, "ZSTD_LICENSE": true, "THIRD_PARTY_LICENSES": true,
		"licensing.go": false, "README.md": false, "license.go": false,
	} {
		if got := aboutLicences.MatchString(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
