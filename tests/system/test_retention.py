# SPDX-License-Identifier: Apache-2.0
"""The tmpfiles rules of conf-examples, run on a directory cache."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
from conftest import PREFIX

TOP = pathlib.Path(__file__).resolve().parents[2]
RULES = TOP / "conf-examples" / "systemd" / "eodata-proxy.tmpfiles"
TMPFILES = shutil.which("systemd-tmpfiles") or shutil.which("systemd-standalone-tmpfiles")
ROOT = "/var/cache/eodata-proxy"
DAY = 86400

pytestmark = pytest.mark.skipif(TMPFILES is None, reason="systemd-tmpfiles is not installed")


class Cache:
    def __init__(self, path):
        self.root = path / "cache"
        self.rules = path / "rules.conf"
        text = RULES.read_text()
        assert ROOT in text
        self.rules.write_text(text.replace(ROOT, str(self.root)))

    def store(self, key, age_days, last_modified_days=None):
        """An object as it lies in a cache, stored so long ago."""
        paths = [self.root / (key + suffix) for suffix in ("@data", "@meta")]
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.write_bytes(b"x" * 100)
            stored = time.time() - age_days * DAY
            os.utime(path, (stored, stored))
        return paths

    def clean(self):
        done = subprocess.run([TMPFILES, "--clean", str(self.rules)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def there(paths):
    return [p.exists() for p in paths]


def test_old_objects_go_and_fresh_ones_stay(cache):
    old = cache.store("30d/peps/S2/item/old.tif", 31)
    fresh = cache.store("30d/peps/S2/item/fresh.tif", 29)
    now = cache.store("30d/peps/S2/item/now.tif", 0)
    cache.clean()
    assert there(old) == [False, False]
    assert there(fresh) == [True, True]
    assert there(now) == [True, True]


def test_keep_stays_for_ever(cache):
    kept = cache.store("keep/peps/S2/item/asset", 4000)
    unknown = cache.store("10y/peps/S2/item/asset", 4000)
    cache.clean()
    assert there(kept) == [True, True]
    assert there(unknown) == [True, True]


@pytest.mark.parametrize("retention,days", [("1d", 1), ("7d", 7), ("30d", 30), ("90d", 90), ("1y", 365)])
def test_each_retention_has_its_own_age(cache, retention, days):
    old = cache.store(retention + "/p/c/i/old", days + 0.1)
    fresh = cache.store(retention + "/p/c/i/fresh", days - 0.1)
    cache.clean()
    assert there(old) == [False, False]
    assert there(fresh) == [True, True]


def test_reading_renews_nothing(cache):
    data, meta = cache.store("7d/p/c/i/read", 8)
    stored = data.stat().st_mtime
    os.utime(data, (time.time(), stored))
    cache.clean()
    assert there([data, meta]) == [False, False]


def test_subpaths_go_with_their_own_age(cache):
    asset = cache.store("7d/p/c/i/cube.zarr", 8)
    old = cache.store("7d/p/c/i/cube.zarr/0/0.0", 8)
    fresh = cache.store("7d/p/c/i/cube.zarr/0/0.1", 1)
    cache.clean()
    assert there(asset) == [False, False]
    assert there(old) == [False, False]
    assert there(fresh) == [True, True]


def test_directories_that_were_just_made_or_emptied_stay(cache):
    """A fill that has made its directory must find it when it publishes."""
    old = cache.store("1d/p/c/i/old", 2)
    cache.clean()
    assert there(old) == [False, False]
    assert (cache.root / "1d/p/c/i").is_dir()


def test_directories_long_empty_go_and_the_retention_stays(cache):
    empty = cache.root / "1d/p/c/i"
    empty.mkdir(parents=True)
    past = time.time() - 3 * DAY
    for path in (empty, *list(empty.parents)[:3]):
        os.utime(path, (past, past))
    cache.clean()
    assert not empty.exists()
    assert (cache.root / "1d").is_dir()


def test_a_cache_without_some_retention_is_no_error(cache):
    cache.store("keep/p/c/i/a", 0)
    assert "fail" not in cache.clean().stderr.lower()


def test_retention_show_prints_these_rules(cache, tmp_path):
    lifetimes = {"1d": {}, "7d": {}, "30d": {}, "90d": {}, "1y": {}, "keep": {}}
    (tmp_path / "conf").write_text(json.dumps({"cache": {"path": str(cache.root), "retentions": lifetimes}}))
    done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--config", tmp_path / "conf", "retention", "show"],
                          capture_output=True, text=True, check=True)

    def rules(text):
        return [line.split() for line in text.splitlines() if not line.startswith("#") and line.strip()]
    assert rules(done.stdout) == rules(cache.rules.read_text())
