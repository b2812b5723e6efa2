package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/sr"

	"lull/schemas"
)

// Registry knows writers' schemas by id. What it has once been told it knows for ever: to a registry an id means one schema. It implements
// schemas.Writers, is safe for concurrent use, and asks only while Run runs.
type Registry struct {
	settings *Settings
	client   *sr.Client
	cache    *cache
	log      zerolog.Logger
	wake     chan struct{} // an id has been asked for

	mu      sync.Mutex // guards what follows
	known   map[uint32]schemas.WriterSchema
	missing map[uint32]*missing
	outage  error // of the last request; nil if it was answered
}

// missing is an id that has been asked for, without a schema until now.
type missing struct {
	unknownAt time.Time // when the registry last said that it has none; zero: it has not
	unknown   error     // what it said
	tried     bool      // it has been asked for in vain
}

const (
	// unknownFor is how long the answer that there is no such schema is believed: one can be registered, or restored, later.
	unknownFor = 30 * time.Second
	// retryEvery is how often the registry is tried while it does not answer.
	retryEvery = time.Second
	// missingMax is how many ids without a schema are remembered. Bytes that are no ids at all look like very many.
	missingMax = 10_000
)

// New returns a registry that has asked nothing yet. cacheFile keeps what it learns from one start to the next, so that a start without a registry reads
// on; "" keeps nothing. The error names the setting that is not as it must be.
func New(settings *Settings, cacheFile string, log zerolog.Logger) (*Registry, error) {
	client, err := settings.NewClient()
	if err != nil {
		return nil, err
	}
	r := &Registry{
		settings: settings, client: client, cache: &cache{path: cacheFile, urls: settings.URL}, log: log, wake: make(chan struct{}, 1),
		known: make(map[uint32]schemas.WriterSchema), missing: make(map[uint32]*missing),
	}
	known, err := r.cache.read()
	if err != nil {
		log.Warn().Err(err).Msg("reading the schemas that were known; they are asked for again")
	}
	for _, s := range known {
		r.known[s.ID] = schemas.WriterSchema{Schema: s.Schema, References: s.References}
	}
	return r, nil
}

// Writer implements schemas.Writers.
func (r *Registry) Writer(id uint32) (schemas.WriterSchema, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, has := r.known[id]; has {
		return s, nil
	}
	m := r.missing[id]
	switch {
	case m != nil && !m.unknownAt.IsZero() && time.Since(m.unknownAt) < unknownFor:
		return schemas.WriterSchema{}, m.unknown
	case m != nil && m.tried && r.outage != nil && r.settings.DeadLetters():
		return schemas.WriterSchema{}, r.outage
	}
	if m == nil {
		if len(r.missing) >= missingMax {
			clear(r.missing)
		}
		r.missing[id] = &missing{}
	} else {
		m.unknownAt = time.Time{}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return schemas.WriterSchema{}, schemas.ErrWriterAwaited
}

// Outage returns what keeps the registry from answering, "" if it answered last time.
func (r *Registry) Outage() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outage == nil {
		return ""
	}
	return fmt.Sprintf("the schema registry %s does not answer: %v", strings.Join(r.settings.URL, ", "), r.outage)
}

// Run learns the schemas of subjects, of those that there are, and then those that are asked for, until ctx ends.
func (r *Registry) Run(ctx context.Context, subjects ...string) {
	for ctx.Err() == nil {
		err := r.fetch(ctx)
		for len(subjects) > 0 {
			failure := r.learn(ctx, subjects[0])
			if err = cmp.Or(err, failure); failure != nil {
				break
			}
			subjects = subjects[1:]
		}
		if ctx.Err() != nil {
			return
		}
		r.report(err)
		again := r.wake
		var retry <-chan time.Time
		if err != nil {
			again, retry = nil, time.After(retryEvery)
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-retry:
		}
	}
}

// learn asks for all schemas of a subject: those are what the first records name. Where producers name subjects in another way there is none, and ids are
// enough.
func (r *Registry) learn(ctx context.Context, subject string) error {
	versions, err := r.client.SubjectVersions(ctx, subject)
	if hasCode(err, sr.ErrSubjectNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, version := range versions {
		var s sr.SubjectSchema
		if s, err = r.client.SchemaByVersion(ctx, subject, version); err == nil {
			err = r.take(ctx, uint32(s.ID), s.Schema)
		}
		if err != nil && !isGone(err) { // else it is told when a record names it
			return err
		}
	}
	return nil
}

// isGone reports whether the registry's answer is that there is no such schema, version or subject, or that a schema refers to one.
func isGone(err error) bool {
	var reference *missingReference
	return errors.As(err, &reference) || hasCode(err, sr.ErrSubjectNotFound) || hasCode(err, sr.ErrVersionNotFound) || hasCode(err, sr.ErrSchemaNotFound)
}

// missingReference says that a schema cannot be used, because the registry does not have one that it refers to: an answer, not an outage.
type missingReference struct{ sr.SchemaReference }

// Error implements error.
func (e *missingReference) Error() string {
	return fmt.Sprintf("it refers to version %d of subject %q, which the registry does not have", e.Version, e.Subject)
}

// Is says that it is a kind of schemas.ErrWriterUnknown.
func (e *missingReference) Is(target error) bool { return target == schemas.ErrWriterUnknown }

// hasCode reports whether the registry has answered so. A mere 404 does not: it says that the URL is not a registry's.
func hasCode(err error, code *sr.Error) bool {
	var response *sr.ResponseError
	return errors.As(err, &response) && response.ErrorCode == code.Code
}

// fetch asks for the ids that are missing. The error is why some of them have not been answered for.
func (r *Registry) fetch(ctx context.Context) error {
	r.mu.Lock()
	var ids []uint32
	for _, id := range slices.Sorted(maps.Keys(r.missing)) {
		if r.missing[id].unknownAt.IsZero() {
			ids = append(ids, id)
		}
	}
	r.mu.Unlock()
	var failure error
	for i, id := range ids {
		s, err := r.client.SchemaByID(ctx, int(id))
		if err == nil {
			err = r.take(ctx, id, s)
		}
		var response *sr.ResponseError
		var reference *missingReference
		switch {
		case err == nil:
		case errors.As(err, &reference):
			r.unknown(id, reference)
		case isGone(err):
			r.unknown(id, schemas.ErrWriterUnknown)
		case errors.As(err, &response): // others may be answered for
			r.tried(ids[i : i+1])
			failure = err
		default:
			r.tried(ids[i:])
			return err
		}
	}
	return failure
}

// take keeps a schema, with those that it refers to.
func (r *Registry) take(ctx context.Context, id uint32, s sr.Schema) error {
	written := schemas.WriterSchema{Schema: s.Schema}
	if s.Type != sr.TypeAvro {
		// Kept as what it is: it is refused when it is to be used, and the reason names it.
		written.Schema = fmt.Sprintf("a schema of type %s", s.Type)
	} else if err := r.references(ctx, s.References, &written, make(map[string]bool), 0); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, has := r.known[id]; has {
		return nil
	}
	r.known[id] = written
	delete(r.missing, id)
	r.log.Info().Uint32("schema", id).Msg("learnt a writer's schema")
	var known []cacheSchema
	for id, s := range r.known {
		known = append(known, cacheSchema{ID: id, Schema: s.Schema, References: s.References})
	}
	if err := r.cache.write(known); err != nil {
		r.log.Warn().Err(err).Msg("keeping the schemas for the next start")
	}
	return nil
}

// referencesDepthMax is how far references of references are followed.
const referencesDepthMax = 16

// references adds the schemas that are referred to, each before those that name its types.
func (r *Registry) references(ctx context.Context, references []sr.SchemaReference, to *schemas.WriterSchema, seen map[string]bool, depth int) error {
	if depth > referencesDepthMax {
		return nil // it cannot be compiled, which is told when it is to be used
	}
	for _, ref := range references {
		name := fmt.Sprintf("%s/%d", ref.Subject, ref.Version)
		if seen[name] {
			continue
		}
		seen[name] = true
		s, err := r.client.SchemaByVersion(sr.WithParams(ctx, sr.ShowDeleted), ref.Subject, ref.Version)
		switch {
		case isGone(err):
			return &missingReference{ref}
		case err != nil:
			return fmt.Errorf("asking for version %d of subject %q, which is referred to: %w", ref.Version, ref.Subject, err)
		}
		if err := r.references(ctx, s.References, to, seen, depth+1); err != nil {
			return err
		}
		to.References = append(to.References, s.Schema.Schema)
	}
	return nil
}

// unknown keeps that the registry has no schema with this id, and what it said.
func (r *Registry) unknown(id uint32, answer error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.missing[id]; m != nil {
		m.unknownAt, m.unknown = time.Now(), answer
	}
}

// tried keeps that ids were asked for in vain.
func (r *Registry) tried(ids []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if m := r.missing[id]; m != nil {
			m.tried = true
		}
	}
}

// report keeps how the last request ended, and says so when that changes.
func (r *Registry) report(err error) {
	if err != nil {
		err = Explain(err)
	}
	r.mu.Lock()
	before := r.outage
	r.outage = err
	r.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		r.log.Warn().Err(err).Msg("the schema registry does not answer; records of known schemas go on")
	case err == nil && before != nil:
		r.log.Info().Msg("the schema registry answers again")
	}
}

// ErrForbidden says that the registry knows the user, who may not do what was asked with this subject; with others they may.
var ErrForbidden = errors.New("this user has no right to it")

// Explain returns an error of the registry's client, with what to do about it where that is known. It wraps ErrForbidden if the registry answers so.
func Explain(err error) error {
	var response *sr.ResponseError
	var connection *url.Error
	switch {
	case errors.As(err, &response):
	case errors.As(err, &connection):
		return fmt.Errorf("%s: %w: start it, or mend registry.url", connection.URL, connection.Err)
	default:
		return err
	}
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return errors.New("it refuses this user (401): mend registry.username and registry.password_file")
	case response.StatusCode == http.StatusForbidden:
		says := ""
		if response.ErrorCode != 0 { // of the registry, which says what is missing; else of what stands before it
			says = ": " + strings.TrimSpace(response.Message)
		}
		return fmt.Errorf("%w (403)%s: give this user the right there, or mend registry.username and registry.password_file", ErrForbidden, says)
	case response.StatusCode == http.StatusNotFound && response.ErrorCode < 40400: // Confluent's codes have five digits
		return fmt.Errorf("there is no registry at this URL (%s answers 404): mend the path of registry.url; Apicurio's is /apis/ccompat/v7", response.URL)
	}
	return fmt.Errorf("%s answers %d: %s: its log says more", response.URL, response.StatusCode, strings.TrimSpace(response.Message))
}

// Asking returns writers' schemas for tools: it waits for the registry's answers. Run must not run.
func (r *Registry) Asking(ctx context.Context) schemas.Writers { return &asking{ctx, r} }

type asking struct {
	ctx context.Context
	r   *Registry
}

// Writer implements schemas.Writers.
func (a *asking) Writer(id uint32) (schemas.WriterSchema, error) {
	s, err := a.r.Writer(id)
	if !errors.Is(err, schemas.ErrWriterAwaited) {
		return s, err
	}
	if err := a.r.fetch(a.ctx); err != nil {
		return schemas.WriterSchema{}, fmt.Errorf("the schema registry %s does not answer: %w", strings.Join(a.r.settings.URL, ", "), Explain(err))
	}
	return a.r.Writer(id)
}
