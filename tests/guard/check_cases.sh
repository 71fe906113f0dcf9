#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Guard: each hostile case of DESIGN.md has a test that is named after it, or
# the table says why there is none.  A name begins with the cases that it
# shows: test_c4_g8_..., c4_....  And no test is named after a case that is not there.

set -eu
LC_ALL=C
export LC_ALL
cd "${srcdir:-.}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/guard.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
bad=0

# "| A1 | attack | held by |"; who is held by nothing says "none: " and why
sed -n '/^## Hostile cases/,/^### Fuzzing/p' DESIGN.md >"$tmp/table"
sed -n 's/^| \([A-H][0-9]*\) |.*/\1/p' "$tmp/table" | tr A-H a-h | sort >"$tmp/cases"
sed -n 's/^| \([A-H][0-9]*\) |[^|]*| none: [a-z].*/\1/p' "$tmp/table" | tr A-H a-h | sort >"$tmp/none"

{
	find tests/unit tests/system -name '*.[ch]' -exec cat {} + | sed -n 's/.*UNIT(\([a-z0-9_]*\)).*/\1/p'
	find tests/unit tests/system -name '*.py' -exec sed -n 's/^ *def test_\([a-z0-9_]*\)(.*/\1/p' {} +
} | awk -F_ '{ for (i = 1; i <= NF && $i ~ /^[a-h][1-9][0-9]?$/; i++) print $i }' | sort >"$tmp/named"

for case in $(sort -u "$tmp/cases" | comm -23 - "$tmp/none"); do
	grep -qx "$case" "$tmp/named" || { echo "$case: no test is named after it"; bad=1; }
done
for case in $(sort -u "$tmp/named" | comm -23 - "$tmp/cases"); do
	echo "$case: a test is named after it, and DESIGN.md does not know it"
	bad=1
done
for case in $(uniq -d "$tmp/cases"); do
	echo "$case: twice in DESIGN.md"
	bad=1
done
echo "$(wc -l <"$tmp/cases") cases, $(wc -l <"$tmp/none") without a test, $(wc -l <"$tmp/named") tests"
[ "$(wc -l <"$tmp/cases")" -ge 70 ] || { echo "too few cases found: is this DESIGN.md?"; bad=1; }
exit $bad
