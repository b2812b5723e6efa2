package schemas

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// yamlLine is how the YAML library says where a text is none: often a line before the one that is wrong, and nothing of the first.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// ExplainYAML returns an error of the YAML library with the line and what to look at, without the name of the file.
func ExplainYAML(err error) error {
	text := err.Error()
	if wrong, ok := strings.CutPrefix(text, "yaml: unmarshal errors:\n  "); ok { // it is YAML
		return errors.New(wrong)
	}
	at := yamlLine.FindStringSubmatch(text)
	if at == nil {
		return err
	}
	return fmt.Errorf("line %s: this is no YAML (%s). Look at this line and the next: the keys of one section stand in one column, indented by spaces and not by tabs; brackets and quotes are closed; "+
		`a text with ": " in it is quoted`, cmp.Or(at[1], "1"), text[len(at[0]):])
}
