package pipeline

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"lull/pipeline/registry"
	"lull/schemas"
)

// checkInput returns what is wrong with how the input is to be read.
func (s *Settings) checkInput() error {
	format, ok := schemas.FormatNamed(s.Input.Format)
	switch {
	case !ok:
		return nil // it has been said
	case format == schemas.RegistryAvro && len(s.Registry.URL) == 0:
		return fmt.Errorf("registry.url is empty: input.format %s needs the URL of the schema registry, such as http://registry:8081", format)
	}
	_, err := s.LoadInput(nil)
	return err
}

// LoadInput reads the files that say how the input is read. writers are for registry-avro. The error names the setting, the file, and in a mapping line and column.
func (s *Settings) LoadInput(writers schemas.Writers) (schemas.Input, error) {
	format, ok := schemas.FormatNamed(s.Input.Format)
	if !ok {
		return schemas.Input{}, fmt.Errorf("input.format is %q", s.Input.Format)
	}
	var mapping *schemas.Mapping
	if s.Input.Mapping != "" {
		text, err := os.ReadFile(s.Input.Mapping)
		if err != nil {
			return schemas.Input{}, fmt.Errorf("input.mapping: %w", err)
		}
		if mapping, err = schemas.ParseMapping(text); err != nil {
			return schemas.Input{}, &MappingError{s.Input.Mapping, err}
		}
	}
	schema := ""
	if s.Input.Schema != "" {
		text, err := os.ReadFile(s.Input.Schema)
		if err != nil {
			return schemas.Input{}, fmt.Errorf("input.schema: %w", err)
		}
		schema = string(text)
	}
	return schemas.NewInput(format, schema, mapping, writers)
}

// MappingError is what is wrong with a mapping file: a line for each problem.
type MappingError struct {
	File string
	Err  error
}

func (e *MappingError) Error() string { return fmt.Sprintf("input.mapping: %s:\n%v", e.File, e.Err) }

func (e *MappingError) Unwrap() error { return e.Err }

// schemaCacheFile is where writers' schemas are kept from one start to the next, below state.dir.
const schemaCacheFile = "schemas.json"

// loadInput reads how the input is read, and makes the registry that it may need.
func (r *Runner) loadInput() error {
	var writers schemas.Writers
	if r.s.Input.Format == schemas.RegistryAvro.String() {
		known, err := registry.New(&r.s.Registry, filepath.Join(r.s.State.Dir, schemaCacheFile), r.log)
		if err != nil {
			return err
		}
		r.registry, writers = known, known
	}
	var err error
	r.input, err = r.s.LoadInput(writers)
	return err
}

// newDecoder returns a decoder of the input's records.
func (r *Runner) newDecoder() (*schemas.Decoder, error) {
	config := r.s.decoder()
	config.Input = r.input
	return schemas.NewDecoder(config)
}

// tellAwaited says on /readyz which partition stands still at a record whose schema is not known, and whether the registry answers.
func (r *Runner) tellAwaited() {
	if r.registry == nil {
		return
	}
	problem, outage := "", r.registry.Outage()
	for _, n := range slices.Sorted(maps.Keys(r.partitions)) {
		if p := r.partitions[n]; p.awaits != "" && problem == "" {
			problem = fmt.Sprintf("partition %d stands still at offset %d until the schema registry has answered for %s", n, p.task.Meta().Position, p.awaits)
		}
	}
	if problem != "" && outage != "" {
		problem += ": " + outage
		outage = ""
	}
	r.health.setIf("schemas", problem)
	r.health.warnIf("registry", outage)
}
