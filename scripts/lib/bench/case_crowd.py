# SPDX-License-Identifier: Apache-2.0
"""Many at once on one cold object."""

from .case import case
from .clients import Client, check, run_all
from .system import asked, until

CLIENTS = 500
SIZE = 4 << 20
LATE_MS = 200       # a provider's first byte: none answers at once


def one(bench, name, base, log, n):
    """One crowd: seconds until the first byte of the first client, of the last, and until all is over; requests, resolves."""
    system = bench.system
    bench.origin.add(name, SIZE, base)
    resolves = system.count("resolves_total")
    clients = [Client(system.port, system.path(name), {"Authorization": system.auth}) for _ in range(n)]
    seconds = run_all(clients, 120)
    check(clients, lambda _: bench.origin.assets[name][1])
    until(lambda: system.published(name), "the object in the cache")
    first = sorted(c.first_s for c in clients)
    until(lambda: asked(log, "/" + name), "the provider's log")
    return first[0], first[-1], seconds, len(asked(log, "/" + name)), system.count("resolves_total") - resolves


@case("crowd", 40, "%d clients at once on one cold object, %d workers: requests at the provider and resolves for all of them; the "
      "first byte of the last client beside that of the first, from a provider that begins its answer after %d ms, and "
      "from one that does at once" % (CLIENTS, 4, LATE_MS))
def crowd(bench):
    n, table = bench.options.count or CLIENTS, bench.table
    late, log = bench.system.env["UPSTREAM_URL"] + "/bad/late-%d/" % LATE_MS, bench.system.env["UPSTREAM_LOG"]
    runs = [one(bench, "crowd%d.bin" % i, late, log, n) for i in range(bench.options.runs)]
    at_once = [one(bench, "crowd%d-now.bin" % i, None, bench.origin.log, n) for i in range(bench.options.runs)]
    table.exactly("crowd", "requests at the provider", [r[3] for r in runs + at_once], "", 1)
    table.exactly("crowd", "resolves", [r[4] for r in runs + at_once], "", 1)
    table.report("crowd", "first byte, first client", [r[0] * 1e3 for r in runs], "ms")
    table.report("crowd", "first byte, last client", [r[1] * 1e3 for r in runs], "ms")
    table.limit("crowd", "last to first", [r[1] / r[0] for r in runs], "times", 2)
    table.report("crowd", "all %d bodies" % n, [r[2] for r in runs], "s")
    table.report("crowd", "first, provider at once", [r[0] * 1e3 for r in at_once], "ms")
    table.report("crowd", "last, provider at once", [r[1] * 1e3 for r in at_once], "ms")
