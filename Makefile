# Everything a person types. "make" lists it.
SHELL := /bin/bash
TOOL  := go tool -modfile=tools.mod
GO    := CGO_ENABLED=0 go

.DEFAULT_GOAL := help
.PHONY: help build run dev test soak suites bench microbench verify generate

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

build: ## Build bin/portway, one static binary
	@echo "building bin/portway (the first time takes some minutes; packages are listed as they are done)"
	@$(GO) build -v -trimpath -ldflags "-s -w" -o bin/portway .

run: build ## Build and run the demo: gateway, portal, simulated ERP and carriers
	@exec bin/portway serve --demo $(ARGS)

dev: ## Run the demo, rebuilt on every change of a Go or templ file
	@trap '$(TOOL) templ generate -path web >/dev/null' EXIT; \
	$(TOOL) templ generate --watch --open-browser=false --path . --cmd "go run . serve --demo $(ARGS)"

test: ## Run all tests; they start or install what they need (TEST_REQUIRE makes a missing thing a failure)
	@go test -timeout 15m $(ARGS) ./...

soak: ## Run the long form of the proofs that "make test" runs short
	@SOAK=1 go test -timeout 80m -count=1 $(ARGS) ./...

suites: ## Show how the suites over other people's cases stand
	@go test -v -count=1 -run '^TestSuite' $(ARGS) ./... | grep -oE 'SUITE .*|^--- FAIL.*|^FAIL.*'

bench: build ## Measure the gateway on the fixed workload (PORTWAY_BENCH names its folder; ARGS="--peer NAME=CMD")
	@go build -o bin/bench ./internal/bench && PORTWAY_BENCH="$${PORTWAY_BENCH:-../shared/bench}" bin/bench $(ARGS)

microbench: ## Run the benchmarks of all rooms
	@go test -run '^$$' -bench . -benchmem $(ARGS) ./...

generate: ## Regenerate *_templ.go
	@$(TOOL) templ generate -path web

verify: ## Check what is generated, formatting, modules, vet and lint
	@$(TOOL) templ generate -path web >/dev/null
	@git diff --exit-code --stat -- '*_templ.go' || { echo "verify: generated code differs: run make generate and commit"; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- '*_templ.go')" || { echo "verify: generated files are not committed"; exit 1; }
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard "*.go" | grep -v _templ.go | xargs ls 2>/dev/null)); test -z "$$unformatted" || { echo "verify: run gofmt -w on"; echo "$$unformatted"; exit 1; }
	@$(TOOL) templ fmt -fail web >/dev/null || { echo "verify: run templ fmt web"; exit 1; }
	@go mod tidy -diff
	@go mod verify >/dev/null
	@go vet ./...
	@$(TOOL) staticcheck ./...
	@echo "verify: generated code, formatting, modules, vet and lint are in order"
