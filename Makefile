# Run `make` for the binary, `make check test` before a commit.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)
GENERATED     = $(shell find . -name '*.gen.go' -not -path './node_modules/*' | sort)
FUZZTIME     ?= 30s
PROOF        := ^Test(EveryPoint|TheRecovery|RandomSchedules|FailureTable)

VULN_VERSION := v1.9.0
SOAK         ?= 10m

.PHONY: help build check test chaos soak interop bench fuzz demo docker sbom licences vuln redis-server clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r target text; do \
		printf '%-10s %s\n' "$$target" "$$text"; \
	done

build: ## the binary, in bin/
	CGO_ENABLED=0 go build -trimpath -o bin/polyvault ./cmd/polyvault

check: $(LINT) ## formatting, lint, vet, tidy modules, licences, generated files up to date
	$(LINT) fmt --diff
	$(LINT) run --timeout 15m ./...
	go mod tidy -diff
	go run -C tools ./supply licences -check
	go vet -C tools ./... && go test -C tools ./...
	@before=$$(sha256sum $(GENERATED)); go generate ./...; \
	if ! diff <(echo "$$before") <(sha256sum $(GENERATED)); then \
		echo 'generated files were out of date: commit what go generate wrote' >&2; exit 1; \
	fi

# The race detector makes the proof of the gateway many times as slow: with it only a
# part of the proof is run, and then all of it without. The search for canaries, which
# reads hundreds of megabytes that another process has written, is run without it.
test: redis-server ## everything that needs no network, with a real redis-server
	go test -race -shuffle=on -timeout 30m $$(go list ./... | grep -v '/tests/canaries$$')
	go test -timeout 30m ./tests/canaries
	go test -timeout 30m -run '$(PROOF)' ./gateway

chaos: redis-server ## gateways and Redis killed, frozen, cut off and out of room, with the built binary: 40 minutes
	go test -count 1 -timeout 60m -v ./tests/chaos -full
	POLYVAULT_SCHEDULES=20000 go test -count 1 -timeout 30m -run '^TestRandomSchedules' ./gateway

soak: redis-server ## the same load for SOAK (10m): nothing fails, and memory, goroutines and descriptors stay flat
	go test -count 1 -timeout 24h -run '^TestSoak$$' -v ./tests/chaos -soak $(SOAK)

redis-server:
	@if ! command -v redis-server >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; \
		else \
			echo 'the tests need redis-server 6.2 or later: apt-get install redis-server, or brew install redis' >&2; exit 1; \
		fi; \
	fi

interop: build ## the providers' own clients (npm) against the stand-ins
	cd tests/interop && npm ci --no-audit --no-fund
	@work=$$(mktemp -d); sandbox=; \
	trap 'if [ -n "$$sandbox" ]; then kill "$$sandbox" 2>/dev/null || true; wait "$$sandbox" || true; fi; rm -rf "$$work"' EXIT; \
	bin/polyvault sandbox --tls-ca-out "$$work/ca.pem" >"$$work/log" 2>&1 & sandbox=$$!; \
	for _ in $$(seq 100); do bin/polyvault healthcheck --url http://127.0.0.1:9103/_sandbox/state >/dev/null 2>&1 && break; sleep 0.1; done; \
	if ! kill -0 "$$sandbox" 2>/dev/null; then cat "$$work/log" >&2; exit 1; fi; \
	cd tests/interop; \
	NODE_EXTRA_CA_CERTS="$$work/ca.pem" CYBERSOURCE_URL=https://localhost:10101 node cybersource.mjs; \
	REBILLY_URL=http://127.0.0.1:9102 node rebilly.mjs

bench: redis-server build ## ratios against a plain proxy and a direct call
	go run ./tests/bench

# The last call of a target may be cut off by the end of its time, which go test then
# reports as an error of its own: only an input that fails is one.
fuzz: ## every fuzz target for FUZZTIME
	@out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort | while IFS=: read -r file name; do \
		echo "== $$(dirname "$$file") $${name#func }"; \
		go test -run '^$$' -fuzz "^$${name#func }\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$(dirname "$$file")" | tee "$$out" || \
			{ grep -qx ' *context deadline exceeded' "$$out" && ! grep -q 'Failing input' "$$out"; } || exit 1; \
	done

demo: ## the tour: the whole thing, explained step by step
	go run ./cmd/polyvault demo --tour

sbom: build ## a CycloneDX bill of materials of the binary, in bin/sbom.cdx.json
	go run -C tools ./supply sbom bin/polyvault >bin/sbom.cdx.json

licences: ## writes third_party.csv: what is compiled, and under which licence
	go run -C tools ./supply licences

vuln: ## known vulnerabilities of what is compiled; asks vuln.go.dev
	go run golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) -test ./...

docker: ## checks Dockerfile and docker-compose.yml without building
	docker compose config --quiet
	docker build --check .

clean: ## removes bin/
	rm -rf bin

# The linter is built from source at a pinned version, unless that very version is
# installed already.
$(LINT):
	@mkdir -p bin
	@installed=$$(go env GOPATH)/bin/golangci-lint; \
	if "$$installed" version --short 2>/dev/null | grep -qx '$(LINT_VERSION:v%=%)'; then \
		ln -sf "$$installed" $@; \
	else \
		GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION) && mv bin/golangci-lint $@; \
	fi
