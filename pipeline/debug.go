package pipeline

import (
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"lull/pipeline/query"
)

// debugHandler answers at http.debug.
func (r *Runner) debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /log-level", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, zerolog.GlobalLevel()) })
	mux.HandleFunc("PUT /log-level", func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(io.LimitReader(request.Body, 64))
		if err != nil {
			return // nobody is there any more
		}
		name := strings.TrimSpace(string(body))
		if !slices.Contains(logLevels, name) {
			http.Error(w, fmt.Sprintf("log level %q: it must be one of %s", name, strings.Join(logLevels, ", ")), http.StatusBadRequest)
			return
		}
		level, _ := zerolog.ParseLevel(name) // it is one of zerolog's
		was := zerolog.GlobalLevel()
		zerolog.SetGlobalLevel(level)
		r.log.WithLevel(zerolog.InfoLevel).Stringer("from", was).Stringer("to", level).Msg("the log level has been changed")
		fmt.Fprintln(w, level)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		// A page in a browser on this machine may have had its own name resolved to it.
		if host := request.Host; !query.Loopback(host) && !query.Loopback(host+":80") {
			http.Error(w, fmt.Sprintf("host %q: http.debug answers who asks for this machine by its loopback address", host), http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, request)
	})
}

// logLevels are the values of log_level.
var logLevels = []string{"debug", "info", "warn", "error"}
