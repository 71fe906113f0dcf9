#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Passed, failed and skipped of pytest's report (count_junit.py FILE); "0 0 0" without one."""

import sys
import xml.etree.ElementTree

try:
    suites = xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testsuite")
    totals = [[int(s.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")] for s in suites]
except (OSError, xml.etree.ElementTree.ParseError):
    totals = []
tests, failures, errors, skipped = [sum(column) for column in zip(*totals)] if totals else [0] * 4
print(max(0, tests - failures - errors - skipped), failures + errors, skipped)
