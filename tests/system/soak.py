# SPDX-License-Identifier: Apache-2.0
"""
Requests of every kind over the same assets, again and again, each answer looked
at; and what the processes hold meanwhile: descriptors, children, memory.  For
test_growth.py and for scripts/bench soak.
"""

import collections
import http.client
import os
import re
import threading
import time

from conftest import Answer, to_base64, wait_until

SMALL, LARGE = 20000, 1 << 20
CLIENTS = 4
EACH_COLD = 6           # assets of one client that are made cold again and again
# Of fifty requests: most are hits, as in life.
MIX = ["hit"] * 25 + ["range"] * 7 + ["head"] * 3 + ["unchanged"] * 3 + ["cold"] * 4 + ["coldrange"] * 2 + \
    ["missing", "broken", "denied", "beyond", "aborted", "aborted"]
BACKENDS = ("loop_open", "loop_header", "loop_token")
KEPT_CONNECTIONS = 32   # of the mover, to providers: four slots each, the catalogue, and old ones
SETTLE_S = 30
LOOK_S = 0.5            # a process looks at its memory with a heartbeat, this often at most


class Client:
    """Asks over a kept connection.  The cold assets are its own, so nobody else makes them cold under it."""

    def __init__(self, soak, number):
        self.soak, self.stack, self.turn = soak, soak.stack, number * 13
        self.cold = [self.stack.add(os.urandom(SMALL), backend=BACKENDS[i % 3]) for i in range(EACH_COLD)]
        self.large = self.stack.add(os.urandom(LARGE), backend="loop_open")
        self.connection = self.problem = None

    def ask(self, method, path, headers=None, user=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.stack.host, self.stack.port, timeout=60)
        self.connection.request(method, path, headers={"Authorization": "Basic " + to_base64(user or self.stack.user), **(headers or {})})
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())

    def want(self, answer, status, body=None):
        if answer.status != status or (body is not None and answer.body != body):
            raise AssertionError("wanted %d: %s" % (status, answer))

    def make_cold(self, asset):
        for end in ("data", "meta"):
            try:
                os.unlink(os.path.join(self.stack.cache_dir, "30d", *asset.path.split("/")[2:]) + "@" + end)
            except FileNotFoundError:
                pass            # it is not stored yet, or was not
        return asset

    def next_cold(self):
        return self.make_cold(self.cold[self.turn // len(MIX) % EACH_COLD])

    def next_hit(self):
        return self.soak.hits[self.turn % len(self.soak.hits)]

    def do_hit(self):
        hit = self.next_hit()
        self.want(self.ask("GET", hit.path), 200, hit.data)

    def do_range(self):
        hit = self.next_hit()
        self.want(self.ask("GET", hit.path, {"Range": "bytes=100-1099"}), 206, hit.data[100:1100])

    def do_head(self):
        self.want(self.ask("HEAD", self.next_hit().path), 200, b"")

    def do_unchanged(self):
        self.want(self.ask("GET", self.soak.hits[0].path, {"If-None-Match": self.soak.tag}), 304)

    def do_cold(self):
        asset = self.next_cold()
        self.want(self.ask("GET", asset.path), 200, asset.data)

    def do_coldrange(self):
        asset = self.next_cold()
        self.want(self.ask("GET", asset.path, {"Range": "bytes=5000-9999"}), 206, asset.data[5000:10000])

    def do_missing(self):
        self.want(self.ask("GET", self.soak.missing), 404)

    def do_broken(self):
        self.want(self.ask("GET", self.soak.broken.path), 502)

    def do_denied(self):
        self.want(self.ask("GET", self.next_hit().path, user="bob:bob"), 403)

    def do_beyond(self):
        self.want(self.ask("GET", self.next_hit().path, {"Range": "bytes=%d-" % SMALL}), 416)

    def do_aborted(self):
        """The client leaves in the middle of a cold body."""
        connection = http.client.HTTPConnection(self.stack.host, self.stack.port, timeout=60)
        connection.request("GET", self.make_cold(self.large).path, headers={"Authorization": "Basic " + to_base64(self.stack.user)})
        answer = connection.getresponse()
        if answer.status != 200 or answer.read(1) != self.large.data[:1]:
            raise AssertionError("a large body does not begin: %d" % answer.status)
        connection.close()

    def run(self):
        what = "nothing"
        try:
            while self.soak.take():
                what = MIX[self.turn % len(MIX)]
                getattr(self, "do_" + what)()
                self.turn += 1
        except (OSError, http.client.HTTPException, AssertionError) as e:
            self.problem = "%s: %s: %s" % (what, type(e).__name__, e)
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Soak:
    def __init__(self, stack):
        self.stack, self.lock, self.left = stack, threading.Lock(), 0
        self.hits = [stack.add(os.urandom(SMALL), backend=BACKENDS[i % 3]).warm() for i in range(8)]
        self.tag = stack.request("HEAD", self.hits[0].path).headers["etag"]
        self.missing = self.hits[0].path.rsplit("/", 1)[0] + "/nothing"
        self.broken = stack.add(b"x", backend="loop_open", case="status-500")
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def peak(self):
        """More large bodies at once than run() ever asks for: what allocators keep of such a moment is there from now on."""
        clients = self.clients + [Client(self, CLIENTS + i) for i in range(3 * CLIENTS)]
        for _ in range(3):
            threads = [threading.Thread(target=client.do_aborted, daemon=True) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def run(self, n, reloads=0):
        """So many requests, and reloads meanwhile.  Fails at the first answer that is not the right one."""
        self.left = n
        threads = [threading.Thread(target=client.run, daemon=True) for client in self.clients]
        for thread in threads:
            thread.start()
        for i in range(1, reloads + 1):
            wait_until(lambda at=n - i * n // (reloads + 1): self.left <= at or any(client.problem for client in self.clients),
                       "requests before a reload", 3600)
            self.stack.reload(lambda config: None)
        for thread in threads:
            thread.join()
        problems = [client.problem for client in self.clients if client.problem is not None]
        assert not problems, problems


# -- what they hold


def memory_kib(pid):
    """
    Its memory that is no file's, also what it shares with those it has forked or
    comes from: a share of that would grow when one of the others writes to a page.
    """
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"^RssAnon:\s*(\d+) kB", f.read(), re.M)[1])


def tcp_sockets(pid):
    """Inodes of the TCP sockets that it can see."""
    with open("/proc/%d/net/tcp" % pid) as f:
        return {line.split()[9] for line in f.readlines()[1:]}


def descriptors(pid):
    """{kind: how many}: socket, tcp, pipe, memfd, anon_inode:[eventpoll], file."""
    kinds, tcp = collections.Counter(), tcp_sockets(pid)
    folder = "/proc/%d/fd" % pid
    for name in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, name))
        except FileNotFoundError:
            continue            # closed meanwhile
        if target.startswith("anon_inode:"):
            kinds[target] += 1
        elif target.startswith("/memfd:"):
            kinds["memfd"] += 1
        elif target.startswith("socket:") and target[8:-1] in tcp:
            kinds["tcp"] += 1
        else:
            kinds["file" if target.startswith("/") else target.partition(":")[0]] += 1
    return kinds


class Held:
    """
    What the processes of a stack hold now: the most descriptors of one of a role (a worker connects to memcached
    when it is first asked for something), all else summed over them.
    """

    def __init__(self, stack):
        self.descriptors = collections.Counter()        # (role, kind); empty where only root may look
        self.processes, self.memory_kib, self.heap_bytes = collections.Counter(), collections.Counter(), collections.Counter()
        for process in stack.status()["processes"]:
            role, pid = process["role"], process["pid"]
            if process["state"] not in ("ready", "busy"):
                continue
            self.processes[role] += 1
            self.memory_kib[role] += memory_kib(pid)
            self.heap_bytes[role] += process["heap_bytes"]
            if os.geteuid() == 0:
                for kind, n in descriptors(pid).items():
                    self.descriptors[role, kind] = max(self.descriptors[role, kind], n)

    def more_than(self, before):
        """{what: by how much} where there are more processes or descriptors than then."""
        more = dict(self.processes - before.processes)
        more.update(self.descriptors - before.descriptors)
        # what is kept for the next request to a provider comes and goes, within a bound
        more.pop(("mover", "tcp"), None)
        if self.descriptors["mover", "tcp"] > KEPT_CONNECTIONS:
            more["mover", "tcp"] = self.descriptors["mover", "tcp"]
        return more

    def grown_kib(self, before):
        """{role: by how much}: what is allocated, exactly; of Python what is in memory, and that in pages."""
        return {role: self.memory_kib[role] - before.memory_kib[role] if role in ("broker", "resolver")
                else (self.heap_bytes[role] - before.heap_bytes[role]) // 1024 for role in before.processes}


def settled(stack, before=None):
    """
    What they hold when the last clients and the old workers have gone.  before:
    and when it is no more than then, if that comes about.
    """
    def is_quiet():
        status = stack.status()
        return status["gauges"]["clients"] == 0 and status["gauges"]["transfers"] == 0 and \
            len([p for p in status["processes"] if p["role"] == "worker"]) == stack.config()["pool"]["workers"]
    wait_until(is_quiet, "quiet", SETTLE_S)
    quiet = time.monotonic()

    def has_looked():
        """Each has, since then: asked before its beat's age was taken."""
        asked = time.monotonic()
        return all(asked - p["heartbeat_age_ms"] / 1000 > quiet + LOOK_S
                   for p in stack.status()["processes"] if p["state"] in ("ready", "busy"))
    wait_until(has_looked, "what each has is known", SETTLE_S)
    end = time.monotonic() + SETTLE_S
    while True:
        now = Held(stack)
        if before is None or not now.more_than(before) or time.monotonic() > end:
            return now
        time.sleep(0.1)
