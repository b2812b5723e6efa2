package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server answers probes, metrics and the read API.
type server struct {
	http *http.Server
	done chan struct{}
}

// Version is the program's version: its module's, or its revision.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " " + s.Value
		}
	}
	return info.Main.Version
}

// serve begins to listen.
func (r *Runner) serve() (*server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", r.ready)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, Version()) })
	metrics := promhttp.HandlerFor(r.metrics.registry, promhttp.HandlerOpts{})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.scrape(time.Now())
		r.mu.Unlock()
		metrics.ServeHTTP(w, request)
	})
	api, err := r.api()
	if err != nil {
		return nil, err
	}
	mux.Handle("/v1/", api)
	return r.listen("http.listen", r.s.HTTP.Listen, &http.Server{
		Handler: mux, ReadTimeout: readTimeout, WriteTimeout: r.s.HTTP.Timeout + readTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16, TLSConfig: r.s.HTTP.TLS.Server(),
		ErrorLog: log.New(r.log, "", 0), // what clients do wrong in TLS and HTTP
	})
}

// readTimeout is how long a request may take to come, and the writing of an answer beyond http.timeout.
const readTimeout = 5 * time.Second

// listen lets a server answer at the address of a setting.
func (r *Runner) listen(setting, address string, on *http.Server) (*server, error) {
	listener, err := r.machine.listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s %q: %w", setting, address, err)
	}
	s := &server{http: on, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		serve := on.Serve
		if on.TLSConfig != nil {
			serve = func(l net.Listener) error { return on.ServeTLS(l, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.log.Error().Err(err).Msg("listening")
		}
	}()
	r.log.Info().Str("setting", setting).Str("address", listener.Addr().String()).Msg("listening")
	return s, nil
}

func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.http.Shutdown(ctx) // what has not been answered within the second is not answered
	<-s.done
}

// readiness is the body of /readyz.
type readiness struct {
	Ready      bool              `json:"ready"`
	Problems   []string          `json:"problems,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	Partitions map[int32]readyIn `json:"partitions"`
	// Feeds are the partitions of input topics that go through the first stage, as "topic/partition".
	Feeds map[string]readyIn `json:"feeds,omitempty"`
}

type readyIn struct {
	Phase    phase  `json:"phase"`
	Position int64  `json:"position,omitempty"` // running: next input offset
	Why      string `json:"why,omitempty"`      // stopped, waiting; restoring: what interrupts it; running: the schema that it stands still for

	// Restoring: the share of the changelog that has been read, from 0 to 1; the offsets that are still to be read, and in how many seconds at the
	// speed until now. Without seconds the partition waits for its turn.
	Done        float64 `json:"done,omitempty"`
	Left        int64   `json:"left,omitempty"`
	LeftSeconds float64 `json:"left_seconds,omitempty"`
}

// ready answers /readyz: 200 once all that is assigned runs and nothing stands in the way, else 503 with what does.
func (r *Runner) ready(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	body := r.readiness(time.Now())
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if !body.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(body) // the prober has gone: nobody is left to tell
}

// readiness says what stands in the way now, and how far each partition is. mu is held.
func (r *Runner) readiness(now time.Time) readiness {
	body := readiness{Partitions: make(map[int32]readyIn)}
	body.Problems, body.Warnings = r.health.report()
	running_ := true
	for n, p := range r.partitions {
		in := readyIn{Phase: p.phase, Why: p.why}
		switch {
		case p.phase == running:
			in.Position, in.Why = p.task.Meta().Position, p.awaits
		case p.restore != nil:
			pr, trouble := p.restore.progress()
			in.Why = cmp.Or(in.Why, trouble)
			in.Done, in.Left = pr.share(), pr.end-pr.next
			if left, ok := pr.left(now); ok {
				in.LeftSeconds = left.Seconds()
			}
		}
		running_ = running_ && p.phase == running
		body.Partitions[n] = in
	}
	for tp, f := range r.feeds {
		in := readyIn{Phase: f.phase, Why: f.why}
		if f.phase == running {
			in.Position, in.Why = f.feed.Position(), f.awaits
		}
		running_ = running_ && f.phase == running
		if body.Feeds == nil {
			body.Feeds = make(map[string]readyIn)
		}
		body.Feeds[fmt.Sprintf("%s/%d", tp.topic, tp.n)] = in
	}
	if len(r.partitions)+len(r.feeds) == 0 || len(r.assigned) > 0 {
		running_ = false
		if len(body.Problems) == 0 {
			body.Problems = append(body.Problems, "no partition has been assigned yet")
		}
	}
	body.Ready = running_ && len(body.Problems) == 0
	return body
}
