package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lull/pipeline"
)

// envPrefix begins the environment variables that hold settings.
const envPrefix = "LULL_"

// setting is one of the settings that pipeline.Settings is made of.
type setting struct {
	key   string // in the file, with its section: clock.max_skew
	typ   reflect.Type
	deflt string
}

// flag is the setting's name on the command line: clock-max-skew.
func (s *setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// env is the setting's name in the environment: LULL_CLOCK_MAX_SKEW.
func (s *setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// settingsList are all settings, in the order of pipeline.Settings.
var settingsList = func() []setting {
	var defaults pipeline.Settings
	defaults.EnsureDefaults()
	return appendSettings(nil, "", reflect.ValueOf(defaults))
}()

func appendSettings(list []setting, section string, v reflect.Value) []setting {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("koanf")
		if name == "" {
			continue
		}
		if field.Type.Kind() == reflect.Struct {
			list = appendSettings(list, section+name+".", v.Field(i))
			continue
		}
		list = append(list, setting{key: section + name, typ: field.Type, deflt: showSetting(v.Field(i))})
	}
	return list
}

// showSetting returns a default as one would write it, "" for none.
func showSetting(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	var parts []string
	for i := range v.Len() {
		parts = append(parts, fmt.Sprint(v.Index(i).Interface()))
	}
	return strings.Join(parts, ",")
}

// settingFlag is a flag that stands for a setting. What it is set to is read by loadSettings.
type settingFlag struct {
	of    *setting
	value string
}

func (f *settingFlag) String() string     { return f.value }
func (f *settingFlag) Set(v string) error { f.value = v; return nil }
func (f *settingFlag) Type() string {
	switch {
	case f.of.typ == reflect.TypeFor[time.Duration]():
		return "duration"
	case f.of.typ.Kind() == reflect.Slice:
		return "list"
	case f.of.typ.Kind() == reflect.Map:
		return "KEY=VALUE,..."
	case f.of.typ.Kind() == reflect.Float64:
		return "number"
	}
	return f.of.typ.Kind().String()
}

// addSettingFlags gives the command the flag --config and those of the settings with these keys, of all settings if none is named.
func addSettingFlags(cmd *cobra.Command, keys ...string) {
	cmd.Flags().SortFlags = false
	cmd.Flags().StringP("config", "c", "", "`file` with the settings, in YAML")
	for i := range settingsList {
		s := &settingsList[i]
		if len(keys) > 0 && !slices.Contains(keys, s.key) {
			continue
		}
		usage := "sets " + s.key
		if s.deflt != "" {
			usage += " (default " + s.deflt + ")"
		}
		cmd.Flags().Var(&settingFlag{of: s}, s.flag(), usage)
	}
}

// loadSettings returns the settings of the flags, the environment (as os.Environ has it) and the file that --config names, the first of which
// that has a setting wins, with defaults for the rest. The errors, each a usageError, name the file, variable or flag and the key.
func loadSettings(flags *pflag.FlagSet, environ []string) (pipeline.Settings, error) {
	var s pipeline.Settings
	k := koanf.New(".")
	if path, _ := flags.GetString("config"); path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return s, usageError{fmt.Errorf("reading the settings in %s: %w", path, err)}
		}
		if err := checkKeys(reflect.TypeOf(s), "", k.Raw()); err != nil {
			return s, usageError{fmt.Errorf("reading the settings in %s: %w", path, err)}
		}
	}
	if err := loadEnviron(k, environ); err != nil {
		return s, usageError{err}
	}
	var err error
	flags.Visit(func(f *pflag.Flag) {
		if sf, ok := f.Value.(*settingFlag); ok {
			err = errors.Join(err, k.Set(sf.of.key, sf.value))
		}
	})
	if err != nil {
		return s, usageError{err}
	}
	if err := decodeSettings(k, &s); err != nil {
		return s, usageError{fmt.Errorf("reading the settings: %w", err)}
	}
	s.EnsureDefaults()
	return s, nil
}

// loadEnviron sets what the environment has. A variable with the prefix that is no setting is an error.
func loadEnviron(k *koanf.Koanf, environ []string) error {
	var errs []error
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		i := slices.IndexFunc(settingsList, func(s setting) bool { return s.env() == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("environment variable %s: there is no such setting; unset it, or mend its name: `lull run --help` lists all", name))
			continue
		}
		errs = append(errs, k.Set(settingsList[i].key, value))
	}
	return errors.Join(errs...)
}

// checkKeys reports every key that is no setting, and every section that is none.
func checkKeys(section reflect.Type, path string, values map[string]any) error {
	fields := make(map[string]reflect.Type)
	var known []string
	for i := range section.NumField() {
		name := section.Field(i).Tag.Get("koanf")
		fields[name] = section.Field(i).Type
		known = append(known, name)
	}
	var errs []error
	for _, key := range sortedKeys(values) {
		of, ok := fields[key]
		switch inner, isMap := values[key].(map[string]any); {
		case !ok:
			place := "at the top"
			if path != "" {
				place = "under " + strings.TrimSuffix(path, ".")
			}
			errs = append(errs, fmt.Errorf("unknown key %q; %s can stand: %s", path+key, place, strings.Join(known, ", ")))
		case of.Kind() == reflect.Struct && isMap:
			errs = append(errs, checkKeys(of, path+key+".", inner))
		case of.Kind() == reflect.Struct && values[key] != nil:
			errs = append(errs, fmt.Errorf("%q is %v: it must be a section with keys", path+key, values[key]))
		}
	}
	return errors.Join(errs...)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// decodeSettings puts the values into the settings. Numbers, durations and lists may be texts, as flags and the environment have them.
func decodeSettings(k *koanf.Koanf, s *pipeline.Settings) error {
	return k.UnmarshalWithConf("", s, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		TagName:          "koanf",
		WeaklyTypedInput: true,
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(decodeText, decodeNumber),
		Result:           s,
	}})
}

// decodeText makes durations, lists and maps of texts.
func decodeText(from, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok {
		return value, nil
	}
	switch {
	case to == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no duration: write it with a unit, such as 90s, 10m or 24h", text)
		}
		return d, nil
	case to.Kind() == reflect.Slice:
		return splitList(text), nil
	case to.Kind() == reflect.Map:
		m := make(map[string]string)
		for _, pair := range splitList(text) {
			name, v, ok := strings.Cut(pair, "=")
			if !ok {
				return nil, fmt.Errorf("%q is no KEY=VALUE", pair)
			}
			m[name] = v
		}
		return m, nil
	}
	return value, nil
}

// splitList returns the parts of a text between commas, without spaces around them.
func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// decodeNumber refuses what would lose its meaning without a word: a number without a unit as a duration, a fraction as a whole number, yes or no
// as a number.
func decodeNumber(from, to reflect.Type, value any) (any, error) {
	v := reflect.ValueOf(value)
	switch {
	case to == reflect.TypeFor[time.Duration]() && from != to:
		return nil, fmt.Errorf("%v is no duration: write it with a unit, such as 90s, 10m or 24h", value)
	case v.Kind() == reflect.Bool && to.Kind() != reflect.Bool:
		return nil, fmt.Errorf("%v is no %s", value, to)
	case v.Kind() == reflect.Float64 && (to.Kind() == reflect.Int || to.Kind() == reflect.Int64) && v.Float() != math.Trunc(v.Float()):
		return nil, fmt.Errorf("%s is no whole number", strconv.FormatFloat(v.Float(), 'g', -1, 64))
	}
	return value, nil
}
