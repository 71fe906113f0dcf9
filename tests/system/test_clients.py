# SPDX-License-Identifier: Apache-2.0
"""
The clients that people have, cold and cached: curl, wget, aria2, GDAL, rasterio,
on the GeoTIFFs of a collection of real ones where there is one beside the
checkout (../shared/data/geotiff, or EODATA_TEST_GEOTIFF), and on the sample.
"""

import os
import shutil
import subprocess

import pytest
from conftest import TOP, wait_until

GEOTIFF = os.environ.get("EODATA_TEST_GEOTIFF") or os.path.join(os.path.dirname(TOP), "shared", "data", "geotiff")
SAMPLE = os.path.join(TOP, "build", "sample-egm96.tif")


def find_files():
    found = []
    for folder, _, names in sorted(os.walk(GEOTIFF)):
        found += [os.path.join(folder, n) for n in sorted(names) if n.lower().endswith((".tif", ".tiff"))]
    return found


# The sample is always there: the stack makes it.
FILES = find_files() + [SAMPLE]
NAMES = [os.path.relpath(p, GEOTIFF) for p in FILES[:-1]] + ["sample"]


def need(program):
    if shutil.which(program) is None:
        pytest.skip("there is no %s here" % program)


def run(*command, **more):
    env = dict(os.environ, GDAL_HTTP_USERPWD="alice:alice", VSI_CACHE="FALSE", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
               no_proxy="*", HOME="/nonexistent")
    env.update(more.pop("env", {}))
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, env=env, **more)


def largest():
    return max(FILES, key=os.path.getsize)


def make(stack, path, backend="loop_header"):
    with open(path, "rb") as f:
        return stack.add(f.read(), backend=backend, file=os.path.basename(path))


@pytest.fixture(params=["cold", "cached"])
def asset(request, stack):
    """The largest of the files, cold or cached."""
    made = make(stack, largest())
    return made.warm() if request.param == "cached" else made


@pytest.mark.both_stores
def test_curl_resumes(stack, asset, tmp_path):
    out = tmp_path / "x.tif"
    out.write_bytes(asset.data[:len(asset.data) // 3])
    done = run("curl", "-q", "-sS", "-f", "-u", stack.user, "-C", "-", "-o", str(out), asset.url)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == asset.data


def test_curl_takes_a_range(stack, asset, tmp_path):
    out = tmp_path / "x.tif"
    done = run("curl", "-q", "-sS", "-f", "-u", stack.user, "-r", "1000-1999", "-o", str(out), asset.url)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == asset.data[1000:2000]


def test_curl_names_the_file(stack, asset, tmp_path):
    done = run("curl", "-q", "-sS", "-f", "-u", stack.user, "-OJ", asset.url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [os.path.basename(largest())]


def test_wget_resumes(stack, asset, tmp_path):
    need("wget")
    out = tmp_path / "x.tif"
    out.write_bytes(asset.data[:len(asset.data) // 3])
    user, password = stack.user.split(":")
    done = run("wget", "--no-config", "-nv", "-c", "--auth-no-challenge", "--user", user, "--password", password, "-O", str(out), asset.url)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == asset.data


def test_wget_that_waits_to_be_asked_logs_in(stack, asset, tmp_path):
    need("wget")
    out = tmp_path / "x.tif"
    user, password = stack.user.split(":")
    done = run("wget", "--no-config", "-nv", "--user", user, "--password", password, "-O", str(out), asset.url)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == asset.data


@pytest.mark.both_stores
def test_aria2_with_four_connections(stack, asset, tmp_path):
    need("aria2c")
    user, password = stack.user.split(":")
    done = run("aria2c", "--no-conf", "-q", "-x4", "-s4", "-k1M", "--http-auth-challenge=false", "--http-user=" + user,
               "--http-passwd=" + password, "-d", str(tmp_path), "-o", "x.tif", asset.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "x.tif").read_bytes() == asset.data


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_gdalinfo_reads_what_it_reads_from_disk(stack, path):
    need("gdalinfo")
    local = run("gdalinfo", "-checksum", path)
    asset = make(stack, path)
    for _ in range(2):
        remote = run("gdalinfo", "-checksum", "/vsicurl/" + asset.url)
        assert remote.returncode == local.returncode, remote.stderr
        assert facts(remote.stdout) == facts(local.stdout), remote.stderr
        asset.warm()


def facts(text):
    """gdalinfo's output without the file's name, and what it finds in files beside it."""
    return [line for line in text.splitlines() if not line.startswith(("Files:", "       /"))]


def test_there_is_a_collection_of_real_geotiffs():
    if len(FILES) == 1:
        pytest.skip("no GeoTIFFs in %s, nor does EODATA_TEST_GEOTIFF name a folder: the clients ran on the sample alone" % GEOTIFF)


@pytest.mark.both_stores
def test_gdalinfo_as_the_quickstart_prints_it(stack):
    need("gdalinfo")
    done = run("gdalinfo", "--config", "GDAL_HTTP_USERPWD", stack.user, "/vsicurl/" + stack.env["SAMPLE_URL"],
               env={"GDAL_HTTP_USERPWD": "", "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"})
    assert done.returncode == 0, done.stderr
    assert "Size is 1440, 721" in done.stdout


RASTERIO = """
import sys
import rasterio
from rasterio.windows import Window
with rasterio.Env(GDAL_HTTP_USERPWD="alice:alice", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
    with rasterio.open(sys.argv[1]) as a, rasterio.open(sys.argv[2]) as b:
        assert a.profile == b.profile, (a.profile, b.profile)
        w = Window(a.width // 3, a.height // 3, min(64, a.width // 3 + 1), min(64, a.height // 3 + 1))
        assert (a.read(window=w) == b.read(window=w)).all()
        shape = (a.count, min(a.height, 128), min(a.width, 128))
        assert (a.read(out_shape=shape) == b.read(out_shape=shape)).all()
print("same")
"""


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_rasterio_reads_what_it_reads_from_disk(stack, path):
    if run("/usr/bin/python3", "-c", "import rasterio").returncode != 0:
        pytest.skip("there is no python3-rasterio here")
    asset = make(stack, path)
    local = run("/usr/bin/python3", "-c", RASTERIO, path, path)
    for _ in range(2):
        done = run("/usr/bin/python3", "-c", RASTERIO, "/vsicurl/" + asset.url, path)
        assert (done.returncode, done.stdout) == (local.returncode, local.stdout), done.stderr
        asset.warm()


@pytest.mark.both_stores
def test_gdal_reads_a_cold_sample_for_one_resolve(stack):
    """GDAL reads nothing but ranges; they share one item, and the object fills."""
    need("gdal_translate")
    asset = make(stack, SAMPLE)
    done = run("gdal_translate", "-q", "-of", "MEM", "-outsize", "100%", "100%", "/vsicurl/" + asset.url, "mem")
    assert done.returncode == 0, done.stderr
    assert len(asset.stac()) == 1
    wait_until(asset.published, "ranges of it all fill the cache")
    assert asset.kept()[0] == asset.data
