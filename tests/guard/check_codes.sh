#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every code that a log line can carry stands in eodata-proxy(8), and no other.

set -eu
LC_ALL=C
export LC_ALL
cd "${srcdir:-.}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/guard.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

find fcgi-app lib -name '*.c' -exec grep -ho '"EO-[A-Z0-9-]*"' {} + | tr -d '"' | sort -u >"$tmp/used"
sed -n 's/^\.It EO-/EO-/p' man/eodata-proxy.8 | tr -d ' ' | tr , '\n' | sort >"$tmp/told"

rc=0
for code in $(comm -23 "$tmp/used" "$tmp/told"); do
	echo "$code: not in man/eodata-proxy.8"
	rc=1
done
for code in $(comm -13 "$tmp/used" "$tmp/told"); do
	echo "$code: in man/eodata-proxy.8 twice, or no line has it"
	rc=1
done
echo "$(wc -l <"$tmp/used") codes"
[ "$(wc -l <"$tmp/used")" -gt 20 ] || { echo "too few codes found: is this the source?"; rc=1; }
exit $rc
