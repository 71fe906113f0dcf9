# SPDX-License-Identifier: Apache-2.0
"""
Deaths under load, by tests/system/faults.py: kill -9 of each role, of memcached and of
the front at random instants, and how soon all is well again.
"""

import os
import random
import sys
import time

from .case import case
from .system import BUILD, TOP, VENV, Failed

DEATHS = 200
WHOLE_S = 2


@case("kills", 90, "200 times kill -9 at a random instant under load (worker, mover, broker, resolver, accountant, master, "
      "memcached, the front), and seconds until requests are answered again; every object is read back each time, "
      "every answer was right or failed visibly, and ledger and counters agree, or the case fails")
def kills(bench):
    os.environ.setdefault("EODATA_TEST_VENV", str(VENV))
    os.environ.setdefault("EODATA_PREFIX", str(BUILD / "inst"))
    sys.path.insert(0, str(TOP / "tests/system"))
    import conftest
    import faults
    seed = bench.options.seed if bench.options.seed is not None else random.randrange(1 << 32)
    print("kills      --seed %d" % seed, flush=True)
    stack = conftest.Stack(extra=faults.CONFIG)
    bench.ended.append(stack.down)
    storm = faults.Storm(stack, seed)
    begin = time.monotonic()
    try:
        storm.run(bench.options.count or DEATHS)
    except AssertionError as wrong:
        os.environ["EODATA_KEEP"] = "1"
        raise Failed("after %d deaths, seed %d, logs in %s:\n%s" % (len(storm.kills), seed, stack.dir, wrong)) from None
    seconds = time.monotonic() - begin
    for victim in faults.VICTIMS:
        mine = [kill for kill in storm.kills if kill.victim == victim]
        if mine:
            bench.table.limit("kills", "whole after " + victim, [kill.whole - kill.back for kill in mine], "s", WHOLE_S, max)
            bench.table.report("kills", "failed by " + victim, [len(storm.failed.get(id(kill), [])) for kill in mine], "")
    bench.table.report("kills", "answers to clients", [len(storm.load.outcomes)], "")
    bench.table.report("kills", "objects read back", [storm.checked], "")
    bench.table.report("kills", "deaths, in all", [len(storm.kills) / seconds], "1/s")
