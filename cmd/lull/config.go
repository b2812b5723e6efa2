package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lull/pipeline"
)

func newConfigCommand() *cobra.Command {
	validate := &cobra.Command{
		Use:   "validate --config FILE",
		Short: "Check the settings",
		Long: `Validate reads the settings as run does, from flags, environment, file and defaults, and says what is wrong with them: exit code 2.
It asks no broker; lull topics check does.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadValid(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if s.Instance == "" {
				fmt.Fprintln(cmd.OutOrStdout(), "instance is not set: run needs it, one for each process, by --instance or LULL_INSTANCE")
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the settings are valid")
			return err
		}),
	}
	addSettingFlags(validate)
	show := &cobra.Command{
		Use:   "print --config FILE",
		Short: "Print the settings in effect, and where each comes from",
		Long: `Print writes all settings as a file in YAML that --config takes, each with where it comes from: a flag, an environment variable, the
file, or the default. Secrets are not shown. What is not valid is printed all the same, and told at the end.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, origins, err := loadWithOrigins(cmd.Flags(), os.Environ())
			if err != nil {
				return withRules(&s, err)
			}
			if err := printSettings(cmd.OutOrStdout(), &s, origins); err != nil {
				return err
			}
			return withRules(&s, nil)
		}),
	}
	addSettingFlags(show)
	return newGroup("config", "Check and print the settings", validate, show)
}

// printSettings writes the settings as YAML, with their origins.
func printSettings(out io.Writer, s *pipeline.Settings, origins map[string]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var sections []string // that the line is in
	for _, setting := range settingsList {
		path := strings.Split(setting.key, ".")
		within, name := path[:len(path)-1], path[len(path)-1]
		for i, section := range within {
			if i < len(sections) && section == sections[i] {
				continue
			}
			sections = append(sections[:i], section)
			fmt.Fprintf(w, "%s%s:\n", strings.Repeat("  ", i), section)
		}
		sections = sections[:len(within)]
		var value string
		if v := setting.of(s); setting.isSecret() {
			name, value = "# "+name, showSetting(v) // no file may hold it
		} else {
			var err error
			if text := v.String(); setting.path && text != "" { // wherever the file that this becomes will lie
				text, err = filepath.Abs(text)
				v = reflect.ValueOf(text)
			}
			if err == nil {
				value, err = yamlValue(v)
			}
			if err != nil {
				return fmt.Errorf("printing %s: %w", setting.key, err)
			}
			if setting.key == "registry.url" || setting.key == "tracing.endpoint" || setting.key == "security.sasl.token_url" {
				value = login.ReplaceAllString(value, "[redacted]@")
			}
		}
		origin := origins[setting.key]
		switch {
		case origin != "":
		case setting.key == "group":
			origin = "follows from prefix"
		default:
			origin = "default"
		}
		fmt.Fprintf(w, "%s%s: %s\t# %s\n", strings.Repeat("  ", len(within)), name, value, origin)
	}
	return w.Flush()
}

// login is what stands before the host of an address, where no login belongs.
var login = regexp.MustCompile(`[^/"\s]*@`)

// yamlValue returns a setting's value as it can be written in a file.
func yamlValue(v reflect.Value) (string, error) {
	if d, ok := v.Interface().(time.Duration); ok {
		return shortDuration(d), nil
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		if isSections(v.Type()) && v.Len() > 0 {
			text, err := json.Marshal(sectionsOf(v))
			return string(text), err
		}
		if v.Len() == 0 {
			return map[reflect.Kind]string{reflect.Map: "{}", reflect.Slice: "[]"}[v.Kind()], nil
		}
	case reflect.Float64: // as short as it can be written
		return fmt.Sprint(v.Interface()), nil
	}
	text, err := json.Marshal(v.Interface()) // JSON is YAML
	return string(text), err
}

// sectionsOf returns a map of sections as they can be written, without what is not set.
func sectionsOf(v reflect.Value) map[string]map[string]string {
	sections := make(map[string]map[string]string)
	for it := v.MapRange(); it.Next(); {
		section := make(map[string]string)
		for i := range it.Value().NumField() {
			field := it.Value().Type().Field(i)
			value := it.Value().Field(i).String()
			if value == "" {
				continue
			}
			if field.Tag.Get("path") != "" {
				if absolute, err := filepath.Abs(value); err == nil {
					value = absolute
				}
			}
			section[field.Tag.Get("koanf")] = value
		}
		sections[it.Key().String()] = section
	}
	return sections
}

// shortDuration returns a duration without units of which there are none: 10m, not 10m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
