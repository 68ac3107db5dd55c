#!/bin/sh
# deps.sh makes a machine ready for the tests (make deps).  It does five things, each only when needed:
#
#   1. installs the missing Debian/Ubuntu packages by apt (root, or sudo without a password);
#   2. unpacks - does not install - ISC's DHCP servers and nginx into the cache folder: installed they would start,
#      and answer on the network of whoever runs the tests;
#   3. unpacks the iPXE and the GRUB of Debian 13 there, because the tests want a client of today beside the
#      old one in QEMU's network card, and a GRUB that can start it; and the iPXE of Debian's testing, which
#      will be Debian 14: iPXE 2;
#   4. makes small root folders of Debian 12 and 13 there (as root only), on which tests install packages and run
#      the container image's stages, see chroot.go;
#   5. makes a disk there with a whole Debian 13, its kernel, systemd and NFS server (as root only), which tests boot,
#      see debian.go.
#
# PXESRV_CACHE       cache folder; default $XDG_CACHE_HOME/pxesrv or ~/.cache/pxesrv
# PXESRV_TEST_IPXE   a folder of your own with the files of iPXE; then step 3 is left out
set -eu

packages="build-essential git curl rsync make qemu-system-x86 qemu-block-extra ipxe-qemu ovmf ipxe mtools dosfstools
iproute2 nftables fuse3 e2fsprogs acl dnsmasq-base strace tftp-hpa atftp pxelinux isolinux syslinux-common grub-common
xorriso genisoimage fdisk openssl python3 mmdebstrap man-db bash-completion zsh fish qemu-user-static systemd debhelper lintian rpm
shim-unsigned sbsigntool"
cache=${PXESRV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pxesrv}
release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# What the root folders hold beside the essential packages: what the tests need there without a network. A changed line
# makes the folders anew.
bases="debian-12:bookworm debian-13:trixie"
within="logrotate procps systemd-standalone-sysusers systemd-standalone-tmpfiles"

# What the whole Debian has beside the essential packages, and the unit in it that runs what a test has brought on a second
# disk. It prints to the second serial port, and its exit status last. A changed line makes the disk anew.
machine="linux-image-cloud-amd64 systemd-sysv dbus udev kmod procps iproute2 e2fsprogs nfs-kernel-server nfs-common"
unit='[Unit]
Description=what the test has brought
[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=file:/dev/ttyS1
StandardError=inherit
ExecStart=/bin/sh -c "mkdir /lab && cd /lab && tar -xf /dev/disk/by-id/virtio-lab && ./run; echo; echo lab: status $$?"
ExecStopPost=/bin/systemctl poweroff --force --force
[Install]
WantedBy=multi-user.target'

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
root="sudo -n"
[ "$(id -u)" != 0 ] || root=
if [ -n "$missing" ]; then
	if [ -n "$root" ] && ! $root true 2>/dev/null; then
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

# --- 3. iPXE and GRUB of later Debians, 4. root folders, 5. a whole Debian ---------------------------

boot=
for p in $release:ipxe:ipxe-13 $release:grub-efi-amd64-bin:grub-13 forky:ipxe:ipxe-14; do
	[ -n "${PXESRV_TEST_IPXE:-}" ] || [ -d "$cache/${p##*:}" ] || boot="$boot $p"
done
made() { [ "$(cat "$cache/${1%:*}/made-of" 2>/dev/null)" = "${1#*:} $within" ]; }
roots=
for b in $bases; do
	[ "$(id -u)" != 0 ] || made "$b" || roots="$roots $b" # only root can use them
done
disk=debian-13-disk
diskmade="$release $machine $(echo "$unit" | cksum)"
[ "$(id -u)" = 0 ] && [ "$(cat "$cache/$disk/made-of" 2>/dev/null)" != "$diskmade" ] || disk=
[ -n "$boot$roots$disk" ] || exit 0

# The mirror is the one this machine uses for Debian's main archive.  apt reads its own sources, *.list and
# *.sources; it tells of them only after an update, which a fresh container has not had.
mirror() { "$@" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1; }
uri=$(mirror apt-get)
if [ -z "$uri" ]; then
	quietly ownapt update || die "apt-get update failed"
	uri=$(mirror ownapt)
fi
if [ -z "$uri" ] || [ ! -r "$keyring" ]; then
	if [ -z "$boot" ]; then
		echo "deps: no Debian mirror in apt's sources, or no $keyring: tests in a root folder of Debian will be skipped"
		exit 0
	fi
	die "found no Debian mirror in apt's sources, or no $keyring." \
		"Unpack the package 'ipxe' of Debian 13 somewhere and set PXESRV_TEST_IPXE to the folder with ipxe.lkrn and ipxe.efi."
fi

# aside NAME makes a folder beside NAME's place in the cache, and place moves it there when it is finished, so an
# interrupted run leaves no half folder behind.
aside() {
	mkdir -p "$cache"
	aside=$(mktemp -d "$cache/$1.XXXXXX")
	trap 'rm -rf "$work" "$aside"' EXIT
}
place() { mv -T "$aside" "$cache/$1" 2>/dev/null || [ -d "$cache/$1" ] || die "could not write $cache/$1"; }

if [ -n "$boot" ]; then
	for p in $boot; do
		echo "deb [signed-by=$keyring] $uri ${p%%:*} main"
	done | sort -u >"$work/sources.list"
	newapt() {
		ownapt -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
			-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null "$@"
	}
	quietly newapt update || die "could not read the package lists of later Debians from this machine's mirror"
fi
for p in $boot; do
	suite=${p%%:*} folder=${p##*:} package=${p#*:}
	package=${package%:*}
	echo "deps: fetching $package of Debian's $suite into $cache/$folder"
	mkdir "$work/$folder"
	(cd "$work/$folder" && quietly newapt download "$package/$suite") || die "could not fetch the package $package of $suite"
	aside "$folder"
	dpkg-deb -x "$work/$folder/$package"_*.deb "$aside"
	chmod 755 "$aside"
	place "$folder"
done

for b in $roots; do
	folder=${b%:*} suite=${b#*:}
	echo "deps: making a root folder of Debian ${folder#debian-} in $cache/$folder"
	aside "$folder" # for root alone: there are setuid programs inside
	# mmdebstrap makes what debootstrap makes, in half the time.
	quietly mmdebstrap --mode=root --format=directory --variant=minbase --include="$(echo $within | tr ' ' ,)" \
		"$suite" "$aside/root" "deb [signed-by=$keyring] $uri $suite main" || die "could not make a root folder of $suite"
	echo "$suite $within" >"$aside/made-of"
	made "$b" || rm -rf "${cache:?}/$folder"
	place "$folder"
done

if [ -n "$disk" ]; then
	echo "deps: making a disk with a whole Debian 13 in $cache/$disk"
	aside "$disk"
	in=$aside/root
	quietly mmdebstrap --mode=root --format=directory --variant=minbase --include="$(echo $machine | tr ' ' ,)" \
		"$release" "$in" "deb [signed-by=$keyring] $uri $release main" || die "could not make a Debian of $release"
	# With the modules of all the hardware in the world it takes twice as long to boot.
	echo MODULES=list >"$in/etc/initramfs-tools/conf.d/lab"
	printf '%s\n' virtio_pci virtio_blk ext4 >>"$in/etc/initramfs-tools/modules"
	quietly chroot "$in" update-initramfs -u || die "could not make the initrd of $release"
	echo debian >"$in/etc/hostname"
	echo 127.0.0.1 localhost debian >"$in/etc/hosts"
	echo "$unit" >"$in/etc/systemd/system/lab.service"
	quietly chroot "$in" systemctl enable lab.service || die "could not enable the unit of the tests"
	cp "$in"/boot/vmlinuz-* "$aside/vmlinuz"
	cp "$in"/boot/initrd.img-* "$aside/initrd.img"
	quietly mke2fs -q -t ext4 -d "$in" "$aside/disk.img" 3G || die "could not make the disk"
	rm -rf "$in"
	echo "$diskmade" >"$aside/made-of"
	rm -rf "${cache:?}/$disk"
	place "$disk"
fi
