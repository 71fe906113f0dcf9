# SPDX-License-Identifier: Apache-2.0
"""Several hosts, one bucket: what they tell each other through memcached, and what that may cost when it goes wrong.

Needs tests/system/memory_probe from the build directory: it is one more host, which looks and says what it likes.
"""

import hashlib
import os
import socket
import time

import pytest
from conftest import wait_until
from memcacheds import Probe, probe_program
from test_store_s3 import Bucket, engine_log

PROGRAM = probe_program("memory_probe")
KEY = b"a secret of the site's, 32 bytes long or more\n"
ABSENT_S = 3

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="memory_probe is not built: make")


class Neighbour(Probe):
    """What another host would read and write."""

    def __init__(self, stack, secret=KEY):
        s3 = stack.config()["cache"]["s3"]
        super().__init__(PROGRAM, 5000, hashlib.sha256(secret.rstrip(b"\n")).hexdigest(),
                         "%s %s %s" % (s3["endpoint"], s3["bucket"], s3.get("prefix", "")), stack.env["MEMCACHED_SOCKET"])

    def say(self, line):
        word, _ = self.ask(line)
        return word

    def look(self, key):
        return self.say("look " + key)


@pytest.fixture
def bucket(s3_engine, s3_bucket):
    return Bucket(s3_engine, s3_bucket)


@pytest.fixture
def site(make_stack, bucket, tmp_path):
    """make(): a host of a site with that bucket."""
    key = tmp_path / "memory.key"
    key.write_bytes(KEY)
    key.chmod(0o600)

    def make(*options, cache={}, extra={}, **s3):
        config = bucket.config(memory_key=str(key), **s3)
        return make_stack({"cache": {**config["cache"], **cache}, "memcached_timeout": "2s", **extra}, *options)
    return make


@pytest.fixture
def neighbours():
    made = []

    def make(*args):
        made.append(Neighbour(*args))
        return made[-1]
    yield make
    for one in made:
        one.end()


def memcached(stack, command, value=None):
    """What it says to that."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(stack.env["MEMCACHED_SOCKET"])
        s.sendall(command.encode() + b"\r\n" + (b"" if value is None else value + b"\r\n"))
        return s.recv(65536)


def heads(bucket):
    return engine_log(bucket.engine).count("HEAD /%s/" % bucket.name)


def key_of(asset, retention="30d"):
    return "%s/loop_header/DEMO/%s/data" % (retention, asset.name)


def publish(stack, asset):
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    wait_until(lambda: "event=transfer-published" in stack.log(), "it is published")
    return answer


# -- what is remembered -------------------------------------------------------------------------------------


def test_the_hosts_know_what_was_published_and_nobody_asks_s3_for_it(site, bucket, neighbours):
    stack = site()
    other = neighbours(stack)
    small, large = stack.add(os.urandom(100000)), stack.add(os.urandom((5 << 20) + 1))
    for asset in (small, large):
        answer = publish(stack, asset)
        wait_until(lambda: other.look(key_of(asset)).startswith("present:"), "the other host knows it")
        _, length, etag, version = other.look(key_of(asset)).split(":")
        assert (int(length), etag) == (len(asset.data), answer.headers["etag"])
        assert version == bucket.kept(asset)[2]["etag"], "S3's own ETag, as a reader of it gets it"
        before = heads(bucket)
        for _ in range(3):
            hit = stack.get(asset.path)
            assert hit.is_hit and hit.body == asset.data
        assert heads(bucket) == before and len(asset.upstream()) == 1


def test_what_somebody_else_put_there_is_told_to_all_hosts_by_who_asks_s3(site, bucket, neighbours):
    stack = site()
    other = neighbours(stack)
    asset = stack.add(os.urandom(100000))
    publish(stack, asset)
    known = other.look(key_of(asset))
    assert other.say("forget " + key_of(asset)) == "ok"
    wait_until(lambda: stack.get(asset.path).is_hit and other.look(key_of(asset)) == known, "the mover has asked S3 and said so")


def test_absence_is_told_for_a_few_seconds(site, neighbours):
    stack = site(extra={"datasets": [{"retention": "30d", "fill": "never"}]})
    other = neighbours(stack)
    asset = stack.add(os.urandom(1000))
    assert stack.get(asset.path).status == 200
    assert other.look(key_of(asset)) == "absent"
    other.ask("sleep %d" % (ABSENT_S * 1000))
    assert other.look(key_of(asset)) == "unknown"


def test_an_object_that_is_gone_or_another_is_forgotten_by_all_hosts(site, bucket, neighbours):
    stack = site()
    other = neighbours(stack)
    asset = stack.add(os.urandom(50000))
    publish(stack, asset)
    assert stack.get(asset.path).is_hit
    assert bucket.ask("DELETE", bucket.key_of(asset)).status == 204
    again = stack.get(asset.path)
    assert again.status == 200 and again.body == asset.data and not again.is_hit
    assert len(asset.upstream()) == 2
    wait_until(lambda: other.look(key_of(asset)).startswith("present:"), "it is stored again")
    first = other.look(key_of(asset))
    assert bucket.ask("PUT", bucket.key_of(asset), body=b"something else").status == 200
    again = stack.get(asset.path)
    assert again.status == 200 and again.body == asset.data and not again.is_hit
    wait_until(lambda: other.look(key_of(asset)) == first, "and again")


def test_nothing_is_remembered_beyond_what_is_configured_and_what_its_retention_leaves(site, neighbours):
    datasets = [{"collections": ["DEMO"], "retention": "1d"}, {"retention": "30d"}]
    stack = site(remember="30h", extra={"datasets": datasets}, cache={"retentions": {"1d": {}, "30d": {}}})
    short, long = stack.add(os.urandom(1000)), stack.add(os.urandom(1000), collection="OTHER")
    for asset in (short, long):
        assert stack.get(asset.path).status == 200
    keys = key_of(short, "1d"), key_of(long).replace("/DEMO/", "/OTHER/")
    other = neighbours(stack)
    seen = lambda: [other.look(key).split(":")[0] for key in keys]      # noqa: E731
    wait_until(lambda: seen() == ["present", "present"], "both are published")
    for hours, wanted in ((23, ["present", "present"]), (1, ["unknown", "present"]), (6, ["unknown", "unknown"])):
        other.ask("sleep %d" % (hours * 3600 * 1000))
        assert seen() == wanted


def test_values_that_none_of_the_hosts_wrote_do_not_count_and_are_told_once(site, neighbours):
    stack = site()
    other = neighbours(stack)
    asset = stack.add(os.urandom(100000))
    name = other.say("name o " + key_of(asset))
    stranger = neighbours(stack, b"another site's secret, which is long enough, too")
    assert stranger.say("keep %s 3600 5 3" % key_of(asset)) == "ok"
    theirs = memcached(stack, "mg %s v" % stranger.say("name o " + key_of(asset))).split(b"\r\n", 1)[1][:-2]
    assert memcached(stack, "ms %s %d T3600" % (name, len(theirs)), theirs) == b"HD\r\n"
    answer = publish(stack, asset)
    assert not answer.is_hit
    wait_until(lambda: "EO-STORE-FORGED" in stack.log(), "it is told")
    memcached(stack, "ms %s 300 T3600" % name, b"y" * 300)
    assert stack.get(asset.path).body == asset.data
    assert stack.log().count("EO-STORE-FORGED") == 1


def test_without_a_memory_key_nothing_is_kept(make_stack, bucket):
    stack = make_stack(bucket.config())
    asset = stack.add(os.urandom(1000))
    publish(stack, asset)
    assert bucket.kept(asset)[0] == asset.data
    assert b"eo:" not in memcached(stack, "lru_crawler metadump all")
