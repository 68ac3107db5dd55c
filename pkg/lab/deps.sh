#!/bin/sh
# deps.sh makes a machine ready for the tests (make deps).  It does three things, each only when needed:
#
#   1. installs the missing Debian/Ubuntu packages by apt (root, or sudo without a password);
#   2. unpacks - does not install - ISC's DHCP servers and nginx into the cache folder: installed they would start,
#      and answer on the network of whoever runs the tests;
#   3. unpacks the iPXE and the GRUB of Debian 13 there, because the tests want a client of today beside the
#      old one in QEMU's network card, and a GRUB that can start it.
#
# PXESRV_CACHE       cache folder; default $XDG_CACHE_HOME/pxesrv or ~/.cache/pxesrv
# PXESRV_TEST_IPXE   a folder of your own with the files of iPXE; then step 3 is left out
set -eu

packages="gcc libc6-dev git curl rsync make qemu-system-x86 qemu-block-extra ipxe-qemu ovmf ipxe mtools dosfstools
iproute2 nftables fuse3 e2fsprogs acl dnsmasq-base strace tftp-hpa atftp pxelinux isolinux syslinux-common grub-common
xorriso genisoimage fdisk openssl"
cache=${PXESRV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pxesrv}
release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

die() { printf 'deps: %s\n' "$@" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# quietly COMMAND... shows the command's output only when it fails.
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; return 1; }; }

# installed PACKAGE is true when dpkg has the package completely.
installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c2)" = i ]; }

# --- 1. packages -----------------------------------------------------------------------------------

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	die "this machine has no apt. Install the equivalents of these Debian packages by hand:" \
		"$(echo $packages)" \
		"and set PXESRV_TEST_IPXE to a folder with ipxe.lkrn and ipxe.efi of iPXE 2021 or later."
fi

missing=
for p in $packages; do
	installed "$p" || missing="$missing $p"
done
if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ]; then
		root=
	elif sudo -n true 2>/dev/null; then
		root="sudo -n"
	else
		die "packages are missing and this user may not install them. As root run:" "apt-get install$missing"
	fi
	apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -qy -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120"
	echo "deps: installing$missing"
	# The package lists may be absent or too old: fetch them only when the first try shows it.
	$apt install --no-install-recommends $missing >"$work/log" 2>&1 || {
		quietly $apt update || die "apt-get update failed"
		quietly $apt install --no-install-recommends $missing || die "apt-get could not install:$missing"
	}
fi

# An apt of our own: its lists and cache lie in the work folder, the system's stay untouched.
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
ownapt() {
	apt-get -q -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Sandbox::User=root \
		-o Dir::State="$work/state" -o Dir::State::Lists=lists -o Dir::Cache="$work/cache" "$@"
}

# --- 2. servers ------------------------------------------------------------------------------------

# fetch PACKAGES APT... brings those packages, and what they need, that the machine does not have.
fetch() {
	packages=$1; shift
	"$@" -s --no-install-recommends install $packages >"$work/plan" 2>"$work/log" || return 1
	wanted=$(awk '$1 == "Inst" { print $2 }' "$work/plan")
	[ -z "$wanted" ] || (cd "$work/debs" && quietly "$@" download $wanted)
}

# servers FOLDER PACKAGE... unpacks servers, and what of them is not installed anyway, into a folder of the cache.
servers() {
	folder=$1; shift
	[ ! -d "$cache/$folder" ] || return 0
	echo "deps: fetching $* into $cache/$folder"
	rm -rf "$work/debs"
	mkdir -p "$work/debs" "$cache"
	# The package lists may be absent or too old, as above.
	fetch "$*" apt-get -q >/dev/null 2>&1 || {
		quietly ownapt update || die "apt-get update failed"
		fetch "$*" ownapt || { cat "$work/log" >&2; die "could not fetch $*"; }
	}
	aside=$(mktemp -d "$cache/$folder.XXXXXX")
	trap 'rm -rf "$work" "$aside"' EXIT
	for deb in "$work"/debs/*.deb; do
		[ ! -e "$deb" ] || dpkg-deb -x "$deb" "$aside"
	done
	chmod 755 "$aside"
	mv -T "$aside" "$cache/$folder" 2>/dev/null || [ -d "$cache/$folder" ] || die "could not write $cache/$folder"
}
servers dhcp-servers isc-dhcp-server kea-dhcp4-server
servers nginx nginx libnginx-mod-stream

# --- 3. iPXE and GRUB of Debian 13 -----------------------------------------------------------------

if [ -n "${PXESRV_TEST_IPXE:-}" ] || [ -d "$cache/ipxe-13" ] && [ -d "$cache/grub-13" ]; then
	exit 0
fi

# The mirror is the one this machine uses for Debian's main archive.  apt reads its own sources, *.list and
# *.sources; it tells of them only after an update, which a fresh container has not had.
mirror() { "$@" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1; }
uri=$(mirror apt-get)
if [ -z "$uri" ]; then
	quietly ownapt update || die "apt-get update failed"
	uri=$(mirror ownapt)
fi
if [ -z "$uri" ] || [ ! -r "$keyring" ]; then
	die "found no Debian mirror in apt's sources, or no $keyring." \
		"Unpack the package 'ipxe' of Debian 13 somewhere and set PXESRV_TEST_IPXE to the folder with ipxe.lkrn and ipxe.efi."
fi

echo "deb [signed-by=$keyring] $uri $release main" >"$work/sources.list"
newapt() {
	ownapt -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null "$@"
}
quietly newapt update || die "could not read $release from this machine's mirror"

# unpack PACKAGE FOLDER unpacks a package aside and moves it into place, so an interrupted run leaves no half folder behind.
unpack() {
	[ ! -d "$cache/$2" ] || return 0
	echo "deps: fetching $1 of Debian 13 into $cache/$2"
	(cd "$work" && quietly newapt download "$1") || die "could not fetch the package $1 of $release"
	mkdir -p "$cache"
	aside=$(mktemp -d "$cache/$2.XXXXXX")
	trap 'rm -rf "$work" "$aside"' EXIT
	dpkg-deb -x "$work/$1"_*.deb "$aside"
	chmod 755 "$aside"
	mv -T "$aside" "$cache/$2" 2>/dev/null || [ -d "$cache/$2" ] || die "could not write $cache/$2"
}
unpack ipxe ipxe-13
unpack grub-efi-amd64-bin grub-13
