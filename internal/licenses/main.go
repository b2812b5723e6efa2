// Command licenses tells whose code is in the binary, and on what terms: `licenses list FILE` writes the table of deploy/THIRD_PARTY.md, `licenses texts FILE`
// the texts that go with the binary. It fails if a module has no licence that is known here, and permissive: a new one is looked at before it gets in.
package main

//go:generate go run . list ../../deploy/THIRD_PARTY.md

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	forms := map[string]func([]module) []byte{"list": list, "texts": texts}
	if len(args) != 2 || forms[args[0]] == nil {
		return errors.New("usage: licenses list|texts FILE")
	}
	modules, err := linked()
	if err != nil {
		return err
	}
	var errs []error
	for i := range modules {
		errs = append(errs, modules[i].read())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.WriteFile(args[1], forms[args[0]](modules), 0o644)
}

// A module is one whose packages are in the binary.
type module struct {
	Path, Version, Dir string

	licences []string // by their SPDX identifiers, sorted
	text     string   // of all its files about licences
}

// linked returns the modules that are in the binary on any of the platforms that it is released for, by path; the standard library is the first.
func linked() ([]module, error) {
	modules := make(map[string]module)
	for _, platform := range []string{"linux", "darwin"} {
		cmd := exec.Command("go", "list", "-tags", "disable_grpc_modules", "-deps", "-json=Module", "lull/cmd/lull") // as the binary is released
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("listing the packages of the binary for %s: %w", platform, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var of struct {
				Module *struct {
					module
					Main bool
				}
			}
			if err := d.Decode(&of); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("reading the packages of the binary: %w", err)
			}
			if of.Module != nil && !of.Module.Main {
				modules[of.Module.Path] = of.Module.module
			}
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for Go's own folder: %w", err)
	}
	std := module{Path: "Go's standard library", Dir: string(bytes.TrimSpace(root))}
	return slices.Insert(slices.SortedFunc(maps.Values(modules), func(a, b module) int { return strings.Compare(a.Path, b.Path) }), 0, std), nil
}

// aboutLicences are the names of files that say on what terms a module comes.
var aboutLicences = regexp.MustCompile(`(?i)^(.*_)?(licen[cs]es?|copying|notice)(-[a-z]+)?(\.(txt|md))?$`)

// read reads on what terms the module comes.
func (m *module) read() error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, e := range entries {
		if e.IsDir() || !aboutLicences.MatchString(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s\n", bytes.TrimSpace(content))
	}
	m.text = text.String()
	if m.licences, err = classify(m.text); err != nil {
		return fmt.Errorf("%s: %w", m.Path, err)
	}
	return nil
}

// known are the licences that the binary may be under in part, each by words that no other has. All let it be passed on in binary form, by anybody, with their text.
var known = []struct {
	licence string
	words   *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`Apache License,? Version 2\.0`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge, to any person`)},
	{"BSD", regexp.MustCompile(`Redistribution and use in source and binary forms, with or without modification, are permitted`)},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify, (and/or|and) distribute this software for any purpose with or without fee`)},
	{"OFL-1.1", regexp.MustCompile(`SIL Open Font License, Version 1\.1|SIL OPEN FONT LICENSE Version 1\.1`)},
	{"CC-BY-4.0", regexp.MustCompile(`Creative Commons Attribution 4\.0 International`)}, // of a library, odd as that is: to name it is all that it asks for
	{"FTL", regexp.MustCompile(`subject to your choice of exactly one of the following two licenses: \* The FreeType License`)},
}

// copyleft are words of licences that ask for more. The FreeType License is offered beside one of them: it is the one that is taken.
var copyleft = regexp.MustCompile(`(?i)(GNU (lesser |affero )?general public license|mozilla public license|server side public license|business source license|eclipse public license)`)

// classify returns the licences that a text states.
func classify(text string) ([]string, error) {
	text = strings.Join(strings.Fields(text), " ")
	var licences []string
	for _, k := range known {
		if k.words.MatchString(text) {
			licences = append(licences, k.licence)
		}
	}
	slices.Sort(licences)
	if found := copyleft.FindString(text); found != "" && !slices.Contains(licences, "FTL") {
		return nil, fmt.Errorf("it speaks of the %s: whoever adds it must know that the binary may be passed on, and say why in internal/licenses", found)
	}
	if len(licences) == 0 {
		return nil, errors.New("it states no licence that is known in internal/licenses: read it, and add it there if it lets the binary be passed on")
	}
	return licences, nil
}

func list(modules []module) []byte {
	var out bytes.Buffer
	fmt.Fprint(&out, `# What is in the binary

lull is under the [Apache License 2.0](../LICENSE). The binary has code of these modules besides. All are permissive; their texts go with the binary, in `+"`THIRD_PARTY_LICENSES`"+`. Written by `+"`make generate`"+`, which fails if a module comes on other terms ([test](../internal/licenses/main_test.go)).

| module | version | licences |
|---|---|---|
`)
	for _, m := range modules {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", m.Path, m.Version, strings.Join(m.licences, ", "))
	}
	return out.Bytes()
}

func texts(modules []module) []byte {
	var out bytes.Buffer
	for _, m := range modules {
		fmt.Fprintf(&out, "%s\n%s %s\n\n%s\n", strings.Repeat("=", 80), m.Path, m.Version, m.text)
	}
	return out.Bytes()
}
