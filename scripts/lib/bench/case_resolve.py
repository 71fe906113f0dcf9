# SPDX-License-Identifier: Apache-2.0
"""A resolver by itself."""

import os
import signal
import sys
import time

from .case import case
from .system import BUILD, TOP, VENV, until


@case("resolve", 90, "one warm resolver: median and p99 of a resolve, the first one, and the time from a resolver's death to the "
      "next answer")
def resolve(bench):
    os.environ.setdefault("EODATA_TEST_VENV", str(VENV))
    os.environ.setdefault("EODATA_BUILD", str(BUILD))
    sys.path.insert(0, str(TOP / "tests/system"))
    import test_resolver as harness
    where = bench.dir / "resolve"
    where.mkdir()
    provider = harness.Provider(where)
    bench.ended.append(provider.stop)
    begin = time.monotonic()
    broker = harness.Broker(where / "broker", provider).ready()
    bench.ended.append(broker.stop)
    bench.table.report("resolve", "broker ready", [time.monotonic() - begin], "s")
    item = harness.feature(provider.url + "/assets/hdr/data.bin", ["loop_header"])
    first, warm, again = [], [], []
    for _ in range(bench.options.runs):
        begin = time.monotonic()
        line = broker.connect("loop_header")
        line.resolve(item)
        first.append((time.monotonic() - begin) * 1e3)
        for _ in range(400):
            begin = time.monotonic()
            line.resolve(item)
            warm.append((time.monotonic() - begin) * 1e3)
        victim = broker.children()[0]
        begin = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        try:
            while True:
                line.resolve(item)
        except harness.Gone:
            line.close()
        while True:
            try:
                line = broker.connect("loop_header")
                line.resolve(item)
                break
            except (harness.Refused, harness.Gone):
                time.sleep(0.005)
        again.append((time.monotonic() - begin) * 1e3)
        line.close()
        for child in broker.children():
            os.kill(child, signal.SIGKILL)
        until(lambda: not broker.children(), "the end of the resolvers")
    warm.sort()
    bench.table.report("resolve", "first", first, "ms")
    bench.table.report("resolve", "warm", warm, "ms")
    bench.table.report("resolve", "warm p99", [warm[int(len(warm) * 0.99)]], "ms")
    bench.table.report("resolve", "after a death", again, "ms")
