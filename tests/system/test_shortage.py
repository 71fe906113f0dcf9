# SPDX-License-Identifier: Apache-2.0
"""
F9: no descriptor, no process, no room for the log, the ledger or an object, in one
role after the other: a defined answer, nobody dies, every transfer is in the
books, and all is well again when there is room.  How a mover and a worker fare
with a few descriptors more is in test_mover_process and test_worker_process.

Limits are set from outside (prlimit) on processes that run, so that nothing of a
test's environment, not even its rights, matters.
"""

import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading

import pytest
from conftest import AS_NOBODY, PREFIX, STACK, Stack, is_alive, may_nobody, wait_until
from test_processes import alone, fcgi, serves      # noqa: F401  (alone is a fixture)

NO_DESCRIPTOR = resource.RLIMIT_NOFILE, 3       # but those that are open
NO_PROCESS = resource.RLIMIT_NPROC, 0


def set_limit(pid, kind, most):
    """The soft one.  A root without CAP_SYS_RESOURCE may do that to its own processes alone."""
    if os.stat("/proc/%d" % pid).st_uid == os.geteuid():
        resource.prlimit(pid, kind, (most, resource.prlimit(pid, kind)[1]))
    else:
        subprocess.run([*AS_NOBODY, sys.executable, "-c", "import resource as r; r.prlimit(%d, %d, (%d, r.prlimit(%d, %d)[1]))"
                        % (pid, kind, most, pid, kind)], check=True)


@contextlib.contextmanager
def limited(pids, kind, most):
    """The processes can have no more than that, meanwhile.  All limits are the test's own before."""
    before = resource.getrlimit(kind)
    for pid in pids:
        set_limit(pid, kind, most)
    try:
        yield
    finally:
        for pid in pids:
            if is_alive(pid):
                set_limit(pid, kind, before[1])


class Later(threading.Thread):
    """A request that is answered when it can be."""

    def __init__(self, stack, path):
        super().__init__(daemon=True)
        self.stack, self.path, self.answer = stack, path, None
        self.start()

    def run(self):
        self.answer = self.stack.get(self.path)

    def wait(self):
        self.join(60)
        return self.answer


@pytest.fixture(scope="module")
def running():
    made = Stack()
    yield made
    made.down()


def said(stack, since, *words):
    """Has the log a line with all of these, since it had so many bytes?"""
    return any(all(word in line for word in words) for line in stack.log()[since:].splitlines())


def unharmed(stack, before):
    """Nobody died, and the main job is done, cold and cached."""
    assert {role: stack.pids(role) for role in before} == before
    asset = stack.add()
    assert stack.get(asset.path).body == asset.data
    wait_until(asset.published, "it is stored")
    assert stack.get(asset.path).is_hit


def everybody(stack):
    return {role: stack.pids(role) for role in ("master", "worker", "mover", "broker", "accountant")}


def in_ledger(stack, ticket):
    """The line of the answer with this id, or None."""
    return next((line for line in stack.ledger() if line["id"] == ticket and line["cache"] != "fill"), None)


# -- descriptors


def test_f9_workers_without_descriptors_keep_whoever_waits(running):
    before, since = everybody(running), len(running.log())
    asset = running.add().warm()
    with limited(running.pids("worker"), *NO_DESCRIPTOR):
        asked = Later(running, asset.path)
        wait_until(lambda: said(running, since, "EO-WORKER-ACCEPT"), "a worker says so")
        assert asked.answer is None
    assert asked.wait().is_hit
    unharmed(running, before)


def test_f9_a_mover_without_descriptors_loses_a_connection_and_settles_it(running):
    before, since = everybody(running), len(running.log())
    asset = running.add()
    with limited(running.pids("mover"), *NO_DESCRIPTOR):
        assert running.get(asset.path).status == 502, "the front says it"
        wait_until(lambda: said(running, since, "EO-MOVER-CLIENT", "no descriptor was free"), "and the mover")
    ticket = re.search(r"id=(\S+) EO-MOVER-CLIENT", running.log()[since:])[1]
    line = wait_until(lambda: in_ledger(running, ticket), "it is in the books")
    assert (line["status"], line["bytes"], line["upstream_bytes"]) == (503, 0, 0)
    unharmed(running, before)


def test_f9_a_broker_without_descriptors_is_a_503(running):
    before, since = everybody(running), len(running.log())
    asset = running.add(backend="loop_basic")
    with limited(running.pids("broker"), *NO_DESCRIPTOR):
        answer = running.get(asset.path)
        assert answer.status == 503 and "retry-after" in answer.headers, answer
        assert said(running, since, "EO-BROKER-FORK")
    assert running.get(asset.path).body == asset.data
    unharmed(running, before)


def test_f9_charges_wait_for_an_accountant_without_descriptors(running):
    last = running.add().warm()
    wait_until(lambda: {"miss", "fill"} <= {line["cache"] for line in running.ledger() if line["item"] == last.name}, "nothing is left to count")
    old = running.pids("accountant")[0]
    os.kill(old, signal.SIGKILL)        # the next one has not opened the ledger yet
    wait_until(lambda: running.status()["ready"] and running.pids("accountant") not in ([], [old]), "another one")
    before, since = everybody(running), len(running.log())
    asset = running.add()
    with limited(running.pids("accountant"), *NO_DESCRIPTOR):
        answers = [running.get(asset.path) for _ in range(5)]
        assert [a.status for a in answers] == [200] * 5
        wait_until(lambda: said(running, since, "EO-LEDGER", "charges wait"), "it says so")
        wait_until(lambda: running.status()["gauges"]["charges_queued"] >= 5, "they wait")
    for answer in answers:
        line = wait_until(lambda a=answer: in_ledger(running, a.headers["x-request-id"]), "each is in the books")
        assert line["bytes"] == len(asset.data)
    unharmed(running, before)


def test_f9_a_master_without_descriptors_leaves_everybody_serving(running):
    asset, since, generation = running.add().warm(), len(running.log()), running.status()["generation"]
    master, victim = running.master, running.pids("worker")[0]
    with limited([master], *NO_DESCRIPTOR):
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: said(running, since, "EO-MASTER-SPAWN"), "it cannot start another one")
        assert running.get(asset.path).is_hit
        os.kill(master, signal.SIGHUP)
        wait_until(lambda: said(running, since, "EO-RELOAD", "not taken"), "it cannot read a configuration")
        os.kill(master, signal.SIGUSR2)
        wait_until(lambda: said(running, since, "EO-UPGRADE", "cannot prepare"), "nor start another program")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(running.run_dir, "console"))
            wait_until(lambda: said(running, since, "the console answers nobody now"), "nor answer on its console")
        lines = len(running.log()[since:].splitlines())
        assert lines < 200, "it does not turn without end: %d lines" % lines
        assert running.get(asset.path).is_hit
    wait_until(lambda: len(running.pids("worker")) == 4, "as many workers as before", 30)
    assert running.master == master and running.status()["generation"] == generation
    running.reload(lambda config: None)
    wait_until(lambda: len(running.pids("worker")) == 4, "the old ones have ended")
    unharmed(running, everybody(running))


# -- processes


def test_f9_without_a_process_to_be_had_those_that_run_serve():
    """As a user who may not have another one; root may always."""
    for path in (STACK, os.path.join(PREFIX, "sbin", "eodata-proxy")):
        if not may_nobody(path):
            pytest.skip("'nobody' cannot read %s" % path)
    stack = Stack(as_nobody=True)
    try:
        before, asset, cold = everybody(stack), stack.add().warm(), stack.add(backend="loop_basic")
        since, victim = len(stack.log()), before["worker"][0]
        with limited([stack.master, before["broker"][0]], *NO_PROCESS):
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: said(stack, since, "EO-MASTER-SPAWN", "cannot fork"), "the master says so")
            answer = stack.get(cold.path)
            assert answer.status == 503 and "retry-after" in answer.headers, answer
            assert said(stack, since, "EO-BROKER-FORK", "cannot fork")
            os.kill(stack.master, signal.SIGUSR2)
            wait_until(lambda: said(stack, since, "EO-UPGRADE", "cannot fork"), "no upgrade")
            generation = stack.status()["generation"]
            os.kill(stack.master, signal.SIGHUP)        # its workers cannot be started: the old ones stay
            wait_until(lambda: said(stack, since, "reloading generation=%d" % (generation + 1)), "a reload begins")
            assert stack.get(asset.path).is_hit
            assert said(stack, since, "reloaded") is False
        wait_until(lambda: said(stack, since, "reloaded generation=%d" % (generation + 1)), "and is done when it can be", 30)
        wait_until(lambda: len(stack.pids("worker")) == 4, "as many workers as before", 30)
        assert stack.get(cold.path).body == cold.data
    finally:
        stack.down()


# -- the log


def fill(fd):
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(fd, True)


@contextlib.contextmanager
def bad_log(kind):
    """Gives a descriptor to log to, and what makes it bad."""
    if kind == "full":
        reader, writer = -1, os.open("/dev/full", os.O_WRONLY)
        spoil = lambda: None
    elif kind == "hung-up":
        reader, writer = os.openpty()
        spoil = lambda: os.close(reader)
    else:
        reader, writer = os.pipe()
        spoil = lambda: fill(writer)
    yield writer, spoil
    os.close(writer)
    if kind == "unread":
        os.close(reader)


@pytest.mark.parametrize("kind", ["full", "hung-up", "unread"])
def test_f9_a_log_that_cannot_be_written_stops_nobody(running, alone, kind):       # noqa: F811
    target = "unix:" + os.path.join(alone.where, "s")
    with bad_log(kind) as (log, spoil):
        master = alone([*alone.program, "--listen", target], stderr=log)
        wait_until(lambda: os.path.exists(target[5:]) and fcgi(target, "/data/-/ready")[1].startswith("Status: 200"), "it is ready", 60)
        spoil()
        for _ in range(3):
            serves(running, alone, target)

        def status():
            done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--run", os.path.join(alone.where, "run"), "--json", "status"],
                                  stdout=subprocess.PIPE, check=True)
            return json.loads(done.stdout)
        master.send_signal(signal.SIGHUP)
        wait_until(lambda: status()["generation"] == 2, "a reload is taken")
        wait_until(lambda: status()["counters"]["log_dropped_total"] > 20, "lost lines are counted")
        assert status()["counters"]["restarts_total"] == 0
        master.send_signal(signal.SIGTERM)
        assert master.wait(30) == 0


# -- the disk


def test_f9_charges_wait_for_a_ledger_that_is_full(running):
    """Of one that may not grow: lines are cut in the middle, too.  Nor may the log, so it is silent meanwhile."""
    before, asset = everybody(running), running.add().warm()
    folder = os.path.join(running.config()["dirs"]["state"], "ledger")
    path = os.path.join(folder, sorted(os.listdir(folder))[-1])
    wait_until(lambda: running.status()["gauges"]["charges_queued"] == 0, "nothing waits")
    since, errors = len(running.log()), running.status()["counters"]["ledger_errors_total"]
    with limited(running.pids("accountant"), resource.RLIMIT_FSIZE, os.path.getsize(path) + 700):
        answers = [running.get(asset.path) for _ in range(8)]
        assert all(answer.is_hit for answer in answers)
        wait_until(lambda: running.status()["counters"]["ledger_errors_total"] > errors, "it cannot be written")
        wait_until(lambda: running.status()["gauges"]["charges_queued"] >= 6, "they wait")
        tried = running.status()["counters"]["ledger_errors_total"]
        wait_until(lambda: running.status()["counters"]["ledger_errors_total"] > tried, "also when nothing at all is taken")
    wait_until(lambda: said(running, since, "the ledger is written again"), "there is room again")
    found = []

    def all_there():
        found.clear()
        with open(path) as f:
            for text in f:
                with contextlib.suppress(ValueError):   # what was cut
                    found.append(json.loads(text))
        return {a.headers["x-request-id"] for a in answers} <= {line["id"] for line in found}
    wait_until(all_there, "each is in the books")
    for answer in answers:
        lines = [line for line in found if line["id"] == answer.headers["x-request-id"]]
        assert len(lines) == 1 and lines[0]["bytes"] == len(asset.data), lines
    assert everybody(running) == before


def test_f9_a_file_that_may_not_grow_is_a_visible_failure_and_no_object(running):
    """Not even in memory: RLIMIT_FSIZE holds there, too."""
    before = everybody(running)
    small, large, unknown = running.add(), running.add(os.urandom(2 << 20)), running.add(os.urandom(2 << 20), backend="loop_open", case="chunked")
    with limited(running.pids("mover"), resource.RLIMIT_FSIZE, 1 << 20):
        for asset in (large, unknown):
            answer = running.curl(asset.url)
            assert answer.rc in (18, 56, 92) or answer.status == 503, answer
            assert answer.body != asset.data
        assert running.get(small.path).body == small.data
        wait_until(small.published, "what fits is stored")
    assert large.published() is None and unknown.published() is None
    assert everybody(running) == before
    for asset in (large, unknown):
        assert running.get(asset.path).body == asset.data
        wait_until(asset.published, "it is stored now")
