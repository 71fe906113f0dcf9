#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Guard: what is written is also built, run and shipped.  Every test function
# has its UNIT entry, every test and every source stands in a .am file, every
# .am file is included, every fuzz target has a corpus, and every parser in
# lib/wire and message in lib/ipc has a fuzz target.
set -eu
: "${srcdir:=.}"
cd "$srcdir"
bad=0
tmp=$(mktemp -d "${TMPDIR:-/tmp}/guard.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

complain() {
	echo "$1"
	bad=1
}

# "static void" alone, then "name(void)": a test, unless the file calls it itself
for f in tests/unit/test_*.c; do
	awk -v file="$f" '
	/^static void$/ { after = 1; next }
	after && /^[a-z_0-9]+\(void\)$/ { sub(/\(.*/, ""); test[$0] = FNR }
	{ after = 0 }
	match($0, /UNIT\([a-z_0-9]+\)/) {
		name = substr($0, RSTART + 5, RLENGTH - 6)
		if (name in unit) {
			print file ":" FNR ": " name " is registered twice"
			bad = 1
		}
		unit[name] = FNR
	}
	{
		line = $0
		while (match(line, /[a-z_0-9]+\(/)) {
			called[substr(line, RSTART, RLENGTH - 1)] = 1
			line = substr(line, RSTART + RLENGTH)
		}
	}
	END {
		for (t in test) {
			n++
			if (!(t in unit) && !(t in called)) {
				print file ":" test[t] ": " t " is not registered"
				bad = 1
			}
		}
		if (n == 0) {
			print file ": no test in it"
			bad = 1
		}
		exit bad
	}' "$f" || bad=1
done

# everything that is compiled or run by name
find Makefile.am lib fcgi-app tests man conf-examples scripts -name '*.am' -type f | xargs cat > "$tmp/am"
for f in $(find lib fcgi-app tests -type f \( -name '*.c' -o -name '*.h' \) | LC_ALL=C sort) \
    tests/guard/*.sh $(find tests fcgi-app scripts -type f -name '*.py' | LC_ALL=C sort); do
	case "$f" in
	*/__pycache__/*) continue ;;
	esac
	grep -qE "(^|[[:space:]/)])$(printf '%s' "$f" | sed 's/[.]/[.]/g')([[:space:]]|\$)" "$tmp/am" ||
		complain "$f: in no .am file"
done
for f in $(find lib fcgi-app tests man conf-examples scripts -name '*.am' -type f); do
	grep -qE "^include $f\$" "$tmp/am" || complain "$f: is not included"
done

# fuzz targets and their corpora
for f in tests/fuzz/fuzz_*.c; do
	name=$(basename "$f" .c)
	name=${name#fuzz_}
	n=$(find "tests/fuzz/corpus/$name" -type f 2> /dev/null | wc -l)
	test "$n" -ge 3 || complain "$f: $n inputs in tests/fuzz/corpus/$name, want at least 3"
done
for dir in tests/fuzz/corpus/*/; do
	test -f "tests/fuzz/fuzz_$(basename "$dir").c" || complain "$dir: corpus of no target"
done
# writers of headers, and what is no message, need none
for h in lib/wire/*.h lib/ipc/*.h; do
	case "$h" in
	lib/wire/answer.h|lib/wire/problem.h|lib/ipc/fds.h|lib/ipc/slots.h) continue ;;
	esac
	grep -q "\"${h#lib/}\"" tests/fuzz/fuzz_*.c || complain "$h: no fuzz target includes it"
done
for f in $(sed -n 's/^int \([a-z_]*_get\)(const void \*data.*/\1/p' lib/ipc/*.h); do
	grep -qE "FUZZ_MESSAGE\\(${f%_get}\\)" tests/fuzz/fuzz_*.c || complain "$f: no fuzz target"
done
exit $bad
