# SPDX-License-Identifier: Apache-2.0
"""
What grows: tests/system/test_growth.py for longer, with its figures.  The requests
and what is looked at are those of tests/system/soak.py.
"""

import os
import sys
import time

from .case import case
from .system import BUILD, TOP, VENV, Failed

REQUESTS, RELOADS, WARM = 100000, 50, 3000
MEMORY_MAX_KIB = {"broker": 256, "resolver": 1024}      # Python's, in pages
MEMORY_MAX_ELSE_KIB = 128


@case("soak", 95, "100,000 requests of every kind (hits, ranges, cold bodies, errors, clients that leave) and 50 reloads, and "
      "what descriptors, processes and memory of each role have grown by")
def soak(bench):
    os.environ.setdefault("EODATA_TEST_VENV", str(VENV))
    os.environ.setdefault("EODATA_PREFIX", str(BUILD / "inst"))
    sys.path.insert(0, str(TOP / "tests/system"))
    import conftest
    import soak as harness
    requests = bench.options.count or REQUESTS
    reloads = max(1, requests * RELOADS // REQUESTS)
    stack = conftest.Stack("--token-life", "4")
    bench.ended.append(stack.down)
    load = harness.Soak(stack)
    load.peak()
    load.run(WARM // 3, reloads=2)
    load.run(WARM - WARM // 3)
    before = harness.settled(stack)
    begin = time.monotonic()
    try:
        load.run(requests, reloads)
    except AssertionError as wrong:
        raise Failed("a wrong answer: %s" % wrong) from None
    seconds = time.monotonic() - begin
    load.run(WARM)              # the last workers have as much behind them as those before
    after = harness.settled(stack, before)
    more = after.more_than(before)
    bench.table.report("soak", "%d requests, %d reloads" % (requests, reloads), [requests / seconds], "req/s")
    bench.table.exactly("soak", "more processes", [sum(n for what, n in more.items() if isinstance(what, str))], "", 0)
    bench.table.exactly("soak", "more descriptors", [sum(n for what, n in more.items() if not isinstance(what, str))], "", 0)
    for role, kib in sorted(after.grown_kib(before).items()):
        bench.table.limit("soak", "more memory: " + role, [kib], "KiB", MEMORY_MAX_KIB.get(role, MEMORY_MAX_ELSE_KIB), max)
