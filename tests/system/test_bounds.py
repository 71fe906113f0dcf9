# SPDX-License-Identifier: Apache-2.0
"""
Bounds: each is crossed, what eodata-proxy(8) says happens then, and status, log
and metrics say that it did.  The last part has a disk of a few megabytes of its
own, which is full.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest
from conftest import PREFIX, Stack, wait_until

MIB = 1 << 20


@pytest.fixture(scope="module")
def narrow():
    running = Stack(extra={
        "spool": {"max": "4 MiB", "max_transfer": "3 MiB", "memory": "512 KiB", "clients_per_transfer": 2, "transfers": 3},
        "pool": {"workers": 2, "clients": 6}, "stac": {"item_max": "1 MB", "keep_max": "1 MiB"}, "eodag": {"queue": 2, "resolvers": 2},
        "backends": {"loop_open": {"slots": 4}, "loop_header": {"slots": 1, "queue": 1}}, "log": {"burst": 15}})
    yield running
    running.down()


def bound(stack, name):
    return stack.status()["bounds"][name]


def counter(stack, name):
    return stack.status()["counters"][name]


@contextlib.contextmanager
def crossing(stack, name):
    before = bound(stack, name)["reached"]
    yield
    wait_until(lambda: bound(stack, name)["reached"] > before and " EO-BOUND bound=%s max=" % name in stack.log(), "%s was reached" % name)


def ask(stack, path, answers):
    """In a thread: the answer comes into answers."""
    thread = threading.Thread(target=lambda: answers.append(stack.get(path)))
    thread.start()
    return thread


def refused(answer):
    assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1, answer
    assert answer.json()["source"] in ("cache", "upstream", "resolver") and answer.json()["detail"], answer


def idle(stack):
    wait_until(lambda: stack.status()["gauges"]["transfers"] == 0 and stack.status()["gauges"]["clients"] == 0, "nothing runs")


# -- where they are seen


def test_every_bound_is_in_status_metrics_and_ctl(narrow):
    assert narrow.get(narrow.add(backend="loop_open").path).status == 200
    names = {"spool_bytes", "spool_transfer_bytes", "spool_memory_bytes", "transfers", "transfer_clients", "clients", "client_memory_bytes",
             "cache_bytes", "provider_slots", "provider_queue", "resolve_queue", "resolve_memory_bytes", "resolvers", "resolver_memory_bytes",
             "items_bytes", "assets", "bucket_regions", "handover_queue_bytes", "waiting_connections", "charges_queued",
             "ledger_queued_bytes", "log_lines"}
    def all_of_them():
        now = narrow.get("/data/-/status").json()["bounds"]
        return now if set(now) == names and now["resolvers"]["used"] else None
    bounds = wait_until(all_of_them, "all are there, and the broker has said that it has a resolver")
    configured = {"spool_bytes": 4 * MIB, "spool_transfer_bytes": 3 * MIB, "spool_memory_bytes": MIB // 2, "transfers": 3,
                  "transfer_clients": 2, "clients": 6, "resolve_queue": 2, "resolvers": 2, "items_bytes": MIB, "log_lines": 15}
    assert {name: bounds[name]["max"] for name in configured} == configured
    assert bounds["resolver_memory_bytes"]["role"] == "resolver"
    metrics = narrow.get("/data/-/metrics").body.decode()
    table = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--run", narrow.run_dir, "status"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in names:
        for what in ("used", "max", "reached_total"):
            assert any(line.startswith("eodata_proxy_bound_%s{" % what) and 'bound="%s"' % name in line for line in metrics.splitlines())
        assert any(line.split()[:1] == [name] for line in table.splitlines()), table


def test_a_reload_changes_a_bound(narrow):
    for most in ("5 MiB", "4 MiB"):
        narrow.reload(lambda config, most=most: config["spool"].update(max=most))
        wait_until(lambda: bound(narrow, "spool_bytes")["max"] == int(most.split()[0]) * MIB, "the mover has the new one")


def test_a_reload_leaves_the_store_as_it_is(narrow, tmp_path):
    """A mover keeps the one that it has open; a worker that looked elsewhere would find nothing, or another's."""
    asset = narrow.add(backend="loop_open")
    asset.warm()
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = id\naws_secret_access_key = secret\n")
    keys.chmod(0o600)
    before = narrow.config()["cache"]
    narrow.reload(lambda config: config["cache"].update(
        store="s3", s3={"endpoint": "http://127.0.0.1:9", "bucket": "another", "credentials": str(keys)}))
    misses = counter(narrow, "misses_total")
    try:
        assert narrow.get(asset.path).is_hit and counter(narrow, "misses_total") == misses, "which nobody is charged for as a miss"
        assert "until the next start these stay: cache.store, cache.s3.endpoint, cache.s3.bucket" in narrow.log()
    finally:
        narrow.reload(lambda config: config.update(cache=before))


# -- spool


def test_a_full_spool_lets_bodies_go_on_unstored(narrow):
    """The second that grows finds no room any more; each is larger than what all may have at any rate."""
    assets = [narrow.add_gated(5 * MIB // 2, 9 * MIB // 4) for _ in range(2)]
    unstored = counter(narrow, "unstored_total")
    with crossing(narrow, "spool_bytes"):
        finish = [narrow.begin(asset) for asset in assets]
    wait_until(lambda: all(done.size() >= 9 * MIB // 4 - 65536 for done in finish), "neither waits for its client")
    for asset, done in zip(assets, finish):
        asset.open()
        assert done() == (0, asset.data)
    idle(narrow)
    assert [asset.published() is None for asset in assets].count(True) == 1
    assert counter(narrow, "unstored_total") == unstored + 1
    assert narrow.log().count("event=transfer-unstored reason='the spool is full'") == 1
    assert bound(narrow, "spool_bytes")["used"] <= 4 * MIB


def test_what_is_larger_than_a_transfer_may_be_says_that_it_is_not_stored(narrow):
    asset = narrow.add(os.urandom(4 * MIB))
    unstored = counter(narrow, "unstored_total")
    with crossing(narrow, "spool_transfer_bytes"):
        answer = narrow.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data and answer.headers["cache-status"] == "eodata-proxy; fwd=miss", answer
    idle(narrow)
    assert asset.published() is None and counter(narrow, "unstored_total") == unstored + 1


# -- transfers and clients


def test_more_transfers_clients_and_waiting_ones_than_may_be(narrow):
    """Three transfers of two clients each are all of both; one more of each is refused, and one more connection waits."""
    assets = [narrow.add_gated(200000, 1000) for _ in range(3)]
    finish = []
    for asset in assets:
        finish += [narrow.begin(asset)]
    with crossing(narrow, "transfers"):
        refused(narrow.get(narrow.add(backend="loop_open").path))
    finish.append(narrow.begin(assets[0]))
    with crossing(narrow, "transfer_clients"):
        refused(narrow.get(assets[0].path))
    with crossing(narrow, "clients"):
        finish += [narrow.begin(asset) for asset in assets[1:]]
    waited = []
    thread = ask(narrow, assets[0].path, waited)
    wait_until(lambda: bound(narrow, "handover_queue_bytes")["used"] > 0, "it is in the queue to the mover")
    wait_until(lambda: bound(narrow, "clients")["used"] == 6, "all that may be")
    assert not waited
    # the one who waits would be one too many while the first asset has two
    assets[0].open()
    assert [finish[n]() for n in (0, 3)] == 2 * [(0, assets[0].data)]
    for asset in assets[1:]:
        asset.open()
    assert [finish[n]() for n in (1, 2, 4, 5)] == 2 * [(0, asset.data) for asset in assets[1:]]
    thread.join()
    assert waited[0].status == 200 and waited[0].body == assets[0].data
    idle(narrow)


def test_a_slow_client_of_a_range_holds_no_more_than_its_share(narrow):
    """
    Straight from the provider: the whole is on its way, and the range begins far behind it.  It is more
    than nginx and the sockets between hold for a client, or nothing of it would wait in the mover.
    """
    asset = narrow.add_gated(64 * MIB, 1000)
    first = narrow.begin(asset)
    before = bound(narrow, "client_memory_bytes")["reached"]
    slow = narrow.begin(asset, "-r", "%d-" % (4 * MIB), "--limit-rate", "1M")
    asset.open()
    wait_until(lambda: bound(narrow, "client_memory_bytes")["reached"] > before, "the provider has to wait")
    wait_until(lambda: bound(narrow, "client_memory_bytes")["used"] > 0, "and that is seen")
    assert bound(narrow, "client_memory_bytes")["used"] <= bound(narrow, "client_memory_bytes")["max"] == 256 << 10
    assert first() == (0, asset.data)
    slow.leave()
    assert slow()[0] != 0
    idle(narrow)


# -- what waits


def test_a_full_queue_of_a_provider_says_so(narrow):
    """loop_header has one slot and a queue of one."""
    gate = narrow.name("queue").replace("-", "")
    assets = [narrow.add(os.urandom(4000), case="gate-%s-1000" % gate) for _ in range(3)]
    answers, threads = [], []
    for i, asset in enumerate(assets[:2]):
        threads.append(ask(narrow, asset.path, answers))
        wait_until(lambda n=i: narrow.status()["gauges"]["transfers"] == n + 1, "it runs or waits")
    wait_until(lambda: narrow.status()["gauges"]["queued"] == 1, "one waits")
    with crossing(narrow, "provider_queue"):
        answer = narrow.get(assets[2].path)
    refused(answer)
    assert answer.json()["detail"] == "too many requests wait for this provider" and answer.json()["source"] == "upstream"
    assert "backend=loop_header" in narrow.log().split("EO-BOUND bound=provider_queue")[1].split("\n")[0]
    wait_until(lambda: (bound(narrow, "provider_slots")["used"], bound(narrow, "provider_slots")["max"]) == (1, 1), "its slot is the fullest")
    narrow.provider("/-/open?gate=" + gate)
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200]
    idle(narrow)


def searched(stack, collection="HELD"):
    """One whose place must be searched, which waits while searches of its collection are held."""
    return stack.add(os.urandom(1000), backend="loop_search", collection=collection, item_members={"fake:hide_origin": True})


@contextlib.contextmanager
def held(stack, what, **more):
    gate = stack.name("held").replace("-", "")
    stack.provider("/-/hold?what=%s&gate=%s" % (what, gate) + "".join("&%s=%s" % pair for pair in more.items()))
    try:
        yield
    finally:
        stack.provider("/-/open?gate=" + gate)


def test_more_resolves_of_a_backend_than_may_wait(narrow):
    assets = [searched(narrow) for _ in range(3)]
    answers, threads = [], []
    with held(narrow, "search", collection="HELD"):
        for i, asset in enumerate(assets[:2]):
            threads.append(ask(narrow, asset.path, answers))
            wait_until(lambda n=i: bound(narrow, "resolve_queue")["used"] == n + 1, "its resolve runs or waits")
        with crossing(narrow, "resolve_queue"):
            refused(narrow.get(assets[2].path))
        assert not answers
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200]
    idle(narrow)


def test_more_backends_than_there_are_resolvers(narrow):
    """Two of them work and cannot make room."""
    busy = [searched(narrow), narrow.add(backend="loop_token")]
    answers, threads = [], []
    with held(narrow, "search", collection="HELD"), held(narrow, "token"):
        for asset in busy:
            threads.append(ask(narrow, asset.path, answers))
        wait_until(lambda: {p["note"] for p in narrow.status()["processes"] if p["role"] == "resolver" and p["state"] == "busy"} ==
                   {"loop_search", "loop_token"}, "both resolvers work")
        with crossing(narrow, "resolvers"):
            refused(narrow.get(narrow.add(backend="loop_basic").path))
        assert not answers
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200]
    idle(narrow)


def large(stack, collection, size=400000):
    return stack.add(backend="loop_open", collection=collection, properties={"padding": "x" * size})


def test_items_that_find_no_room_are_503_and_kept_ones_go_first(narrow):
    kept = [large(narrow, "KEPT", 300000) for _ in range(3)]
    for asset in kept:
        assert narrow.get(asset.path).status == 200
    assert bound(narrow, "items_bytes")["used"] <= MIB
    answers, threads = [], []
    with held(narrow, "item", collection="HELD"):
        for i in range(2):
            threads.append(ask(narrow, large(narrow, "HELD").path, answers))
        wait_until(lambda: 790000 < bound(narrow, "items_bytes")["used"] < 850000, "two are on their way, and nothing else is kept")
        with crossing(narrow, "items_bytes"):
            refused(narrow.get(large(narrow, "HELD").path))
        assert not answers
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200]
    os.unlink(kept[2].published())
    assert narrow.get(kept[2].path + "x").status == 404 and len(kept[2].stac()) == 2, "it was forgotten, and is fetched again"
    idle(narrow)


# -- what has not been taken


def record(kind, data):
    return struct.pack(">BBHHBB", 1, kind, 1, len(data), 0, 0) + data


def fastcgi(path, more):
    """The bytes of a request of alice."""
    params = b""
    for name, value in [("REQUEST_METHOD", "GET"), ("REQUEST_URI", path), ("EODATA_USER", "alice"), ("EODATA_GROUPS", "s2-users")] + more:
        params += struct.pack(">II", len(name) | 1 << 31, len(value) | 1 << 31) + name.encode() + value.encode()
    return (record(1, b"\0\1\0\0\0\0\0\0") + b"".join(record(4, params[i:i + 60000]) for i in range(0, len(params), 60000)) +
            record(4, b"") + record(5, b""))


def connection(stack):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(stack.env["FCGI_SOCKET"])
    return s


def test_a_full_queue_to_a_mover_is_503_and_what_is_in_it_is_served(narrow):
    """The mover is stopped for that long; it goes on before it is found dead."""
    mover = narrow.pids("mover")[0]
    long = [("HTTP_" + name, '"%s"' % ("x" * 7900)) for name in ("IF_NONE_MATCH", "IF_MATCH", "IF_RANGE")]
    queued, last = [], b""
    os.kill(mover, signal.SIGSTOP)
    try:
        with crossing(narrow, "handover_queue_bytes"):
            while not last and len(queued) < 5000:
                queued.append(connection(narrow))
                queued[-1].sendall(fastcgi("/data/loop_header/DEMO/nobody/data", long))
                if len(queued) % 20 == 0:
                    # of what the worker has answered itself
                    last = b"".join(answered(s) for s in queued)
        assert b"Status: 503" in last and b"Retry-After: 1" in last and b"too many requests wait already" in last
    finally:
        os.kill(mover, signal.SIGCONT)
        for s in queued:
            s.close()

    def has_taken_all():
        now = narrow.status()["counters"]
        return now["handovers_taken_total"] == now["handovers_sent_total"]
    wait_until(has_taken_all, "there is room again")
    asset = narrow.add(backend="loop_open")
    assert narrow.get(asset.path).body == asset.data
    assert narrow.pids("mover") == [mover]
    idle(narrow)


def answered(s):
    """What has come of its answer by now."""
    s.setblocking(False)
    try:
        return s.recv(65536, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def test_connections_that_never_ask_are_closed_oldest_first(narrow):
    asset = narrow.add().warm()
    with crossing(narrow, "waiting_connections"):
        silent = []
        before = bound(narrow, "waiting_connections")["reached"]
        while bound(narrow, "waiting_connections")["reached"] == before and len(silent) < 10000:
            for _ in range(2 * 256 + 20):       # each has a second to ask: a slow machine needs more of them
                silent.append(connection(narrow))
                silent[-1].sendall(b"\1")
    answer = narrow.get(asset.path)
    assert answer.is_hit and answer.body == asset.data
    for s in silent:
        s.close()


# -- log


def test_a_warning_is_written_some_times_and_then_counted(narrow):
    """More than log.burst in less than its ten seconds, or some in a second turn: then what was kept back is told."""
    before = counter(narrow, "log_suppressed_total")
    assets = [narrow.add(os.urandom(10), backend="loop_open", asset_members={"file:checksum": "1220" + "00" * 32}) for _ in range(40)]
    for asset in assets:
        assert narrow.curl(asset.url).rc != 0
    wait_until(lambda: counter(narrow, "log_suppressed_total") > before, "some were counted")
    lines = [line for line in narrow.log().splitlines() if "EO-MOVER-MISMATCH" in line]
    assert 15 <= len([line for line in lines if "suppressed=" not in line]) < 40
    assert narrow.log().count("reason='size or checksum differs from the announced one'") >= 40, "each request has its own line all the same"
    assert bound(narrow, "log_lines")["reached"] >= 1


# -- a disk


@pytest.fixture(scope="module")
def small_disk():
    """A stack whose cache and spool are on 32 MiB of their own."""
    mounted = []

    def mount(folder):
        where = os.path.join(folder, "store")
        os.mkdir(where)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,nr_inodes=1000", "eodata-test", where], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            pytest.skip("no file system can be mounted here: %s" % done.stderr.strip())
        mounted.append(where)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts a file system")
    running = None
    try:
        running = Stack(extra={"cache": {"min_free": "50 %"}, "spool": {"memory": "512 KiB"}}, prepare=mount)
        yield running
    finally:
        # what still runs there keeps it until it ends
        for where in mounted:
            subprocess.run(["umount", "--lazy", where], check=True)
        if running is not None:
            running.down()


def fill_disk(stack, left):
    """All but so many bytes are taken: call what is returned to give them back."""
    path = os.path.join(stack.dir, "store", "ballast")
    st = os.statvfs(stack.cache_dir)
    with open(path, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - left)
    return lambda: os.unlink(path)


def test_min_free_stops_storing_and_not_delivering(small_disk):
    """32 MiB, of which half stays free."""
    unstored = counter(small_disk, "unstored_total")
    with crossing(small_disk, "cache_bytes"):
        asset = small_disk.add(os.urandom(20 * MIB))
        answer = small_disk.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data and answer.headers["cache-status"] == "eodata-proxy; fwd=miss", answer
    idle(small_disk)
    assert asset.published() is None and counter(small_disk, "unstored_total") == unstored + 1
    fits = small_disk.add(os.urandom(4 * MIB)).warm()
    assert small_disk.get(fits.path).is_hit
    with crossing(small_disk, "cache_bytes"):
        asset = small_disk.add(os.urandom(14 * MIB), case="chunked", backend="loop_open")     # nobody can tell before
        answer = small_disk.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data, answer
    idle(small_disk)
    assert asset.published() is None and counter(small_disk, "unstored_total") == unstored + 2
    small_disk.reload(lambda config: config["cache"].update(min_free="90 %"))
    asset = small_disk.add(os.urandom(1000))
    answer = small_disk.get(asset.path)
    assert answer.body == asset.data and answer.headers["cache-status"] == "eodata-proxy; fwd=miss", "a reload is taken"
    assert small_disk.get(fits.path).is_hit
    small_disk.reload(lambda config: config["cache"].update(min_free="0 %"))
    asset.warm()


def test_f9_beyond_a_full_disk_bytes_go_on_unstored(small_disk):
    """What came before it was full is in the file, the rest in memory, as much as spool.memory."""
    asset = small_disk.add_gated(8 * MIB, MIB)
    other = small_disk.add(os.urandom(8 * MIB))
    unstored = counter(small_disk, "unstored_total")
    fast, slow = small_disk.begin(asset), small_disk.begin(asset, "--limit-rate", "4M")
    give_back = fill_disk(small_disk, MIB)
    try:
        asset.open()
        assert fast() == (0, asset.data)
        rc, body = slow()
        assert (rc, body) == (0, asset.data)
        answer = small_disk.curl(other.url)
        assert answer.rc == 0 and answer.body == other.data
        ticket = answer.headers["x-request-id"]
        wait_until(lambda: [x for x in small_disk.ledger() if x["id"] == ticket and x["bytes"] == len(other.data)], "it is in the books")
        assert bound(small_disk, "spool_memory_bytes")["reached"] >= 1
        idle(small_disk)
    finally:
        give_back()
    assert asset.published() is None and other.published() is None
    assert counter(small_disk, "unstored_total") == unstored + 2
    for reason in ("the spool's file cannot grow", "the store takes nothing now"):
        assert "event=transfer-unstored reason='%s'" % reason in small_disk.log()
    assert "EO-MOVER-SPOOL" in small_disk.log()
    other.warm()
    assert small_disk.get(other.path).is_hit, "and with room it is stored again"


def test_without_a_file_for_the_spool_bodies_go_on_in_memory(small_disk):
    """No inode is left."""
    asset = small_disk.add(os.urandom(4 * MIB))
    unstored = counter(small_disk, "unstored_total")
    names = []
    folder = os.path.join(small_disk.dir, "store", "many")
    os.mkdir(folder)
    with pytest.raises(OSError):
        for i in range(2000):
            names.append(os.path.join(folder, str(i)))
            os.close(os.open(names[-1], os.O_CREAT | os.O_WRONLY))
    answer = small_disk.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data and answer.headers["cache-status"] == "eodata-proxy; fwd=miss", answer
    idle(small_disk)
    shutil.rmtree(folder)
    assert counter(small_disk, "unstored_total") == unstored + 1
    assert "no spool file, going on in memory, unstored" in small_disk.log()
    asset.warm()
