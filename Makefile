# The commands of the project; `make help` lists them. CONTRIBUTING.md says when to use which.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# What is tested is what is shipped: a static binary. Only the race detector needs cgo.
export CGO_ENABLED := 0

# Arguments of `lull demo` and the benchmarks, as in: make demo ARGS="--kill 5 --json"
ARGS ?=
# How long each benchmark runs.
BENCHTIME ?= 3s
# Faults of chaos, and what its input and faults are decided by.
FAULTS ?= 100
SEED ?= 1
INPUTS ?= 1
# What drill upgrades from, a tag or a commit: a version whose state this one reads and goes on from, and the other way round, and that tells the same. The last release, once there is one.
DRILL_FROM ?= 515807b
# Worlds of each clock, with a first stage and as many without, and what they are decided by.
SIM_WORLDS ?= 150
SIM_SEED ?= 1
# Runs under a fake clock in which everything goes wrong, and the first one's seed.
ATTACKS ?= 1000
ATTACK_SEED ?= 1
# Go's database of vulnerabilities.
VULNERABILITY_DB ?= https://vuln.go.dev
# The browser of test-browser, and where it puts its pictures.
BROWSER ?= chromium
SHOTS ?=
# The first of the five ports of the broker of test-kafka.
KAFKA_PORT ?= 29392
# The first of the two ports of the broker of peers, bench-peers and bench-full.
PEERS_PORT ?= 29492
# Where bench-full writes, and how many customers its growth has.
RESULTS ?= bin/results
GROWTH ?= 200000,2000000,10000000

# Tools are built from source once, under names that carry their version, and not through go.mod: their
# dependencies are none of ours. A new version here is a new file there, so it is installed by itself.
GOLANGCI_LINT_VERSION := v2.15.0
SHFMT_VERSION := v3.14.1
GOLANGCI_LINT := bin/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
SHFMT := bin/tools/shfmt-$(SHFMT_VERSION)
SHFMT_STYLE := --indent 2 --case-indent

# The parser of AsyncAPI documents and what it needs, in the versions of .ci/asyncapi/package-lock.json.
ASYNCAPI := bin/tools/asyncapi

# What deploy/ is held against: the packages of .ci/deploy/requirements.txt, the loader of the Compose Specification, Helm, Prometheus 3.16 and its promtool.
COMPOSE_VERSION := v2.16.2
HELM_VERSION := v3.22.0
COMPOSE := bin/tools/compose-$(COMPOSE_VERSION)
HELM := bin/tools/helm-$(HELM_VERSION)
PROMETHEUS_VERSION := v0.316.0
PROMTOOL := bin/tools/promtool-$(PROMETHEUS_VERSION)
PROMETHEUS := bin/tools/prometheus-$(PROMETHEUS_VERSION)
GORELEASER_VERSION := v2.15.1
GORELEASER := bin/tools/goreleaser-$(GORELEASER_VERSION)
CYCLONEDX_VERSION := v1.10.0
CYCLONEDX := bin/tools/cyclonedx-gomod-$(CYCLONEDX_VERSION)
GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK := bin/tools/govulncheck-$(GOVULNCHECK_VERSION)
DEPLOY_TOOLS := bin/tools/deploy
STRIMZI := bin/tools/strimzi
OPERATOR := bin/tools/operator

SCRIPTS := .ci/run deploy/local/kafka

# $(call install,MODULE PATH OF THE COMMAND,VERSION) builds the command and gives it the target's name.
install = GOBIN="$$PWD/bin/tools" go install $(1)@$(2) && mv "bin/tools/$(notdir $(1))" $@

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: build ## show lull at work on the CDNOW purchases; ARGS="--kill 5 --json" passes arguments on
	@bin/lull demo $(ARGS)

.PHONY: build
build: ## build bin/lull
	go build -o bin/lull ./cmd/lull

.PHONY: test
test: ## all tests that need only Go, with assertions on
	go test -tags invariants -shuffle=on -timeout 15m ./...

.PHONY: test-race
test-race: ## the same tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -shuffle=on -timeout 45m ./...

.PHONY: test-kafka
# The attacks have brokers of their own: make check and make attacks run them.
test-kafka: ## the pipeline tests, and the subscribers', against a real Apache Kafka (needs Java 17, Maven, openssl and Python 3)
	@dir=$$(mktemp -d); \
	trap '[[ ! -f $$dir/bootstrap ]] || deploy/local/kafka stop "$$dir"; rm -rf "$$dir"' EXIT; \
	deploy/local/kafka start "$$dir" --port $(KAFKA_PORT) --secure; \
	export LULL_TEST_SECURE=$$dir LULL_TEST_BROKERS=$$(deploy/local/kafka bootstrap "$$dir"); \
	echo "LULL_TEST_SECURE=$$dir LULL_TEST_BROKERS=$$LULL_TEST_BROKERS go test ./pipeline/... ./cmd/... ./docs/..."; \
	go test -tags invariants -count=1 -p 1 -timeout 25m -skip 'Attacks$$' ./pipeline/... ./cmd/... ./docs/...

READERS := bin/tools/readers

.PHONY: test-readers
test-readers: $(READERS)/installed ## snapshots read by pyarrow, pandas, Polars, DuckDB and lifetimes (needs Python 3.9 to 3.12)
	LULL_TEST_READERS="$$PWD/$(READERS)" go test -tags invariants -count=1 -run 'TestReaders$$' -v ./cmd/lull

.PHONY: test-browser
# Any Chromium will do: BROWSER names it. SHOTS=DIR keeps what it sees.
test-browser: ## reports opened in a real browser: phone and desktop, light and dark (needs Chromium)
	browser=$$(command -v $(BROWSER)) || { echo "$(BROWSER) is not there: install Chromium, or name it by BROWSER"; exit 1; }; \
	LULL_TEST_BROWSER=$$browser LULL_TEST_SHOTS="$(SHOTS)" go test -tags invariants -count=1 -run 'TestBrowser$$' ./pipeline/report

$(READERS)/installed: docs/readers/requirements.txt
	python3 -m venv $(READERS)
	$(READERS)/bin/python -m pip install --quiet -r $<
	touch $@

NOTEBOOK := bin/tools/notebook

.PHONY: test-notebook
test-notebook: $(NOTEBOOK)/installed ## docs/notebook run from start to end, with lifetimes and pymc-marketing (needs Python 3.11 or newer, and a gigabyte)
	LULL_TEST_NOTEBOOK="$$PWD/$(NOTEBOOK)" go test -tags invariants -count=1 -run 'TestNotebook$$' -v ./cmd/lull

$(NOTEBOOK)/installed: docs/notebook/requirements.txt
	python3 -m venv $(NOTEBOOK)
	$(NOTEBOOK)/bin/python -m pip install --quiet -r $<
	touch $@

API := bin/tools/api

.PHONY: test-api
test-api: $(API)/installed ## the read API under requests that Schemathesis makes of its document (needs Python 3.10 or newer)
	LULL_TEST_SCHEMATHESIS="$$PWD/$(API)/bin/schemathesis" go test -tags invariants -count=1 -run 'TestFuzz$$' -v ./pipeline/query

$(API)/installed: .ci/api/requirements.txt
	python3 -m venv --clear $(API)
	$(API)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

.PHONY: sim
sim: ## the simulator: over 10,000 crashes, checked after every heal; SIM_WORLDS and SIM_SEED choose others
	go test -c -o bin/sim.test ./pipeline/sim
	cd pipeline/sim && ../../bin/sim.test -test.run 'TestSim|TestReplay' -rapid.checks=$(SIM_WORLDS) -rapid.seed=$(SIM_SEED)

.PHONY: sim-long
sim-long: ## the simulator for about an hour: a million faults
	$(MAKE) sim SIM_WORLDS=10000 SIM_SEED=2

.PHONY: attacks
attacks: ## the real clients and store under a fake clock, everything going wrong; ATTACKS runs, the first of seed ATTACK_SEED
	go test -c -tags invariants -o bin/attacks.test ./pipeline
	cd pipeline && ../bin/attacks.test -test.run 'Attacks$$|TestRequests|TestZombie|TestMoves' -attacks.seeds=$(ATTACKS) -attacks.first=$(ATTACK_SEED)

.PHONY: chaos
chaos: bin/chaos ## attack pipelines on three real brokers for half an hour; FAULTS=20 takes some five (needs Java 17 and Maven)
	bin/chaos -faults $(FAULTS) -seed $(SEED) -inputs $(INPUTS)

.PHONY: chaos-long
chaos-long: bin/chaos ## the same for about an hour: pipelines killed 1,000 times, brokers 50 times
	bin/chaos -kills 1000 -broker-kills 50 -rate 150 -seed $(SEED) -inputs $(INPUTS)

.PHONY: rolling
rolling: bin/chaos ## restart three pipelines in turn under load, and print what that costs with static membership and without; 4 minutes
	bin/chaos -rolling -rate 2000 -seed $(SEED)

.PHONY: drill
drill: bin/chaos bin/lull-$(DRILL_FROM) ## install, scale from one pipeline to three and back, upgrade, lose disks, all under load, and print what each step costs; 5 minutes
	bin/chaos -drill -from bin/lull-$(DRILL_FROM) -rate 1000 -seed $(SEED)

bin/lull-$(DRILL_FROM):
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	git archive $(DRILL_FROM) | tar --extract --directory "$$dir"; \
	go build -C "$$dir" -buildvcs=false -o "$$PWD/$@" ./cmd/lull

.PHONY: bin/chaos
bin/chaos: build
	go build -o $@ ./benchmarks/chaos

.PHONY: mutants
mutants: ## plant bugs, one at a time, and run the check that is to catch each; about half an hour
	go run ./internal/mutants

.PHONY: bench
bench: ## what an event costs: CPU, memory, state and changelog, then each kind's step; under 5 minutes
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./benchmarks/...

.PHONY: bench-guard
bench-guard: ## fails if an event costs more allocations or bytes than benchmarks/guard.json says; ARGS=-write makes that anew
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks guard $(ARGS)

.PHONY: bench-restore
bench-restore: ## what a cold start, a restart after SIGKILL and a take-over take; ARGS="-customers 1000000", LULL_BROKERS for real ones
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks restore $(ARGS)

.PHONY: bench-sweep
bench-sweep: ## what a new model for everybody costs the latency of live orders; ARGS="-customers 1000000 -kill", LULL_BROKERS for real ones
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks sweep $(ARGS)

.PHONY: bench-snapshot
bench-snapshot: build ## what a snapshot takes, beside a process and by its schedule, and costs the latency of live orders; ARGS="-customers 1000000 -quiet 60s", LULL_BROKERS for real ones
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks snapshot $(ARGS)

.PHONY: bench-growth
bench-growth: ## what an event costs among 200,000 and two million customers, and the memory and state that these take; ARGS="-customers 200000,10000000", LULL_BROKERS for real ones
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks growth $(ARGS)

# $(call on-kafka,COMMAND) runs the command with LULL_BROKERS naming a real Apache Kafka that is there for it alone.
define on-kafka
@dir=$$(mktemp -d); \
trap '[[ ! -f $$dir/bootstrap ]] || deploy/local/kafka stop "$$dir"; rm -rf "$$dir"' EXIT; \
deploy/local/kafka start "$$dir" --port $(PEERS_PORT); \
LULL_BROKERS=$$(deploy/local/kafka bootstrap "$$dir") $(1)
endef

.PHONY: peers
peers: bin/peers/peer.jar ## build the same job for Kafka Streams, run both over a small input, and compare all that they write (needs a JDK 17 and Maven)
	go build -o bin/benchmarks ./benchmarks
	$(call on-kafka,bin/benchmarks peers -compare -events 40000 -customers 2000 -seed 5 -disorder 300000 -silence 100)

.PHONY: bench-peers
bench-peers: bin/peers/peer.jar ## lull, Kafka Streams and the floors in turn on a real broker, after the same comparison; ARGS="-events 5000000 -customers 200000" (needs the same)
	go build -o bin/benchmarks ./benchmarks
	$(call on-kafka,bin/benchmarks peers $(ARGS))

.PHONY: bench-plots
bench-plots: ## draw what the files *.json in benchmarks/results say, and write the table of the README
	go build -o bin/benchmarks ./benchmarks
	bin/benchmarks plots

# What a report says is in a file of its own, in the folder RESULTS. Each scenario has a broker of its own, so that none waits for what another has left it to do.
.PHONY: bench-full
bench-full: build bin/peers/peer.jar ## all that is measured, into the folder RESULTS: some four hours on two cores that do nothing else (needs a JDK 17 and Maven)
	go build -o bin/benchmarks ./benchmarks
	mkdir -p $(RESULTS)
	bin/benchmarks >$(RESULTS)/catch-up.md
	$(call on-kafka,bin/benchmarks peers -events 5000000 -customers 200000 -restore 3 -json $(RESULTS)/peers.json >$(RESULTS)/peers.md)
	$(call on-kafka,bin/benchmarks peers -pair -rate 5000 -json $(RESULTS)/rate-5000.json >$(RESULTS)/rate-5000.md)
	$(call on-kafka,bin/benchmarks peers -pair -rate 5000 -commit 20ms -json $(RESULTS)/rate-5000-20ms.json >$(RESULTS)/rate-5000-20ms.md)
	$(call on-kafka,bin/benchmarks peers -pair -rate 20000 -events 3000000 -customers 120000 -json $(RESULTS)/rate-20000.json >$(RESULTS)/rate-20000.md)
	$(call on-kafka,bin/benchmarks peers -pair -rate 5000 -events 9000000 -customers 360000 -runs 1 >$(RESULTS)/long.md)
	$(call on-kafka,bin/benchmarks growth -customers $(GROWTH) -runs 3 >$(RESULTS)/growth.md)
	$(call on-kafka,bin/benchmarks restore >$(RESULTS)/restore.md)
	$(call on-kafka,bin/benchmarks sweep -kill >$(RESULTS)/sweep.md)
	$(call on-kafka,bin/benchmarks snapshot >$(RESULTS)/snapshot.md)

bin/peers/peer.jar: benchmarks/peers/pom.xml $(wildcard benchmarks/peers/src/main/java/lull/peer/*.java)
	mvn --quiet --batch-mode --file benchmarks/peers/pom.xml package
	touch $@

.PHONY: fmt
fmt: $(GOLANGCI_LINT) $(SHFMT) ## format Go and shell sources
	$(GOLANGCI_LINT) fmt
	$(SHFMT) $(SHFMT_STYLE) --write $(SCRIPTS)

.PHONY: generate
generate: ## write the generated files anew
	go generate ./...

.PHONY: check
check: lint check-rounding check-generated check-tidy bench-guard sim test-race ## what a change must pass: all the checks, then the tests

# The linters see the build with assertions, vet the one without.
.PHONY: lint
lint: $(GOLANGCI_LINT) $(SHFMT) ## format and static analysis of Go and shell sources
	$(GOLANGCI_LINT) run
	go vet ./...
	$(SHFMT) $(SHFMT_STYLE) --diff $(SCRIPTS)
	if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); fi

# Processors of other kinds than amd64 multiply and add at once, and round once. float64(a*b) + c keeps a compiler from it: what a customer is told must not hang on who computed it. Fits are
# computed by one process, and their results are what the others read.
.PHONY: check-rounding
check-rounding: ## fail if a score would be rounded otherwise on arm64
	@! GOARCH=arm64 go build -gcflags='lull/operators/...=-S' ./operators/... 2>&1 | grep -E 'FN?M(ADD|SUB)[DS]' | grep -v '/likelihood.go:\|/newton.go:' || \
		{ echo "write float64(a*b) + c at these lines, which the compiler for arm64 makes one operation of, rounded once"; exit 1; }

.PHONY: check-generated
check-generated: ## fail if go generate changes a file
	@state() { git status --porcelain; git diff; }; \
	before=$$(state); go generate ./...; \
	[[ $$before == "$$(state)" ]] || { echo "generated files are out of date: commit what make generate wrote"; exit 1; }

.PHONY: check-tidy
check-tidy: ## fail if go.mod or go.sum lack something or hold too much
	go mod tidy -diff

.PHONY: check-asyncapi
check-asyncapi: build $(ASYNCAPI)/installed ## hold AsyncAPI documents against the specification's own parser (needs Node.js 18 and npm)
	for format in avro registry-avro json; do \
	  bin/lull asyncapi --input-topic orders --outputs-sessions $$format --outputs-scores $$format --outputs-segments $$format --outputs-triggers $$format --outputs-offers $$format \
	    --input-format segment-json >$(ASYNCAPI)/$$format.json; \
	done
	node $(ASYNCAPI)/check.js docs/asyncapi.json $(ASYNCAPI)/avro.json $(ASYNCAPI)/registry-avro.json $(ASYNCAPI)/json.json

# The binary that is shipped, the same from the same sources wherever they lie: the Dockerfile calls this too. The tag leaves code out that is never called (docs/adr/0026-object-stores.md).
.PHONY: bin/release/lull
bin/release/lull:
	go build -trimpath -tags disable_grpc_modules -ldflags='-s -w' -o $@ ./cmd/lull

# The texts of the licences that the code in it comes under, which go with the binary.
.PHONY: bin/release/THIRD_PARTY_LICENSES
bin/release/THIRD_PARTY_LICENSES:
	mkdir -p $(@D)
	go run ./internal/licenses texts $@

.PHONY: check-deploy
check-deploy: bin/release/lull $(DEPLOY_TOOLS)/installed $(STRIMZI)/installed $(OPERATOR)/installed $(COMPOSE) $(HELM) $(PROMTOOL) $(PROMETHEUS) ## image, compose, systemd unit, Helm chart, alerts and Strimzi's objects, by the formats' own tools, and a Prometheus over three processes (needs Python 3 with venv, bubblewrap, systemd, openssl, Java 17, Maven)
	$(DEPLOY_TOOLS)/bin/python .ci/deploy/check.py --lull bin/release/lull --tools $(DEPLOY_TOOLS) --compose $(COMPOSE) --helm $(HELM) --promtool $(PROMTOOL) --strimzi $(STRIMZI) --operator $(OPERATOR)
	LULL_TEST_PROMTOOL="$$PWD/$(PROMTOOL)" go test -tags invariants -count=1 -run 'TestAlerts$$' ./pipeline
	LULL_TEST_PROMETHEUS="$$PWD/$(PROMETHEUS)" go test -tags invariants -count=1 -run 'TestMonitored$$' ./cmd/lull

.PHONY: check-reproducible
check-reproducible: ## build the shipped binary again, elsewhere and with nothing cached, and compare; some minutes
	@dir=$$(mktemp -d); trap 'chmod -R u+w "$$dir"; rm -rf "$$dir"' EXIT; \
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$$dir"; \
	GOCACHE=$$dir/cache GOFLAGS="$${GOFLAGS:-} -buildvcs=false" $(MAKE) --no-print-directory --directory "$$dir" bin/release/lull; \
	GOFLAGS="$${GOFLAGS:-} -buildvcs=false" $(MAKE) --no-print-directory bin/release/lull; \
	sha256sum bin/release/lull "$$dir/bin/release/lull"; \
	cmp bin/release/lull "$$dir/bin/release/lull"

.PHONY: check-release
check-release: $(GORELEASER) ## whether goreleaser takes deploy/goreleaser.yaml
	$(GORELEASER) check deploy/goreleaser.yaml

.PHONY: sbom
sbom: bin/release/lull $(CYCLONEDX) ## write what is in the shipped binary as bin/release/lull.cdx.json, a CycloneDX SBOM
	$(CYCLONEDX) bin -json -std -noserial -notimestamp -output bin/release/lull.cdx.json bin/release/lull

.PHONY: vulnerabilities
vulnerabilities: $(GOVULNCHECK) ## known vulnerabilities in what the binary calls; VULNERABILITY_DB=file:///DIR asks a copy of the database
	$(GOVULNCHECK) -db $(VULNERABILITY_DB) ./cmd/...

$(ASYNCAPI)/installed: $(wildcard .ci/asyncapi/*)
	mkdir -p $(ASYNCAPI)
	cp .ci/asyncapi/* .ci/asyncapi/.npmrc $(ASYNCAPI)
	cd $(ASYNCAPI) && npm ci
	touch $@

$(DEPLOY_TOOLS)/installed: .ci/deploy/requirements.txt
	python3 -m venv --clear $(DEPLOY_TOOLS)
	$(DEPLOY_TOOLS)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

$(STRIMZI)/installed: .ci/deploy/strimzi.xml
	rm -rf $(STRIMZI)
	mvn --quiet --batch-mode --file $< dependency:copy-dependencies -DoutputDirectory="$$PWD/$(STRIMZI)/lib"
	java -cp '$(STRIMZI)/lib/*' io.strimzi.crdgenerator.CrdGenerator --yaml --target-kube 1.27+ \
	  io.strimzi.api.kafka.model.topic.KafkaTopic="$$PWD/$(STRIMZI)/KafkaTopic.yaml" io.strimzi.api.kafka.model.user.KafkaUser="$$PWD/$(STRIMZI)/KafkaUser.yaml"
	touch $@

# The definitions of the Prometheus Operator's objects, made of its types as its own are.
$(OPERATOR)/installed: $(wildcard .ci/operator/*)
	rm -rf $(OPERATOR)
	go -C .ci/operator tool controller-gen crd paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 output:crd:dir="$$PWD/$(OPERATOR)"
	touch $@

# Its command is called cmd, in the folder of a major version.
$(COMPOSE):
	GOBIN="$$PWD/bin/tools" go install github.com/compose-spec/compose-go/v2/cmd@$(COMPOSE_VERSION) && mv bin/tools/cmd $@

$(HELM):
	$(call install,helm.sh/helm/v3/cmd/helm,$(HELM_VERSION))

# Without what they could discover targets by, which is most of them.
$(PROMTOOL) $(PROMETHEUS): bin/tools/%-$(PROMETHEUS_VERSION):
	GOBIN="$$PWD/bin/tools" go install -tags remove_all_sd github.com/prometheus/prometheus/cmd/$*@$(PROMETHEUS_VERSION) && mv bin/tools/$* $@

$(GORELEASER):
	GOBIN="$$PWD/bin/tools" go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION) && mv bin/tools/goreleaser $@

$(CYCLONEDX):
	$(call install,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod,$(CYCLONEDX_VERSION))

$(GOVULNCHECK):
	$(call install,golang.org/x/vuln/cmd/govulncheck,$(GOVULNCHECK_VERSION))

$(GOLANGCI_LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT_VERSION))

$(SHFMT):
	$(call install,mvdan.cc/sh/v3/cmd/shfmt,$(SHFMT_VERSION))
