# SPDX-License-Identifier: Apache-2.0
"""
F10: what the real processes have given up, seen in /proc while they serve.
What that means from inside is in tests/unit/test_confine.c and, for a plugin
in a resolver, in test_resolver.py.
"""

import ctypes
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

import pytest
from conftest import PREFIX, TOP, Stack, is_alive, wait_until

ROLES = ("worker", "mover", "broker", "resolver", "accountant")
PROGRAM = os.path.join(PREFIX, "sbin", "eodata-proxy")


def landlock():
    """The version that this kernel has, 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))


def proc_status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@pytest.fixture(scope="module")
def running():
    made = Stack(extra={"log": {"level": "debug"}})
    made.add().warm()                   # there is a resolver now
    yield made
    made.down()


@pytest.mark.parametrize("role", ROLES)
def test_f10_no_role_can_gain_anything(running, role):
    pids = running.pids(role)
    assert pids, role
    for pid in pids:
        status = proc_status(pid)
        assert status["NoNewPrivs"] == "1"
        assert {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == \
            {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}
        if os.geteuid() == 0:
            assert int(status["CapBnd"], 16) == 0


# CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_ADMIN
MASTERS = sum(1 << n for n in (0, 1, 3, 5, 6, 7, 8, 10, 12))
KILL = 1 << 5


def test_f10_the_master_keeps_what_it_needs_and_gains_nothing(running):
    """Of root's capabilities, that is; one that is nobody special has none."""
    status = proc_status(int(running.env["MASTER_PID"]))
    assert status["NoNewPrivs"] == "1"
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff")} == {MASTERS if os.geteuid() == 0 else 0}
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == MASTERS


def test_f10_the_tool_keeps_nothing_but_signals(make_stack):
    """eodata-proxyctl while it waits: what it reads is written by processes that meet outsiders."""
    stack = make_stack({"pool": {"drain": "30s"}})
    asset = stack.add_gated()
    finish = stack.begin(asset)
    tool = subprocess.Popen([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--run", stack.run_dir, "stop"])
    kept = KILL if os.geteuid() == 0 else 0

    def has_given_up():
        status = proc_status(tool.pid)
        return status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == int(status["CapPrm"], 16) == kept
    wait_until(has_given_up, "it has given up what it had")
    asset.open()
    assert finish() == (0, asset.data)
    assert tool.wait(30) == 0


@pytest.mark.parametrize("role", ("worker", "mover", "resolver", "accountant"))
def test_f10_every_role_that_meets_outsiders_is_confined(running, role):
    if landlock() < 2:
        pytest.skip("this kernel has no Landlock that can rename")
    lines = [line for line in running.log().splitlines() if "confined" in line and role in line]
    assert lines and not [line for line in lines if "not confined" in line or "EO-CONFINE" in line], lines


def test_f10_confined_roles_serve_after_reloads(running):
    """What a new configuration names is what the confined processes may use."""
    for turn in range(3):
        running.reload(lambda config, turn=turn: config["datasets"][0].update(fill_after="%d %%" % (turn + 1)))
        asset = running.add()
        assert running.get(asset.path).body == asset.data
        wait_until(asset.published, "it is stored")
        assert running.get(asset.path).is_hit
    assert "EO-LEDGER" not in running.log() and "EO-CONFINE" not in running.log()


def test_f10_a_root_master_runs_its_children_as_the_user(tmp_path):
    """The row "user": real ids, groups, and new folders that are theirs."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    nobody = pwd.getpwnam("nobody")
    probe = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "test", "-r", PROGRAM])
    if probe.returncode != 0:
        pytest.skip("'nobody' cannot read %s" % PROGRAM)
    where = tempfile.mkdtemp(prefix="eodata-test-", dir="/tmp")
    os.chmod(where, 0o755)
    dirs = {name: os.path.join(where, "made", name) for name in ("run", "state", "cache")}
    config = {"user": "nobody", "cache": {"path": dirs["cache"], "retentions": {"30d": {}}},
              "dirs": {"run": dirs["run"], "state": dirs["state"]}, "pool": {"workers": 1},
              "eodag": {"python": os.environ.get("EODATA_TEST_VENV", os.path.join(TOP, ".venv"))}}
    path = os.path.join(where, "conf")
    with open(path, "w") as f:
        json.dump(config, f)
    os.chmod(path, 0o600)               # the children do not need it
    with open(os.path.join(where, "log"), "wb") as log:
        master = subprocess.Popen([PROGRAM, "--config", path, "--listen", "unix:" + os.path.join(where, "socket")],
                                  stderr=log, start_new_session=True)

    def text():
        with open(os.path.join(where, "log")) as f:
            return f.read()
    try:
        wait_until(lambda: " ready " in text() or master.poll() is not None, "it is ready", 60)
        assert master.poll() is None, text()
        done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--run", dirs["run"], "--json", "status"],
                              stdout=subprocess.PIPE, check=True)
        pids = {p["pid"]: p["role"] for p in json.loads(done.stdout)["processes"] if p["pid"] and p["role"] != "master"}
        assert set(pids.values()) >= {"worker", "mover", "broker", "accountant"}
        for pid, role in pids.items():
            status = proc_status(pid)
            assert status["Uid"].split() == [str(nobody.pw_uid)] * 4, role
            assert status["Gid"].split() == [str(nobody.pw_gid)] * 4, role
            assert "0" not in status["Groups"].split(), role
        for folder in dirs.values():
            assert os.stat(folder).st_uid == nobody.pw_uid, folder
        assert proc_status(master.pid)["Uid"].split()[0] == "0"
    finally:
        master.send_signal(signal.SIGTERM)
        master.wait(30)
        kept = text()
        shutil.rmtree(where)
    assert "EO-LEDGER" not in kept and "EO-CONFINE" not in kept, kept
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_user_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "conf"
    path.write_text(json.dumps({"user": "no-such-user-here"}))
    done = subprocess.run([PROGRAM, "--config", str(path), "--check-config"], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "user: 'no-such-user-here' is no user of this system" in done.stderr
