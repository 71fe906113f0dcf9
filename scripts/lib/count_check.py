#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Passed, failed and skipped of "make check" (count_check.py FILE.trs...).  A
program that says how many tests it ran counts as so many, any other as one.
"""

import re
import sys

# CUnit's own summary: "tests  12  12  11  1  0" (total, ran, passed, failed, inactive)
CUNIT = re.compile(r"^\s*tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", re.M)
# Python's unittest: "Ran 12 tests in 0.1s"
UNITTEST = re.compile(r"^Ran (\d+) tests? in", re.M)

passed = failed = skipped = 0
for path in sys.argv[1:]:
    with open(path, errors="replace") as f:
        result = re.search(r"^:global-test-result: (\w+)", f.read(), re.M)
    result = result.group(1) if result else "ERROR"
    try:
        with open(path[:-len(".trs")] + ".log", errors="replace") as f:
            text = f.read()
    except OSError:
        text = ""
    if result == "SKIP":
        skipped += 1
        continue
    bad = 0 if result in ("PASS", "XFAIL") else 1
    many = CUNIT.search(text)
    if many:
        bad = max(bad, int(many.group(4)))
        passed += max(0, int(many.group(2)) - bad)
    elif UNITTEST.search(text):
        passed += max(0, int(UNITTEST.search(text).group(1)) - bad)
    else:
        passed += 1 - bad
    failed += bad
print(passed, failed, skipped)
