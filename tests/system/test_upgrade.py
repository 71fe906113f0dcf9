# SPDX-License-Identifier: Apache-2.0
"""
Upgrade, reload and end under load, with the real roles behind nginx, and two
masters on one cache.  What the master alone does with a new program that is
broken is in test_master.py.
"""

import json
import os
import signal
import socket
import threading

import pytest
from conftest import Stack, is_alive, wait_until
from crowd import Crowd
from test_processes import Load, alone, everyone, fcgi      # noqa: F401  (alone is a fixture)

MANY = {"backends": {"*": {"slots": 256}},
        "upstream": {"low_speed": "0"}}         # bodies stand still for as long as a test needs
BODY = 300000


@pytest.fixture(scope="module")
def running():
    made = Stack(extra=MANY)
    yield made
    made.down()


def gated(stack, n, at=100000, **more):
    """So many assets, all with one gate: opening one opens all."""
    gate = stack.name("gate").replace("-", "")
    return [stack.add_gated(BODY, at, gate=gate, **more) for _ in range(n)]


@pytest.fixture
def told():
    """Where the service manager listens: told() is its next word."""
    name = "eodata-test-%d-%d" % (os.getpid(), id(object()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name)
        s.settimeout(60)
        hear = lambda: s.recv(4096).decode().split("\n")
        hear.address = "@" + name
        yield hear


def test_an_upgrade_under_200_transfers_loses_none(told, monkeypatch):
    """pool.drain is nothing: what runs goes on because another one serves, not because of its time."""
    monkeypatch.setenv("NOTIFY_SOCKET", told.address)
    stack = Stack(extra={**MANY, "pool": {"drain": "0s"}})
    try:
        large = stack.add(os.urandom(4 << 20)).warm()
        tag = stack.request("HEAD", large.path).headers["etag"]
        cold, crowd = gated(stack, 150), Crowd(stack)
        for asset in cold:
            crowd.ask(asset)
        for _ in range(50):     # hits that a mover sends, to clients that do not take them
            crowd.ask(large, {"If-Match": tag}, takes_nothing=True)
        crowd.wait_begun()
        gauges = stack.status()["gauges"]
        assert gauges["clients"] == 200 and gauges["transfers"] == 150, "all of them run"
        first, before = stack.master, everyone(stack)
        with Load(stack, 2) as load:
            os.kill(first, signal.SIGUSR2)
            wait_until(lambda: stack.master != first, "another master", 60)
            while "MAINPID=%d" % stack.master not in told():
                pass
            load.wait_for(20)
            assert not load.failed()
        assert is_alive(first), "it waits for its transfers"
        cold[0].open()
        crowd.go_on()
        assert crowd.join() == []
        wait_until(lambda: not any(is_alive(pid) for pid in before), "the first master and all that it had started have ended", 60)
        assert stack.get(cold[7].path).is_hit
        lines = {line["asset"] + line["item"]: line for line in stack.ledger() if line["cache"] == "miss"}
        for asset in cold:
            assert lines["data" + asset.name]["bytes"] == BODY, "each is in the books"
        second, left = stack.master, everyone(stack)
    finally:
        stack.down()
    assert not is_alive(second) and not any(is_alive(pid) for pid in left), "'down' ends the second master, too"


def test_50_reloads_under_load_harm_no_request(running):
    cold, crowd = gated(running, 1)[0], Crowd(running)
    crowd.ask(cold)
    crowd.wait_begun()
    hit, over, wrong = running.add().warm(), threading.Event(), []

    def hits():
        """As fast as one can: each worker is at work when it is told to end."""
        while not over.is_set():
            try:
                answer = running.get(hit.path)
            except OSError as e:
                answer = e
            if getattr(answer, "status", 0) != 200 or answer.body != hit.data:
                wrong.append(answer)
    busy = [threading.Thread(target=hits) for _ in range(4)]
    with Load(running) as load:
        for thread in busy:
            thread.start()
        try:
            for _ in range(50):
                running.reload(lambda config: None)
            load.wait_for(20)
        finally:
            over.set()
            for thread in busy:
                thread.join()
    assert load.failed() == [] and wrong == []
    cold.open()
    assert crowd.join() == [], "what began before the first"
    wait_until(lambda: len(running.pids("worker")) == 4, "no worker is left over")
    assert running.status()["counters"]["restarts_total"] == 0


def test_f6_hup_twice_a_broken_file_and_sigterm_during_100_transfers(make_stack):
    stack = make_stack({**MANY, "pool": {"drain": "60s"}})
    known, unknown, endless, crowd = gated(stack, 40), gated(stack, 40, known=False), gated(stack, 10), Crowd(stack)
    endless += gated(stack, 10, known=False)
    for asset in known + unknown:
        crowd.ask(asset)
    late = [crowd.ask(asset) for asset in endless]
    crowd.wait_begun()
    good, generation = stack.config(), stack.status()["generation"]
    for _ in range(2):
        os.kill(stack.master, signal.SIGHUP)

    def settled():
        """The second may have been one more: master and workers are all of the generation that is in force."""
        now = stack.status()
        live = [p for p in now["processes"] if p["role"] in ("master", "worker") and p["state"] != "dead"]
        same = len(live) == 5 and {p["generation"] for p in live} == {now["generation"]}
        return now["generation"] if now["generation"] > generation and same else None
    generation = wait_until(settled, "reloaded, and the old workers have ended")
    stack.write_config(json.dumps({**good, "pool": {"workers": "many"}}))
    os.kill(stack.master, signal.SIGHUP)
    wait_until(lambda: "not taken, the old one stays" in stack.log(), "the broken file is refused")
    asset = stack.add()
    assert stack.get(asset.path).body == asset.data
    assert stack.status()["generation"] == generation
    master, all_of_them = stack.master, everyone(stack)
    os.kill(master, signal.SIGTERM)
    wait_until(lambda: stack.get("/data/-/health", user=None).status == 502, "nobody accepts any more")
    known[0].open()
    unknown[0].open()
    assert crowd.join(crowd.clients[:80]) == [], "a drain is for those who are being served"
    os.kill(master, signal.SIGTERM)
    assert crowd.join(late) == late, "a second SIGTERM is a visible end, with a length or without"
    wait_until(lambda: not any(is_alive(pid) for pid in all_of_them), "all have ended")


def test_two_masters_fill_one_cache_at_the_same_time(running, alone):       # noqa: F811
    with open(alone.config) as f:
        config = json.load(f)
    config["cache"]["path"], config["dirs"]["spool"] = running.cache_dir, os.path.join(running.cache_dir, "spool")
    with open(alone.config, "w") as f:
        json.dump(config, f)
    target = "unix:" + os.path.join(alone.where, "s")
    alone([*alone.program, "--listen", target])
    ask = lambda path: fcgi(target, path)
    wait_until(lambda: os.path.exists(target[5:]) and ask("/data/-/ready")[1].startswith("Status: 200"), "the second is ready", 60)

    bodies, gates = {}, gated(running, 12)
    crowd = Crowd(running)

    def second(asset):
        bodies[asset.name] = ask(asset.path)
    threads = []
    for asset in gates:
        crowd.ask(asset)
        threads.append(threading.Thread(target=second, args=(asset,)))
        threads[-1].start()
    crowd.wait_begun()
    wait_until(lambda: running.provider("/-/log", "GET")["open"] >= 2 * len(gates), "both fetch all of them")
    # a mover sweeps what is left over when it starts: not what the other's is writing
    mover = running.pids("mover")[0]
    os.kill(mover, signal.SIGKILL)
    wait_until(lambda: running.status()["ready"] and mover not in running.pids("mover"), "another mover")
    assert len(crowd.join()) == len(gates), "what the first one had was lost, and seen to be"
    again = Crowd(running)
    for asset in gates:
        again.ask(asset)
    again.wait_begun()
    gates[0].open()
    assert again.join() == []
    for thread in threads:
        thread.join()
    for asset in gates:
        rc, head, body = bodies[asset.name]
        assert rc == 0 and body == asset.data, (rc, head)

    for asset in gates:         # whoever was the last, what is there is right
        for _ in range(2):
            assert running.get(asset.path).body == asset.data
            rc, head, body = ask(asset.path)
            assert rc == 0 and body == asset.data, (rc, head)
        wait_until(asset.published, "it is cached")
        wait_until(lambda a=asset: running.get(a.path).is_hit and "; hit" in ask(a.path)[1], "both see it")
    assert [name for name in os.listdir(os.path.join(running.cache_dir, "spool")) if name.startswith("eo-")] == []
