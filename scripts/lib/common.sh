# SPDX-License-Identifier: Apache-2.0
#
# What setup, quickstart and test share.  Sourced by sh; $top is the checkout.

build=$top/build
prefix=$build/inst
venv=$top/.venv
python=/usr/bin/python3

say() {
	printf '%s\n' "-- $*"
}

die() {
	printf '%s\n' "${0##*/}: $*" >&2
	exit 1
}

# Root, or somebody with sudo.  Asks for no password: nothing here asks.
find_sudo() {
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null 2>&1 || die "packages are missing, and there is no sudo to install them: $*"
		sudo -n true 2>/dev/null || die "packages are missing, and sudo wants a password: run 'sudo -v' before this, or install: $*"
		sudo="sudo -n"
	fi
}

check_system() {
	ID='' VERSION_ID='' PRETTY_NAME=''
	[ -r /etc/os-release ] && . /etc/os-release
	case "$ID $VERSION_ID" in
	"debian 12"|"debian 13") ;;
	*) die "this is ${PRETTY_NAME:-no Debian}, made for Debian 12 and 13; here install what configure.ac asks for, Python 3.11 or newer with EODAG, nginx and memcached" ;;
	esac
}

# Sets $tmp, where run-time files go: $TMPDIR, but /tmp where root starts servers
# whose users cannot enter root's $TMPDIR (libpam-tmpdir makes such).
find_tmp() {
	tmp=${TMPDIR:-/tmp}
	[ -d "$tmp" ] || die "there is no directory '$tmp' (TMPDIR)"
	tmp=$(cd "$tmp" && pwd -P)
	[ "$(id -u)" = 0 ] || return 0
	path=$tmp
	while [ "$path" != / ]; do
		case $(stat -c %A "$path") in
		*[xt]) ;;
		*)
			say "only root can enter $path: run-time files go to /tmp, not to $tmp"
			tmp=/tmp
			break
			;;
		esac
		path=$(dirname "$path")
	done
}

# The packages of the list that are not installed.
missing_packages() {
	for package in "$@"; do
		case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" in
		installed) ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

# Run something long: its output goes to a log, which is shown when it fails.
logged() {
	log=$build/log/$1
	shift
	mkdir -p "$build/log"
	if ! "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		die "failed: $* (all of it is in $log)"
	fi
}

policy=/usr/sbin/policy-rc.d
policy_mark="made by eodata-proxy scripts/setup, which removes it"

remove_policy() {
	if grep -qs "$policy_mark" "$policy"; then
		$sudo rm -f "$policy"
	fi
}

# Debian's packages start and enable their services.  Ours are for this checkout
# only, so they are kept from it: not started (policy-rc.d says no, if nobody
# else has a say there), and disabled when it was this installation that came
# with them, in whichever package.
install_packages() {
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	find_sudo "$missing"
	if ! apt_sizes $missing; then
		say "fetching the package lists (apt-get update)"
		logged apt-update.log $sudo apt-get -q update
		apt_sizes $missing || die "apt-get cannot install these: $missing"
	fi
	enabled=$(enabled_units)
	trap remove_policy EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\n# %s\nexit 101\n' "$policy_mark" | $sudo tee "$policy" >/dev/null
		$sudo chmod 755 "$policy"
	fi
	if ! apt_install $missing; then
		say "fetching the package lists anew (apt-get update)"
		logged apt-update.log $sudo apt-get -q update
		logged apt-install.log apt_install_aloud $missing
	fi
	remove_policy
	trap - EXIT INT TERM HUP
	for unit in $(enabled_units); do
		case " $enabled " in
		*" $unit "*) ;;
		*) disable_unit "$unit" ;;
		esac
	done
}

# What systemd or init would start at boot, by name.
enabled_units() {
	{
		find /etc/systemd/system -type l -path '*.*/*' -printf '%f\n' 2>/dev/null
		ls /etc/init.d 2>/dev/null
	} | sort -u | tr '\n' ' '
}

apt_install_aloud() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
}

apt_install() {
	mkdir -p "$build/log"
	apt_install_aloud "$@" >"$build/log/apt-install.log" 2>&1
}

# Says what would be installed and how large; false when apt knows not all of them.
apt_sizes() {
	plan=$(LC_ALL=C apt-get -o Debug::NoLocking=1 --assume-no --no-install-recommends install "$@" 2>/dev/null) || true
	printf '%s\n' "$plan" | grep -q '^After this operation' || return 1
	say "Debian packages to install, with apt-get: $*"
	printf '%s\n' "$plan" | sed -n '/newly installed/{s/^[^,]*, /   /p}; /^Need to get/{s/^/   /p}; /^After this operation/{s/^/   /p}'
}

# unit: with its suffix for systemd, without one for init.
disable_unit() {
	case $1 in
	*.*)
		if command -v deb-systemd-helper >/dev/null 2>&1; then
			$sudo deb-systemd-helper disable "$1" >/dev/null 2>&1 || true
		fi
		;;
	*)
		if command -v update-rc.d >/dev/null 2>&1; then
			$sudo update-rc.d "$1" disable >/dev/null 2>&1 || true
		fi
		;;
	esac
}
