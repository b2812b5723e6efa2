package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"lull/schemas"
)

// Subject is what a schema of ours is registered under, and the schema.
type Subject struct {
	Name   string
	Schema string
}

// Verdict is how a schema of ours stands to what a subject has.
type Verdict struct {
	Subject
	// Version is the newest that is registered, 0 if there is none; Same says that it is ours.
	Version int
	Same    bool
	// Level is what the registry asks of new versions, such as BACKWARD. NONE asks for nothing.
	Level string
	// Refused is why the registry would not take ours, "" if it would.
	Refused string
	// Unreadable is why a subscriber with the registered schema cannot read what is written by ours, "" if they can.
	Unreadable string
}

// Compatible reports whether ours can be deployed: the registry takes it, and where that asks for nothing, subscribers can read on.
func (v *Verdict) Compatible() bool {
	return v.Refused == "" && (v.Level != "NONE" || v.Unreadable == "")
}

// Check asks the registry how a schema of ours stands to what is registered under its subject.
func Check(ctx context.Context, client *sr.Client, subject Subject) (Verdict, error) {
	v := Verdict{Subject: subject}
	level := client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), subject.Name)[0]
	if level.Err != nil && !hasCode(level.Err, sr.ErrSubjectNotFound) && !hasCode(level.Err, sr.ErrSubjectLevelCompatibilityNotConfigured) {
		return v, fmt.Errorf("asking for the compatibility of subject %q: %w", subject.Name, Explain(level.Err))
	}
	if level.Err != nil {
		if level = client.Compatibility(ctx)[0]; level.Err != nil {
			return v, fmt.Errorf("asking for the compatibility of all subjects: %w", Explain(level.Err))
		}
	}
	v.Level = level.Level.String()
	newest, err := client.SchemaByVersion(ctx, subject.Name, -1)
	if hasCode(err, sr.ErrSubjectNotFound) || hasCode(err, sr.ErrVersionNotFound) {
		return v, nil
	}
	if err != nil {
		return v, fmt.Errorf("asking for the newest version of subject %q: %w", subject.Name, Explain(err))
	}
	v.Version, v.Same = newest.Version, schemas.SameSchema(newest.Schema.Schema, subject.Schema)
	if v.Same {
		return v, nil
	}
	if err := schemas.Readable(subject.Schema, newest.Schema.Schema); err != nil {
		v.Unreadable = err.Error()
	}
	against := -1
	if strings.HasSuffix(v.Level, "_TRANSITIVE") {
		against = -2
	}
	answer, err := client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject.Name, against, sr.Schema{Schema: subject.Schema})
	if err != nil {
		return v, fmt.Errorf("asking whether subject %q takes the schema: %w", subject.Name, Explain(err))
	}
	switch {
	case answer.Is:
	case len(answer.Messages) > 0:
		v.Refused = strings.Join(answer.Messages, "; ")
	default:
		v.Refused = "the registry gives no reason. Compared here, " + v.disagreement(newest.Schema.Schema)
	}
	return v, nil
}

// disagreement tells in which direction ours and the newest registered schema do not go together.
func (v *Verdict) disagreement(newest string) string {
	var found []string
	if err := schemas.Readable(newest, v.Schema); err != nil {
		found = append(found, fmt.Sprintf("by this version's schema what version %d has written cannot be read: %v", v.Version, err))
	}
	if v.Unreadable != "" {
		found = append(found, fmt.Sprintf("who reads by version %d cannot read what this version writes: %s", v.Version, v.Unreadable))
	}
	if len(found) == 0 {
		return fmt.Sprintf("version %d and this one can read each other, so it must be an older one", v.Version)
	}
	return strings.Join(found, "; ")
}

// Register registers a schema of ours under its subject, and returns its id. One that is there already keeps its id.
func Register(ctx context.Context, client *sr.Client, subject Subject) (id int, err error) {
	return identify(ctx, client, subject, true)
}

// RefusedError says that the registry has answered, and that a subject has no place for a schema of ours.
type RefusedError struct {
	Subject string
	Err     error // with what to do
}

func (e *RefusedError) Error() string { return fmt.Sprintf("subject %q: %v", e.Subject, e.Err) }

func (e *RefusedError) Unwrap() error { return e.Err }

// Identified are the ids of schemas of ours, by subject.
type Identified struct {
	IDs map[string]uint32
	// Outage is why the registry was not asked to the end: the ids are those of the last start. Nil if it was.
	Outage error
}

// Identify returns the ids of schemas of ours, which the registry is asked for, and given those that it does not have if register is set. What it says is kept in
// cacheFile, for a start without it; "" keeps nothing. The error is a *RefusedError if a subject does not have or take its schema; another says that the registry does not
// answer, and that an id is not known of the last start.
func Identify(ctx context.Context, settings *Settings, cacheFile string, subjects []Subject, register bool) (Identified, error) {
	client, err := settings.NewClient()
	if err != nil {
		return Identified{}, err
	}
	kept := &cache{path: cacheFile, urls: settings.URL}
	is := Identified{IDs: make(map[string]uint32)}
	var told []cacheSchema
	for _, subject := range subjects {
		id, err := identify(ctx, client, subject, register)
		var refused *RefusedError
		if errors.As(err, &refused) {
			return is, err
		}
		if is.Outage = err; err != nil {
			break
		}
		is.IDs[subject.Name] = uint32(id)
		told = append(told, cacheSchema{ID: uint32(id), Subject: subject.Name, Schema: subject.Schema})
	}
	if is.Outage == nil {
		return is, kept.write(told)
	}
	known, err := kept.read()
	if err != nil {
		return is, errors.Join(is.Outage, err)
	}
	for _, subject := range subjects {
		at := slices.IndexFunc(known, func(s cacheSchema) bool { return s.Subject == subject.Name && s.Schema == subject.Schema })
		if at < 0 {
			return is, fmt.Errorf("the id of subject %q is not known yet: %w", subject.Name, is.Outage)
		}
		is.IDs[subject.Name] = known[at].ID
	}
	return is, nil
}

// identify returns the id of a schema of ours. The error is a *RefusedError, or says that the registry does not answer.
func identify(ctx context.Context, client *sr.Client, subject Subject, register bool) (int, error) {
	if !register {
		found, err := client.LookupSchema(ctx, subject.Name, sr.Schema{Schema: subject.Schema})
		if hasCode(err, sr.ErrSubjectNotFound) || hasCode(err, sr.ErrSchemaNotFound) {
			return 0, &RefusedError{subject.Name, errors.New("the registry does not have the schema of this version, and outputs.on_unregistered is refuse: `lull schemas register` puts it there")}
		}
		if err != nil {
			return 0, fmt.Errorf("asking for the id of subject %q: %w", subject.Name, Explain(err))
		}
		return found.ID, nil
	}
	id, err := client.RegisterSchema(ctx, subject.Name, sr.Schema{Schema: subject.Schema}, -1, -1)
	var response *sr.ResponseError
	switch {
	case err == nil:
		return id, nil
	case errors.As(err, &response) && (response.StatusCode == http.StatusConflict || response.StatusCode == http.StatusUnprocessableEntity):
		return 0, &RefusedError{subject.Name, fmt.Errorf("the registry does not take the schema of this version: %s: `lull schemas check` tells what is not compatible; change the subject's "+
			"compatibility, or set outputs.subjects or the topic's format to another", strings.TrimSpace(response.Message))}
	}
	return 0, fmt.Errorf("registering subject %q: %w", subject.Name, Explain(err))
}

// Written is a version of a subject of the input, and why its records cannot be read, "" if they can.
type Written struct {
	Version, ID int
	Unreadable  string
}

// CheckWritten asks for all versions of a subject whether records of them can be read as the input's. There are none if there is no such subject.
func CheckWritten(ctx context.Context, client *sr.Client, subject string, input *schemas.Input) (list []Written, err error) {
	r := &Registry{client: client}
	versions, err := client.SubjectVersions(ctx, subject)
	if hasCode(err, sr.ErrSubjectNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the versions of subject %q: %w", subject, Explain(err))
	}
	for _, version := range versions {
		s, err := client.SchemaByVersion(ctx, subject, version)
		written := schemas.WriterSchema{Schema: s.Schema.Schema}
		if err == nil {
			err = r.references(ctx, s.References, &written, make(map[string]bool), 0)
		}
		var reference *missingReference
		if errors.As(err, &reference) {
			list = append(list, Written{Version: version, ID: s.ID, Unreadable: reference.Error()})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("asking for version %d of subject %q: %w", version, subject, Explain(err))
		}
		w := Written{Version: version, ID: s.ID}
		if err := input.CanRead(written); err != nil {
			w.Unreadable = err.Error()
		}
		list = append(list, w)
	}
	return list, nil
}
