# SPDX-License-Identifier: Apache-2.0
"""The whole program's life behind the front: other starts, deaths, reloads, the end."""

import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
from conftest import TOP, wait_until

CUT = (18, 52, 56, 92)


def pids(stack, role):
    """Live children of the master by their command line."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry) as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
            with open("/proc/%s/cmdline" % entry, "rb") as f:
                words = f.read().split(b"\0")
        except (OSError, IndexError, ValueError):
            continue
        if parent == int(stack.env["MASTER_PID"]) and role.encode() in words:
            found.append(int(entry))
    return found


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as f:
                    if int(f.read().rpartition(")")[2].split()[1]) == pid:
                        found += [int(entry)] + descendants(int(entry))
            except (OSError, IndexError, ValueError):
                pass
    return found


class Download(threading.Thread):
    """A curl in mid-body: the provider waits at a gate with the rest."""

    def __init__(self, stack, gate, size=1 << 20):
        super().__init__()
        self.stack, self.gate = stack, gate
        self.asset = stack.add(os.urandom(size), backend="loop_open", case="gate-%s-%d" % (gate, size // 2))
        self.out = os.path.join(stack.dir, "download-" + gate)
        self.answer = None
        self.start()
        wait_until(lambda: os.path.exists(self.out) and os.path.getsize(self.out) > 0, "bytes have arrived")

    def run(self):
        self.answer = self.stack.curl(self.asset.url, "-N", "-o", self.out)

    def body(self):
        with open(self.out, "rb") as f:
            return f.read()

    def go_on(self):
        self.stack.provider("/-/open?gate=" + self.gate)
        self.join()
        return self.answer


@pytest.fixture
def own(make_stack):
    return make_stack()


def test_a_killed_mover_is_a_cut_that_curl_sees_and_the_next_one_serves(own):
    download = Download(own, "killed")
    for pid in pids(own, "mover"):
        os.kill(pid, signal.SIGKILL)
    download.join(15)
    assert not download.is_alive(), "curl still waits"
    assert download.answer.rc in CUT, download.answer
    assert download.asset.published() is None
    fresh = own.add()
    answer = wait_until(lambda: (lambda a: a if a.status == 200 else None)(own.get(fresh.path)), "a new mover serves")
    assert answer.body == fresh.data
    download.go_on()


def test_killed_workers_come_back(own):
    before = pids(own, "worker")
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    asset = own.add()
    answer = wait_until(lambda: (lambda a: a if a.status == 200 else None)(own.get(asset.path)), "new workers serve")
    assert answer.body == asset.data
    assert not set(before) & set(pids(own, "worker"))


def test_reload_drops_no_transfer(own):
    download = Download(own, "reload")
    with open(own.env["CONFIG"]) as f:
        config = json.load(f)
    config["rules"].append({"name": "bob too", "users": ["bob"], "allow": True})
    with open(own.env["CONFIG"], "w") as f:
        json.dump(config, f)
    asset = own.add()
    assert own.get(asset.path, user=own.env["USER_DENIED"]).status == 403
    os.kill(int(own.env["MASTER_PID"]), signal.SIGHUP)
    wait_until(lambda: own.get(asset.path, user=own.env["USER_DENIED"]).status == 200, "the new rule is in force")
    answer = download.go_on()
    assert answer.rc == 0 and download.body() == download.asset.data


def test_a_broken_file_is_refused_and_the_old_rules_stay(own):
    with open(own.env["CONFIG"], "w") as f:
        f.write('{ "rules": [ { "allow": "perhaps" } ] }')
    os.kill(int(own.env["MASTER_PID"]), signal.SIGHUP)
    wait_until(lambda: "rules[0]" in own.log(), "the log says what is wrong")
    asset = own.add()
    assert own.get(asset.path).body == asset.data
    assert own.get(asset.path, user=own.env["USER_DENIED"]).status == 403


def test_sigterm_lets_a_transfer_finish(own):
    master = int(own.env["MASTER_PID"])
    download = Download(own, "drain")
    os.kill(master, signal.SIGTERM)
    wait_until(lambda: own.get("/data/-/health", user=None).status != 200, "nothing new is taken")
    answer = download.go_on()
    assert answer.rc == 0 and download.body() == download.asset.data, answer
    wait_until(lambda: not is_alive(master), "the master has ended")


def test_sigterm_cuts_what_does_not_finish_in_time(make_stack):
    stack = make_stack({"pool": {"drain": "1s"}})
    master = int(stack.env["MASTER_PID"])
    download = Download(stack, "never")
    os.kill(master, signal.SIGTERM)
    download.join(15)
    assert not download.is_alive() and download.answer.rc in CUT, download.answer
    wait_until(lambda: not is_alive(master), "the master has ended")
    download.go_on()


def test_without_its_master_every_process_ends_and_clients_see_a_cut(own):
    master = int(own.env["MASTER_PID"])
    asset = own.add()
    assert own.get(asset.path).status == 200
    family = descendants(master)
    assert len(family) >= 7, family
    download = Download(own, "orphan")
    os.kill(master, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in family), "every process has ended")
    download.join(15)
    assert not download.is_alive() and download.answer.rc in CUT, download.answer
    download.go_on()


def test_metrics_are_what_promtool_accepts(stack):
    stack.add().warm()
    text = stack.get("/data/-/metrics").body
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool here (Debian package prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert b"alice" not in text and b"DEMO" not in text


# -- other starts: the same configuration, another way to the socket


def start_again(stack, command, **more):
    """End the proxy of a stack; start it by another command on the same socket path."""
    master = int(stack.env["MASTER_PID"])
    os.kill(master, signal.SIGTERM)
    wait_until(lambda: not is_alive(master), "the master has ended")
    if os.path.exists(stack.env["FCGI_SOCKET"]):
        os.unlink(stack.env["FCGI_SOCKET"])
    log = open(stack.env["LOG"], "ab")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **more)


def serves(stack):
    asset = stack.add()
    answer = wait_until(lambda: (lambda a: a if a.status == 200 else None)(stack.get(asset.path)), "it serves", 60)
    assert answer.body == asset.data


def binary():
    return os.path.join(os.environ.get("EODATA_PREFIX") or os.path.join(TOP, "build", "inst"), "sbin", "eodata-proxy")


def test_spawn_fcgi_starts_it_as_the_example_says(own):
    if shutil.which("spawn-fcgi") is None:
        pytest.skip("there is no spawn-fcgi here")
    pid_file = os.path.join(own.dir, "spawned.pid")
    env = dict(os.environ, EODATA_PROXY=binary(), EODATA_CONFIG=own.env["CONFIG"], EODATA_SOCKET=own.env["FCGI_SOCKET"],
               EODATA_PID_FILE=pid_file, EODATA_RUN_USER="root", EODATA_FRONT_GROUP="www-data")
    started = start_again(own, [os.path.join(TOP, "conf-examples", "spawn-fcgi", "run.sh")], env=env)
    assert started.wait(30) == 0
    with open(pid_file) as f:
        master = int(f.read())
    try:
        serves(own)
    finally:
        os.kill(master, signal.SIGTERM)
        wait_until(lambda: not is_alive(master), "it ends")


def test_systemd_hands_it_the_socket(own):
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("there is no systemd-socket-activate here")
    started = start_again(own, ["systemd-socket-activate", "-l", own.env["FCGI_SOCKET"], binary(), "--config", own.env["CONFIG"]])
    try:
        wait_until(lambda: os.path.exists(own.env["FCGI_SOCKET"]), "the socket")
        if os.geteuid() == 0:
            shutil.chown(own.env["FCGI_SOCKET"], group="www-data")
            os.chmod(own.env["FCGI_SOCKET"], 0o660)
        serves(own)
    finally:
        started.terminate()
        started.wait(30)
