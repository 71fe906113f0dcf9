# SPDX-License-Identifier: Apache-2.0
"""
Quotas through the front: what each kind of limit stops, whom it is charged to,
what the answer says, and what happens while memcached is away.

Each test has a set of its own, by the collection that its rule is about, so
what one used up stops no other.  Windows are months: a test that runs as one
ends may fail.
"""

import os
import re
import signal
import subprocess
import threading
import time

import pytest
from conftest import Stack, is_alive, is_stopped, wait_until
from test_processes import everyone

SIZE = 200000
BOB = "bob:bob"
CUT = (18, 52, 56, 92)
PARALLEL = 64

SETS = {
    "requests": {"requests": ["3 per month"]},
    "misses": {"misses": ["2 per month"]},
    "bytes": {"bytes": ["300 KB per month"]},
    "bytes-miss": {"bytes": ["250 KB per month"]},
    "upstream": {"upstream_bytes": ["250 KB per month"]},
    "upstream-once": {"upstream_bytes": ["1 GB per month"]},
    "nothing": {"bytes": ["%d B per month" % SIZE], "upstream_bytes": ["1 GB per month"]},
    "unknown": {"bytes": ["100 MB per month"]},
    "ranges": {"bytes": ["1000 B per month"]},
    "streamed": {"bytes": ["%d B per month" % (SIZE + 100)]},
    "pool-requests": {"per": "group", "requests": ["3 per month"]},
    "pool-bytes": {"per": "group", "bytes": ["300 KB per month"]},
    "pool-misses": {"per": "group", "misses": ["1 per month"]},
    "pool-upstream": {"per": "group", "upstream_bytes": ["250 KB per month"]},
    "two": {"requests": ["100 per month", "2 per day"]},
    "books": {"requests": ["10000 per month"], "misses": ["10000 per month"], "bytes": ["1 TB per month"],
              "upstream_bytes": ["1 TB per month"]},
    "race-requests": {"requests": ["100 per month"]},
    "race-requests-cold": {"requests": ["100 per month"]},
    "race-bytes": {"bytes": ["%d B per month" % (3 * SIZE)]},
    "race-misses": {"misses": ["10 per month"]},
    "race-miss-bytes": {"bytes": ["%d B per month" % (3 * SIZE)]},
}


@pytest.fixture(scope="module")
def limited():
    running = Stack(extra={
        "identity": {"groups": {"pool": ["alice", "bob"]}},
        # On a busy machine the races must not meet a memcached that seems away.
        "memcached_timeout": "2s",
        "quotas": {name: {"when_unavailable": "refuse", **members} for name, members in SETS.items()},
        "rules": [{"name": name, "collections": [name], "allow": True, "quotas": [name],
                   **({"groups": ["pool"]} if members.get("per") == "group" else {"who": "authenticated"})}
                  for name, members in SETS.items()]})
    yield running
    running.down()


def over(answer, name, kind, window="month"):
    """It is a 429 that says which limit, how much of it is used, and when it frees."""
    assert answer.status == 429, answer
    assert answer.headers["content-type"].startswith("application/problem+json"), answer
    retry = int(answer.headers["retry-after"])
    assert 1 <= retry <= 31 * 86400
    if answer.body:
        body = answer.json()
        assert body["ticket"] == answer.headers["x-request-id"]
        assert "quota" in [v for v in body.values() if isinstance(v, str)], body
        said = body["limit"]
        assert (said["set"], said["kind"], said["window"]) == (name, kind, window), body
        assert abs(said["frees_in_s"] - retry) <= 1
        assert said["used"] <= said["limit"]
    return answer


def ratelimit(answer):
    """(set, left, limit) of the two headers."""
    left = re.fullmatch(r'"([^"]+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    policy = re.fullmatch(r'"([^"]+)";q=(\d+)(;qu="content-bytes")?;w=(\d+)', answer.headers["ratelimit-policy"])
    assert left and policy and left[1] == policy[1], answer
    return left[1], int(left[2]), int(policy[2])


def parallel(n, ask):
    """n answers, asked for at once."""
    answers, barrier = [], threading.Barrier(n)

    def one(i):
        barrier.wait()
        answers.append(ask(i))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def add(stack, name, n=SIZE, **more):
    return stack.add(os.urandom(n), collection=name, **more)


# -- each kind, per user


def test_requests_are_limited_cold_cached_and_by_head(limited):
    asset = add(limited, "requests").warm()
    assert limited.get(asset.path).is_hit
    assert limited.request("HEAD", asset.path).status == 200
    over(limited.get(asset.path), "requests", "requests")
    over(limited.request("HEAD", asset.path), "requests", "requests")
    cold = add(limited, "requests")
    over(limited.get(cold.path), "requests", "requests")
    assert cold.upstream() == [] and cold.stac() == []
    assert limited.get(asset.path, user=BOB).status == 200, "another user has an account of his own"


def test_misses_are_limited_and_hits_go_on(limited):
    first = add(limited, "misses").warm()
    add(limited, "misses").warm()
    third = add(limited, "misses")
    over(limited.get(third.path), "misses", "misses")
    assert third.upstream() == [] and third.stac() == []
    assert limited.get(first.path).is_hit
    assert limited.get(third.path, user=BOB).status == 200


def test_bytes_are_limited_and_a_range_costs_the_range(limited):
    asset = add(limited, "bytes").warm()
    over(limited.get(asset.path), "bytes", "bytes")
    # what was refused is given back, which nobody has waited for
    answer = wait_until(lambda: (lambda a: a if a.status == 206 else None)(limited.get(asset.path, {"Range": "bytes=0-99999"})), "its range")
    assert len(answer.body) == 100000
    over(limited.get(asset.path, {"Range": "bytes=0-0"}), "bytes", "bytes")
    assert limited.get(asset.path, user=BOB).status == 200


def test_head_304_and_errors_carry_no_bytes(limited):
    asset = add(limited, "nothing")
    head = limited.request("HEAD", asset.path)
    assert head.status == 200
    asset.warm()                # all of the limit
    assert limited.request("HEAD", asset.path).status == 200
    assert limited.get(asset.path, {"If-None-Match": head.headers["etag"]}).status == 304
    assert limited.get(asset.path, {"Range": "bytes=%d-" % SIZE}).status == 416
    assert limited.get(asset.path, {"If-Match": '"x"'}).status == 412
    assert limited.get(asset.path + "-not").status == 404
    over(limited.get(asset.path, {"Range": "bytes=0-0"}), "nothing", "bytes")


def test_a_hit_that_the_mover_sends_is_charged_once(limited):
    asset = add(limited, "streamed").warm()
    tag = limited.request("HEAD", asset.path).headers["etag"]
    answer = limited.get(asset.path, {"If-Match": tag}, user=BOB)
    assert answer.status == 200 and answer.body == asset.data and answer.is_hit, answer
    answer = limited.get(asset.path, {"If-Match": tag, "Range": "bytes=0-99"}, user=BOB)
    assert answer.status == 206 and answer.body == asset.data[:100], answer
    over(limited.get(asset.path, {"If-Match": tag, "Range": "bytes=0-0"}, user=BOB), "streamed", "bytes")


def test_a_range_of_a_cold_asset_costs_the_range(limited):
    asset = add(limited, "ranges")
    for i in range(2):
        answer = limited.get(asset.path, {"Range": "bytes=%d-%d" % (i * 500, i * 500 + 499)})
        assert answer.status == 206 and answer.body == asset.data[i * 500:i * 500 + 500], answer
    over(limited.get(asset.path, {"Range": "bytes=7-7"}), "ranges", "bytes")


def test_bytes_of_a_miss_are_refused_before_the_header_and_for_that_client_alone(limited):
    add(limited, "bytes-miss").warm()
    gate = limited.name("gate").replace("-", "")
    asset = add(limited, "bytes-miss", backend="loop_open", case="gate-%s-1000" % gate)
    answers = []
    bob = threading.Thread(target=lambda: answers.append(limited.get(asset.path, user=BOB)))
    bob.start()
    wait_until(lambda: limited.provider("/-/log", "GET")["assets_open"] == 1, "the provider is asked")
    over(limited.get(asset.path), "bytes-miss", "bytes")        # while the provider still holds the body back
    limited.provider("/-/open?gate=" + gate)
    bob.join()
    assert answers[0].status == 200 and answers[0].body == asset.data
    assert len(asset.upstream()) == 1


def test_a_body_of_unknown_length_is_cut_visibly_at_the_limit(limited):
    asset = add(limited, "unknown", 110 << 20, backend="loop_open", case="chunked")
    answer = limited.curl(asset.url)
    assert answer.status == 200 and answer.rc in CUT, (answer.status, answer.rc)
    assert len(answer.body) <= 100000000 and asset.data.startswith(answer.body)


def test_upstream_bytes_are_limited_and_hits_go_on(limited):
    first = add(limited, "upstream").warm()
    second = add(limited, "upstream")
    over(limited.get(second.path), "upstream", "upstream_bytes")
    assert limited.get(first.path).is_hit
    assert limited.get(second.path, user=BOB).body == second.data


def test_upstream_bytes_are_charged_once_however_many_share_them(limited):
    gate = limited.name("gate").replace("-", "")
    asset = add(limited, "upstream-once", backend="loop_open", case="gate-%s-1000" % gate)
    threads = [threading.Thread(target=limited.get, args=(asset.path, None, user)) for user in [limited.user, BOB] * 5]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(waiting(limited, asset)) == 10, "ten wait")
    limited.provider("/-/open?gate=" + gate)
    for thread in threads:
        thread.join()
    lines = wait_until(lambda: books(limited, asset, 11), "a line each, and one of the transfer")
    assert [line["upstream_bytes"] for line in lines if line["cache"] == "fill"] == [SIZE]
    assert [(line["bytes"], line["upstream_bytes"]) for line in lines if line["cache"] != "fill"] == [(SIZE, 0)] * 10
    assert all(line["user"] in ("alice", "bob") for line in lines)


def waiting(stack, asset):
    """The decisions that were handed over for it."""
    return [line for line in stack.log().splitlines() if "event=decision" in line and "handed_over=yes" in line and asset.name in line]


def books(stack, asset, n):
    """Its lines in the ledger, once there are n."""
    lines = [line for line in stack.ledger() if line["item"] == asset.name]
    return lines if len(lines) >= n else None


# -- per group


def test_a_pools_requests_are_its_members_together(limited):
    asset = add(limited, "pool-requests").warm()
    assert limited.get(asset.path, user=BOB).status == 200
    assert limited.get(asset.path).status == 200
    over(limited.get(asset.path), "pool-requests", "requests")
    over(limited.get(asset.path, user=BOB), "pool-requests", "requests")


def test_a_pools_misses_are_its_members_together(limited):
    asset = add(limited, "pool-misses").warm()
    over(limited.get(add(limited, "pool-misses").path, user=BOB), "pool-misses", "misses")
    assert limited.get(asset.path, user=BOB).is_hit


def test_a_pools_bytes_are_its_members_together(limited):
    asset = add(limited, "pool-bytes").warm()
    over(limited.get(asset.path, user=BOB), "pool-bytes", "bytes")
    over(limited.get(add(limited, "pool-bytes").path, user=BOB), "pool-bytes", "bytes")


def test_a_pools_upstream_bytes_are_its_members_together(limited):
    add(limited, "pool-upstream").warm()
    over(limited.get(add(limited, "pool-upstream").path, user=BOB), "pool-upstream", "upstream_bytes")


def test_of_two_limits_the_one_that_is_reached_is_named(limited):
    asset = add(limited, "two").warm()
    limited.get(asset.path)
    over(limited.get(asset.path), "two", "requests", "day")


# -- the headers


def test_every_kind_of_answer_says_what_is_left(limited):
    asset = add(limited, "books")
    before = ratelimit(limited.request("HEAD", asset.path))
    cold = limited.get(asset.path)
    wait_until(asset.published, "it is cached")
    cached = limited.get(asset.path)
    tag = cached.headers["etag"]
    answers = [cold, cached, limited.get(asset.path, {"Range": "bytes=0-0"}), limited.request("HEAD", asset.path),
               limited.get(asset.path, {"If-None-Match": tag})]
    assert [a.status for a in answers] == [200, 200, 206, 200, 304]
    for answer in answers:
        name, left, limit = ratelimit(answer)
        assert name == "books" and limit == 10000 and left < before[1]
        before = name, left, limit


def test_a_refusal_says_that_nothing_is_left(limited):
    asset = add(limited, "pool-misses")
    limited.get(asset.path)
    answer = over(limited.get(add(limited, "pool-misses").path), "pool-misses", "misses")
    assert ratelimit(answer)[:2] == ("pool-misses", 0)
    # and where the mover refuses, which knows the bytes
    asset = add(limited, "pool-upstream")
    limited.get(asset.path)
    name, left, limit = ratelimit(over(limited.get(add(limited, "pool-upstream").path), "pool-upstream", "upstream_bytes"))
    assert (name, limit) == ("pool-upstream", 250000)
    assert left < SIZE


# -- the bound: what was admitted in a window never sums to more than the limit (DESIGN.md)


def test_g2_64_hits_at_one_request_below_the_limit_admit_one(limited):
    asset = add(limited, "race-requests").warm()
    for _ in range(98):
        assert limited.get(asset.path, {"Range": "bytes=0-0"}).is_hit
    statuses = [a.status for a in parallel(PARALLEL, lambda i: limited.get(asset.path))]
    assert sorted(statuses) == [200] + [429] * (PARALLEL - 1)


def test_g2_64_misses_at_one_request_below_the_limit_admit_one(limited):
    asset = add(limited, "race-requests-cold")
    for _ in range(99):
        assert limited.request("HEAD", asset.path).status == 200
    assets = [add(limited, "race-requests-cold", 1000) for _ in range(PARALLEL)]
    statuses = [a.status for a in parallel(PARALLEL, lambda i: limited.get(assets[i].path))]
    assert sorted(statuses) == [200] + [429] * (PARALLEL - 1)


def test_g2_64_cold_assets_at_one_miss_below_the_limit_admit_one(limited):
    for _ in range(9):
        add(limited, "race-misses", 1000).warm()
    assets = [add(limited, "race-misses", 1000) for _ in range(PARALLEL)]
    statuses = [a.status for a in parallel(PARALLEL, lambda i: limited.get(assets[i].path))]
    assert sorted(statuses) == [200] + [429] * (PARALLEL - 1)
    assert sum(len(asset.upstream()) for asset in assets) == 1


def test_g2_64_hits_with_bytes_left_for_one_admit_one(limited):
    asset = add(limited, "race-bytes").warm()
    assert limited.get(asset.path).is_hit
    statuses = [a.status for a in parallel(PARALLEL, lambda i: limited.get(asset.path))]
    assert sorted(statuses) == [200] + [429] * (PARALLEL - 1)


def test_g2_64_misses_with_bytes_left_for_one_admit_one(limited):
    add(limited, "race-miss-bytes").warm()
    add(limited, "race-miss-bytes").warm()
    assets = [add(limited, "race-miss-bytes") for _ in range(PARALLEL)]
    answers = parallel(PARALLEL, lambda i: limited.get(assets[i].path))
    statuses = [a.status for a in answers]
    # the mover waits 100 ms for the accountant: later is refused (when_unavailable), never admitted
    assert statuses.count(200) <= 1 and set(statuses) <= {200, 429, 503}, statuses
    assert sum(len(a.body) for a in answers if a.status == 200) <= SIZE
    assert 429 in statuses


# -- the books


def test_the_ledger_says_what_clients_received(limited):
    """Cold, joined, ranged, cached, refused and cut: per request, and in all."""
    received, asked = 0, 0
    assets = [add(limited, "books") for _ in range(4)]
    for asset in assets:
        for headers in ({"Range": "bytes=5-104"}, {}, {"Range": "bytes=0-9"}):
            answer = limited.get(asset.path, headers)
            received, asked = received + len(answer.body), asked + 1
        wait_until(asset.published, "it is cached")
        answer = limited.get(asset.path)
        assert answer.is_hit
        received, asked = received + len(answer.body), asked + 1
    for answer in parallel(8, lambda i: limited.get(assets[0].path, {"Range": "bytes=%d-%d" % (i, 2 * i)})):
        received, asked = received + len(answer.body), asked + 1
    names = {asset.name for asset in assets}
    lines = wait_until(lambda: enough([line for line in limited.ledger() if line["item"] in names], asked + 4), "%d lines" % asked)
    assert len([line for line in lines if line["cache"] == "fill"]) == 4, "a line for each transfer's upstream bytes"
    assert len(lines) == asked + 4
    assert sum(line["bytes"] for line in lines) == received
    assert sum(line["requests"] for line in lines) == asked
    assert sum(line["upstream_bytes"] for line in lines) == sum(int(line[3]) for a in assets for line in a.upstream())
    assert all(line["counted"] and line["sets"] == [{"set": "books", "group": None}] for line in lines)


def enough(lines, n):
    return lines if len(lines) >= n else None


def test_the_counters_are_what_the_ledger_sums_to(limited):
    """RateLimit counts requests down by those of the ledger, and by this one."""
    asset = add(limited, "books")
    answer = limited.request("HEAD", asset.path)
    ticket = answer.headers["x-request-id"]
    of = wait_until(lambda: enough([line for line in limited.ledger() if line["id"] == ticket], 1), "its line")
    assert of[0]["requests"] == 1 and of[0]["bytes"] == 0
    used = sum(line["requests"] for line in limited.ledger()
               if line["user"] == "alice" and {"set": "books", "group": None} in line["sets"])
    assert 10000 - ratelimit(answer)[1] == used


def test_f4_what_a_client_that_left_did_not_take_is_given_back(limited):
    gate = limited.name("gate").replace("-", "")
    asset = add(limited, "books", 1 << 20, backend="loop_open", case="gate-%s-1000" % gate)
    finish = limited.begin(asset)
    finish.leave()
    assert finish()[0] != 0
    lines = wait_until(lambda: books(limited, asset, 1), "its line")
    assert lines[0]["bytes"] <= 1000 and lines[0]["reserved"]["bytes"] == 1 << 20, lines
    assert lines[0]["cache"] == "miss"
    limited.provider("/-/open?gate=" + gate)


# -- G6


def sockets_to(port):
    """Inodes of connected TCP sockets, seen from the side that connected."""
    with open("/proc/net/tcp") as f:
        lines = [line.split() for line in f.read().splitlines()[1:]]
    return {line[9] for line in lines if line[2].endswith(":%04X" % port) and line[3] == "01"}


@pytest.mark.skipif(os.geteuid() != 0, reason="the processes are not dumpable: only root can look at their descriptors")
def test_g6_no_two_processes_share_a_connection_to_memcached(tmp_path, make_stack):
    port_file = tmp_path / "port"
    server = subprocess.Popen(["memcached", "-u", "root", "-l", "127.0.0.1", "-p", "-1"],
                              env={**os.environ, "MEMCACHED_PORT_FILENAME": str(port_file)})
    try:
        port = int(wait_until(lambda: port_file.exists() and port_file.read_text().strip(), "its port").split()[-1])
        stack = make_stack({"memcached": ["127.0.0.1:%d" % port], "quotas": {"q": {"requests": ["1000000 per day"], "bytes": ["1 TB per day"]}},
                            "rules": [{"who": "authenticated", "allow": True, "quotas": ["q"]}]})
        asset = stack.add(os.urandom(SIZE)).warm()

        def holders():
            assert all(a.status == 200 for a in parallel(16, lambda i: stack.get(asset.path)))
            found, ours = {}, sockets_to(port)
            for pid in everyone(stack):
                for fd in os.listdir("/proc/%d/fd" % pid):
                    try:
                        inode = os.readlink("/proc/%d/fd/%s" % (pid, fd)).removeprefix("socket:[").rstrip("]")
                    except FileNotFoundError:
                        continue
                    if inode in ours:
                        found.setdefault(inode, []).append(pid)
            return found
        seen = wait_until(lambda: (lambda f: f if len(f) >= 4 else None)(holders()), "accountant and three workers have asked it")
        assert all(len(pids) == 1 for pids in seen.values()), seen
        assert {pid for pids in seen.values() for pid in pids} <= set(stack.pids("worker") + stack.pids("accountant")), "and nobody else has one"
    finally:
        server.kill()
        server.wait()


# -- memcached away


@pytest.fixture
def shaky():
    running = Stack(extra={
        "quotas": {"kind": {"requests": ["3 per month"], "bytes": ["1 TB per month"]},
                   "strict": {"requests": ["1000 per month"], "bytes": ["1 TB per month"], "when_unavailable": "refuse"}},
        "rules": [{"name": name, "collections": [name], "who": "authenticated", "allow": True, "quotas": [name]}
                  for name in ("kind", "strict")]})
    yield running
    if is_alive(running.process("memcached")):
        os.kill(running.process("memcached"), signal.SIGCONT)
    running.down()


def good(stack):
    """An asset that is there while memcached answers in time, and it does."""
    asset = add(stack, "strict")
    wait_until(lambda: stack.get(asset.path).status == 200, "limits are checked")
    wait_until(asset.published, "it is cached")
    return asset


def timed(ask):
    start = time.monotonic()
    answer = ask()
    return answer, time.monotonic() - start


def away_answers(stack, kind, strict):
    """With memcached away: more than the limit passes in one, nothing in the other, none waits."""
    cold = add(stack, "kind")
    for path, want in ((kind.path, 200), (kind.path, 200), (cold.path, 200), (kind.path, 200), (kind.path, 200)):
        answer, took = timed(lambda p=path: stack.get(p))
        assert answer.status == want and took < 2, (answer, took)
    for path in (strict.path, add(stack, "strict").path):
        answer, took = timed(lambda p=path: stack.get(p))
        assert answer.status == 503 and took < 1, (answer, took)
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert "ratelimit" not in answer.headers
    assert stack.get("/data/-/health", user=None).status == 200
    assert stack.status()["counters"]["quota_away_total"] >= 7
    for how in ("allow", "refuse"):
        assert any(" EO-QUOTA-AWAY " in line and "memcached did not answer in time" in line and line.endswith("when_unavailable=" + how)
                   for line in stack.log().splitlines()), "the operator is told: " + how


def test_memcached_killed_is_the_configured_answer_at_once(shaky):
    kind, strict = add(shaky, "kind").warm(), good(shaky)
    os.kill(shaky.process("memcached"), signal.SIGKILL)
    away_answers(shaky, kind, strict)
    os.unlink(shaky.env["MEMCACHED_SOCKET"])
    new = subprocess.Popen(["memcached", "-s", shaky.env["MEMCACHED_SOCKET"], *(["-u", "root"] if os.geteuid() == 0 else [])])
    try:
        wait_until(lambda: shaky.get(strict.path).status == 200, "limits are checked again")
        wait_until(lambda: shaky.get(kind.path).status == 429, "and what passed meanwhile counts now")
    finally:
        new.kill()
        new.wait()


def test_memcached_stopped_is_the_configured_answer_at_once(shaky):
    kind, strict = add(shaky, "kind").warm(), good(shaky)
    os.kill(shaky.process("memcached"), signal.SIGSTOP)
    wait_until(lambda: is_stopped(shaky.process("memcached")), "it stands still")
    away_answers(shaky, kind, strict)
    os.kill(shaky.process("memcached"), signal.SIGCONT)
    wait_until(lambda: shaky.get(strict.path).status == 200, "limits are checked again")
    wait_until(lambda: shaky.get(kind.path).status == 429, "and what was counted is still there")


def test_what_passed_uncounted_is_in_the_books(shaky):
    asset = add(shaky, "kind").warm()
    os.kill(shaky.process("memcached"), signal.SIGSTOP)
    wait_until(lambda: is_stopped(shaky.process("memcached")), "it stands still")
    ids = [shaky.get(asset.path).headers["x-request-id"] for _ in range(3)]
    os.kill(shaky.process("memcached"), signal.SIGCONT)
    lines = wait_until(lambda: enough([line for line in shaky.ledger() if line["id"] in ids], 3), "their lines")
    assert [line["bytes"] for line in lines] == [SIZE] * 3
