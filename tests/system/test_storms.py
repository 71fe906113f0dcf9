# SPDX-License-Identifier: Apache-2.0
"""
F8: signals at 1 kHz, to the master and to each role, while requests go on.  That
reloads which come during one are one more is in test_master.py.
"""

import os
import shutil
import signal
import time

import pytest
from conftest import PREFIX, Stack, wait_until
from test_processes import Load, everyone

SIGNALS = [signal.SIGUSR1, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT, signal.SIGPIPE, signal.SIGURG]
TURNS = 500
PAUSE_S = 0.001
KEEP = ("master", "mover", "broker", "accountant", "resolver")


def storm(pids):
    """To each of them a signal in each millisecond."""
    for turn in range(TURNS):
        for pid in pids:
            os.kill(pid, SIGNALS[turn % len(SIGNALS)])
        time.sleep(PAUSE_S)     # the rate itself


@pytest.fixture
def stack(monkeypatch, tmp_path):
    """Its program is a copy, and has been replaced by one that ends at once."""
    (tmp_path / "sbin").mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    shutil.copy(os.path.join(PREFIX, "sbin", "eodata-proxy"), tmp_path / "sbin")
    monkeypatch.setenv("EODATA_PREFIX", str(tmp_path))
    made = Stack()
    (tmp_path / "sbin" / "new").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "sbin" / "new").chmod(0o755)
    (tmp_path / "sbin" / "new").replace(tmp_path / "sbin" / "eodata-proxy")
    yield made
    made.down()


def test_f8_a_storm_of_signals_kills_nobody_and_stops_nothing(stack):
    with Load(stack) as load:
        before = {role: stack.pids(role) for role in KEEP + ("worker",)}
        assert all(before.values()), before
        storm([pid for role, pids in before.items() if role != "master" for pid in pids])
        load.wait_for(20)
        assert {role: stack.pids(role) for role in before} == before, "each role"
        generation, processes = stack.status()["generation"], len(everyone(stack))
        storm(before["master"])
        load.wait_for(20)
        wait_until(lambda: stack.status()["generation"] > generation, "it reloaded")
    assert load.failed() == []
    status = stack.status()
    assert status["ready"] and status["counters"]["restarts_total"] == 0
    assert {role: stack.pids(role) for role in KEEP} == {role: before[role] for role in KEEP}
    assert status["generation"] <= generation + TURNS // len(SIGNALS)
    assert "earlier reloads are still ending" not in stack.log(), "reloads do not pile up"
    wait_until(lambda: "ended before it was ready (exit 3)" in stack.log(), "an upgrade that failed")
    wait_until(lambda: len(everyone(stack)) == processes, "no old worker and no new program is left over")
    stack.reload(lambda config: config["rules"].insert(0, {"name": "closed", "who": "anyone", "collections": ["CLOSED"], "allow": False}))
    wait_until(lambda: stack.get("/data/loop_open/CLOSED/x/y").status == 403, "reloads still work")
