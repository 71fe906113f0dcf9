# SPDX-License-Identifier: Apache-2.0
"""
Deaths under load, by tests/system/faults.py: kill -9 of each role, of memcached, of the
front and of S3's gateway at random instants, and how soon all is well again.
"""

import os
import random
import shutil
import sys
import tempfile
import time

import s3

from .case import case
from .system import BUILD, TOP, VENV, Failed

DEATHS = 200
WHOLE_S = 2


@case("kills", 90, "200 times kill -9 at a random instant under load (worker, mover, broker, resolver, accountant, master, "
      "memcached, the front), and seconds until requests are answered again; every object is read back each time, "
      "every answer was right or failed visibly, and ledger and counters agree, or the case fails")
def kills(bench):
    run(bench, "kills", lambda: None)


@case("s3-kills", 95, "the same over a bucket: of the movers, in the middle of uploads, twice as often, and of the gateway of "
      "a real S3 engine; all that is in the bucket is read back, with its metadata")
def s3_kills(bench):
    if s3.missing():
        raise Failed("there is no %s here (Debian packages ceph-mon, ceph-osd, radosgw)" % ", ".join(s3.missing()))

    def bucket():
        from stores import Bucket
        where = tempfile.mkdtemp(prefix="eodata-s3-")
        engine = s3.Engine(where, tied=True)
        bench.ended.append(lambda: (engine.down(), shutil.rmtree(where)))
        engine.up().make_bucket("kills")
        return Bucket(engine, "kills")
    run(bench, "s3-kills", bucket)


def run(bench, name, new_store):
    os.environ.setdefault("EODATA_TEST_VENV", str(VENV))
    os.environ.setdefault("EODATA_PREFIX", str(BUILD / "inst"))
    if str(TOP / "tests/system") not in sys.path:
        sys.path.insert(0, str(TOP / "tests/system"))
    import conftest
    import faults
    seed = bench.options.seed if bench.options.seed is not None else random.randrange(1 << 32)
    print("%-10s --seed %d" % (name, seed), flush=True)
    stack = conftest.Stack(extra=faults.CONFIG, store=new_store())
    bench.ended.append(stack.down)
    storm = faults.Storm(stack, seed)
    begin = time.monotonic()
    try:
        storm.run(bench.options.count or DEATHS)
    except AssertionError as wrong:
        os.environ["EODATA_KEEP"] = "1"
        raise Failed("after %d deaths, seed %d, logs in %s:\n%s" % (len(storm.kills), seed, stack.dir, wrong)) from None
    seconds = time.monotonic() - begin
    for victim in sorted(set(storm.victims)):
        mine = [kill for kill in storm.kills if kill.victim == victim]
        if mine:
            bench.table.limit(name, "whole after " + victim, [kill.whole - kill.back for kill in mine], "s", WHOLE_S, max)
            bench.table.report(name, "failed by " + victim, [len(storm.failed.get(id(kill), [])) for kill in mine], "")
    bench.table.report(name, "answers to clients", [len(storm.load.outcomes)], "")
    bench.table.report(name, "objects read back", [storm.checked], "")
    bench.table.report(name, "deaths, in all", [len(storm.kills) / seconds], "1/s")
