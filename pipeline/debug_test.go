package pipeline

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestDebug: profiles are there, the log's level can be read and changed while the process runs, a wrong one is refused, and so is who asks under another name than this machine's own.
func TestDebug(t *testing.T) {
	level := zerolog.GlobalLevel()
	defer zerolog.SetGlobalLevel(level)
	zerolog.SetGlobalLevel(zerolog.InfoLevel)
	var log bytes.Buffer
	r := &Runner{log: zerolog.New(&log)}
	server := httptest.NewServer(r.debugHandler())
	defer server.Close()
	ask := func(method, path, body, host string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			request.Host = host
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	r.log.Debug().Msg("before")
	for _, v := range []struct {
		method, path, body, host string
		code                     int
		want                     string
	}{
		{"GET", "/debug/pprof/goroutine?debug=1", "", "", 200, "TestDebug"},
		{"GET", "/log-level", "", "", 200, "info\n"},
		{"PUT", "/log-level", "loud", "", 400, `log level "loud": it must be one of debug, info, warn, error`},
		{"PUT", "/log-level", "debug\n", "", 200, "debug\n"},
		{"GET", "/log-level", "", "localhost", 200, "debug\n"},
		{"GET", "/log-level", "", "lull.example:6060", 403, `host "lull.example:6060": http.debug answers who asks for this machine by its loopback address`},
	} {
		if code, text := ask(v.method, v.path, v.body, v.host); code != v.code || !strings.Contains(text, v.want) {
			t.Errorf("%s %s %q: %d %s; want %d %s", v.method, v.path, v.body, code, text, v.code, v.want)
		}
	}
	r.log.Debug().Msg("after")
	if told := log.String(); strings.Contains(told, "before") || !strings.Contains(told, "after") || !strings.Contains(told, `"from":"info","to":"debug","message":"the log level has been changed"`) {
		t.Errorf("the log: %s", told)
	}
}
