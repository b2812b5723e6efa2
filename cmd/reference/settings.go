package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"lull/pipeline"
	"lull/pipeline/security"
)

// setting is one setting, as the source and the program have it.
type setting struct {
	key   string // clock.max_skew
	doc   string // the field's comment in one line; "" if it shares that of the field before
	deflt reflect.Value
	rules []pipeline.Rule
}

// readSettings returns the settings in the order of pipeline.Settings, whose source lies in the folder pipeline of the project.
func readSettings(root string) ([]setting, error) {
	structs, err := readStructs(filepath.Join(root, "pipeline"), filepath.Join(root, "pipeline", "registry"), filepath.Join(root, "pipeline", "security"))
	if err != nil {
		return nil, err
	}
	return appendSettings(nil, "", structs, reflect.ValueOf(pipeline.DefaultSettings()))
}

// readStructs returns the structs of packages, as package.Name.
func readStructs(dirs ...string) (map[string]*ast.StructType, error) {
	var names []string
	for _, dir := range dirs {
		of, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return nil, err
		}
		names = append(names, of...)
	}
	structs := make(map[string]*ast.StructType)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if of, ok := spec.Type.(*ast.StructType); ok {
					structs[file.Name.Name+"."+spec.Name.Name] = of
				}
			}
			return true
		})
	}
	return structs, nil
}

// appendSettings appends the settings of a struct, and of those in it.
func appendSettings(list []setting, section string, structs map[string]*ast.StructType, v reflect.Value) ([]setting, error) {
	of := structs[v.Type().String()]
	if of == nil {
		return nil, fmt.Errorf("the source of %s is not among what was read", v.Type())
	}
	for _, field := range of.Fields.List {
		if field.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			return nil, err
		}
		name := reflect.StructTag(tag).Get("koanf")
		if name == "" {
			continue
		}
		value := v.FieldByName(field.Names[0].Name)
		if value.Kind() == reflect.Struct && !isSecret(value) {
			if list, err = appendSettings(list, section+name+".", structs, value); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, setting{key: section + name, doc: strings.Join(strings.Fields(field.Doc.Text()), " "), deflt: value})
	}
	return list, nil
}

// isSecret reports whether the setting is one that only the environment may hold.
func isSecret(v reflect.Value) bool { return v.Type() == reflect.TypeFor[security.Secret]() }

// addRules gives each setting its rules, each once.
func addRules(settings []setting, rules []pipeline.Rule) {
	for _, rule := range rules {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == rule.Setting })
		if i < 0 {
			panic("a rule is about " + rule.Setting + ", which is no setting")
		}
		if !slices.ContainsFunc(settings[i].rules, func(known pipeline.Rule) bool { return known.Text == rule.Text }) {
			settings[i].rules = append(settings[i].rules, rule)
		}
	}
}
