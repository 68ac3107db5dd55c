# make run and make test are all that a new user needs.

GO     ?= go
PORT   ?= 4567
# Time-outs are there to end what hangs, not to measure.
TEST    = $(GO) test -timeout 20m

# The version has one place, debian/changelog. With the commit and its date it is what a build says of itself, and the same commit
# gives the same bytes in any folder. Git is asked about this folder alone, not about one that a tarball was unpacked in.
GIT       = GIT_CEILING_DIRECTORIES=$(abspath ..) git
VERSION  ?= $(or $(shell awk -F '[()-]' 'NR == 1 { print $$2 }' debian/changelog 2>/dev/null),$(shell $(GIT) describe --tags --always --dirty 2>/dev/null),dev)
COMMIT   ?= $(or $(shell $(GIT) describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null),unknown)
export SOURCE_DATE_EPOCH ?= $(or $(shell $(GIT) log -1 --format=%ct 2>/dev/null),0)
DATE      = $(if $(filter-out 0,$(SOURCE_DATE_EPOCH)),$(shell date -u -d @$(SOURCE_DATE_EPOCH) +%FT%TZ 2>/dev/null || date -u -r $(SOURCE_DATE_EPOCH) +%FT%TZ))
BUILD     = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
            -ldflags '-s -w -X main.release=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)'

# What people use on their own machine, whatever that is.
PORTABLE = ./cmd/... ./pkg/boot ./pkg/cert ./pkg/check ./pkg/config ./pkg/daemon ./pkg/dhcp ./pkg/hosts ./pkg/httpd ./pkg/ipxe ./pkg/iso \
           ./pkg/loader ./pkg/media ./pkg/order ./pkg/site ./pkg/tftpd ./pkg/tree

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve the example tree public/ on port 4567 (PORT=...)
	$(GO) run ./cmd/pxesrv serve --root public --port $(PORT)

build: ## bin/pxesrv, one static binary
	$(BUILD) -o bin/pxesrv ./cmd/pxesrv

man: build ## bin/pxesrv.8, and the completions of shells in bin/completions
	mkdir -p bin/completions
	bin/pxesrv man >bin/pxesrv.8
	bin/pxesrv completion bash >bin/completions/pxesrv
	bin/pxesrv completion zsh >bin/completions/_pxesrv
	bin/pxesrv completion fish >bin/completions/pxesrv.fish

dist: man ## dist/pxesrv-VERSION-linux-amd64.tar.gz and -arm64, the same bytes from the same commit
	$(foreach arch,amd64 arm64,GOOS=linux GOARCH=$(arch) $(BUILD) -o bin/linux-$(arch)/pxesrv ./cmd/pxesrv &&) bash .ci/dist "$(VERSION)"

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

.PHONY: help run build man dist test soak fuzz bench lint fmt deps clean
.DEFAULT_GOAL := help
