# The image of pxesrv: docs/container.md says how to run it.
#
#   docker build -t pxesrv --build-arg VERSION=1.0 --build-arg COMMIT=$(git rev-parse --short=12 HEAD) .
#
# The images that it is made from are named by their tags, so that a new build brings their security updates. Who wants the
# same image from the same source names them by digest: --build-arg BASE_IMAGE=debian:13-slim@sha256:…
ARG GO_IMAGE=golang:1.26-bookworm
# Debian 13 has the iPXE that reads autoexec.ipxe and makes images for UEFI; that of Debian 12 is too old.
ARG BASE_IMAGE=debian:13-slim

# The program is built on the builder's processor, for whichever the image is.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What pxesrv version says; make build has defaults for what is not given.
ARG VERSION COMMIT SOURCE_DATE_EPOCH
ARG TARGETOS TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make build

FROM ${BASE_IMAGE}
# Boot loaders: iPXE for firmware and images, ISOLINUX for images that start by BIOS.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ipxe isolinux syslinux-common && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY --from=build /src/bin/pxesrv /usr/bin/pxesrv
COPY --from=build /src/LICENSE /usr/share/doc/pxesrv/copyright
COPY --from=build /src/public /srv/pxesrv
# Two folders are the daemon's to write to: orders, which people place as well, and its state.
RUN chmod -R u=rwX,go=rX /srv/pxesrv && \
    install -d -o 4567 -g 4567 -m 2775 /srv/pxesrv/once && \
    install -d -o 4567 -g 4567 -m 0750 /var/lib/pxesrv

ARG VERSION COMMIT
LABEL org.opencontainers.image.title="pxesrv" \
      org.opencontainers.image.description="Tells machines what to boot, as plain files say it" \
      org.opencontainers.image.documentation="docs/container.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION:-unknown}" \
      org.opencontainers.image.revision="${COMMIT:-unknown}" \
      org.opencontainers.image.base.name="docker.io/library/debian:13-slim"

ENV PXESRV_ROOT=/srv/pxesrv \
    PXESRV_STATE=/var/lib/pxesrv
USER 4567:4567
WORKDIR /srv/pxesrv
VOLUME ["/srv/pxesrv", "/var/lib/pxesrv"]
EXPOSE 4567/tcp 69/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/bin/pxesrv", "health"]
ENTRYPOINT ["/usr/bin/pxesrv"]
CMD ["serve"]
