# SPDX-License-Identifier: Apache-2.0
"""Ranges of a cold cloud-optimized GeoTIFF."""

import hashlib
import http.client
import os
import random
import shutil
import time

from .case import case
from .clients import percentile
from .system import Failed, asked, program, run

RANGES = 200
RANGE = 16 << 10


def gdalinfo(system, url):
    user, _, password = system.env["USER_OK"].partition(":")
    env = {**os.environ, "GDAL_HTTP_USERPWD": user + ":" + password, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    out = run(program("gdalinfo"), "/vsicurl/" + url, env=env, capture_output=True, text=True).stdout
    if "Size is 1440, 721" not in out:
        raise Failed("gdalinfo read something else: %s" % out[:300])


def one(bench, turn, n):
    """Seconds of gdalinfo, sorted milliseconds of the ranges, resolves, items asked for, requests at the provider."""
    system, origin, item = bench.system, bench.origin, "ranges-%d" % turn
    with open(origin.root / "geoid.tif", "rb") as f:
        data = f.read()
    origin.describe(item, origin.url + "geoid.tif", len(data), hashlib.sha256(data).hexdigest())
    resolves, gets = system.count("resolves_total"), len(asked(origin.log, "/geoid.tif"))
    begin = time.monotonic()
    gdalinfo(system, system.url(item))
    info_s, times = time.monotonic() - begin, []
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)
    for _ in range(n):
        first = random.randrange(len(data) - RANGE)
        begin = time.monotonic()
        connection.request("GET", system.path(item), headers={
            "Authorization": system.auth, "Range": "bytes=%d-%d" % (first, first + RANGE - 1)})
        answer = connection.getresponse()
        body = answer.read()
        times.append((time.monotonic() - begin) * 1e3)
        if answer.status != 206 or body != data[first:first + RANGE]:
            raise Failed("a range was answered %d, %d bytes" % (answer.status, len(body)))
    return (info_s, sorted(times), system.count("resolves_total") - resolves, len(asked(origin.log, "/%s.json" % item)),
            len(asked(origin.log, "/geoid.tif")) - gets)


@case("ranges", 70, "gdalinfo and %d ranges of %d KiB on one cold GeoTIFF: resolves and items fetched for all of them" %
      (RANGES, RANGE >> 10))
def ranges(bench):
    n, table = bench.options.count or RANGES, bench.table
    shutil.copy(bench.system.where / "root/egm96.tif", bench.origin.root / "geoid.tif")
    runs = [one(bench, turn, n) for turn in range(bench.options.runs)]
    table.exactly("ranges", "resolves", [r[2] for r in runs], "", 1)
    table.exactly("ranges", "items fetched", [r[3] for r in runs], "", 1)
    table.report("ranges", "requests at the provider", [r[4] for r in runs], "")
    table.report("ranges", "gdalinfo", [r[0] * 1e3 for r in runs], "ms")
    table.report("ranges", "a range, median", [percentile(r[1], 50) for r in runs], "ms")
    table.report("ranges", "a range, p99", [percentile(r[1], 99) for r in runs], "ms")
