# SPDX-License-Identifier: Apache-2.0
"""As many cold objects as clients, and slow ones; what hits do meanwhile, and what it costs in memory."""

import os
import time

from .case import case
from .clients import Asker, Client, check, percentile, run_all
from .system import SLOW, Failed, until

OBJECTS = 1000
SIZE = 1 << 20
RATE = 64 << 10         # bytes a second that a client reads
IDLE_S = 4
SETTLE_S = 3
STREAM_MAX = 256 << 10
WORKER_MAX = 6 << 20
SECONDS_MAX = 240


def pss(pid):
    """Bytes of memory that are this process's own, with its share of what it shares."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith("Pss:"))
    except PermissionError:
        raise Failed("only root may see how much memory a role has") from None


class Memory:
    """The most that mover and workers had."""

    def __init__(self, system):
        self.mover, self.workers = system.pids("mover")[0], system.pids("worker")
        self.idle, self.most, self.most_worker = pss(self.mover), 0, 0

    def look(self):
        self.most = max(self.most, pss(self.mover))
        self.most_worker = max([self.most_worker] + [pss(pid) for pid in self.workers])


def one(bench, turn, n):
    """Sorted milliseconds of hits on the idle system and under load, seconds of it all, and the memory."""
    system, origin = bench.system, bench.origin
    for i in range(n):
        origin.add("many%d.bin" % i, SIZE)
        size, sha256 = origin.assets["many%d.bin" % i]
        base = origin.url + ("slow/" if i % 2 else "")
        origin.describe("many%d-%d" % (turn, i), base + "many%d.bin" % i, size, sha256)
    memory, headers = Memory(system), {"Authorization": system.auth}
    hit = system.path(origin.small())
    asker = Asker(system.port, hit, headers)
    time.sleep(IDLE_S)
    idle = asker.end()
    names = ["many%d-%d" % (turn, i) for i in range(n)]
    clients = [Client(system.port, system.path(name), headers, RATE) for name in names]
    asker = Asker(system.port, hit, headers)
    seconds = run_all(clients, SECONDS_MAX, memory.look)
    busy = asker.end()
    wanted = {client: origin.assets[name][1] for client, name in zip(clients, names)}
    check(clients, lambda client: wanted[client])
    until(lambda: all(system.published(name) for name in names), "all of them in the cache")
    time.sleep(SETTLE_S)
    memory.after = pss(memory.mover)
    for name in names:          # disk for the next turn
        os.unlink(system.published(name))
    return idle, busy, seconds, memory


def run_many(bench):
    """The runs of "many", made once for all cases that need them."""
    if "many" not in bench.kept:
        n = bench.options.count or OBJECTS
        bench.system.warm(bench.origin.small())
        bench.kept["many"] = n, [one(bench, turn, n) for turn in range(min(bench.options.runs, 3))]
    return bench.kept["many"]


@case("many", 50, "%d cold objects at once, %d clients that read %d KiB/s, half of them from a provider that gives %d KiB/s: "
      "every body right, and p99 of the hits meanwhile beside that on the idle system" % (OBJECTS, OBJECTS, RATE >> 10, SLOW >> 10))
def many(bench):
    n, runs = run_many(bench)
    table = bench.table
    table.report("many", "all %d bodies, right" % n, [r[2] for r in runs], "s")
    table.report("many", "hit, idle, median", [percentile(r[0], 50) for r in runs], "ms")
    table.report("many", "hit, idle, p99", [percentile(r[0], 99) for r in runs], "ms")
    table.report("many", "hit, meanwhile, median", [percentile(r[1], 50) for r in runs], "ms")
    table.report("many", "hit, meanwhile, p99", [percentile(r[1], 99) for r in runs], "ms")
    table.limit("many", "p99, meanwhile to idle", [percentile(r[1], 99) / percentile(r[0], 99) for r in runs], "times", 10)


@case("memory", 60, "the most that the mover and each worker had during \"many\" (PSS): a stream's part of the mover, and the "
      "largest worker")
def memory(bench):
    n, runs = run_many(bench)
    table = bench.table
    table.report("memory", "mover before", [r[3].idle / 2**20 for r in runs], "MiB")
    table.report("memory", "mover, most", [r[3].most / 2**20 for r in runs], "MiB")
    table.report("memory", "mover after", [r[3].after / 2**20 for r in runs], "MiB")
    table.limit("memory", "mover, a stream", [r[3].most / n / 1024 for r in runs], "KiB", STREAM_MAX >> 10, max)
    table.limit("memory", "largest worker", [r[3].most_worker / 2**20 for r in runs], "MiB", WORKER_MAX >> 20, max)
