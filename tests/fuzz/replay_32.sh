#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# F1: what reads bytes from outside, built for 32 bits with both sanitizers and
# fed its corpus, where lengths of 2 GiB do not fit into a size_t.  Of the fuzz
# targets those that need no library, since no others are there for 32 bits.
# Run by scripts/test: replay_32.sh BUILD, with a gcc that knows -m32.

set -eu
top=$(cd "$(dirname "$0")/../.." && pwd -P)
build=$1
targets="account_reserve account_reserved account_settle content_range conditional control disposition fcgi handover header_line header_value httpdate ipblock msg path
	preflight range resolve_answer resolve_connect resolve_connected resolve_job s3_credentials text trace"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/replay32.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

flags="-m32 -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64"
flags="$flags -DHAVE_AUTOCONFIG_H -I$build -I$top/lib -I$top/fcgi-app -I$top/tests/fuzz"
cd "$tmp"
# not these: OpenSSL; a file that is mapped
find "$top/lib/base" "$top/lib/wire" "$top/lib/ipc" -name '*.c' ! -name digest.c ! -name hmac.c ! -name slots.c >sources
printf '%s\n' "$top/lib/quota/charge_message.c" "$top/lib/quota/members.c" "$top/fcgi-app/worker/preflight.c" \
	"$top/lib/s3/credentials.c" >>sources
# shellcheck disable=SC2086
xargs -n 4 -P "$(nproc)" gcc $flags -c <sources
ar rc all.a ./*.o
# shellcheck disable=SC2086
gcc $flags -c "$top/tests/fuzz/replay_main.c"

passed=0 failed=0
for target in $targets; do
	# shellcheck disable=SC2086
	: >log
	if gcc $flags "$top/tests/fuzz/fuzz_$target.c" replay_main.o all.a -o "$target" &&
	    "./$target" "$top/tests/fuzz/corpus/$target"/* >log 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED on 32 bits: fuzz_$target"
		head -n 30 log
	fi
done
echo "32 bits: $passed of $((passed + failed)) targets passed"
[ "$failed" = 0 ]
