#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The master, with roles that a test can steer (tests/fake/roles.c).

Run by scripts/test, or by hand:

    EODATA_BUILD=/path/to/build tests/system/test_master.py [Death.test_...]

The build folder is EODATA_BUILD, else where EODATA_PREFIX is inside, else the
current one, else build/.  Python's standard library is enough.
"""

import grp
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build_folder():
    """The first place that has the program; EODATA_BUILD when set, whatever is there."""
    places = [os.getcwd(), os.path.join(TOP, "build"), TOP]
    if "EODATA_PREFIX" in os.environ:
        places.insert(0, os.path.dirname(os.path.abspath(os.environ["EODATA_PREFIX"])))
    if "EODATA_BUILD" in os.environ:
        places = [os.path.abspath(os.environ["EODATA_BUILD"])]
    for place in places:
        if os.path.exists(os.path.join(place, "tests", "fake", "eodata-proxy-fake")):
            return place
    return places[0]


BUILD = build_folder()
PROGRAMS = ("eodata-proxy-fake", "eodata-proxy-resolver")
PROGRAM = os.path.join(BUILD, "tests", "fake", PROGRAMS[0])
CTL = os.path.join(BUILD, "eodata-proxyctl")
LIMIT_S = 30  # for what takes milliseconds; a loaded machine may be slow


def ended(pids, seconds=LIMIT_S):
    """Wait until none of the processes is running; the pids that still are."""
    left = set(pids)
    until = time.monotonic() + seconds
    for pid in list(left):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            left.discard(pid)
            continue
        try:
            if select.select([fd], [], [], max(0, until - time.monotonic()))[0]:
                left.discard(pid)
        finally:
            os.close(fd)
    return left


class Proxy:
    """One master in a folder of its own."""

    def __init__(self, test, **pool):
        self.dir = tempfile.mkdtemp(prefix="eo-master-")
        self.socket = os.path.join(self.dir, "fcgi.sock")
        self.run = os.path.join(self.dir, "run")
        self.config = os.path.join(self.dir, "eodata-proxy.conf")
        self.log_path = os.path.join(self.dir, "log")
        self.spool = os.path.join(self.dir, "cache", "spool")
        self.seen = set()
        self.process = None
        self.program = PROGRAM
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind("\0eo-master-%d-%s" % (os.getpid(), os.path.basename(self.dir)))
        self.told.settimeout(LIMIT_S)
        self.configure(**pool)
        test.addCleanup(self.clean)

    def configure(self, text=None, spool=None, **pool):
        self.pool = {"workers": 2, "movers": 1, "drain": "20s", **pool}
        if text is None:
            text = json.dumps({
                "memcached": [], "rules": [],
                "cache": {"path": os.path.join(self.dir, "cache"), "retentions": {"30d": {}}},
                "dirs": {"run": self.run, "state": os.path.join(self.dir, "state"), "spool": spool or self.spool},
                "pool": self.pool})
        with open(self.config, "w", encoding="ascii") as f:
            f.write(text)

    def start(self, *args, listen=True, command=None, env=None, pass_fds=(), stdin=subprocess.DEVNULL, ready=True):
        argv = [self.program, "--config", self.config]
        if listen:
            argv += ["--listen", "unix:" + self.socket]
        argv += args
        environ = {**os.environ, "NOTIFY_SOCKET": "@" + self.told.getsockname()[1:].decode(), **(env or {})}
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen((command or []) + argv, stdin=stdin, stderr=log, env=environ, pass_fds=pass_fds)
        if ready:
            self.wait_told("READY=1")
        return self

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def wait_told(self, what):
        """The next sd_notify message that has this line."""
        try:
            while True:
                text = self.told.recv(4096).decode()
                if what in text.split("\n"):
                    return text
        except socket.timeout:
            raise AssertionError("no %s within %d s:\n%s" % (what, LIMIT_S, self.log())) from None

    def own_program(self):
        """Copies of its programs in its own folder, where a test may replace them."""
        folder = os.path.join(self.dir, "bin")
        os.mkdir(folder)
        for name in PROGRAMS:
            shutil.copy(os.path.join(BUILD, "tests", "fake", name), folder)
        self.program = os.path.join(folder, PROGRAMS[0])

    def replace_program(self, text, mode=0o755, name=PROGRAMS[0]):
        """As a package manager does it."""
        folder = os.path.dirname(self.program)
        with open(os.path.join(folder, "new"), "wb") as f:
            f.write(text)
        os.chmod(os.path.join(folder, "new"), mode)
        os.replace(os.path.join(folder, "new"), os.path.join(folder, name))

    def tell_role(self, what, role):
        """fail or hang: at its next start.  Gives what takes it back."""
        path = os.path.join(self.spool, "%s-%s" % (what, role))
        os.makedirs(self.spool, exist_ok=True)
        with open(path, "w", encoding="ascii"):
            pass
        return lambda: os.unlink(path)

    def status(self):
        out = subprocess.run([CTL, "--run", self.run, "--json", "status"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False)
        if out.returncode != 0:
            return {"ready": False, "processes": []}
        status = json.loads(out.stdout)
        self.seen.update(p["pid"] for p in status["processes"])
        return status

    def pids(self, role):
        """Of a role's processes that are up, in the order of their slots."""
        return [p["pid"] for p in self.status()["processes"] if p["role"] == role and p["state"] in ("ready", "busy")]

    def seen_now(self):
        return [p["pid"] for p in self.status()["processes"]]

    def pid(self, role):
        return self.pids(role)[0]

    def until(self, condition, what, seconds=LIMIT_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError("not within %d s: %s\n%s\n%s" % (seconds, what, json.dumps(self.status()["processes"], indent=1), self.log()))

    def connect(self, address=None):
        family = socket.AF_INET if address else socket.AF_UNIX
        s = socket.socket(family)
        s.settimeout(LIMIT_S)
        s.connect(address or self.socket)
        return s

    def say(self, line, address=None):
        s = self.connect(address)
        s.sendall(line.encode() + b"\n")
        return s

    def ask(self, line, address=None):
        with self.say(line, address) as s:
            answer = b""
            while True:
                part = s.recv(4096)
                if not part:
                    return answer.decode()
                answer += part

    def signal(self, signo):
        self.process.send_signal(signo)

    def wait(self):
        return self.process.wait(LIMIT_S)

    def children(self):
        """Of the running master."""
        master = self.pid("master")
        return [p["pid"] for p in self.status()["processes"] if p["pid"] != master]

    def clean(self):
        self.status()
        for pid in self.seen | {self.process.pid if self.process else 0}:
            if pid <= 1:
                continue
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait()
        self.told.close()
        shutil.rmtree(self.dir)


def listening():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(16)
    return s


def activate(s, pid):
    """A command that hands over a socket as systemd does, and becomes what follows it."""
    return [sys.executable, "-c", "import os, sys; os.dup2(%d, 3);"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(%s)); os.execv(sys.argv[1], sys.argv[1:])" % (s.fileno(), pid)]


def word(s):
    """One line of an answer."""
    text = b""
    while not text.endswith(b"\n"):
        part = s.recv(1)
        if not part:
            break
        text += part
    return text.decode().strip()


class Start(unittest.TestCase):
    def test_listens_on_a_unix_socket_with_its_mode(self):
        p = Proxy(self).start("--listen-mode", "0600")
        self.assertEqual(os.stat(p.socket).st_mode & 0o777, 0o600)
        self.assertEqual(len(p.ask("who").split()), 3)

    def test_listens_on_tcp(self):
        p = Proxy(self).start("--listen", "127.0.0.1:0", listen=False)
        port = int(p.log().split("listen='127.0.0.1:")[1].split("'")[0])
        self.assertEqual(len(p.ask("who", ("127.0.0.1", port)).split()), 3)

    def test_takes_the_socket_of_a_service_manager(self):
        p = Proxy(self)
        with listening() as s:
            p.start(listen=False, pass_fds=(s.fileno(),), command=activate(s, "os.getpid()"))
            self.assertEqual(len(p.ask("who", s.getsockname()).split()), 3)

    def test_does_not_take_a_socket_meant_for_another_process(self):
        p = Proxy(self)
        with listening() as s:
            p.start(listen=False, ready=False, pass_fds=(s.fileno(),), command=activate(s, "1"))
            self.assertEqual(p.wait(), 1)
        self.assertIn("no listening socket", p.log())

    def test_takes_a_socket_on_descriptor_0(self):
        p = Proxy(self)
        with listening() as s:
            p.start(listen=False, stdin=s)
            self.assertEqual(len(p.ask("who", s.getsockname()).split()), 3)

    def test_takes_over_the_path_of_a_dead_process(self):
        p = Proxy(self)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(p.socket)
        p.start()
        self.assertEqual(len(p.ask("who").split()), 3)

    def test_refuses_the_path_of_a_running_master(self):
        p, other = Proxy(self).start(), Proxy(self)
        other.socket = p.socket
        other.start(ready=False)
        self.assertEqual(other.wait(), 1)
        self.assertIn("in use by a running process", other.log())
        self.assertEqual(len(p.ask("who").split()), 3)

    def test_a_second_master_in_the_same_folders_leaves_the_names_to_the_first(self):
        p, other = Proxy(self).start(), Proxy(self)
        other.config = p.config
        other.start()
        self.assertIn("another master uses dirs.run", other.log())
        with other.say("who") as s:  # not of p: p.status() does not show its processes
            worker = int(word(s).split()[0])
        self.assertNotIn(worker, p.seen_now())
        other.signal(signal.SIGTERM)
        self.assertEqual(other.wait(), 0)
        self.assertEqual(p.pid("master"), p.process.pid)
        with open(os.path.join(p.run, "eodata-proxy.pid"), encoding="ascii") as f:
            self.assertEqual(int(f.read()), p.process.pid)

    def test_the_socket_belongs_to_the_group_that_is_asked_for(self):
        group = grp.getgrgid(os.getgroups()[-1] if os.getgroups() else os.getgid())
        p = Proxy(self).start("--listen-group", group.gr_name)
        self.assertEqual(os.stat(p.socket).st_gid, group.gr_gid)
        q = Proxy(self).start("--listen-group", "no-such-group", ready=False)
        self.assertEqual(q.wait(), 1)
        self.assertIn("no group 'no-such-group'", q.log())

    def test_refuses_a_path_that_is_not_a_socket(self):
        p = Proxy(self)
        with open(p.socket, "w", encoding="ascii") as f:
            f.write("mine")
        p.start(ready=False)
        self.assertEqual(p.wait(), 1)
        with open(p.socket, encoding="ascii") as f:
            self.assertEqual(f.read(), "mine")

    def test_ends_when_a_role_does_not_start(self):
        for role in ("broker", "worker"):
            with self.subTest(role=role):
                p = Proxy(self)
                os.makedirs(p.spool)
                with open(os.path.join(p.spool, "fail-" + role), "w", encoding="ascii"):
                    pass
                p.start(ready=False)
                self.assertEqual(p.wait(), 1)
                self.assertIn("told to fail", p.log())
                self.assertIn("the %s does not start" % role, p.log())
                self.assertFalse(os.path.exists(p.socket))

    def test_names_every_fault_of_the_configuration(self):
        p = Proxy(self)
        p.configure('{ "pool": { "workers": 0, "moovers": 1 } }')
        p.start(ready=False)
        self.assertEqual(p.wait(), 1)
        self.assertIn("pool.workers", p.log())
        self.assertIn("moovers", p.log())

    def test_refuses_a_spool_on_another_file_system(self):
        p = Proxy(self)
        if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(p.dir).st_dev:
            self.skipTest("no second file system to write to")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
            p.configure(spool=other)
            p.start(ready=False)
            self.assertEqual(p.wait(), 1)
            self.assertEqual(os.listdir(other), [])
        self.assertIn("one file system", p.log())

    def test_children_get_nothing_but_what_is_theirs(self):
        p = Proxy(self).start(env={"http_proxy": "http://127.0.0.1:1", "LD_LIBRARY_PATH": "/nowhere", "TZ": "UTC"})
        lines = p.ask("env").split("\n")
        self.assertIn("TZ=UTC", lines)
        for line in lines:
            self.assertFalse(line.startswith(("http_proxy", "LD_", "NOTIFY_", "HOME", "PATH")), line)
        # control, scoreboard, listen, account, one mover
        self.assertEqual({line for line in lines if line.startswith("fd ")},
                         {"fd %d" % n for n in (0, 1, 2, 3, 5, 6, 9, 16)})
        self.assertIn("no_new_privs 1", lines)
        if "ASAN_OPTIONS" not in os.environ:
            self.assertIn("dumpable 0", lines)


class Death(unittest.TestCase):
    def test_each_role_is_replaced(self):
        p = Proxy(self, movers=2).start()
        for role in ("accountant", "broker", "mover", "worker"):
            with self.subTest(role=role):
                before = p.pids(role)
                os.kill(before[0], signal.SIGKILL)
                p.until(lambda role=role, before=before: before[0] not in p.pids(role) and len(p.pids(role)) == len(before),
                        "a new " + role)
                p.until(lambda: p.status()["ready"], "ready again")
                self.assertEqual(len(p.ask("who").split()), 3)

    def test_what_is_queued_for_a_mover_reaches_the_next_one(self):
        p = Proxy(self).start()
        mover = p.pid("mover")
        os.kill(mover, signal.SIGSTOP)
        with p.say("move") as client:
            worker = p.until(lambda: [s for s in p.status()["processes"] if s["role"] == "worker" and s["jobs"] == 1], "handed over")
            self.assertEqual(len(worker), 1)
            os.kill(mover, signal.SIGKILL)
            name, pid = word(client).split()
            self.assertEqual(name, "moved")
            self.assertNotEqual(int(pid), mover)

    def test_a_child_that_dies_at_once_is_throttled(self):
        p = Proxy(self).start()
        with open(os.path.join(p.spool, "fail-broker"), "w", encoding="ascii"):
            pass
        os.kill(p.pid("broker"), signal.SIGKILL)
        p.until(lambda: p.log().count("died role=broker") >= 4, "four deaths")
        waits = [int(line.split("restart_in_ms=")[1]) for line in p.log().split("\n") if "died role=broker" in line]
        self.assertEqual(waits[:4], [100, 200, 400, 800])
        self.assertFalse(p.status()["ready"])
        os.unlink(os.path.join(p.spool, "fail-broker"))
        p.until(lambda: p.status()["ready"], "ready again")

    def test_every_child_ends_when_the_master_is_killed(self):
        p = Proxy(self).start()
        with p.say("move") as client:
            self.assertTrue(word(client).startswith("moved"))
            children = p.children()
            self.assertEqual(len(children), 5)
            p.signal(signal.SIGKILL)
            self.assertEqual(word(client), "cut")
            self.assertEqual(ended(children), set())

    def test_a_killed_master_can_be_started_again_at_once(self):
        p = Proxy(self).start()
        children = p.children()
        p.signal(signal.SIGKILL)
        p.process.wait()
        p.start()
        self.assertEqual(ended(children), set())
        self.assertEqual(len(p.ask("who").split()), 3)
        self.assertEqual(p.pid("master"), p.process.pid)

    def test_a_worker_past_its_deadline_is_replaced(self):
        p = Proxy(self).start()
        with p.say("late") as client:
            self.assertEqual(client.recv(1), b"")
        self.assertIn("reason=deadline note=a\\x20late\\x20one", p.log())
        p.until(lambda: len(p.pids("worker")) == 2, "a new worker")

    def test_a_stopped_child_is_found(self):
        p = Proxy(self).start()
        stopped = [p.pid(role) for role in ("worker", "mover", "broker", "accountant")]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        self.assertEqual(ended(stopped), set())
        p.until(lambda: p.status()["ready"] and len(p.pids("worker")) == 2, "new ones")
        self.assertEqual(p.log().count("reason=heartbeat"), 4)

    def test_a_master_that_was_stopped_itself_kills_nobody(self):
        p = Proxy(self).start()
        children = p.children()
        for pid in children + [p.process.pid]:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(11)  # the time itself is what is tested
        for pid in [p.process.pid] + children:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(len(p.ask("who").split()), 3)
        time.sleep(1.5)  # a turn of the watch
        self.assertEqual(sorted(p.children()), sorted(children))


class Reload(unittest.TestCase):
    def test_replaces_the_workers_and_tells_the_others(self):
        p = Proxy(self).start()
        before = p.status()
        workers = p.pids("worker")
        with p.say("hold") as client:
            self.assertEqual(word(client), "held")
            p.signal(signal.SIGHUP)
            self.assertIn("MONOTONIC_USEC=", p.wait_told("RELOADING=1"))
            p.wait_told("READY=1")
            # an old worker may take one more before it reads that it is to end
            p.until(lambda: {p.ask("who").split()[1] for _ in range(20)} == {"2"}, "the new workers alone")
            client.sendall(b"x")
            self.assertEqual(word(client), "done")  # the old worker's request was not cut
        p.until(lambda: not set(workers) & {s["pid"] for s in p.status()["processes"]}, "the old ones ended")
        p.until(lambda: {s["generation"] for s in p.status()["processes"]} == {2}, "all have it")
        same = [s["pid"] for s in before["processes"] if s["role"] not in ("worker",)]
        self.assertEqual([s["pid"] for s in p.status()["processes"] if s["role"] != "worker"], same)
        self.assertEqual(p.status()["counters"]["restarts_total"], 0)

    def test_h7_a_broken_file_changes_nothing(self):
        p = Proxy(self).start()
        before = p.status()["processes"]
        p.configure('{ "pool": { "workers": "many" } }')
        out = subprocess.run([CTL, "--run", p.run, "reload"], stderr=subprocess.PIPE, check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn(b"refused", out.stderr)
        self.assertIn("pool.workers", p.log())
        self.assertEqual([s["pid"] for s in p.status()["processes"]], [s["pid"] for s in before])
        self.assertEqual(p.ask("who").split()[1], "1")
        p.configure()
        self.assertEqual(subprocess.run([CTL, "--run", p.run, "reload"], stdout=subprocess.DEVNULL, check=False).returncode, 0)

    def test_the_number_of_workers_follows(self):
        p = Proxy(self).start()
        for n in (5, 1):
            p.configure(workers=n)
            p.signal(signal.SIGHUP)
            p.until(lambda n=n: len([s for s in p.status()["processes"] if s["role"] == "worker"]) == n, "%d workers" % n)

    def test_what_cannot_change_stays(self):
        p = Proxy(self).start()
        p.configure(movers=3, spool=os.path.join(p.dir, "cache", "other"))
        p.signal(signal.SIGHUP)
        p.wait_told("RELOADING=1")
        p.wait_told("READY=1")
        self.assertIn("until the next start these stay: dirs.spool, pool.movers", p.log())
        # a fake role looks there when it starts
        with open(os.path.join(p.spool, "fail-worker"), "w", encoding="ascii"):
            pass
        # an old one that dies has no successor
        p.until(lambda: {s["generation"] for s in p.status()["processes"] if s["role"] == "worker"} == {2}, "the old ones ended")
        os.kill(p.pid("worker"), signal.SIGKILL)
        p.until(lambda: "told to fail by '%s/fail-worker'" % p.spool in p.log(), "it has the old spool")
        os.unlink(os.path.join(p.spool, "fail-worker"))
        with p.say("move") as client:
            self.assertTrue(word(client).startswith("moved"))

    def test_f8_many_at_once_end_in_the_last_one(self):
        p = Proxy(self).start()
        for n in (3, 4, 5, 6):
            p.configure(workers=n)
            p.signal(signal.SIGHUP)
        p.until(lambda: len([s for s in p.status()["processes"] if s["role"] == "worker"]) == 6, "six workers")
        # an old worker may take one more before it hears that it is to drain
        p.until(lambda: p.ask("who").split()[1] == str(p.status()["generation"]), "a worker of the last one")

    def test_f8_however_many_come_during_one_they_are_one_more(self):
        p = Proxy(self).start()
        release = p.tell_role("hang", "worker")  # the first one waits for its new workers
        p.signal(signal.SIGHUP)
        p.until(lambda: "reloading generation=2" in p.log(), "it begins")
        p.configure(workers=3)
        for _ in range(50):
            p.signal(signal.SIGHUP)
            p.status()  # so that each is a signal of its own
        release()
        for pid in [s["pid"] for s in p.status()["processes"] if s["state"] == "starting"]:
            os.kill(pid, signal.SIGKILL)  # those that hang
        p.until(lambda: p.status().get("generation") == 3, "one more")
        p.until(lambda: len(p.pids("worker")) == 3 and len(p.seen_now()) == 7, "it is the last one's")
        self.assertEqual(p.log().count("reloading generation="), 2)

    def test_ctl_waits_for_its_own_and_not_for_one_that_is_under_way(self):
        p = Proxy(self).start()
        release = p.tell_role("hang", "worker")
        p.signal(signal.SIGHUP)
        p.until(lambda: "reloading generation=2" in p.log(), "one is under way")
        with subprocess.Popen([CTL, "--run", p.run, "reload"], stdout=subprocess.PIPE) as ctl:
            p.until(lambda: "ctl" in open("/proc/%d/comm" % ctl.pid, encoding="ascii").read(), "it runs")
            release()
            for pid in [s["pid"] for s in p.status()["processes"] if s["state"] == "starting"]:
                os.kill(pid, signal.SIGKILL)  # those that hang
            self.assertEqual(ctl.communicate(timeout=LIMIT_S)[0], b"configuration 3 is in force\n")

    def test_many_in_a_row_end_in_the_last_one(self):
        p = Proxy(self).start()
        for _ in range(5):
            generation = p.status()["generation"]
            p.signal(signal.SIGHUP)
            p.until(lambda generation=generation: p.status()["generation"] > generation, "taken")
        p.until(lambda: len([s for s in p.status()["processes"] if s["role"] == "worker"]) == 2, "two workers")
        # an old worker may take one more before it hears that it is to drain
        p.until(lambda: p.ask("who").split()[1] == str(p.status()["generation"]), "a worker of the last one")


class Upgrade(unittest.TestCase):
    def test_the_new_one_takes_over_without_a_refused_connection(self):
        p = Proxy(self).start()
        with p.say("move") as moved, p.say("hold") as held:
            self.assertTrue(word(moved).startswith("moved"))
            self.assertEqual(word(held), "held")
            p.signal(signal.SIGUSR2)
            successor = int(p.wait_told("READY=1") and p.until(lambda: p.pids("master"), "a console")[0])
            self.assertNotEqual(successor, p.process.pid)
            text = p.wait_told("MAINPID=%d" % successor)
            self.assertNotIn("STOPPING", text)
            held.sendall(b"x")
            self.assertEqual(word(held), "done")
            for _ in range(20):
                p.ask("who")
            self.assertIsNone(p.process.poll())  # it waits for its transfer
        self.assertEqual(p.wait(), 0)
        self.assertEqual(len(p.ask("who").split()), 3)
        with open(os.path.join(p.run, "eodata-proxy.pid"), encoding="ascii") as f:
            self.assertEqual(int(f.read()), successor)
        os.kill(successor, signal.SIGTERM)
        self.assertEqual(ended([successor]), set())
        self.assertFalse(os.path.exists(p.socket))

    def test_a_replaced_program_starts_itself_until_it_is_upgraded(self):
        p = Proxy(self)
        p.own_program()
        p.start()
        for name in PROGRAMS:  # the new one is a script that says so
            p.replace_program(b'#!/bin/sh\necho "the new one was started" >&2\nexec \'%s\' "$@"\n' %
                              os.path.join(BUILD, "tests", "fake", name).encode(), name=name)
        for role in ("worker", "broker"):
            before = p.pid(role)
            os.kill(before, signal.SIGKILL)
            p.until(lambda before=before: p.status()["ready"] and before not in p.seen_now(), "replaced")
        self.assertNotIn("the new one", p.log())
        p.signal(signal.SIGUSR2)
        self.assertEqual(p.wait(), 0)
        self.assertIn("the new one was started", p.log())
        self.assertEqual(len(p.ask("who").split()), 3)

    def test_a_new_one_that_still_starts_ends_with_the_old_one(self):
        p = Proxy(self).start()
        p.tell_role("hang", "broker")  # so that it is not ready before it is told to end
        p.signal(signal.SIGUSR2)
        p.until(lambda: "upgrading successor=" in p.log(), "it begins")
        successor = int(p.log().split("upgrading successor=")[1].split()[0])
        p.seen.add(successor)
        p.signal(signal.SIGTERM)
        self.assertEqual(p.wait(), 0)
        self.assertEqual(ended([successor]), set())
        self.assertFalse(os.path.exists(p.socket))

    def test_a_new_one_that_fails_leaves_the_old_one_serving(self):
        p = Proxy(self).start()
        p.configure("{")
        p.signal(signal.SIGUSR2)
        p.until(lambda: "ended before it was ready" in p.log(), "the failure is logged")
        self.assertEqual(len(p.ask("who").split()), 3)
        p.configure()
        p.tell_role("fail", "mover")
        p.signal(signal.SIGUSR2)
        p.until(lambda: p.log().count("ended before it was ready") == 2, "the failure is logged")
        self.assertEqual(len(p.ask("who").split()), 3)
        self.assertEqual(p.pid("master"), p.process.pid)

    def test_a_broken_new_program_leaves_the_old_one_serving(self):
        p = Proxy(self)
        p.own_program()
        p.start()
        p.configure(start="1s")
        p.signal(signal.SIGHUP)
        p.until(lambda: {s["generation"] for s in p.status()["processes"]} == {2}, "all have it")
        workers = p.pids("worker")
        for what, text, mode, how in (
                ("not executable", b"#!/bin/sh\n", 0o644, "(exit 127)"),
                ("no program", b"\x7fELF, but no more", 0o755, "(exit 127)"),
                ("ends at once", b"#!/bin/sh\nexit 0\n", 0o755, "(exit 0)"),
                ("crashes at once", b"#!/bin/sh\nkill -SEGV $$\n", 0o755, "(signal 11)"),
                ("hangs", b"#!/bin/sh\nexec sleep 1000\n", 0o755, "(signal 9)")):
            with self.subTest(what):
                before = len(p.log())
                p.replace_program(text, mode)
                p.signal(signal.SIGUSR2)
                p.until(lambda b=before, h=how: "ended before it was ready " + h in p.log()[b:], "how it failed is told")
                self.assertEqual(p.pid("master"), p.process.pid)
                self.assertEqual(p.pids("worker"), workers)
                self.assertEqual(len(p.ask("who").split()), 3)
        with self.subTest("a role of it hangs"):
            with open(PROGRAM, "rb") as f:
                p.replace_program(f.read())
            release = p.tell_role("hang", "mover")
            p.signal(signal.SIGUSR2)
            p.until(lambda: "the mover was not ready within 1000 ms" in p.log(), "its role is named")
            p.until(lambda: "ended before it was ready (exit 1)" in p.log(), "it gave up")
            self.assertEqual(p.pids("worker"), workers)
            release()
        p.configure()  # a slow machine may need longer
        p.signal(signal.SIGUSR2)
        self.assertEqual(p.wait(), 0)  # a good one is taken all the same
        self.assertEqual(len(p.ask("who").split()), 3)

    def test_what_runs_after_an_upgrade_has_more_time_than_at_the_end_until_a_sigterm(self):
        p = Proxy(self, drain="20s").start()
        with p.say("move") as moved:
            self.assertTrue(word(moved).startswith("moved"))
            p.signal(signal.SIGUSR2)
            p.until(lambda: p.pids("master") not in ([], [p.process.pid]), "the new one's console")
            p.until(lambda: "ended role=worker" in p.log(), "the old one takes no more")
            self.assertNotIn("reason='SIGTERM'", p.log())
            p.signal(signal.SIGTERM)
            p.until(lambda: "ending reason='SIGTERM'" in p.log(), "it hears that")
            p.signal(signal.SIGTERM)
            self.assertEqual(word(moved), "cut")
        self.assertEqual(p.wait(), 0)
        self.assertEqual(len(p.ask("who").split()), 3)

    def test_one_that_is_asked_for_during_a_reload_follows_it(self):
        p = Proxy(self).start()
        release = p.tell_role("hang", "worker")  # the reload waits for its new workers
        p.signal(signal.SIGHUP)
        p.until(lambda: "reloading generation=2" in p.log(), "it begins")
        p.signal(signal.SIGUSR2)
        release()
        for pid in [s["pid"] for s in p.status()["processes"] if s["state"] == "starting"]:
            os.kill(pid, signal.SIGKILL)  # those that hang
        self.assertEqual(p.wait(), 0)
        self.assertLess(p.log().index("reloaded generation=2"), p.log().index("upgrading successor="))
        self.assertEqual(len(p.ask("who").split()), 3)


class Stop(unittest.TestCase):
    def test_sigterm_waits_for_running_transfers(self):
        p = Proxy(self).start()
        with p.say("move") as moved, p.say("hold") as held:
            self.assertTrue(word(moved).startswith("moved"))
            self.assertEqual(word(held), "held")
            children = p.children()
            p.signal(signal.SIGTERM)
            p.wait_told("STOPPING=1")
            self.assertFalse(os.path.exists(p.socket))
            held.sendall(b"x")
            self.assertEqual(word(held), "done")
            workers = p.until(lambda: not p.pids("worker"), "no worker")
            self.assertTrue(workers)
            self.assertIsNone(p.process.poll())
        self.assertEqual(p.wait(), 0)
        self.assertEqual(ended(children), set())
        self.assertEqual(sorted(os.listdir(p.run)), ["slots"])
        order = [line.split("role=")[1].split()[0] for line in p.log().split("\n") if " ended role=" in line]
        self.assertEqual(order, ["worker", "worker", "mover", "broker", "accountant"])

    def test_a_transfer_that_does_not_end_meets_the_limit(self):
        p = Proxy(self, drain="0s").start()
        with p.say("move") as moved:
            self.assertTrue(word(moved).startswith("moved"))
            p.signal(signal.SIGTERM)
            self.assertEqual(p.wait(), 0)
        self.assertIn("reason=drain-limit", p.log())

    def test_a_second_sigterm_ends_at_once_and_visibly(self):
        p = Proxy(self).start()
        with p.say("move") as moved:
            self.assertTrue(word(moved).startswith("moved"))
            children = p.children()
            p.signal(signal.SIGTERM)
            p.wait_told("STOPPING=1")
            p.signal(signal.SIGTERM)
            self.assertEqual(word(moved), "cut")
        self.assertEqual(p.wait(), 0)
        self.assertEqual(ended(children), set())

    def test_ctl_stops_and_waits(self):
        p = Proxy(self).start()
        self.assertEqual(subprocess.run([CTL, "--config", p.config, "stop"], check=False).returncode, 0)
        self.assertEqual(p.wait(), 0)
        out = subprocess.run([CTL, "--config", p.config, "status"], stderr=subprocess.PIPE, check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn(b"no eodata-proxy is running", out.stderr)


class Usage(unittest.TestCase):
    def test_wrong_use_is_one_line_and_exit_2(self):
        for program, args in ((PROGRAM, ["--frobnicate"]), (PROGRAM, ["x"]), (PROGRAM, ["--listen"]),
                              (PROGRAM, ["--listen", "nowhere"]), (PROGRAM, ["--listen", "::1:80"]),
                              (PROGRAM, ["--listen-mode", "9"]), (CTL, []), (CTL, ["dance"]), (CTL, ["status", "stop"])):
            with self.subTest(program=program, args=args):
                out = subprocess.run([program] + args, stderr=subprocess.PIPE, stdout=subprocess.PIPE, check=False)
                self.assertEqual(out.returncode, 2)
                self.assertEqual(out.stderr.count(b"\n"), 1)

    def test_check_config(self):
        p = Proxy(self)
        out = subprocess.run([PROGRAM, "--config", p.config, "--check-config"], stdout=subprocess.PIPE, check=False)
        self.assertEqual((out.returncode, out.stdout), (0, b"configuration OK\n"))
        p.configure('{ "pool": { "workers": 0 }, "dirs": { "runn": "/x" } }')
        out = subprocess.run([PROGRAM, "--config", p.config, "--check-config"], stderr=subprocess.PIPE, check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn(b"pool.workers", out.stderr)
        self.assertIn(b"dirs.runn", out.stderr)

    def test_a_child_cannot_be_started_by_hand(self):
        for args in (["--role", "worker"], ["--role", "worker", "--slot", "1", "--index", "0"],
                     ["--role", "king", "--slot", "1", "--index", "0"], ["--role", "worker", "--slot", "9999", "--index", "0"]):
            out = subprocess.run([PROGRAM] + args, stderr=subprocess.PIPE, check=False)
            self.assertEqual(out.returncode, 1)


def setUpModule():
    if not os.path.exists(PROGRAM):
        raise unittest.SkipTest("no tests/fake/eodata-proxy-fake in '%s': make" % BUILD)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv)
