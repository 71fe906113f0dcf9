# SPDX-License-Identifier: Apache-2.0
"""
The life of the processes with their real roles behind nginx: reload, stop, each
of them killed under requests, and the three ways to get the socket.
test_master.py has the master alone, test_growth.py what grows.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pytest
from conftest import PREFIX, TOP, Stack, is_alive, wait_until

CUT = (18, 52, 56, 92)
BUILDS = [os.environ.get("EODATA_BUILD", ""), os.path.dirname(PREFIX), os.path.join(TOP, "build"), TOP]
CLIENT = next((p for p in (os.path.join(b, "tests", "fake", "fcgi_client") for b in BUILDS if b) if os.path.exists(p)), None)
KNOWN = pytest.mark.parametrize("known", [True, False], ids=["known-length", "unknown-length"])


@pytest.fixture(scope="module")
def running(new_store):
    """For tests that leave it as they found it."""
    made = Stack(store=new_store())
    yield made
    made.down()


def master(stack):
    return int(stack.env["MASTER_PID"])


def everyone(stack):
    """{pid: start of its command line} of all that the master has started, resolvers included: they are one session."""
    found = {}
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.getsid(int(name)) == master(stack) and is_alive(int(name)):
                with open("/proc/%s/cmdline" % name) as f:
                    found[int(name)] = f.read().split("\0")[0]
        except (ProcessLookupError, FileNotFoundError):
            pass
    return found


def resolvers(stack):
    return [pid for pid, name in everyone(stack).items() if name.startswith("eodata-proxy-resolver: ")]


# -- reload


@pytest.mark.both_stores
def test_a_reload_leaves_a_running_transfer_alone_and_holds_for_new_requests(running):
    asset, other = running.add_gated(), running.add(collection="PRIVATE").warm()
    finish = running.begin(asset)
    old = running.config()

    def change(config):
        config["rules"].insert(0, {"name": "closed", "who": "anyone", "collections": ["PRIVATE"], "allow": False})
        config["datasets"] = []
    movers = running.pids("mover")
    running.reload(change)
    try:
        assert running.get(other.path).status == 403
        unkept = running.add()
        assert running.get(unkept.path).body == unkept.data
        asset.open()
        assert finish() == (0, asset.data)
        wait_until(lambda: running.store.find(asset), "what began before is stored as it began")
        assert unkept.published() is None, "the mover has the new configuration, too"
        assert running.pids("mover") == movers
    finally:
        running.reload(lambda config: (config.clear(), config.update(old)))
    assert running.get(other.path).is_hit


def test_a_broken_file_is_named_and_the_old_one_goes_on(running):
    good, generation, asset = running.config(), running.status()["generation"], running.add().warm()
    before = running.log()
    try:
        for text, named in (('{"rules": [', None), (json.dumps({**good, "pool": {"workers": "many"}}), "pool.workers"),
                            (json.dumps({**good, "surprise": 1}), "surprise")):
            running.write_config(text)
            os.kill(master(running), signal.SIGHUP)
            wait_until(lambda b=len(before), n=named: running.env["CONFIG"] in running.log()[b:] and (n or "") in running.log()[b:],
                       "the log names what is wrong: %s" % named)
            before = running.log()
            assert running.get(asset.path).is_hit
    finally:
        running.write_config(json.dumps(good))
    assert running.status()["generation"] == generation


# -- stop


@pytest.mark.both_stores
def test_f6_sigterm_lets_a_running_transfer_end(make_stack):
    stack = make_stack({"pool": {"drain": "30s"}})
    known, unknown = stack.add_gated(), stack.add_gated(known=False)
    finish = [stack.begin(known), stack.begin(unknown)]
    all_of_them = everyone(stack)
    os.kill(master(stack), signal.SIGTERM)
    wait_until(lambda: stack.get("/data/-/health", user=None).status == 502, "nobody accepts any more")
    known.open()
    unknown.open()
    assert [f() for f in finish] == [(0, known.data), (0, unknown.data)]
    wait_until(lambda: not any(is_alive(pid) for pid in all_of_them), "all have ended")


def test_sigterm_cuts_visibly_when_the_time_is_over(make_stack):
    stack = make_stack({"pool": {"drain": "1s"}})
    finish = [stack.begin(stack.add_gated(known=k)) for k in (True, False)]
    all_of_them = everyone(stack)
    os.kill(master(stack), signal.SIGTERM)
    for f in finish:
        rc, body = f()
        assert rc in CUT and 0 < len(body) < 2 << 20, (rc, len(body))
    wait_until(lambda: not any(is_alive(pid) for pid in all_of_them), "all have ended")


def test_the_masters_death_ends_every_child_and_is_seen_by_clients(make_stack):
    stack = make_stack()
    finish = [stack.begin(stack.add_gated(known=k)) for k in (True, False)]
    all_of_them = everyone(stack)
    assert len(all_of_them) >= 9, "master, four workers, mover, broker, resolver, accountant"
    os.kill(master(stack), signal.SIGKILL)
    for f in finish:
        rc, body = f()
        assert rc in CUT and 0 < len(body) < 2 << 20, (rc, len(body))
    wait_until(lambda: not any(is_alive(pid) for pid in all_of_them), "every child has ended by itself", 30)


# -- killed


@KNOWN
def test_a_movers_death_is_seen_by_its_clients_and_the_next_is_served(running, known):
    asset = running.add_gated(known=known)
    finish = running.begin(asset)
    os.kill(running.pids("mover")[0], signal.SIGKILL)
    rc, body = finish()
    assert rc in CUT and 0 < len(body) < len(asset.data), (rc, len(body))
    asset.open()
    answer = running.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data, answer
    wait_until(asset.published, "it is cached")


class Load:
    """Requests without end, cold and cached, until it is closed."""

    def __init__(self, stack, clients=4):
        self.stack, self.over, self.answers = stack, threading.Event(), []
        self.warm = stack.add().warm()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        while not self.over.is_set():
            for asset in (self.warm, self.stack.add(os.urandom(1000)), self.stack.add(os.urandom(1000), backend="loop_open")):
                answer = self.stack.curl(asset.url)
                self.answers.append((answer.status, answer.rc, answer.body == asset.data))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def wait_for(self, n):
        """n answers more, of which the last are good."""
        before = len(self.answers)
        wait_until(lambda: len(self.answers) >= before + n, "%d answers" % n)

    def failed(self):
        """None looks good that is not."""
        assert all(good for status, rc, good in self.answers if status == 200 and rc == 0)
        return [answer for answer in self.answers if answer[:2] != (200, 0)]


@pytest.mark.parametrize("role,harm", [("worker", 4), ("accountant", 0), ("broker", 4), ("resolver", 4), ("mover", 8)])
def test_f5_a_death_under_requests_harms_at_most_what_it_held(running, role, harm):
    """A worker may hold a request of each client: it answers those that it took in one turn together."""
    count = lambda: len([p for p in running.status()["processes"] if p["role"] == role and p["state"] in ("ready", "busy")])
    before = count()
    with Load(running) as load:
        pid = resolvers(running)[0] if role == "resolver" else running.pids(role)[0]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "it is dead")
        load.wait_for(20)
        wait_until(lambda: running.status()["ready"], "every role is up again")
        done = len(load.answers)
        load.wait_for(40)
        assert len(load.failed()) <= harm, load.failed()
        assert all(answer[:2] == (200, 0) for answer in load.answers[done + 8:]), "nothing fails afterwards"
    if role != "resolver":
        wait_until(lambda: count() == before, "as many as before")


def test_a_stopped_worker_is_killed_and_replaced(running):
    """One that hangs within a request: its deadline is 10 s."""
    before = running.pids("worker")
    asset = running.add().warm()
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    threads = [threading.Thread(target=running.get, args=(asset.path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not set(before) & set(running.pids("worker")) and len(running.pids("worker")) == 4, "all are replaced", 40)
    for thread in threads:
        thread.join()
    assert running.get(asset.path).is_hit


# -- the socket


@pytest.fixture
def alone(running):
    """A second master, with folders of its own and no front: (start, ask)."""
    where = tempfile.mkdtemp(prefix="eodata-alone-", dir="/tmp")
    config = running.config()
    for name in ("run", "state", "cache"):
        os.mkdir(os.path.join(where, name))
    config["dirs"] = {"run": os.path.join(where, "run"), "state": os.path.join(where, "state")}
    config["cache"]["path"] = os.path.join(where, "cache")
    config["front"]["hits"] = "stream"
    path = os.path.join(where, "eodata-proxy.conf")
    with open(path, "w") as f:
        json.dump(config, f)
    os.chmod(path, 0o600)
    started, log = [], open(os.path.join(where, "log"), "ab")

    def start(command, **more):
        started.append(subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **more}))
        return started[-1]

    def pid():
        with open(os.path.join(where, "run", "eodata-proxy.pid")) as f:
            return int(f.read())
    start.where, start.config, start.pid = where, path, pid
    start.program = [os.path.join(PREFIX, "sbin", "eodata-proxy"), "--config", path]
    start.log = lambda: open(log.name, errors="replace").read()
    try:
        yield start
    finally:
        pids = {p.pid for p in started}
        if os.path.exists(os.path.join(where, "run", "eodata-proxy.pid")):
            pids.add(pid())
        for one in pids:
            if is_alive(one):
                os.kill(one, signal.SIGTERM)
        for process in started:
            process.wait(30)
        wait_until(lambda: not any(is_alive(one) for one in pids), "they have ended", 30)
        log.close()
        shutil.rmtree(where)


def fcgi(target, path, *params):
    if CLIENT is None:
        pytest.skip("fcgi_client is not built: make")
    done = subprocess.run([CLIENT, "-t", "60", target, "REQUEST_METHOD=GET", "REQUEST_URI=" + path, "EODATA_USER=alice", "EODATA_GROUPS=s2-users", *params],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return done.returncode, head.decode("latin-1"), body


def serves(running, start, target):
    """Ready, and the main job, cold and cached."""
    wait_until(lambda: fcgi(target, "/data/-/ready")[1].startswith("Status: 200"), "it is ready: " + start.log(), 60)
    asset = running.add()
    for want in ("fwd=miss", "; hit"):
        rc, head, body = fcgi(target, asset.path)
        assert rc == 0 and want in head and body == asset.data, (rc, head)
        wait_until(lambda: fcgi(target, asset.path)[1].count("; hit"), "it is cached")


def test_the_socket_comes_from_listen_fds(running, alone):
    path = os.path.join(alone.where, "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(64)
        alone([sys.executable, "-c", "import os, sys; os.dup2(%d, 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
               "os.execv(sys.argv[1], sys.argv[1:])" % s.fileno(), *alone.program], pass_fds=(s.fileno(),))
        serves(running, alone, "unix:" + path)


@pytest.mark.skipif(shutil.which("spawn-fcgi", path="/usr/bin:/usr/sbin") is None, reason="spawn-fcgi is not installed")
def test_the_socket_comes_from_spawn_fcgi(running, alone):
    """By the example's script; as whoever runs this, since the cache is theirs."""
    path = os.path.join(alone.where, "s")
    user = subprocess.run(["id", "-un"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    env = {**os.environ, "EODATA_PROXY": alone.program[0], "EODATA_CONFIG": alone.config, "EODATA_SOCKET": path,
           "EODATA_PID_FILE": os.path.join(alone.where, "spawned.pid"), "EODATA_RUN_USER": user}
    script = open(os.path.join(TOP, "conf-examples", "spawn-fcgi", "run.sh")).read()
    if os.geteuid() == 0:
        # spawn-fcgi refuses to run anything as root; without being told to, it leaves the user as it is
        assert '[ "$(id -u)" = 0 ]' in script
        script = script.replace('[ "$(id -u)" = 0 ]', "false")
    started = alone(["/bin/sh", "-c", script], env=env)
    assert started.wait(30) == 0, alone.log()
    serves(running, alone, "unix:" + path)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_socket_is_made_by_listen(running, alone, kind):
    if kind == "unix":
        target = "unix:" + os.path.join(alone.where, "s")
        alone([*alone.program, "--listen", target])
    else:
        alone([*alone.program, "--listen", "127.0.0.1:0"])
        wait_until(lambda: "listen='127.0.0.1:" in alone.log(), "it says its port")
        target = "127.0.0.1:" + alone.log().split("listen='127.0.0.1:")[1].split("'")[0]
    wait_until(lambda: kind == "tcp" or os.path.exists(target[5:]), "the socket is there")
    serves(running, alone, target)
