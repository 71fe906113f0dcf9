# SPDX-License-Identifier: Apache-2.0
"""Several hosts, one bucket: what they tell each other through memcached, and what that may cost when it goes wrong.

Needs tests/system/memory_probe from the build directory: it is one more host, which looks and says what it likes.
"""

import concurrent.futures
import copy
import hashlib
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import threading

import pytest
from conftest import PREFIX, Stack, is_alive, merge, to_base64, wait_until
from memcacheds import Probe, probe_program
from stores import Bucket
from test_store_s3 import engine_log

PROGRAM = probe_program("memory_probe")
KEY = b"a secret of the site's, 32 bytes long or more\n"
ABSENT_S = 3
KILLS = 6
LEASE_S = 6         # so long nobody takes the place of a host that died
MIB = 1 << 20
PUBLISHED = " event=transfer-published "

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


class Pair:
    """Two hosts of a site.  The provider stops in the middle of an asset until asset.open()."""

    def __init__(self, first, second):
        self.first, self.second = first, second
        self.pool = concurrent.futures.ThreadPoolExecutor(40)

    def gated(self, size=2 * MIB, at=MIB, **more):
        return self.first.add_gated(size, at, **more)

    def follow(self, asset, n=1):
        """n clients of the second one, which waits for the first: what their answers will be."""
        before = self.second.log().count(" event=transfer-follow\n")
        got = [self.pool.submit(self.second.get, asset.path) for _ in range(n)]
        wait_until(lambda: self.second.log().count(" event=transfer-follow\n") > before, "the second one waits")
        return got

    def ends(self):
        """How the waits of the second one ended."""
        return re.findall(r" event=transfer-followed end=(\S+)", self.second.log())


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("site") / "memory.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def pair(s3_engine, new_bucket, key):
    bucket = Bucket(s3_engine, new_bucket())
    extra = merge(bucket.config(memory_key=key, follow_wait="20s", remember="30h"), {
        "memcached_timeout": "2s", "cache": {"retentions": {"1d": {}}}, "datasets": [
            {"collections": ["SHORT"], "retention": "1d"}, {"collections": ["NEVER"], "retention": "30d", "fill": "never"},
            {"collections": ["SMALL"], "retention": "30d", "max_size": "1 MB"}, {"retention": "30d"}]})
    first = Stack(extra=extra, store=bucket)
    second = Stack("--join", first.dir, extra=extra, store=bucket)
    yield Pair(first, second)
    second.down()
    first.down()


@pytest.fixture
def bucket(pair):
    return pair.first.store


@pytest.fixture
def neighbours(pair):
    """neighbours(): one more host; with another secret it is another site's."""
    made = []

    def make(*secret):
        made.append(Neighbour(pair.first, *secret))
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


def memcached_count(stack, name):
    return int(re.search(r"STAT %s (\d+)" % name, memcached(stack, "stats").decode()).group(1))


def heads(bucket):
    return engine_log(bucket.engine).count("HEAD /%s/" % bucket.name)


def key_of(asset, retention="30d"):
    return "/".join([retention] + asset.path.split("/")[2:])


def publish(host, asset, other):
    """Fetched, stored, and known to another host, as what that one says of it."""
    answer = host.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    wait_until(lambda: other.look(key_of(asset)).startswith("present:"), "the other host knows it")
    return answer, other.look(key_of(asset))


# -- what is remembered -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100000, 5 * MIB + 1])
def test_the_hosts_know_what_was_published_and_nobody_asks_s3_for_it(pair, bucket, neighbours, size):
    asset = pair.first.add(os.urandom(size))
    answer, known = publish(pair.first, asset, neighbours())
    assert known == "present:%d:%s:%s" % (size, answer.headers["etag"], bucket.kept(asset)[2]["etag"]), "with S3's own ETag"
    before = heads(bucket)
    for host in (pair.first, pair.second) * 2:
        hit = host.get(asset.path)
        assert hit.is_hit and hit.body == asset.data
    assert heads(bucket) == before
    upstream(asset, 1)


def test_who_asks_s3_tells_the_others_what_is_there(pair, neighbours):
    asset, other = pair.first.add(os.urandom(100000)), neighbours()
    _, known = publish(pair.first, asset, other)
    assert other.say("forget " + key_of(asset)) == "ok"
    assert pair.second.get(asset.path).is_hit
    assert other.look(key_of(asset)) == known


def test_what_the_operators_tool_puts_and_purges_is_told_to_all_hosts(pair, bucket, neighbours, tmp_path):
    asset, other = pair.first.add(os.urandom(100000)), neighbours()
    publish(pair.first, asset, other)
    assert pair.second.get(asset.path).is_hit
    (tmp_path / "file").write_bytes(b"another")
    for words, known in ((("put", asset.path, str(tmp_path / "file")), "present:7:"), (("purge", asset.path), "unknown")):
        done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--config", pair.first.env["CONFIG"], "object", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0 and done.stderr == "", done
        assert other.look(key_of(asset)).startswith(known), words
        if words[0] == "put":
            hit = pair.second.get(asset.path)       # which believes that the other one is there
            assert hit.is_hit and hit.body == b"another", hit
    assert bucket.find(asset) is None


def test_absence_is_told_for_a_few_seconds(pair, neighbours):
    asset, other = pair.first.add(os.urandom(1000), collection="NEVER"), neighbours()
    assert pair.first.get(asset.path).status == 200
    assert other.look(key_of(asset)) == "absent"
    other.ask("sleep %d" % (ABSENT_S * 1000))
    assert other.look(key_of(asset)) == "unknown"


def test_an_object_that_is_gone_or_another_is_forgotten_by_all_hosts(pair, bucket, neighbours):
    asset, other = pair.first.add(os.urandom(50000)), neighbours()
    _, known = publish(pair.first, asset, other)
    for n, spoil in enumerate((lambda k: bucket.ask("DELETE", k), lambda k: bucket.ask("PUT", k, body=b"something else"))):
        assert spoil(bucket.find(asset)).status in (200, 204)
        again = pair.second.get(asset.path)
        assert again.status == 200 and again.body == asset.data and not again.is_hit
        upstream(asset, 2 + n)
        wait_until(lambda: other.look(key_of(asset)) == known, "it is stored again, and all know it")
        assert kept(asset)


def test_nothing_is_remembered_beyond_what_is_configured_and_what_its_retention_leaves(pair, neighbours):
    short, long = pair.first.add(os.urandom(1000), collection="SHORT"), pair.first.add(os.urandom(1000))
    for asset in (short, long):
        assert pair.first.get(asset.path).status == 200
    keys, other = (key_of(short, "1d"), key_of(long)), neighbours()

    def seen():
        return [other.look(key).split(":")[0] for key in keys]
    wait_until(lambda: seen() == ["present", "present"], "both are published")
    for hours, wanted in ((23, ["present", "present"]), (1, ["unknown", "present"]), (6, ["unknown", "unknown"])):
        other.ask("sleep %d" % (hours * 3600 * 1000))
        assert seen() == wanted


def test_values_that_none_of_the_hosts_wrote_do_not_count_and_are_told_once(pair, neighbours):
    stranger = neighbours(b"another site's secret, which is long enough, too")
    for _ in range(2):
        asset, other = pair.first.add(os.urandom(100000)), neighbours()
        assert stranger.say("keep %s 3600 5 3" % key_of(asset)) == "ok"
        theirs = memcached(pair.first, "mg %s v" % stranger.say("name o " + key_of(asset))).split(b"\r\n", 1)[1][:-2]
        name = other.say("name o " + key_of(asset))
        assert memcached(pair.first, "ms %s %d T3600" % (name, len(theirs)), theirs) == b"HD\r\n"
        answer, _ = publish(pair.first, asset, other)
        assert not answer.is_hit
        wait_until(lambda: "EO-STORE-FORGED" in pair.first.log(), "it is told")
    told = re.findall(r" (\w+\[\d+\]) .*EO-STORE-FORGED", pair.first.log())
    assert told and len(told) == len(set(told)), told


def test_without_a_memory_key_nothing_is_kept(make_stack, s3_engine, s3_bucket):
    bucket = Bucket(s3_engine, s3_bucket)
    stack = make_stack(bucket.config(memory_key=""), store=bucket)
    asset = stack.add(os.urandom(1000))
    assert stack.get(asset.path).body == asset.data and kept(asset)
    seen = memcached(stack, "lru_crawler metadump all")
    assert re.findall(rb"key=eo(?:%3A|:)(.)", seen) == [b"m"], "the counters' epoch alone, no object and no lease: %s" % seen


# -- one of them fetches --------------------------------------------------------------------------------------


def whole(answers, asset):
    done = [answer.result(60) for answer in answers]
    for answer in done:
        assert answer.status == 200 and answer.body == asset.data, answer
    return done


def kept(asset):
    """Read back: what is in the bucket is the object, with its metadata."""
    body, meta, _ = wait_until(lambda: asset.stack.store.kept(asset), "the object in the bucket")
    assert body == asset.data and meta["length"] == len(body)
    return True


def upstream(asset, n):
    wait_until(lambda: len(asset.upstream()) >= n, "%d requests at the provider" % n)
    assert len(asset.upstream()) == n, asset.upstream()


@pytest.mark.parametrize("size", [2 * MIB, 12 * MIB])
def test_a_cold_object_that_two_hosts_are_asked_for_is_fetched_once(pair, size):
    asset = pair.gated(size)
    finish = pair.first.begin(asset)
    joined = pair.second.status()["counters"]["transfers_joined_total"]
    answers = pair.follow(asset, 8)
    head = pair.pool.submit(pair.second.request, "HEAD", asset.path)
    part = pair.pool.submit(pair.second.get, asset.path, {"Range": "bytes=5-99"})
    wait_until(lambda: pair.second.status()["counters"]["transfers_joined_total"] >= joined + 9, "they wait, too")
    asset.open()
    assert finish() == (0, asset.data)
    assert all(answer.is_hit for answer in whole(answers, asset))
    assert head.result(60).status == 200 and int(head.result().headers["content-length"]) == size
    assert part.result(60).status == 206 and part.result().body == asset.data[5:100]
    upstream(asset, 1)
    assert pair.ends()[-1] == "hit" and kept(asset)


def test_two_hosts_that_are_asked_at_the_same_instant_fetch_once(pair):
    for _ in range(5):
        asset = pair.first.add(os.urandom(300000))
        answers = [pair.pool.submit(host.get, asset.path) for host in (pair.first, pair.second) * 10]
        whole(answers, asset)
        upstream(asset, 1)
        assert kept(asset)


def test_a_host_whose_mover_dies_is_replaced_when_its_lease_is_over(pair):
    asset, ends = pair.gated(), len(pair.ends())
    finish = pair.first.begin(asset)
    answers = pair.follow(asset)
    os.kill(pair.first.pids("mover")[0], signal.SIGKILL)
    assert finish()[0] != 0
    wait_until(lambda: pair.ends()[ends:] == ["taken"], "the other one takes over", 3 * LEASE_S)
    asset.open()
    assert not whole(answers, asset)[0].is_hit and kept(asset)
    wait_until(lambda: pair.second.get(asset.path).is_hit, "it was stored")


def test_f5_what_a_dead_mover_was_fetching_its_successor_fetches_at_once(pair):
    def said(what):
        return pair.first.log().count(what)
    follows, pulls = " event=transfer-follow\n", " transfer state=pulling from=following "
    asset, before = pair.gated(), (said(follows), said(pulls))
    finish, dead = pair.first.begin(asset), pair.first.pids("mover")[0]
    os.kill(dead, signal.SIGKILL)
    assert finish()[0] != 0
    wait_until(lambda: pair.first.pids("mover") not in ([], [dead]), "the mover is replaced")
    again = pair.pool.submit(pair.first.get, asset.path)
    wait_until(lambda: said(pulls) == before[1] + 2, "it is fetched anew")
    waiting = pair.follow(asset)
    asset.open()
    whole([again], asset)
    assert whole(waiting, asset)[0].is_hit, "the other host has waited: that one has the lease"
    assert said(follows) == before[0], "the successor has not"
    upstream(asset, 2)
    assert kept(asset)


def test_the_mover_of_an_upgrade_waits_for_what_the_one_before_still_fetches(pair):
    """It has the same place, under another master, and neither is dead."""
    asset, old = pair.gated(), pair.first.master
    finish, workers = pair.first.begin(asset), pair.first.pids("worker")
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: pair.first.master != old and not any(is_alive(pid) for pid in workers), "only another master's workers take requests", 60)
    before = pair.first.log().count(" event=transfer-follow\n")
    again = pair.pool.submit(pair.first.get, asset.path)
    wait_until(lambda: pair.first.log().count(" event=transfer-follow\n") > before, "the new one waits")
    asset.open()
    assert finish() == (0, asset.data)
    assert whole([again], asset)[0].is_hit
    upstream(asset, 1)
    assert kept(asset)


def test_a_host_that_gives_up_lets_the_other_one_try(pair):
    data = os.urandom(2 * MIB)
    asset = pair.first.add(data, backend="loop_open", case="gate-%s-%d" % ("late", MIB),
                           asset_members={"file:checksum": "1220" + hashlib.sha256(b"another").hexdigest()})
    finish = pair.first.begin(asset)
    answers = pair.follow(asset)
    pair.first.provider("/-/open?gate=late")
    assert finish()[0] != 0
    assert isinstance(answers[0].exception(60), http.client.IncompleteRead), "it got the same"
    assert pair.ends()[-1] == "taken"
    upstream(asset, 2)
    assert pair.first.store.find(asset) is None


def test_warm_tells_what_was_delivered_and_not_stored(pair, tmp_path):
    small, large = pair.first.add(os.urandom(1000), collection="SMALL"), pair.first.add(os.urandom(2 * MIB), collection="SMALL")
    (tmp_path / "login").write_text("Authorization: Basic %s\n" % to_base64(pair.first.user))
    (tmp_path / "login").chmod(0o600)
    done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--config", pair.first.env["CONFIG"], "object", "warm",
                           "--header-file", str(tmp_path / "login"), small.path, large.path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "1 of 2 assets are warm" in done.stderr, done
    assert "failed: %s: 200: delivered, and not stored\n" % large.path[len("/data/"):] in done.stderr, done


def test_what_will_not_be_stored_is_not_waited_for(pair):
    asset = pair.gated(collection="SMALL")
    finish = pair.first.begin(asset)
    other = copy.copy(asset)
    other.url = pair.second.origin + asset.path
    answer = pair.second.begin(other)
    asset.open()
    assert finish() == (0, asset.data) and answer() == (0, asset.data)
    upstream(asset, 2)


def test_memcached_that_was_emptied_costs_a_second_fetch_and_nothing_else(pair):
    asset = pair.gated(12 * MIB, 6 * MIB)
    finish = pair.first.begin(asset)
    answers = pair.follow(asset)
    ends, published = len(pair.ends()), [host.log().count(PUBLISHED) for host in (pair.first, pair.second)]
    assert memcached(pair.first, "flush_all") == b"OK\r\n"
    wait_until(lambda: pair.ends()[ends:] == ["taken"], "the other one fetches, too")
    wait_until(lambda: " event=lease-lost" in pair.first.log(), "the first one sees that")
    asset.open()
    assert finish() == (0, asset.data)
    whole(answers, asset)
    upstream(asset, 2)
    assert kept(asset)
    for host, before in zip((pair.first, pair.second), published):
        wait_until(lambda: host.log().count(PUBLISHED) > before, "both have published")
        wait_until(lambda: host.get(asset.path).is_hit, "both know it")
        assert host.get(asset.path).body == asset.data
    assert pair.first.store.uploads() == [] and kept(asset)


def test_who_has_waited_long_enough_gets_it_from_the_provider_unstored(pair):
    pair.second.reload(lambda config: config["cache"]["s3"].update(follow_wait="1s"))
    try:
        asset = pair.gated()
        finish = pair.first.begin(asset)
        ends = len(pair.ends())
        answers = pair.follow(asset, 3)
        wait_until(lambda: pair.ends()[ends:] == ["unstored"], "the wait is over")
        asset.open()
        for answer in whole(answers, asset):
            assert "stored" not in answer.headers["cache-status"], answer
        assert finish() == (0, asset.data)
        upstream(asset, 2)
        assert kept(asset)
    finally:
        pair.second.reload(lambda config: config["cache"]["s3"].update(follow_wait="20s"))


def test_clients_that_leave_end_the_wait(pair):
    asset = pair.gated()
    finish = pair.first.begin(asset)
    curl = subprocess.Popen(["curl", "-q", "-sS", "-u", pair.second.user, "-o", "/dev/null", pair.second.origin + asset.path])
    wait_until(lambda: pair.second.status()["gauges"]["transfers"] == 1, "the second one waits")
    curl.kill()
    curl.wait()
    wait_until(lambda: pair.second.status()["gauges"]["transfers"] == 0, "it waits no more")
    asset.open()
    assert finish() == (0, asset.data)
    upstream(asset, 1)


def test_a_wait_leaves_time_for_the_provider_and_ends_with_its_clients_time(pair):
    pair.second.reload(lambda config: config["front"].update(deadline="6s"))
    try:
        asset = pair.first.add(os.urandom(1000), backend="loop_open", case="headgate-never")
        before = pair.first.log().count(" transfer state=pulling from=following ")
        answer = pair.pool.submit(pair.first.get, asset.path)
        wait_until(lambda: pair.first.log().count(" transfer state=pulling from=following ") > before, "the first one asks the provider")
        ends = len(pair.ends())
        assert pair.follow(asset)[0].result(60).status == 504
        assert pair.ends()[ends:] == ["unstored"], "it has asked the provider, too"
        pair.first.provider("/-/open?gate=never")
        whole([answer], asset)
    finally:
        pair.second.reload(lambda config: config["front"].update(deadline="50s"))


def test_a_host_without_keys_fetches_what_it_knows_of_but_cannot_read(pair, neighbours, key, tmp_path):
    asset, other = pair.first.add(os.urandom(100000)), neighbours()
    assert pair.first.get(asset.path).body == asset.data and kept(asset)
    wait_until(lambda: other.look(key_of(asset)).startswith("present:"), "all hosts know it")
    extra = merge(pair.first.store.config(memory_key=key), {"cache": {"s3": {"credentials": str(tmp_path / "none")}}})
    third = Stack("--join", pair.first.dir, extra=extra, store=pair.first.store)
    try:
        before = memcached_count(third, "cmd_meta")
        answer = third.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit
        assert memcached_count(third, "cmd_meta") - before < 100, "and without asking on and on"
    finally:
        third.down()


def test_a_lease_that_none_of_the_hosts_wrote_keeps_no_object_from_being_stored(pair, neighbours):
    asset = pair.first.add(os.urandom(100000))
    name = neighbours().say("name l " + key_of(asset))
    assert memcached(pair.first, "ms %s 40 T3600" % name, b"x" * 40) == b"HD\r\n"
    assert pair.second.get(asset.path).body == asset.data
    assert kept(asset)


def test_f5_movers_of_both_hosts_killed_and_leases_lost_at_random_instants_leave_only_whole_objects(pair):
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    hosts, assets = (pair.first, pair.second), []
    for host in hosts:
        host.reload(lambda config: config["cache"]["s3"].update(follow_wait="1s"))
    for n in range(KILLS):
        assets.append(pair.first.add(os.urandom(dice.choice((1000, 5 * MIB - 1, 12 * MIB)))))
        movers = {host: host.pids("mover")[0] for host in hosts}
        victim, lost = dice.choice(hosts), dice.random() < 0.5
        killer = threading.Timer(dice.random() * 0.3, os.kill, (movers[victim], signal.SIGKILL))
        killer.start()      # the instant is what is random
        answers = [pair.pool.submit(host.curl, host.origin + assets[-1].path) for host in hosts]
        if lost:
            memcached(pair.first, "flush_all")
        for answer in answers:
            done = answer.result(60)
            assert done.rc != 0 or done.status != 200 or done.body == assets[-1].data, (seed, n, done)
        killer.join()
        wait_until(lambda: victim.pids("mover") not in ([], [movers[victim]]), "the mover is replaced")
    for asset in assets:
        assert pair.first.store.find(asset) is None or kept(asset), (seed, asset.name)
        for host in hosts:
            answer = host.get(asset.path)
            assert answer.status == 200 and answer.body == asset.data, (seed, asset.name)
        # who waits for a dead one's lease does not store
        wait_until(lambda: pair.first.store.find(asset) or host.get(asset.path).body != asset.data, "it is stored in the end")
        assert kept(asset), (seed, asset.name)
    for host in hosts:
        host.reload(lambda config: config["cache"]["s3"].update(follow_wait="20s"))


def test_without_memcached_each_host_fetches_and_stores(pair):
    """Last of all: it stays away."""
    asset = pair.gated(12 * MIB, 6 * MIB)
    finish = pair.first.begin(asset)
    answers = pair.follow(asset)
    ends = len(pair.ends())
    os.kill(pair.first.process("memcached"), signal.SIGKILL)
    wait_until(lambda: pair.ends()[ends:] == ["alone"], "the other one goes on alone")
    asset.open()
    assert finish() == (0, asset.data)
    whole(answers, asset)
    upstream(asset, 2)
    assert kept(asset)
    cold = pair.first.add(os.urandom(1000))
    assert pair.first.get(cold.path).body == cold.data and kept(cold)
