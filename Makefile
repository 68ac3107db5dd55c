# make run and make test are all that a new user needs.

GO     ?= go
PORT   ?= 4567
# Time-outs are there to end what hangs, not to measure.
TEST    = $(GO) test -timeout 20m

# What people use on their own machine, whatever that is.
PORTABLE = ./cmd/... ./pkg/boot ./pkg/cert ./pkg/check ./pkg/config ./pkg/daemon ./pkg/dhcp ./pkg/hosts ./pkg/httpd ./pkg/ipxe ./pkg/iso \
           ./pkg/loader ./pkg/media ./pkg/order ./pkg/site ./pkg/tftpd ./pkg/tree

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve the example tree public/ on port 4567 (PORT=...)
	$(GO) run ./cmd/pxesrv serve --root public --port $(PORT)

build: ## bin/pxesrv, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/pxesrv ./cmd/pxesrv

test: deps ## install what is missing (Debian), then run every test, real iPXE in QEMU included
	bash .ci/tests

soak: deps ## the long loops: 100000 orders, 1000 kills; about half an hour
	PXESRV_TEST_SOAK=1 $(GO) test -timeout 120m -count=1 -v -run 'Soak' ./...

fuzz: ## every fuzz target for 30 s (FUZZTIME=...)
	@bash .ci/fuzz $(or $(FUZZTIME),30s)

bench: ## the figures of docs/speed.md, beside a constant handler and nginx; about ten minutes
	@bash .ci/bench

lint: ## gofmt, staticcheck, and vet for Linux, macOS and Windows
	@test -z "$$(gofmt -l cmd pkg)" || { echo "gofmt would change:"; gofmt -l cmd pkg; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin $(GO) vet $(PORTABLE)
	GOOS=windows $(GO) vet $(PORTABLE)

fmt: ## format the source
	gofmt -w cmd pkg

deps: ## install what the tests need (Debian), and fetch the iPXE of Debian 13 into a cache
	@bash pkg/lab/deps.sh

clean: ## remove what was built
	rm -rf bin dist

.PHONY: help run build test soak fuzz bench lint fmt deps clean
.DEFAULT_GOAL := help
