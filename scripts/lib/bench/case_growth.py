# SPDX-License-Identifier: Apache-2.0
"""
What the number of objects in the cache directory does to hits.  A hundred of
them are asked for in each directory; that has a target.  Any of a million is a
figure of the disk: what was not asked for lately is in nobody's memory.

A million objects are two million files and ten assets in each item's folder: a
minute to make them on an idle machine, and 9 GiB.
"""

import os
import statistics

from .case import case
from .system import Failed, run

COUNTS = (100, 10**4, 10**6)
ASSETS = 10             # of an item
BYTES = 9 << 10         # of an object: two files of a block, and a part of a folder
HOT = 100
LUA = """
local count = 1
function init(args) count = tonumber(args[1]); math.randomseed(os.time()) end
function request()
	local i = math.random(0, count - 1)
	return wrk.format("GET", string.format("/data/loop_open/BENCH/g%06d/a%d", math.floor(i / 10), i % 10))
end
"""


class Pattern:
    """A file as the system made it, and as it is made again."""

    def __init__(self, path):
        self.name, self.text, self.like = path.name.partition("@")[2], path.read_bytes(), path.stat()

    def make(self, asset, at, text):
        """Its inode."""
        fd = os.open("%s@%s" % (asset, self.name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=at)
        os.fchown(fd, self.like.st_uid, self.like.st_gid)
        os.fchmod(fd, self.like.st_mode & 0o777)
        os.write(fd, text)
        inode = os.fstat(fd).st_ino
        os.close(fd)
        return inode


def fill(bench, system, count):
    """So many objects in its cache: BENCH/gNNNNNN/aN."""
    name = bench.origin.small()
    system.warm(name)
    model = system.published(name)
    data, meta = Pattern(model), Pattern(model.with_name("data@meta"))
    before, found, after = meta.text.partition(b'"inode":%d,' % data.like.st_ino)
    if not found:
        raise Failed("an object's metadata does not name its file as it did: %r" % meta.text)
    folder = model.parent.stat()
    for i in range((count + ASSETS - 1) // ASSETS):
        item = model.parents[1] / ("g%06d" % i)
        item.mkdir(mode=0o700)
        os.chown(item, folder.st_uid, folder.st_gid)
        os.chmod(item, folder.st_mode & 0o7777)
        at = os.open(item, os.O_RDONLY | os.O_DIRECTORY)
        for asset in range(min(ASSETS, count - i * ASSETS)):
            inode = data.make("a%d" % asset, at, data.text)
            meta.make("a%d" % asset, at, b'%s"inode":%d,%s' % (before, inode, after))
        os.close(at)


def have_room(bench, count):
    free = os.statvfs(bench.dir)
    if free.f_favail < 3 * count or free.f_bavail * free.f_frsize < 2 * count * BYTES:
        raise Failed("%d objects need more inodes or bytes than %s has" % (count, bench.dir))


@case("growth", 80, "hits a second with 100, 10,000 and 1,000,000 objects in the cache directory: of 100 of them, and of any "
      "(which the disk must read)")
def growth(bench):
    counts = [c for c in COUNTS if c <= max(HOT, bench.options.count or c)]
    have_room(bench, max(counts))
    script = bench.dir / "growth.lua"
    script.write_text(LUA)
    systems = {count: bench.another("growth-%d" % count) for count in counts}
    for count, system in systems.items():
        fill(bench, system, count)
    os.sync()

    def measure(count, among):
        system = systems[count]
        return lambda: system.wrk(system.env["PROXY_URL"], script=[script, among])
    for what, among, target in (("of %d" % HOT, HOT, 0.90), ("of any", None, None)):
        values = bench.table.alternate([(count, measure(count, among or count)) for count in counts])
        few = values[counts[0]]
        bench.table.report("growth", "%s, %d objects" % (what, counts[0]), few, "req/s")
        for count in counts[1:]:
            bench.table.ratio("growth", "%s, %d objects" % (what, count), values[count], "req/s",
                              statistics.median(values[count]) / statistics.median(few), target)
    for system in systems.values():
        system.end()
        run("rm", "-rf", system.where)
