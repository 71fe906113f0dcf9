#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Guard: what the documents name is there.  Every test that they name
# exists, and every file that a document names below a folder of ours.

set -eu
LC_ALL=C
export LC_ALL
cd "${srcdir:-.}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/guard.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
bad=0

# tests: all names in the tables of hostile cases and of promises, and whatever is named test_ elsewhere
find tests/unit tests/system -name '*.[ch]' -exec cat {} + | grep -o 'UNIT([a-z0-9_]*)' | sed 's/UNIT(\(.*\))/\1/' >"$tmp/there"
find tests/unit tests/system -name '*.py' -exec sed -n 's/^ *def \(test_[a-z0-9_]*\)(.*/\1/p' {} + >>"$tmp/there"
# whole files are named, too
find tests/unit tests/system -name 'test_*.[cp]*' | sed 's,.*/,,; s,[.].*,,' >>"$tmp/there"
sort -u "$tmp/there" >"$tmp/tests"
code="\`[a-z][a-z0-9]*_[a-z0-9_]*\`"
{
	sed -n '/^## Hostile cases/,/^## Figures/p' DESIGN.md | grep -o "$code"
	sed -n '/^## What it promises under faults/,/^## How far/p' README.md | sed -n 's/^|.*| \([^|]*\)|$/\1/p' | grep -o "$code"
	grep -oh "\`test_[a-z0-9_]*\`" README.md DESIGN.md HACKING.md
} | tr -d '`' | sort -u >"$tmp/named"
for name in $(comm -23 "$tmp/named" "$tmp/tests"); do
	echo "a document names a test that is not there: $name"
	bad=1
done

# bounds
sed -n '/^#define BOUNDS/,/^enum bound/p' lib/stat/scoreboard.h | sed -n 's/^[[:space:]]*X([A-Z_]*, "\([a-z_]*\)".*/\1/p' | sort >"$tmp/bounds"
sed -n '/^\.Sh BOUNDS/,/^\.Sh SIGNALS/s/^\.It Li \([a-z_]*\).*/\1/p' man/eodata-proxy.8 | sort >"$tmp/told"
for name in $(comm -3 "$tmp/bounds" "$tmp/told"); do
	echo "$name: in one of lib/stat/scoreboard.h and eodata-proxy(8), BOUNDS"
	bad=1
done
[ "$(wc -l <"$tmp/bounds")" -gt 10 ] || { echo "too few bounds found in lib/stat/scoreboard.h"; bad=1; }

# files
for doc in README.md HACKING.md DESIGN.md CHANGELOG.md; do
	for path in $(grep -oE '(^|[ `(])(lib|fcgi-app|tests|scripts|conf-examples|man)/[A-Za-z0-9_./-]*[a-z0-9]' "$doc" |
	    tr -d ' `(' | sort -u); do
		case "$path" in
		lib/libc*|*.am|tests/unit/test_wire_range|tests/fuzz/fuzz_*|tests/fuzz/corpus/*) continue ;;
		esac
		[ -e "$path" ] || { echo "$doc: there is no $path"; bad=1; }
	done
done
echo "$(wc -l <"$tmp/named") tests named"
[ "$(wc -l <"$tmp/named")" -gt 50 ] || { echo "too few tests found in DESIGN.md and README.md"; bad=1; }
exit $bad
