# SPDX-License-Identifier: Apache-2.0
"""
Deaths (F5, G10): kill -9 at random instants under load, by tests/system/faults.py;
crashes, and roles that are stopped.  "scripts/bench kills" makes hundreds of them.
test_processes.py has single deaths, test_accountant.c and test_cache.c each step of
writing.
"""

import os
import random
import re
import signal
import threading

import pytest
from conftest import Stack, is_alive, wait_until
from faults import CONFIG, KINDS, Ledger, Storm, counter, is_sanitized, owner, settle, strike
from stores import Bucket

CUT = (18, 52, 56, 92)
DEATHS = 20
MORE_THAN_BUFFERS = 96 << 20    # sockets between S3, nginx and a slow client hold some 20 MiB, and time passes as well


@pytest.fixture(scope="module")
def running():
    made = Stack(extra=CONFIG)
    yield made
    made.down()


@pytest.fixture(scope="module")
def bucketed(s3_engine, new_bucket):
    made = Stack(extra=CONFIG, store=Bucket(s3_engine, new_bucket()))
    yield made
    made.down()


def weather(stack):
    """EODATA_SEED repeats the choices of a run, though not its instants."""
    seed = int(os.environ.get("EODATA_SEED") or random.randrange(1 << 32))
    print("seed %d" % seed)
    storm = Storm(stack, seed)
    storm.run(DEATHS)
    assert {kill.victim for kill in storm.kills} == set(storm.victims) and storm.checked >= DEATHS
    print("%d answers, %d objects read back, whole again after %s s" % (
        len(storm.load.outcomes), storm.checked, " ".join("%.2f" % (kill.whole - kill.back) for kill in storm.kills)))


def test_f5_g10_twenty_deaths_at_random_instants_publish_nothing_false(running):
    weather(running)


def test_f5_g10_twenty_deaths_over_a_bucket_leave_whole_objects_with_their_metadata(bucketed):
    """Its gateway is among the victims, and everything in it is read back."""
    weather(bucketed)


def test_a_hit_whose_bucket_dies_is_cut_visibly_and_paid_as_far_as_it_came(bucketed, s3_engine):
    asset = bucketed.add(os.urandom(MORE_THAN_BUFFERS)).warm()
    finish = [(bucketed.begin(asset, "--limit-rate", "4M"), 0), (bucketed.begin(asset, "--limit-rate", "4M", "-r", "1000000-"), 1000000)]
    s3_engine.kill("radosgw")
    try:
        received = []
        for done, first in finish:
            rc, body = done()
            assert rc in CUT and asset.data[first:].startswith(body) and len(body) < len(asset.data) - first, (rc, len(body))
            received.append(len(body))
        answer = bucketed.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, "the source has it"
    finally:
        s3_engine.start("radosgw")

    def booked():
        ledger = Ledger(bucketed)
        return [line for lines in (ledger.final, ledger.fills) for line in lines.values()]

    def hits():
        return [line for line in booked() if line["item"] == asset.name and line["cache"] == "hit" and line["bytes"] > 0]
    wait_until(lambda: len(hits()) == 2, "both are in the books")
    for got, line in zip(sorted(received), sorted(hits(), key=lambda line: line["bytes"])):
        assert got <= line["bytes"] <= len(asset.data) and line["upstream_bytes"] == 0, (got, line)
    user = bucketed.user.split(":")[0]
    settle(lambda: [kind for kind in KINDS if counter(bucketed, user, kind) !=
                    sum(line[kind] for line in booked() if line["user"] == user)], "ledger and counters agree")
    wait_until(lambda: bucketed.get(asset.path).is_hit, "S3 is asked again")


def get_cold(stack, backend="loop_open"):
    asset = stack.add(b"cold" * 300, backend=backend)
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer


@pytest.mark.skipif(is_sanitized(), reason="the sanitizers catch SIGSEGV and end the process themselves")
@pytest.mark.parametrize("role", ["worker", "mover", "broker", "accountant", "resolver"])
def test_f5_a_role_that_crashes_is_replaced_and_its_signal_is_told(running, role):
    get_cold(running)
    processes = [p for p in running.status()["processes"] if p["role"] == role and p["pid"] > 0 and p.get("note", "") in ("", "loop_open")]
    pid, count = processes[0]["pid"], len(running.pids(role))
    strike(running, pid, signal.SIGSEGV)
    what = "EO-RESOLVER-CRASH" if role == "resolver" else "EO-MASTER-DEATH died role=%s" % role
    wait_until(lambda: [line for line in running.log().splitlines() if what in line and re.search(r"pid=%d .*signal=11" % pid, line)],
               "its death is told with its signal")
    get_cold(running)
    wait_until(lambda: running.status()["ready"] and pid not in running.pids(role) and
               (role == "resolver" or len(running.pids(role)) == count), "it is replaced", 30)


def test_f5_one_that_dies_again_and_again_is_not_started_at_once(running):
    """Also one that has answered: else a request that kills its worker would make a storm of forks."""
    asset, waits = running.add().warm(), []
    with open(running.env["LOG"], "rb") as f:
        begin = f.seek(0, os.SEEK_END)      # of all that stands before, a round would take too long
    wait_until(lambda: all(p["uptime_s"] >= 2 for p in running.status()["processes"] if p["role"] == "worker"), "none is new")

    def log():
        with open(running.env["LOG"], errors="replace") as f:
            f.seek(begin)
            return f.read()

    def next_death():
        """Of whoever answers: once each of them has died, it is one that was just born."""
        ticket = running.get(asset.path).headers["x-request-id"]
        pid = int(re.search(r"worker\[(\d+)\] id=%s event=decision" % ticket, log())[1])
        strike(running, pid, signal.SIGKILL)
        told = wait_until(lambda: re.search(r"died role=worker .*pid=%d .*restart_in_ms=(\d+)" % pid, log()), "its death")
        waits.append(int(told[1]))
        return waits[-1]
    wait_until(next_death, "one has to wait")
    assert max(waits) <= 1000 and waits[0] == 0, waits
    wait_until(lambda: len(running.pids("worker")) == CONFIG["pool"]["workers"], "all are there again")


def gated(stack, mover):
    """Its body begins and stops; it belongs to that mover."""
    while True:
        asset = stack.add_gated()
        if owner(asset, 2) == mover:
            return asset


def test_f5_every_role_that_is_stopped_is_found_and_replaced_while_others_serve(running):
    """All at once, so that their ten seconds pass once.  A resolver outlives its broker, and then the master finds it."""
    hit = running.add().warm()
    for backend in ("loop_open", "loop_header"):
        get_cold(running, backend)
    lost, kept = gated(running, 0), gated(running, 1)
    finish_lost, finish_kept = running.begin(lost), running.begin(kept)
    patient, answers = running.add(backend="loop_qs"), []       # nobody has asked for a resolver of this one
    while owner(patient, 2) != 1:
        patient = running.add(backend="loop_qs")
    waits = threading.Thread(target=lambda: answers.append(running.curl(patient.url)))
    stopped = {role: running.pids(role)[0] for role in ("worker", "mover", "accountant", "broker")}
    stopped["resolver"] = next(p["pid"] for p in running.status()["processes"] if p["role"] == "resolver" and p["note"] == "loop_open")
    counts = {role: len(running.pids(role)) for role in ("worker", "mover", "accountant", "broker")}
    for pid in stopped.values():
        strike(running, pid, signal.SIGSTOP)
    waits.start()

    def replaced():
        assert running.get(hit.path).is_hit
        up = {role: running.pids(role) for role in counts}
        return all(len(pids) == counts[role] and stopped[role] not in pids for role, pids in up.items()) and running.status()["ready"]
    wait_until(replaced, "all are replaced", 60)
    rc, body = finish_lost()
    assert rc in CUT and lost.data.startswith(body), (rc, len(body))
    kept.open()
    assert finish_kept() == (0, kept.data)
    waits.join()
    assert answers[0].status == 200 and answers[0].body == patient.data, "it waited for the next broker: %s" % answers[0].all
    for role, pid in stopped.items():
        wait_until(lambda r=role, p=pid: re.search(r"EO-MASTER-KILL killed role=%s .*pid=%d reason=heartbeat" % (r, p), running.log()),
                   "the stopped %s was found" % role, 30)
        wait_until(lambda p=pid: not is_alive(p), "its end", 30)
    get_cold(running)
