# SPDX-License-Identifier: Apache-2.0
"""
Turns at a provider: slots of the host, a queue that goes round the users, a
provider that wants nobody for a while, and one that stalls.
"""

import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
from conftest import PREFIX, Stack, to_base64, wait_until
from faults import owner
from test_processes import fcgi

SLOTS, MODEST, EACH, GREEDY = 4, 9, 12, 120


def queued(stack):
    return stack.get("/data/-/status").json()["gauges"]["queued"]


def people(stack, names):
    with open(os.path.join(stack.dir, "htpasswd"), "a", encoding="ascii") as f:
        f.writelines("%s:{PLAIN}%s\n" % (n, n) for n in names)


def ask(stack, threads, asset, user):
    thread = threading.Thread(target=lambda: stack.get(asset.path, user="%s:%s" % (user, user)))
    thread.start()
    threads.append(thread)


def test_one_greedy_user_leaves_nine_modest_ones_their_tenths(make_stack):
    """
    All slots are held while everybody queues up, the greedy one first; then the
    order in which the provider is asked is the order of the turns.
    """
    stack = make_stack({"backends": {"*": {"slots": SLOTS, "queue": 1000}},
                        "rules": [{"name": "operators", "users": ["alice"], "routes": ["-/status"], "allow": True},
                                  {"name": "all", "who": "authenticated", "allow": True}]})
    modest = ["modest%d" % i for i in range(MODEST)]
    people(stack, ["holder", "greedy"] + modest)
    threads = []
    for i in range(SLOTS):
        ask(stack, threads, stack.add(os.urandom(4000), backend="loop_open", case="gate-fair%d-1000" % i), "holder")
    wait_until(lambda: stack.provider("/-/log", "GET")["assets_open"] == SLOTS, "the slots are taken")
    mine = {}
    for user, n in [("greedy", GREEDY)] + [(m, EACH) for m in modest]:
        for _ in range(n):
            asset = stack.add(b"x" * 100, backend="loop_open")
            mine[asset.upstream_path] = user
            ask(stack, threads, asset, user)
    wait_until(lambda: queued(stack) == GREEDY + MODEST * EACH, "everybody waits")
    for i in range(SLOTS):
        stack.provider("/-/open?gate=fair%d" % i)
    for thread in threads:
        thread.join()
    order = [user for line in stack.upstream() for path, user in mine.items() if urllib.parse.unquote(line[1]).endswith(path)]
    assert len(order) == GREEDY + MODEST * EACH
    first = order[:(MODEST + 1) * EACH]
    shares = {user: first.count(user) for user in ["greedy"] + modest}
    assert all(n >= 0.8 * EACH for n in shares.values()), shares

# -- slots of the host


@pytest.fixture(scope="module")
def two_movers():
    running = Stack(extra={"pool": {"movers": 2}, "backends": {"*": {"slots": SLOTS}, "loop_header": {"slots": 2}}})
    yield running
    running.down()


@contextlib.contextmanager
def second_master(stack):
    """On the same folders, with a socket of its own: (socket, its log)."""
    where, log = os.path.join(stack.run_dir, "second.sock"), os.path.join(stack.dir, "log", "second.log")
    with open(log, "ab") as out, subprocess.Popen([os.path.join(PREFIX, "sbin", "eodata-proxy"), "--config", stack.env["CONFIG"],
                                                   "--listen", "unix:" + where], stdin=subprocess.DEVNULL, stdout=out, stderr=out) as master:
        try:
            wait_until(lambda: fcgi("unix:" + where, "/data/-/ready")[1].startswith("Status: 200"), "the second is ready", 60)
            yield where, lambda: open(log, errors="replace").read()
        finally:
            master.send_signal(signal.SIGTERM)
            assert master.wait(60) == 0


def test_slots_are_counted_over_all_movers_of_two_masters(two_movers):
    """Sixteen at once, half of them by another master: no more than the slots are ever open at the provider."""
    gate = two_movers.name("host").replace("-", "")
    assets = [two_movers.add(os.urandom(4000), backend="loop_open", case="gate-%s-1000" % gate) for _ in range(16)]
    bodies, threads = {}, []
    two_movers.provider("/-/reset")
    with second_master(two_movers) as (where, log):
        for i, asset in enumerate(assets):
            def run(a=asset, direct=i % 2 == 1):
                bodies[a.name] = fcgi("unix:" + where, a.path)[2] if direct else two_movers.get(a.path).body
            threads.append(threading.Thread(target=run))
            threads[-1].start()
        wait_until(lambda: two_movers.provider("/-/log", "GET")["assets_open"] == SLOTS, "the slots are taken")
        decided = "handed_over=yes"
        wait_until(lambda: sum((two_movers.log() + log()).count("/%s/data" % a.name) for a in assets) >= 16, "all have been asked for")
        two_movers.provider("/-/open?gate=" + gate)
        for thread in threads:
            thread.join()
        assert decided in two_movers.log() and decided in log()
    assert bodies == {asset.name: asset.data for asset in assets}
    assert two_movers.provider("/-/log", "GET")["assets_peak"] == SLOTS
    movers = {line.split("mover[")[1].split("]")[0] for line in (two_movers.log() + log()).splitlines() if " event=answer " in line}
    assert len(movers) >= 3, "and several movers had a part in it"


def test_movers_take_turns_when_the_queue_of_one_does_not_end(make_stack):
    """The only slot is held for the first mover, where sixty wait; five of the second come after them."""
    stack = make_stack({"pool": {"movers": 2}, "backends": {"*": {"slots": 1, "queue": 100}}})

    def one(mover, **more):
        return next(a for a in iter(lambda: stack.add(b"x" * 100, backend="loop_open", **more), None) if owner(a, 2) == mover)
    assets, threads = [(mover, one(mover)) for mover, n in ((0, 60), (1, 5)) for _ in range(n)], []
    ask(stack, threads, one(0, case="gate-turns-10"), "alice")
    wait_until(lambda: stack.provider("/-/log", "GET")["assets_open"] == 1, "the slot is taken")
    for _, asset in assets:
        ask(stack, threads, asset, "alice")
    wait_until(lambda: queued(stack) == len(assets), "all wait")
    stack.provider("/-/open?gate=turns")
    for thread in threads:
        thread.join()
    order = [mover for line in stack.upstream() for mover, asset in assets if urllib.parse.unquote(line[1]).endswith(asset.upstream_path)]
    assert len(order) == len(assets)
    assert 1 not in order[40:], order


# -- a provider that wants nobody


def refusing(stack, since):
    """The movers that have refused somebody because of the 429 of another, by their pids; since: characters of the log before."""
    return {line.split("mover[")[1].split("]")[0] for line in stack.log()[since:].splitlines()
            if " event=answer " in line and "reason='the provider said 429 before'" in line}


@pytest.mark.parametrize("how,backend", [("busy", "loop_open"), ("busydate", "loop_search")], ids=["seconds", "date"])
def test_a_provider_that_said_429_is_left_alone_by_all_for_as_long_as_it_said(two_movers, how, backend):
    since = len(two_movers.log())
    told = time.monotonic()
    answer = two_movers.curl(two_movers.add(case=how + "-4", backend=backend).url)
    assert answer.status == 429 and answer.json()["source"] == "upstream" and 2 <= int(answer.headers["retry-after"]) <= 4, answer
    wanted = int(answer.headers["retry-after"])
    others, movers = [], {str(pid) for pid in two_movers.pids("mover")}
    while not movers <= refusing(two_movers, since) and len(others) < 40:
        others.append(two_movers.add(backend=backend))
        answer = two_movers.curl(others[-1].url)
        assert answer.status == 429 and 1 <= int(answer.headers["retry-after"]) <= 4, answer
    assert len(others) < 40, "also the mover that was not told itself has refused some"
    assert all(other.upstream() == [] for other in others)
    same_provider_other_login = two_movers.add(backend="loop_qs")
    assert two_movers.curl(same_provider_other_login.url).status == 200
    wait_until(lambda: two_movers.curl(others[0].url).status == 200, "the provider is asked again")
    assert time.monotonic() - told > wanted - 1, "and not before it wanted to be"


def test_a_429_is_told_at_once_to_all_who_wait(two_movers):
    """One slot is held, the answer in the other is the 429: the queues of both movers hear of it while the first is still held."""
    gate = two_movers.name("told").replace("-", "")
    held = two_movers.add(os.urandom(4000), case="gate-%s-1000" % gate)
    answers, threads, since = [], [], len(two_movers.log())
    first = two_movers.begin(held)
    told = threading.Thread(target=lambda: answers.append(two_movers.get(two_movers.add(case="busygate-%sx-3" % gate).path)))
    told.start()
    wait_until(lambda: two_movers.provider("/-/log", "GET")["assets_open"] == 2, "both slots are taken")
    for _ in range(16):
        threads.append(threading.Thread(target=lambda: answers.append(two_movers.get(two_movers.add().path))))
        threads[-1].start()
    wait_until(lambda: two_movers.status()["gauges"]["queued"] == 16, "the others wait")
    two_movers.provider("/-/open?gate=%sx" % gate)
    for thread in threads + [told]:
        thread.join()
    assert [answer.status for answer in answers] == [429] * 17 and all(1 <= int(a.headers["retry-after"]) <= 3 for a in answers)
    assert len(refusing(two_movers, since)) == 2, "both movers had some of them"
    two_movers.provider("/-/open?gate=" + gate)
    assert first() == (0, held.data)


# -- a provider that stalls


STALLED, OTHERS = 12, 50


@pytest.fixture(scope="module")
def patient():
    """Nothing is given up while the others are looked at."""
    running = Stack(extra={"backends": {"*": {"slots": SLOTS}},
                           "upstream": {"connect_timeout": "45s", "first_byte_timeout": "45s", "low_speed": "0"}})
    yield running
    running.down()


@contextlib.contextmanager
def nobody_accepts():
    """The port of somebody whose queue of connections is full: one more is never answered."""
    with socket.socket() as s, contextlib.ExitStack() as stack:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(s.getsockname())
        yield s.getsockname()[1]


def stalled_assets(stack, kind, gate, port):
    """So many, and what opens them."""
    more = {"connect": {"backend": "loop_open", "origin": "http://127.0.0.1:%s/x" % port},
            "header": {"backend": "loop_open", "case": "headgate-" + gate},
            "body": {"backend": "loop_open", "case": "gate-%s-1000" % gate},
            "login": {"backend": "loop_token"},
            "search": {"backend": "loop_search", "item_members": {"fake:hide_origin": True}},
            "item": {"backend": "loop_open", "collection": "HELD"}}[kind]
    if kind in ("login", "search", "item"):
        what = {"login": "token", "search": "search", "item": "item"}[kind]
        stack.provider("/-/hold?what=%s&gate=%s%s" % (what, gate, "&collection=HELD" if kind == "item" else ""))
    return [stack.add(os.urandom(5000), **more) for _ in range(STALLED)]


def ask_and_wait(stack, asset):
    """A request whose answer nobody has read yet."""
    s = socket.create_connection((stack.host, stack.port), 60)
    s.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic %s\r\n\r\n" % (asset.path, to_base64(stack.user))).encode())
    return s


def what_came(s):
    s.setblocking(False)
    try:
        return s.recv(1 << 20, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("kind", ["connect", "header", "body", "login", "search", "item"])
def test_a_provider_that_stalls_holds_nobody_elses_requests(patient, kind):
    """Fifty cold ones of another provider come to their end, each with a login and an item of its own, while all of the first's are held."""
    gate = patient.name(kind).replace("-", "")
    with nobody_accepts() as port:
        assets = stalled_assets(patient, kind, gate, port)
        held = [ask_and_wait(patient, asset) for asset in assets]
        wait_until(lambda: all(asset.name in patient.log() for asset in assets), "all are asked for")
        others = [patient.add(os.urandom(3000)) for _ in range(OTHERS)]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:     # EODAG gives a login 5 s
            for other, answer in zip(others, pool.map(lambda other: patient.get(other.path), others)):
                assert answer.status == 200 and answer.body == other.data, answer
        came = [what_came(s) for s in held]
        assert all(c == b"" or (kind == "body" and c.startswith(b"HTTP/1.1 200") and len(c) < 5000) for c in came), came
        patient.provider("/-/open?gate=" + gate)
        for s, asset in zip(held, assets):
            if kind != "connect":
                s.settimeout(60)
                assert b"".join(iter(lambda: s.recv(1 << 20), b"")).endswith(asset.data), "and when it goes on, they end well"
            s.close()
    wait_until(lambda: patient.status()["gauges"]["clients"] == 0, "nothing is left of them")
