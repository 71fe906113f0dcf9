#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Makes a cloud-optimized GeoTIFF from a geoid grid in PROJ's .gtx format.

    make_cog.py GRID.gtx OUT.tif

The sample of the quickstart: real data that Debian's proj-data brings, in the
form in which Earth observation data come.  Tiles of 256, deflate, overviews;
all directories first, then the overviews' tiles, then the full resolution's.
No library is needed for it.
"""

import array
import os
import struct
import sys
import zlib

TILE = 256
SHORT, LONG, DOUBLE, ASCII = 3, 4, 12, 2
SIZES = {SHORT: ("H", 2), LONG: ("I", 4), DOUBLE: ("d", 8), ASCII: ("B", 1)}


def read_gtx(path):
    """rows from north to south, the north-west point, and the steps."""
    with open(path, "rb") as f:
        south, west, dlat, dlon, n_rows, n_cols = struct.unpack(">4d2i", f.read(40))
        data = array.array("f", f.read(4 * n_rows * n_cols))
    if sys.byteorder == "little":
        data.byteswap()
    rows = [data[i * n_cols:(i + 1) * n_cols] for i in range(n_rows)]
    rows.reverse()
    return rows, south + dlat * (n_rows - 1), west, dlat, dlon


def tiles_of(rows):
    tiles = []
    width = len(rows[0])
    for y in range(0, len(rows), TILE):
        for x in range(0, width, TILE):
            tile = array.array("f")
            for row in rows[y:y + TILE]:
                piece = row[x:x + TILE]
                tile.extend(piece)
                tile.extend([0.0] * (TILE - len(piece)))
            tile.extend([0.0] * (TILE * TILE - len(tile)))
            if sys.byteorder == "big":
                tile.byteswap()
            tiles.append(zlib.compress(tile.tobytes(), 6))
    return tiles


class Directory:
    """One TIFF directory: its entries, and what does not fit into them."""

    def __init__(self):
        self.entries = {}

    def set(self, tag, kind, *values):
        self.entries[tag] = (kind, values)

    def size(self):
        outside = sum((n + 1) // 2 * 2 for n in map(self.length, self.entries.values()) if n > 4)
        return 2 + 12 * len(self.entries) + 4 + outside

    @staticmethod
    def length(entry):
        return SIZES[entry[0]][1] * len(entry[1])

    def bytes(self, offset, following):
        head, outside = struct.pack("<H", len(self.entries)), b""
        outside_at = offset + 2 + 12 * len(self.entries) + 4
        for tag in sorted(self.entries):
            kind, values = self.entries[tag]
            data = struct.pack("<%d%s" % (len(values), SIZES[kind][0]), *values)
            head += struct.pack("<HHI", tag, kind, len(values))
            if len(data) <= 4:
                head += data.ljust(4, b"\0")
            else:
                head += struct.pack("<I", outside_at + len(outside))
                outside += data + b"\0" * (len(data) % 2)
        return head + struct.pack("<I", following) + outside


def describe(rows, tiles, overview):
    d = Directory()
    if overview:
        d.set(254, LONG, 1)                         # NewSubfileType: reduced resolution
    d.set(256, LONG, len(rows[0]))
    d.set(257, LONG, len(rows))
    d.set(258, SHORT, 32)                           # BitsPerSample
    d.set(259, SHORT, 8)                            # Compression: deflate
    d.set(262, SHORT, 1)                            # black is zero
    d.set(277, SHORT, 1)                            # SamplesPerPixel
    d.set(284, SHORT, 1)                            # PlanarConfiguration
    d.set(322, SHORT, TILE)
    d.set(323, SHORT, TILE)
    d.set(324, LONG, *[0] * len(tiles))             # TileOffsets, known later
    d.set(325, LONG, *[len(t) for t in tiles])
    d.set(339, SHORT, 3)                            # SampleFormat: floating point
    return d


def write_cog(path, rows, north, west, dlat, dlon):
    levels = [rows]
    while len(levels[-1][0]) > TILE:
        levels.append([row[::2] for row in levels[-1][::2]])
    tiles = [tiles_of(level) for level in levels]
    directories = [describe(level, t, i > 0) for i, (level, t) in enumerate(zip(levels, tiles))]
    directories[0].set(33550, DOUBLE, dlon, dlat, 0.0)                      # ModelPixelScale
    directories[0].set(33922, DOUBLE, 0.0, 0.0, 0.0, west, north, 0.0)      # ModelTiepoint
    # GeoKeys: geographic, a pixel is a point, EPSG:4326
    directories[0].set(34735, SHORT, 1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 2, 2048, 0, 1, 4326)

    offsets, at = [], 8
    for d in directories:
        offsets.append(at)
        at += d.size()
    for d, level_tiles in reversed(list(zip(directories, tiles))):
        starts = []
        for tile in level_tiles:
            starts.append(at)
            at += len(tile)
        d.set(324, LONG, *starts)
    with open(path + ".new", "wb") as f:
        f.write(struct.pack("<2sHI", b"II", 42, offsets[0]))
        for d, offset, following in zip(directories, offsets, offsets[1:] + [0]):
            f.write(d.bytes(offset, following))
        for level_tiles in reversed(tiles):
            for tile in level_tiles:
                f.write(tile)
    os.rename(path + ".new", path)


def main():
    if len(sys.argv) != 3:
        sys.stderr.write("usage: make_cog.py GRID.gtx OUT.tif\n")
        sys.exit(2)
    write_cog(sys.argv[2], *read_gtx(sys.argv[1]))


if __name__ == "__main__":
    main()
