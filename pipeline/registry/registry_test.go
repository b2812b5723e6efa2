package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"lull/operators"
	"lull/schemas"
)

// place is the registry of a test: the real one that LULL_TEST_REGISTRY names, or one in memory, which finds everything compatible.
type place struct {
	settings Settings
	client   *sr.Client
	real     bool
	subject  string // of this test alone
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{subject: fmt.Sprintf("t%d-%d", os.Getpid(), time.Now().UnixNano())}
	if url := os.Getenv("LULL_TEST_REGISTRY"); url != "" {
		p.settings.URL, p.real = []string{url}, true
	} else {
		fake := srfake.New()
		t.Cleanup(fake.Close)
		p.settings.URL = []string{fake.URL()}
	}
	p.settings.EnsureDefaults()
	var err error
	if p.client, err = p.settings.NewClient(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) register(t *testing.T, subject, schema string, references ...sr.SchemaReference) int {
	t.Helper()
	s, err := p.client.CreateSchema(t.Context(), subject, sr.Schema{Schema: schema, References: references})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// run returns a registry that asks.
func (p *place) run(t *testing.T, cacheFile string) *Registry {
	t.Helper()
	r, err := New(&p.settings, cacheFile, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx, p.subject)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

// writer waits for what is known of an id.
func writer(t *testing.T, r *Registry, id int) (schemas.WriterSchema, error) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		s, err := r.Writer(uint32(id))
		if !errors.Is(err, schemas.ErrWriterAwaited) || time.Now().After(deadline) {
			return s, err
		}
	}
}

const (
	orderV1 = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "string"}, {"name": "buyer", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "total", "type": "string"}]}`
	orderV2 = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "string"}, {"name": "client", "type": "string", "aliases": ["buyer"]}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "total", "type": "string"}, {"name": "cur", "type": "string", "default": "EUR"}]}`
	orderV3 = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "string"}, {"name": "client", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "total", "type": "string"}, {"name": "cur", "type": "string", "default": "EUR"}, {"name": "note", "type": "string"}]}`
	badV4   = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "string"}, {"name": "must", "type": "int"}]}`

	orderMapping = `
version: 1
fields:
  customer_id: client
  order_id: id
  time: at
  amount: {from: total, unit: major}
  currency: cur
rules: [{kind: order_completed}]`
)

// TestEvolution proves that records of older and newer writers than the reader's schema are read, a renamed field by its alias and a missing one by its default, with schemas
// that are asked for by their ids alone; and that a real registry refuses a version that is not compatible.
func TestEvolution(t *testing.T) {
	p := newPlace(t)
	subject := p.subject + "-other" // not the one that is learnt
	if p.real {
		for _, result := range p.client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatBackward}, subject) {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
		}
	}
	r := p.run(t, "")
	mapping, err := schemas.ParseMapping([]byte(orderMapping))
	if err != nil {
		t.Fatal(err)
	}
	input, err := schemas.NewInput("input", schemas.RegistryAvro, orderV2, mapping, r)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Currency: "EUR", Input: input})
	if err != nil {
		t.Fatal(err)
	}
	for i, schema := range []string{orderV1, orderV2, orderV3} {
		fields := map[string]any{"id": fmt.Sprint("o-", i), "buyer": "ann", "client": "ann", "at": int64(1_735_732_800_123), "total": "12.50", "cur": "EUR", "note": "x"}
		if i == 2 && p.real {
			// A new field without a default: old readers can skip it, and that is all that a reader of an older version needs.
			for _, result := range p.client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatForward}, subject) {
				if result.Err != nil {
					t.Fatal(result.Err)
				}
			}
		}
		id := p.register(t, subject, schema)
		value, err := avro.MustParse(schema).AppendEncode(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), fields)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer(t, r, id); err != nil {
			t.Fatal(err)
		}
		var e operators.Event
		source := schemas.Source{Key: []byte("ann"), Value: value, AppendTime: 1_735_732_800_123}
		if refusal := decoder.Decode(&source, &e); refusal != nil || e.OrderID != fmt.Sprint("o-", i) || e.Customer != "ann" || e.Amount != 1250 {
			t.Errorf("version %d: %+v, %+v", i+1, e, refusal)
		}
	}
	if _, err := p.client.CreateSchema(t.Context(), subject, sr.Schema{Schema: badV4}); p.real && err == nil {
		t.Error("the registry takes a version that is not compatible")
	}
	written, err := CheckWritten(t.Context(), p.client, subject, &input)
	if err != nil || len(written) < 3 || written[0].Unreadable != "" || written[2].Unreadable != "" {
		t.Errorf("%+v, %v", written, err)
	}
}

// TestReferences proves that a schema whose types stand in other schemas is read with them.
func TestReferences(t *testing.T) {
	p := newPlace(t)
	p.register(t, p.subject+"-money", `{"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "cents", "type": "long"}]}`)
	id := p.register(t, p.subject+"-order", `{"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "total", "type": "shop.Money"}, {"name": "paid", "type": "shop.Money"}]}`,
		sr.SchemaReference{Name: "shop.Money", Subject: p.subject + "-money", Version: 1})
	s, err := writer(t, p.run(t, ""), id)
	if err != nil || len(s.References) != 1 || !strings.Contains(s.References[0], "cents") {
		t.Fatalf("%+v, %v", s, err)
	}
	mapping, err := schemas.ParseMapping([]byte("version: 1\nfields: {customer_id: $key, time: $timestamp}\nrules: [{kind: identify}]"))
	if err != nil {
		t.Fatal(err)
	}
	input, err := schemas.NewInput("input", schemas.RegistryAvro, "", mapping, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := input.CanRead(s); err != nil {
		t.Error(err)
	}
}

// TestMissingReference proves that a schema whose reference is gone is unknown, by whatever code the registry says so, and no outage: it is not waited for, neither at its record nor at start; and that the
// versions of its subject are told one by one.
func TestMissingReference(t *testing.T) {
	for _, code := range []int{40401, 40402, 40403} {
		fake := srfake.New()
		t.Cleanup(fake.Close)
		p := &place{subject: "shop-value"}
		p.settings.URL = []string{fake.URL()}
		p.settings.EnsureDefaults()
		var err error
		if p.client, err = p.settings.NewClient(); err != nil {
			t.Fatal(err)
		}
		p.register(t, "money", `{"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "cents", "type": "long"}]}`)
		id := p.register(t, p.subject, `{"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "total", "type": "shop.Money"}]}`,
			sr.SchemaReference{Name: "shop.Money", Subject: "money", Version: 1})
		newer := p.register(t, p.subject, `{"type": "record", "name": "Order", "namespace": "shop", "fields": []}`)
		fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/subjects/money/") {
				return false
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"error_code": %d, "message": "gone"}`, code)
			return true
		})
		r := p.run(t, "")
		_, err = writer(t, r, id)
		if want := `it refers to version 1 of subject "money", which the registry does not have`; !errors.Is(err, schemas.ErrWriterUnknown) || err.Error() != want {
			t.Errorf("%d: %v; want %s", code, err, want)
		}
		if _, err := writer(t, r, newer); err != nil || r.Outage() != "" {
			t.Errorf("%d: %v, outage %q", code, err, r.Outage())
		}
		mapping, err := schemas.ParseMapping([]byte("version: 1\nfields: {customer_id: $key, time: $timestamp}\nrules: [{kind: identify}]"))
		if err != nil {
			t.Fatal(err)
		}
		input, err := schemas.NewInput("input", schemas.RegistryAvro, "", mapping, r)
		if err != nil {
			t.Fatal(err)
		}
		decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Currency: "EUR", Input: input})
		if err != nil {
			t.Fatal(err)
		}
		var e operators.Event
		refusal := decoder.Decode(&schemas.Source{Key: []byte("ann"), Value: binary.BigEndian.AppendUint32([]byte{0}, uint32(id))}, &e)
		want := fmt.Sprintf(`the schema with the id %d: it refers to version 1 of subject "money", which the registry does not have`, id)
		if refusal == nil || refusal.Reason != schemas.ReasonSchemaUnknown || !strings.HasPrefix(refusal.Detail, want) {
			t.Errorf("%d: %+v; want %s", code, refusal, want)
		}
		written, err := CheckWritten(t.Context(), p.client, p.subject, &input)
		if err != nil || len(written) != 2 || !strings.Contains(written[0].Unreadable, `of subject "money"`) || written[1].Unreadable != "" {
			t.Errorf("%d: %+v, %v", code, written, err)
		}
	}
}

// TestUnknownID proves that an id which the registry does not have is unknown, and not a failure.
func TestUnknownID(t *testing.T) {
	p := newPlace(t)
	r := p.run(t, "")
	if _, err := writer(t, r, 1<<30); !errors.Is(err, schemas.ErrWriterUnknown) {
		t.Errorf("%v", err)
	}
	if r.Outage() != "" {
		t.Error(r.Outage())
	}
}

// TestCheck proves what is told of the schemas of outputs before a deploy: that there is none yet, that it is the same, that the registry takes it or does not; and, where the
// registry asks for nothing, whether subscribers can read on.
func TestCheck(t *testing.T) {
	p := newPlace(t)
	check := func(schema string) Verdict {
		t.Helper()
		v, err := Check(t.Context(), p.client, Subject{Name: p.subject, Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	setLevel := func(level sr.CompatibilityLevel) {
		t.Helper()
		for _, result := range p.client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: level}, p.subject) {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
		}
	}
	if v := check(schemas.Scores.Schema()); v.Version != 0 || !v.Compatible() {
		t.Errorf("before: %+v", v)
	}
	if _, err := Register(t.Context(), p.client, Subject{Name: p.subject, Schema: schemas.Scores.Schema()}); err != nil {
		t.Fatal(err)
	}
	if v := check(schemas.Scores.Schema()); v.Version != 1 || !v.Same || !v.Compatible() {
		t.Errorf("the same: %+v", v)
	}
	with := func(field string) string {
		return strings.Replace(schemas.Scores.Schema(), `"fields": [`, `"fields": [`+field+`,`, 1)
	}
	added, renamed := with(`{"name": "mood", "type": "string", "default": ""}`), strings.Replace(schemas.Scores.Schema(), `"name": "purchases"`, `"name": "buys"`, 1)
	if added == schemas.Scores.Schema() || renamed == schemas.Scores.Schema() {
		t.Fatal("the schema is written in another way")
	}
	setLevel(sr.CompatNone)
	if v := check(added); !v.Compatible() || v.Same || v.Level != "NONE" {
		t.Errorf("added, NONE: %+v", v)
	}
	if v := check(renamed); v.Compatible() || !strings.Contains(v.Unreadable, "purchases") {
		t.Errorf("renamed, NONE: %+v", v)
	}
	if !p.real {
		return
	}
	setLevel(sr.CompatFullTransitive)
	if v := check(added); !v.Compatible() || v.Level != "FULL_TRANSITIVE" {
		t.Errorf("added, FULL_TRANSITIVE: %+v", v)
	}
	if v := check(renamed); v.Compatible() || v.Refused == "" {
		t.Errorf("renamed, FULL_TRANSITIVE: %+v", v)
	}
	if _, err := Register(t.Context(), p.client, Subject{Name: p.subject, Schema: renamed}); err == nil {
		t.Error("the registry takes it")
	}
}

// TestRefusedWithoutReason proves that where a registry does not take a schema and does not say why, as Apicurio's check does, the verdict tells what in it who could not read.
func TestRefusedWithoutReason(t *testing.T) {
	ours := schemas.Sessions.Schema()
	with := strings.Replace(ours, `"fields": [`, `"fields": [{"name": "region", "type": "string"},`, 1)
	renamed := strings.Replace(ours, `"name": "revision"`, `"name": "edition"`, 1)
	if with == ours || renamed == ours {
		t.Fatal("the schema is written in another way")
	}
	for _, c := range []struct{ registered, level, answer, refused, unreadable string }{
		{with, "FULL", `{"is_compatible": false}`, "the registry gives no reason. Compared here, who reads by version 3 cannot read what this version writes: incompatible at region", "region"},
		{renamed, "FULL", `{"is_compatible": false}`, "the registry gives no reason. Compared here, by this version's schema what version 3 has written cannot be read: incompatible at revision", "edition"},
		{renamed, "FULL", `{"is_compatible": false, "messages": ["of the registry"]}`, "of the registry", "edition"},
		{strings.Replace(ours, `"fields": [`, `"fields": [{"name": "region", "type": "string", "default": ""},`, 1), "FULL_TRANSITIVE", `{"is_compatible": false}`, "the registry gives no reason. Compared here, version 3 and this one can read each other, so it must be an older one", ""},
		{with, "BACKWARD", `{"is_compatible": true}`, "", "region"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/config/"):
				fmt.Fprintf(w, `{"compatibilityLevel": %q}`, c.level)
			case strings.HasPrefix(r.URL.Path, "/compatibility/"):
				fmt.Fprint(w, c.answer)
			default:
				fmt.Fprintf(w, `{"subject": "s", "version": 3, "id": 7, "schema": %q}`, c.registered)
			}
		}))
		client, err := sr.NewClient(sr.URLs(server.URL))
		if err != nil {
			t.Fatal(err)
		}
		v, err := Check(t.Context(), client, Subject{Name: "s", Schema: ours})
		server.Close()
		if err != nil || v.Compatible() != (c.refused == "") || !strings.HasPrefix(v.Refused, c.refused) || !strings.Contains(v.Unreadable, c.unreadable) {
			t.Errorf("%s: %+v, %v; want %q", c.level, v, err, c.refused)
		}
	}
}

// TestIdentify proves that our schemas are registered once and have the same id in every process, that they are only looked up where that is the setting, that one which is not
// compatible is refused with subject and reason, and that ids outlive a start without a registry: those of the same registry, subject and schema, and no others.
func TestIdentify(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(t.TempDir(), "state", "output-schemas.json")
	scores, triggers := Subject{p.subject + "-scores", schemas.Scores.Schema()}, Subject{p.subject + "-triggers", schemas.Triggers.Schema()}
	both := []Subject{scores, triggers}
	refused := func(err error, says string) {
		t.Helper()
		var refusal *RefusedError
		if !errors.As(err, &refusal) || refusal.Subject != scores.Name || !strings.Contains(err.Error(), fmt.Sprintf("subject %q", scores.Name)) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want that %s", err, says)
		}
	}
	identify := func(s *Settings, file string, register bool, subjects ...Subject) (Identified, error) {
		return Identify(t.Context(), s, file, subjects, register)
	}
	_, err := identify(&p.settings, file, false, both...)
	refused(err, "`lull schemas register` puts it there")
	first, err := identify(&p.settings, file, true, both...)
	if err != nil || first.Outage != nil || len(first.IDs) != 2 || first.IDs[scores.Name] == first.IDs[triggers.Name] {
		t.Fatalf("%+v, %v", first, err)
	}
	for _, register := range []bool{true, false} {
		if again, err := identify(&p.settings, "", register, both...); err != nil || !maps.Equal(again.IDs, first.IDs) {
			t.Errorf("register %v: %+v, %v; at first %+v", register, again, err, first)
		}
	}
	other := Subject{scores.Name, strings.Replace(scores.Schema, `"name": "purchases"`, `"name": "buys"`, 1)}
	if p.real {
		for _, result := range p.client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatFull}, scores.Name) {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
		}
		_, err := identify(&p.settings, file, true, other)
		refused(err, "`lull schemas check` tells what is not compatible")
	}
	_, err = identify(&p.settings, file, false, other)
	refused(err, "`lull schemas register` puts it there")

	front := httptest.NewServer(http.NotFoundHandler())
	front.Close()
	gone := p.settings
	gone.URL = []string{front.URL}
	move := func() { // to the registry that is gone
		t.Helper()
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.ReplaceAll(string(text), p.settings.URL[0], gone.URL[0])), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := identify(&gone, file, true, both...); err == nil || !strings.Contains(err.Error(), "is not known yet") {
		t.Errorf("the ids of another registry are believed: %v", err)
	}
	move()
	if kept, err := identify(&gone, file, true, both...); err != nil || kept.Outage == nil || !maps.Equal(kept.IDs, first.IDs) {
		t.Errorf("%+v, %v; at first %+v", kept, err, first)
	}
	if _, err := identify(&gone, file, true, triggers, other); err == nil || !strings.Contains(err.Error(), "is not known yet") {
		t.Errorf("the id of another schema is believed: %v", err)
	}
}

// TestCache proves that schemas outlive a start without a registry, and that those of another registry, a torn file, or another version of the format are not believed.
func TestCache(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(t.TempDir(), "state", "schemas.json")
	id := p.register(t, p.subject, orderV1)
	known, err := writer(t, p.run(t, file), id)
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(&p.settings, file, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := again.Writer(uint32(id)); err != nil || s.Schema != known.Schema {
		t.Errorf("%+v, %v", s, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := p.settings
	other.URL = []string{"http://other:8081"}
	for name, c := range map[string]struct {
		settings Settings
		content  string
	}{
		"another registry": {other, string(text)},
		"torn":             {p.settings, string(text[:len(text)/2])},
		"another version":  {p.settings, strings.Replace(string(text), `"version": 1`, `"version": 2`, 1)},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := New(&c.settings, file, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Writer(uint32(id)); !errors.Is(err, schemas.ErrWriterAwaited) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLogin proves that the password in the file is sent, also when it has been replaced, and what is said about one that is refused, about a wrong path and about nobody who answers.
func TestLogin(t *testing.T) {
	var password atomic.Value
	password.Store("first")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch user, given, _ := r.BasicAuth(); {
		case user != "lull" || given != password.Load():
			http.Error(w, `{"error_code": 40101, "message": "Unauthorized"}`, http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/wrong"):
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, `{"schema": "\"string\""}`)
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	ask := func(url string) error {
		t.Helper()
		s := Settings{URL: []string{url}, Username: "lull", PasswordFile: file}
		s.EnsureDefaults()
		r, err := New(&s, "", zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Asking(t.Context()).Writer(7)
		return err
	}
	if err := ask(server.URL); err != nil {
		t.Error(err)
	}
	password.Store("second")
	if err := ask(server.URL); err == nil || !strings.Contains(err.Error(), "it refuses this user (401): mend registry.username and registry.password_file") || strings.Contains(err.Error(), "first") {
		t.Error(err)
	}
	write("second")
	if err := ask(server.URL); err != nil {
		t.Error(err)
	}
	if err := ask(server.URL + "/wrong"); err == nil || !strings.Contains(err.Error(), "there is no registry at this URL") {
		t.Error(err)
	}
	server.Close()
	if err := ask(server.URL); err == nil || !strings.Contains(err.Error(), "start it, or mend registry.url") {
		t.Error(err)
	}
}
