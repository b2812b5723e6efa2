package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lull/pipeline"
	"lull/pipeline/security"
	"lull/schemas"
)

// envPrefix begins the environment variables that hold settings.
const envPrefix = "LULL_"

// setting is one of the settings that pipeline.Settings is made of.
type setting struct {
	key   string // in the file, with its section: clock.max_skew
	index []int  // of the field in pipeline.Settings, as reflect has it
	typ   reflect.Type
	deflt string
	path  bool // of a file that is read
}

// of returns the setting's field.
func (s *setting) of(settings *pipeline.Settings) reflect.Value {
	return reflect.ValueOf(settings).Elem().FieldByIndex(s.index)
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
	return appendSettings(nil, "", nil, reflect.ValueOf(defaults))
}()

func appendSettings(list []setting, section string, index []int, v reflect.Value) []setting {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("koanf")
		if name == "" {
			continue
		}
		at := append(slices.Clone(index), i)
		if isSection(field.Type) {
			list = appendSettings(list, section+name+".", at, v.Field(i))
			continue
		}
		list = append(list, setting{key: section + name, index: at, typ: field.Type, deflt: showSetting(v.Field(i)), path: field.Tag.Get("path") != ""})
	}
	return list
}

// isSection reports whether the type of a field holds settings, and is none itself.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[security.Secret]()
}

// isSecret reports whether the setting is one that only the environment may hold: flags are seen by every user of the machine, and files of settings
// are handed around.
func (s *setting) isSecret() bool { return s.typ == reflect.TypeFor[security.Secret]() }

// isSections reports whether the setting is a map of sections, which only a file can hold.
func (s *setting) isSections() bool { return isSections(s.typ) }

func isSections(t reflect.Type) bool {
	return t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct
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
	addConfigFlag(cmd)
	for i := range settingsList {
		s := &settingsList[i]
		if s.isSecret() || s.isSections() || len(keys) > 0 && !slices.Contains(keys, s.key) {
			continue
		}
		usage := "sets " + s.key
		if s.deflt != "" {
			usage += " (default " + s.deflt + ")"
		}
		cmd.Flags().Var(&settingFlag{of: s}, s.flag(), usage)
	}
}

// addConfigFlag adds the flag that names the file with the settings.
func addConfigFlag(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.Flags().StringP("config", "c", "", "`file` with the settings, in YAML (default $LULL_CONFIG)")
}

// configEnv is the environment variable that stands for --config.
const configEnv = envPrefix + "CONFIG"

// loadSettings returns the settings of the flags, the environment (as os.Environ has it) and the file that --config or LULL_CONFIG names, the first
// of which that has a setting wins, with defaults for the rest. The error, a usageError, tells all that is wrong at once, by file, variable or flag and key.
func loadSettings(flags *pflag.FlagSet, environ []string) (pipeline.Settings, error) {
	s, _, err := loadWithOrigins(flags, environ)
	return s, err
}

// loadWithOrigins also returns, by key, where each setting that is set anywhere comes from: a flag, a variable or the path of the file.
func loadWithOrigins(flags *pflag.FlagSet, environ []string) (s pipeline.Settings, origins map[string]string, err error) {
	s, origins = pipeline.DefaultSettings(), make(map[string]string)
	if err = setSettings(&s, origins, flags, environ); err != nil {
		err = usageError{err}
	}
	s.EnsureGroup()
	return s, origins, err
}

// loadValid returns the settings if they are valid, for a command that needs all of them to be.
func loadValid(flags *pflag.FlagSet, environ []string) (pipeline.Settings, error) {
	s, err := loadSettings(flags, environ)
	return s, withRules(&s, err)
}

// withRules returns all that is wrong with settings at once: what loading them says, and which rules they break, unless there is no telling what they are.
func withRules(s *pipeline.Settings, loading error) error {
	var unread unreadError
	if errors.As(loading, &unread) {
		return loading
	}
	if err := errors.Join(loading, s.Validate()); err != nil {
		return usageError{err}
	}
	return nil
}

// unreadError says that there is no telling what the file of settings holds.
type unreadError struct{ error }

// setSettings sets what is set anywhere, and notes where.
func setSettings(s *pipeline.Settings, origins map[string]string, flags *pflag.FlagSet, environ []string) error {
	var errs []error
	k := koanf.New(".")
	path := configPath(flags, environ)
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return unreadError{fmt.Errorf("reading the settings in %s: %w", path, schemas.ExplainYAML(err))}
		}
		for _, err := range checkKeys(reflect.TypeOf(*s), "", k.Raw()) {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	errs = append(errs, loadEnviron(k, origins, environ))
	flags.Visit(func(f *pflag.Flag) {
		if sf, ok := f.Value.(*settingFlag); ok {
			errs = append(errs, k.Set(sf.of.key, sf.value))
			origins[sf.of.key] = "--" + f.Name
		}
	})
	for _, setting := range settingsList {
		value := k.Get(setting.key)
		if value == nil {
			continue // not set; a section of which all is commented out is nil too
		}
		origins[setting.key] = cmp.Or(origins[setting.key], path)
		if err := setValue(setting.of(s), value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", origins[setting.key], setting.key, err))
		}
		if setting.isSections() { // which only the file can hold
			eachPath(setting.of(s), func(p string) string { return besideFile(path, p) })
		}
		if setting.path && origins[setting.key] == path {
			setting.of(s).SetString(besideFile(path, setting.of(s).String()))
		}
	}
	return errors.Join(errs...)
}

// configPath returns the file of settings that is given, "" if none is.
func configPath(flags *pflag.FlagSet, environ []string) string {
	path, _ := flags.GetString("config")
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); name == configEnv && path == "" {
			path = value
		}
	}
	return path
}

// besideFile returns a path that stands in a file of settings as one that begins in the working directory.
func besideFile(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// eachPath replaces the paths of files that are read, in a map of sections.
func eachPath(sections reflect.Value, by func(path string) string) {
	for it := sections.MapRange(); it.Next(); {
		section := reflect.New(it.Value().Type()).Elem()
		section.Set(it.Value())
		for i := range section.NumField() {
			if section.Type().Field(i).Tag.Get("path") != "" {
				section.Field(i).SetString(by(section.Field(i).String()))
			}
		}
		sections.SetMapIndex(it.Key(), section)
	}
}

// serviceLink matches the variables that Kubernetes puts into every container for a service whose name begins with "lull".
var serviceLink = regexp.MustCompile(`^LULL_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// loadEnviron sets what the environment has. A variable with the prefix that is no setting is an error.
func loadEnviron(k *koanf.Koanf, origins map[string]string, environ []string) error {
	var errs []error
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) || name == configEnv {
			continue
		}
		i := slices.IndexFunc(settingsList, func(s setting) bool { return s.env() == name })
		if i < 0 && serviceLink.MatchString(name) {
			continue
		}
		if i < 0 {
			errs = append(errs, fmt.Errorf("environment variable %s: there is no such setting; unset it, or mend its name: `lull run --help` lists all", name))
			continue
		}
		if settingsList[i].isSections() {
			errs = append(errs, fmt.Errorf("environment variable %s: %s is a section for each topic, which only a file can hold: set it there", name, settingsList[i].key))
			continue
		}
		errs = append(errs, k.Set(settingsList[i].key, value))
		origins[settingsList[i].key] = name
	}
	return errors.Join(errs...)
}

// checkKeys reports every key that is no setting, and every section that is none.
func checkKeys(section reflect.Type, path string, values map[string]any) (errs []error) {
	fields := make(map[string]reflect.Type)
	var known []string
	for i := range section.NumField() {
		name := section.Field(i).Tag.Get("koanf")
		fields[name] = section.Field(i).Type
		if name != "" && fields[name] != reflect.TypeFor[security.Secret]() {
			known = append(known, name)
		}
	}
	for _, key := range sortedKeys(values) {
		of, ok := fields[key]
		switch inner, isMap := values[key].(map[string]any); {
		case !ok:
			place := "at the top"
			if path != "" {
				place = "under " + strings.TrimSuffix(path, ".")
			}
			err := fmt.Errorf("unknown key %q; %s can stand: %s", path+key, place, strings.Join(known, ", "))
			if section, name, isPath := strings.Cut(key, "."); isPath && isSetting(path+key) {
				err = fmt.Errorf("unknown key %q: write it as %q under %q, as sections of YAML are", path+key, name, path+section)
			}
			errs = append(errs, err)
		case of == reflect.TypeFor[security.Secret]():
			secret := settingsList[slices.IndexFunc(settingsList, func(s setting) bool { return s.key == path+key })]
			errs = append(errs, fmt.Errorf("%q holds a secret, which does not belong into a file of settings: write it to a file of its own and name that under %q, or set the environment variable %s",
				secret.key, secret.key+"_file", secret.env()))
		case of.Kind() == reflect.Struct && isMap:
			errs = append(errs, checkKeys(of, path+key+".", inner)...)
		case isSections(of) && isMap:
			for _, name := range sortedKeys(inner) {
				section, isMap := inner[name].(map[string]any)
				if !isMap && inner[name] != nil {
					errs = append(errs, fmt.Errorf("%q is %v: it must be a section with keys", path+key+"."+name, inner[name]))
				}
				errs = append(errs, checkKeys(of.Elem(), path+key+"."+name+".", section)...)
			}
		case of.Kind() == reflect.Struct && values[key] != nil:
			errs = append(errs, fmt.Errorf("%q is %v: it must be a section with keys", path+key, values[key]))
		case of.Kind() != reflect.Struct && of.Kind() != reflect.Map && values[key] == nil:
			errs = append(errs, fmt.Errorf("%q has no value: give it one, or leave the key out", path+key))
		}
	}
	return errs
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func isSetting(key string) bool {
	return slices.ContainsFunc(settingsList, func(s setting) bool { return s.key == key })
}

// setValue sets a field to a value as YAML has it, or to a text, as flags and the environment have it. The error says what the value would have to be.
func setValue(field reflect.Value, value any) error {
	switch {
	case isSections(field.Type()):
		return setSections(field, value)
	case field.Kind() == reflect.Slice:
		texts, err := listOf(value)
		if err != nil {
			return err
		}
		list := reflect.MakeSlice(field.Type(), len(texts), len(texts))
		for i, text := range texts {
			if err := setText(list.Index(i), text); err != nil {
				return err
			}
		}
		field.Set(list)
		return nil
	case field.Kind() == reflect.Map:
		texts, err := mapOf(value)
		if err != nil {
			return err
		}
		field.Set(reflect.ValueOf(texts))
		return nil
	}
	text, err := textOf(value)
	if err != nil {
		return err
	}
	return setText(field, text)
}

// setSections sets a map of sections, whose keys have been checked.
func setSections(field reflect.Value, value any) error {
	sections, ok := value.(map[string]any)
	if !ok {
		return errors.New("it must be keys with sections")
	}
	all := reflect.MakeMap(field.Type())
	for name, values := range sections {
		section := reflect.New(field.Type().Elem()).Elem()
		keys, _ := values.(map[string]any)
		for i := range section.NumField() {
			key := section.Type().Field(i).Tag.Get("koanf")
			if value, ok := keys[key]; ok {
				if err := setValue(section.Field(i), value); err != nil {
					return fmt.Errorf("%s.%s: %w", name, key, err)
				}
			}
		}
		all.SetMapIndex(reflect.ValueOf(name), section)
	}
	field.Set(all)
	return nil
}

// setText sets a field that holds one thing. What would lose its meaning without a word is refused: a number without a unit as a duration, a fraction as a
// whole number, yes or no as a number.
func setText(field reflect.Value, text string) error {
	switch {
	case field.Type() == reflect.TypeFor[security.Secret]():
		field.Set(reflect.ValueOf(security.NewSecret(text)))
	case field.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is no duration: write it with a unit, such as 90s, 10m or 24h", text)
		}
		field.SetInt(int64(d))
	case field.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(text == "true")
	case field.CanInt():
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		field.SetInt(n)
	case field.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is no number: write it as 0.4", text)
		}
		field.SetFloat(f)
	default:
		field.SetString(text)
	}
	return nil
}

// textOf returns a value that is one thing as a text.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case float64: // 1e6 is the whole number 1000000
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case int, int64, uint64, bool:
		return fmt.Sprint(v), nil
	case nil:
		return "", errors.New("it has no value")
	case map[string]any:
		return "", errors.New("keys stand where one value must stand")
	}
	return "", errors.New("a list stands where one value must stand")
}

// listOf returns the texts of a list, of texts between commas, or of the one value that stands for a list.
func listOf(value any) (texts []string, err error) {
	if text, ok := value.(string); ok {
		return splitList(text), nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, element := range list {
		text, err := textOf(element)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// mapOf returns the texts of a map, or of KEY=VALUE texts between commas.
func mapOf(value any) (map[string]string, error) {
	texts := make(map[string]string)
	switch v := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			text, err := textOf(v[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			texts[name] = text
		}
		return texts, nil
	case string:
		for _, pair := range splitList(v) {
			name, text, ok := strings.Cut(pair, "=")
			if !ok {
				return nil, fmt.Errorf("%q is no KEY=VALUE", pair)
			}
			texts[name] = text
		}
		return texts, nil
	}
	return nil, errors.New("it must be keys with values")
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
