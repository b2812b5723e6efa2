package query

import (
	"bytes"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
)

// TestFuzz lets Schemathesis make requests of the document, valid and not, and hold the answers against it, over a world of three processes that ask each other: nothing but what the document names comes back, what it does not
// allow is refused, and no request makes a process fail. LULL_TEST_SCHEMATHESIS names the program; make test-api installs it.
func TestFuzz(t *testing.T) {
	program := os.Getenv("LULL_TEST_SCHEMATHESIS")
	if program == "" {
		t.Skip("LULL_TEST_SCHEMATHESIS names no program: make test-api does")
	}
	w := newWorld(t, 3)
	w.position = math.MaxInt64                    // nothing is waited for
	w.states["20453"] = stateOf(t, &model, buyer) // the document's example
	server := httptest.NewServer(w.handler(0, nil))
	defer server.Close()
	cmd := exec.Command(program, "run", server.URL+openAPIPath, "--checks", "all", "--mode", "all", "--max-examples", "40", "--seed", "1", "--workers", "1", "--no-color",
		"--generation-database", "none",
		// Of a cursor that no page gave, or of two questions at once, the document cannot say that they are refused.
		"--exclude-checks", "positive_data_acceptance")
	cmd.Dir = t.TempDir()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, &out)
	}
	t.Logf("%s", &out)
}
