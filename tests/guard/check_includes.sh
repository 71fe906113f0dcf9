#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Guard: who includes whom.  The order of the rooms, base.h first, roles that
# do not know each other, third-party headers confined, headers that compile
# alone.  Runs in make check; needs only a POSIX shell, find, sed, awk and,
# for the last, the compiler (CC, GUARD_CFLAGS).
set -eu
: "${srcdir:=.}" "${CC:=cc}" "${GUARD_CFLAGS:=}"
build=$(pwd)
cd "$srcdir"
src=$(pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/guard.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# file:line:header of each include, with its kind of bracket
find lib fcgi-app \( -name '*.c' -o -name '*.h' \) -type f | LC_ALL=C sort > "$tmp/files"
xargs awk 'match($0, /^[ \t]*#[ \t]*include[ \t]*[<"]/) {
	kind = substr($0, RLENGTH, 1)
	name = substr($0, RSTART + RLENGTH)
	sub(/[>"].*/, "", name)
	print FILENAME ":" FNR ":" kind ":" name
}' < "$tmp/files" > "$tmp/includes"

awk -F: '
function fail(what) {
	print $1 ":" $2 ": " what
	bad = 1
}
BEGIN {
	n = split("base wire s3 config memcached access quota net bucket cache stat ipc", rooms, " ")
	for (i = 1; i <= n; i++)
		rank["lib/" rooms[i]] = room_rank[rooms[i]] = i
	split("master worker mover resolver accountant ctl", r, " ")
	for (i in r)
		role[r[i]] = 1
	# third-party headers: a pattern of the header, a pattern of the files that may have it
	lib["fcgiapp.h|fcgi_config.h|fcgi_stdio.h"] = "^fcgi-app/worker/accept[.]c$"
	lib["Python.h"] = "^fcgi-app/resolver/python[.]c$"
	lib["curl/.*"] = "^lib/net/"
	lib["json-c/.*|json.h"] = "^lib/config/|^lib/cache/meta[.]c$|^fcgi-app/resolver/|^fcgi-app/mover/item[.]c$|^fcgi-app/ctl/documents[.]c$"
	lib["libmemcached/.*|libmemcached.*"] = "^lib/memcached/client[.]c$"
	lib["openssl/.*"] = "^lib/base/(digest|hmac)[.]c$"
	lib["libxml/.*"] = "^lib/s3/xml[.]c$"
	lib["sqlite3.h"] = "^fcgi-app/accountant/"
}
{
	file = $1; kind = $3; name = $4
	dir = file
	sub(/\/[^\/]*$/, "", dir)
	for (pattern in lib) {
		if (name ~ "^(" pattern ")$" && file !~ lib[pattern])
			fail("<" name "> belongs in " lib[pattern] " alone")
	}
	if (kind != "\"")
		next
	if (name !~ /\//) {
		if (name != "autoconfig.h" && name != "role.h" && name != "confine.h" && name != "user.h")
			fail("\"" name "\" does not name its folder")
		if (name == "role.h" && file ~ /^lib\//)
			fail("lib knows no role")
		next
	}
	to = name
	sub(/\/.*/, "", to)
	if (dir in rank) {
		if (!(to in room_rank))
			fail("\"" name "\" is no room of lib")
		else if (room_rank[to] > rank[dir])
			fail("\"" name "\" is a higher room")
	} else if (dir ~ /^fcgi-app\/./ && (to in role)) {
		own = dir
		sub(/^fcgi-app\//, "", own)
		sub(/\/.*/, "", own)
		if (to != own)
			fail("\"" name "\" is another role")
	} else if (!(to in room_rank) && !(to in role)) {
		fail("\"" name "\" is of no room")
	}
}
END { exit bad }' "$tmp/includes" || exit 1

awk -F: '$1 ~ /[.]c$/ && !($1 in seen) {
	seen[$1] = 1
	if ($4 != "base/base.h") {
		print $1 ":" $2 ": base/base.h is not the first include"
		bad = 1
	}
}
END { exit bad }' "$tmp/includes" || exit 1

# every room of lib is in the order above
for dir in lib/*/; do
	case "$dir" in
	lib/base/|lib/wire/|lib/s3/|lib/config/|lib/memcached/|lib/access/|lib/quota/|lib/net/|lib/bucket/|lib/cache/|lib/stat/|lib/ipc/) ;;
	*)
		find "$dir" -name '*.[ch]' | grep -q . || continue	# what a build left
		echo "$dir: a room without a place in the order"
		exit 1
		;;
	esac
done

# headers that compile alone
bad=0
n=0
for h in $(grep '[.]h$' "$tmp/files"); do
	case "$h" in
	lib/*) name=${h#lib/} ;;
	fcgi-app/*) name=${h#fcgi-app/} ;;
	esac
	printf '#include "%s"\n' "$name" > "$tmp/alone.c"
	# shellcheck disable=SC2086
	if ! $CC -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -DHAVE_AUTOCONFIG_H -I"$build" -I"$src/lib" \
	    -I"$src/fcgi-app" $GUARD_CFLAGS "$tmp/alone.c"; then
		echo "$h: does not compile alone"
		bad=1
	fi
	n=$((n + 1))
done
echo "$(wc -l < "$tmp/files") files, $n headers"
exit $bad
