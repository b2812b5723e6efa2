package main

import (
	"errors"
	"os"
	"testing"

	"lull/pipeline/securitytest"
)

// asLull is the environment variable by which the test binary becomes lull itself, for tests that need it as a process.
const asLull = "RUN_AS_LULL"

// panicking is its value for a lull whose main panics.
const panicking = "panicking"

// testBrokers are those of a real Kafka, "" for none. The variable is none of lull's settings, which would refuse it; nor is that of securitytest.
var testBrokers = os.Getenv("LULL_TEST_BROKERS")

func TestMain(m *testing.M) {
	switch os.Getenv(asLull) {
	case panicking:
		os.Args = nil // main cuts its own name off
		fallthrough
	case "1":
		main()
		return
	}
	// Processes that tests start are lull.
	if err := errors.Join(os.Setenv(asLull, "1"), os.Unsetenv("LULL_TEST_BROKERS"), os.Unsetenv(readersVariable), os.Unsetenv(notebookVariable), os.Unsetenv(prometheusVariable), os.Unsetenv(securitytest.Variable)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
