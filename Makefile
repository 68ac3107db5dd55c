# make run is all that a new user needs, make quick and make test a developer.

GO     ?= go
PORT   ?= 4567
# Time-outs are there to end what hangs, not to measure.
TEST    = $(GO) test -timeout 20m

# The version has one place, debian/changelog. With the commit and its date it is what a build says of itself, and the same commit
# gives the same bytes in any folder. Git is asked about this folder alone, not about one that a tarball was unpacked in; and it
# answers root in the checkout of somebody else, too, as in make install.
GIT       = GIT_CEILING_DIRECTORIES=$(abspath ..) git -c safe.directory='$(CURDIR)'
VERSION  ?= $(or $(shell awk -F '[()-]' 'NR == 1 { print $$2 }' debian/changelog 2>/dev/null),$(shell $(GIT) describe --tags --always --dirty 2>/dev/null),dev)
COMMIT   ?= $(or $(shell $(GIT) describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null),unknown)
SOURCE_DATE_EPOCH ?= $(or $(shell $(GIT) log -1 --format=%ct 2>/dev/null),0)
DATE      = $(if $(filter-out 0,$(SOURCE_DATE_EPOCH)),$(shell date -u -d @$(SOURCE_DATE_EPOCH) +%FT%TZ 2>/dev/null || date -u -r $(SOURCE_DATE_EPOCH) +%FT%TZ))
dist source deb rpm: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
BUILD     = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
            -ldflags '-s -w -X main.release=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)'

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve the example tree public/ on port 4567 (PORT=...)
	$(GO) run ./cmd/pxesrv serve --root public --port $(PORT)

build: ## bin/pxesrv, one static binary
	$(BUILD) -o bin/pxesrv ./cmd/pxesrv

man: build ## bin/pxesrv.8, and the completions of shells in bin/completions
	mkdir -p bin/completions
	$(BUILD) -tags man -o bin/manual ./cmd/pxesrv
	bin/manual man >bin/pxesrv.8 && rm bin/manual
	bin/pxesrv completion bash >bin/completions/pxesrv
	bin/pxesrv completion zsh >bin/completions/_pxesrv
	bin/pxesrv completion fish >bin/completions/pxesrv.fish

dist: man libraries ## dist/pxesrv-VERSION-linux-amd64.tar.gz and -arm64, the same bytes from the same commit
	$(foreach arch,amd64 arm64,GOOS=linux GOARCH=$(arch) $(BUILD) -o bin/linux-$(arch)/pxesrv ./cmd/pxesrv &&) bash .ci/dist "$(VERSION)"

# The files that Git knows, or all where there is no Git, as a tar for the packages to be built from. With the time of the commit and
# one kind of rights they give the same packages in every checkout.
SOURCE = dist/pxesrv-$(VERSION).tar.gz
source: ## dist/pxesrv-VERSION.tar.gz, the source
	@mkdir -p dist
	@{ $(GIT) ls-files . 2>/dev/null | grep . || \
		find . \( -path ./.git -o -path ./bin -o -path ./dist \) -prune -o ! -type d -print; } | sed 's,^\./,,' | LC_ALL=C sort | \
		tar -c --format=gnu --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
		$(if $(filter-out 0,$(SOURCE_DATE_EPOCH)),--mtime=@$(SOURCE_DATE_EPOCH)) \
		--transform 'flags=r;s,^,pxesrv-$(VERSION)/,' -T - >$(SOURCE:.gz=) && gzip -9nf $(SOURCE:.gz=)

deb: source ## dist/pxesrv_VERSION_ARCH.deb, on Debian; ARCH=arm64 for another processor
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && tar -xzf $(SOURCE) -C "$$work" && \
	cd "$$work/pxesrv-$(VERSION)" && export COMMIT='$(COMMIT)' $(if $(ARCH),DEB_BUILD_OPTIONS=nocheck) && \
	dpkg-buildpackage -b -us -uc $(if $(ARCH),-d -a$(ARCH)) && mv "$$work"/*.deb $(CURDIR)/dist/

rpm: source ## dist/pxesrv-VERSION-1.ARCH.rpm; ARCH=arm64 for another processor
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	COMMIT='$(COMMIT)' rpmbuild -bb $$([ ! -e /etc/debian_version ] || echo --nodeps) \
		$(if $(ARCH),--target $(patsubst arm64,aarch64,$(patsubst amd64,x86_64,$(ARCH)))) --define '_buildhost localhost' \
		$(if $(filter-out 0,$(SOURCE_DATE_EPOCH)),$(foreach m,use_source_date_epoch_as_buildtime clamp_mtime_to_source_date_epoch,--define '$m 1')) \
		--define "_topdir $$work" --define "_sourcedir $(CURDIR)/dist" \
		--define "_rpmdir $(CURDIR)/dist" --define "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" pxesrv.spec

# What a package has, below DESTDIR. Distributions differ in UNITDIR and ZSHDIR.
UNITDIR ?= /usr/lib/systemd/system
ZSHDIR  ?= /usr/share/zsh/vendor-completions

# $(call copy,FROM,TO) copies a folder: what Git knows of it, or all of it where there is no Git.
copy = mkdir -p $(DESTDIR)$(2) && { (cd $(1) && $(GIT) ls-files . 2>/dev/null) | grep . || (cd $(1) && find . -type f); } | \
	tar -c -C $(1) --owner=0 --group=0 --mode=u=rwX,go=rX -T - | tar -x --no-same-owner -C $(DESTDIR)$(2)

# bin/libraries.txt: the libraries in the program, with their licences, which whoever passes the program on has to pass on as well.
libraries:
	@mkdir -p bin
	@{ echo "== Go"; cat "$$($(GO) env GOROOT)/LICENSE"; \
	$(GO) list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/pxesrv | sort -u | \
	while read -r path version dir; do dir=$${dir:-vendor/$$path}; printf '\n== %s %s\n' "$$path" "$$version"; \
		cat "$$dir"/LICENSE* || exit 1; [ ! -e "$$dir/NOTICE" ] || cat "$$dir/NOTICE"; done; } >bin/libraries.txt

install: ## put what make build man libraries made where packages put it; DESTDIR=...
	install -D -m 755 bin/pxesrv $(DESTDIR)/usr/bin/pxesrv
	[ -e $(DESTDIR)/etc/pxesrv/pxesrv.yaml ] || install -D -m 644 debian/pxesrv.yaml $(DESTDIR)/etc/pxesrv/pxesrv.yaml
	install -D -m 644 debian/pxesrv.logrotate $(DESTDIR)/etc/logrotate.d/pxesrv
	install -D -m 644 bin/libraries.txt $(DESTDIR)/usr/share/doc/pxesrv/libraries.txt
	install -D -m 644 README.md $(DESTDIR)/usr/share/doc/pxesrv/README.md
	$(call copy,docs,/usr/share/doc/pxesrv/docs)
	$(call copy,examples,/usr/share/doc/pxesrv/examples)
	$(call copy,public,/usr/share/pxesrv/example)
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man8 bin/pxesrv.8
	install -D -m 644 -t $(DESTDIR)/usr/share/bash-completion/completions bin/completions/pxesrv
	install -D -m 644 -t $(DESTDIR)$(ZSHDIR) bin/completions/_pxesrv
	install -D -m 644 -t $(DESTDIR)/usr/share/fish/vendor_completions.d bin/completions/pxesrv.fish
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/pxesrv/examples/systemd systemd/sockets.conf systemd/credentials.conf
	install -D -m 644 -t $(DESTDIR)$(UNITDIR) systemd/*.service systemd/*.socket
	install -D -m 644 systemd/pxesrv.sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/pxesrv.conf
	install -D -m 644 systemd/pxesrv.tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/pxesrv.conf

quick: ## vet and the tests that need no root, no machines and no waiting; under a minute, seconds when little has changed
	$(GO) vet ./...
	$(GO) test -short ./...

test: deps ## install what is missing (Debian), then run every test, real iPXE in QEMU included
	bash .ci/tests

real: deps ## real machines, packages, images and services, in full; GROUP=nfs for one of .ci/real
	bash .ci/real $(GROUP)

soak: deps ## the long loops: 100000 orders, 1000 kills, 10000 orders on each kind of NFS mount; some three hours
	PXESRV_TEST_SOAK=1 $(GO) test -timeout 360m -count=1 -v -run 'Soak' ./...

fuzz: ## every fuzz target for 30 s (FUZZTIME=...)
	@bash .ci/fuzz $(or $(FUZZTIME),30s)

bench: ## the figures of docs/speed.md, beside a constant handler and nginx; about eight minutes
	@bash .ci/bench

lint: ## gofmt, staticcheck, and vet for Linux, macOS and Windows
	@test -z "$$(gofmt -l cmd pkg)" || { echo "gofmt would change:"; gofmt -l cmd pkg; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...

fmt: ## format the source
	gofmt -w cmd pkg

deps: ## install what the tests need (Debian), and fetch the iPXE of later Debians into a cache
	@bash pkg/lab/deps.sh

clean: ## remove what was built
	rm -rf bin dist debian/.debhelper debian/debhelper-build-stamp debian/files debian/*.substvars debian/*.debhelper debian/pxesrv

.PHONY: help run build man dist source deb rpm install libraries quick test real soak fuzz bench lint fmt deps clean
.DEFAULT_GOAL := help
