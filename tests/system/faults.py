# SPDX-License-Identifier: Apache-2.0
"""
Deaths under the load of tests/system/load.py: a victim that is killed at a random
instant, and what must hold afterwards.

    Killer    the victims: who they are, their end, and what a site's supervisor
              starts again (memcached, the front, the master, the gateway to a bucket)
    Books     the ledger and the counters of one user, compared
    Storm     kills one after the other, and judges

test_kills.py makes a few kills of it, "scripts/bench kills" hundreds.
"""

import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.parse

from conftest import PREFIX, is_alive, wait_until
from load import CLIENTS, SILENCE_S, Load
from stores import META

KINDS = ("requests", "misses", "bytes", "upstream_bytes")
SET = "books"
ROLES = ("worker", "mover", "broker", "accountant")
SUPERVISED = {"memcached": "memcached", "nginx": "nginx", "master": "eodata-proxy"}    # who is started again by the site
VICTIMS = ROLES + ("resolver", "nginx-worker") + tuple(SUPERVISED)
BUCKET_VICTIMS = VICTIMS + ("radosgw", "mover")     # over a bucket: movers are in the middle of uploads
CONFIG = {
    "pool": {"workers": 4, "movers": 2, "drain": "5s"},
    "backends": {"*": {"slots": 32}},
    # on a busy machine memcached must not seem away when it is not: the counters are compared
    "memcached_timeout": "2s",
    "quotas": {SET: {"requests": ["1000000000 per month"], "misses": ["1000000000 per month"],
                     "bytes": ["1000 TB per month"], "upstream_bytes": ["1000 TB per month"]}},
    "rules": [{"name": "all", "who": "authenticated", "allow": True, "quotas": [SET]}],
}


def is_sanitized():
    """Such a build is several times slower."""
    with open(os.path.join(PREFIX, "sbin", "eodata-proxy"), "rb") as f:
        return b"__asan_init" in f.read()


def settle(look, what, seconds=10):
    """Until look() finds nothing wrong any more."""
    end = time.monotonic() + seconds
    found = look()
    while found and time.monotonic() < end:
        time.sleep(0.05)
        found = look()
    assert not found, "not within %d s: %s, but %s" % (seconds, what, "\n".join(str(one) for one in found[:10]))


# Until all is well again: what is promised is 2 s on a machine that has them.
WHOLE_S = 60 if is_sanitized() else 20


# -- victims --------------------------------------------------------------------------


def strike(stack, pid, signo):
    """Only what this stack has started: a pid may be somebody else's by now."""
    fd = os.pidfd_open(pid)
    try:
        assert os.getsid(pid) in [stack.process(name) for name in SUPERVISED.values()], "%d is not of this stack" % pid
        signal.pidfd_send_signal(fd, signo)
    finally:
        os.close(fd)


def owner(asset, movers):
    """Which mover an asset belongs to: handover_owner of lib/ipc/handover.c."""
    value = 0xcbf29ce484222325
    for part in asset.path.split("/")[2:6]:
        for byte in urllib.parse.unquote(part).encode() + b"\0":
            value = (value ^ byte) * 0x100000001b3 % (1 << 64)
    return (value ^ value >> 32) % movers


@dataclasses.dataclass
class Kill:
    victim: str
    index: int = 0          # of a mover
    backend: str = ""       # of a resolver
    pids: tuple = ()
    at: float = 0
    back: float = 0         # when it was dead, which takes a large process a while, and its supervisor starts it again
    whole: float = 0

    def __str__(self):
        return "%s%s pids %s" % (self.victim, " of " + self.backend if self.backend else "", list(self.pids))

    def may_fail(self, o):
        """Did this request touch the victim?"""
        if not (o.begun < self.back + 0.05 and o.ended > self.at):
            # only where nobody listens may later ones fail too
            return self.victim in ("nginx", "master") and o.begun <= self.whole and o.ended > self.at
        if self.victim in ("nginx", "nginx-worker", "master", "radosgw"):      # it may have sent a hit
            return True
        if self.victim == "worker":     # until it has answered or handed over
            return o.headed == 0 or o.headed > self.at
        if self.victim == "mover":
            return owner(o.asset, 2) == self.index
        if self.victim == "resolver":
            return o.asset.path.split("/")[2] == self.backend
        return False                    # broker, accountant, memcached hold nobody's request




class Killer:
    def __init__(self, stack, rng):
        self.stack, self.rng = stack, rng
        self.counts = {role: len(stack.pids(role)) for role in ROLES}
        self.nginx_workers = len(self.of_nginx())
        self.started = []
        with open(os.path.join(stack.dir, "htpasswd"), "a", encoding="ascii") as f:
            f.write("probe:{PLAIN}probe\n")

    def session(self, leader):
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.getsid(int(name)) == leader and is_alive(int(name)):
                    found.append(int(name))
            except ProcessLookupError:
                pass
        return found

    def of_nginx(self):
        """Its workers."""
        return [pid for pid in self.session(self.stack.process("nginx")) if pid != self.stack.process("nginx")]

    def resolvers(self):
        """[(pid, backend)]"""
        return [(p["pid"], p["note"]) for p in self.stack.status()["processes"] if p["role"] == "resolver" and p["pid"] > 0 and p.get("note")]

    def choose(self, victim):
        if victim in ROLES:
            pids = self.stack.pids(victim)
            index = self.rng.randrange(len(pids))
            return Kill(victim, index, pids=(pids[index],))
        if victim == "radosgw":
            return Kill(victim, pids=(self.stack.store.engine.pids()["radosgw"],))
        if victim == "resolver":
            resolvers = wait_until(self.resolvers, "a resolver to kill")
            pid, backend = self.rng.choice(resolvers)
            return Kill(victim, backend=backend, pids=(pid,))
        if victim == "nginx-worker":
            return Kill(victim, pids=(self.rng.choice(self.of_nginx()),))
        leader = self.stack.process(SUPERVISED[victim])
        return Kill(victim, pids=(leader, *self.of_nginx()) if victim == "nginx" else (leader,))

    def strike(self, kill):
        if kill.victim == "radosgw":
            kill.at = time.monotonic()
            self.stack.store.engine.kill("radosgw")
            kill.back = time.monotonic()
            return
        kind = SUPERVISED.get(kill.victim)
        again = self.remember(kind) if kind else None
        kill.at = time.monotonic()
        for pid in kill.pids:
            strike(self.stack, pid, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in kill.pids), "they are dead")
        kill.back = time.monotonic()
        if kind is not None:
            self.start(kind, *again)

    # -- what a site's supervisor does

    def remember(self, name):
        pid = self.stack.process(name)
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            command = [os.fsdecode(word) for word in f.read().split(b"\0")[:-1]]
        with open("/proc/%d/environ" % pid, "rb") as f:
            environ = dict(os.fsdecode(word).split("=", 1) for word in f.read().split(b"\0") if b"=" in word)
        log = os.readlink("/proc/%d/fd/2" % pid)
        if name == "nginx":     # it writes what it is over both of them
            command = [os.readlink("/proc/%d/exe" % pid), "-c", os.path.join(self.stack.dir, "nginx.conf"), "-e", log]
            environ = dict(os.environ)
        return command, environ, log

    def start(self, name, command, environ, log):
        out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env=environ, start_new_session=True)
        os.close(out)
        self.started.append(process)
        path = os.path.join(self.stack.dir, "stack.pids")
        with open(path, encoding="utf-8") as f:
            saved = json.load(f)
        with open("/proc/%d/stat" % process.pid, encoding="ascii") as f:
            since = f.read().rsplit(")", 1)[1].split()[19]
        saved["processes"] = [[n, process.pid, since] if n == name else [n, p, s] for n, p, s in saved["processes"]]
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump(saved, f)
        os.rename(path + ".new", path)      # so that "stack down" ends it
        if name == "eodata-proxy":
            self.stack.env["MASTER_PID"] = str(process.pid)

    # -- is all well again?

    def replaced(self, kill):
        try:
            status = self.stack.status()
        except AssertionError:
            return False
        up = {role: [p["pid"] for p in status["processes"] if p["role"] == role and p["state"] in ("ready", "busy")] for role in ROLES}
        if kill.victim == "radosgw" and status["gauges"]["store_away"] > 0:
            return False
        if kill.victim == "nginx-worker" and len(self.of_nginx()) != self.nginx_workers:
            return False
        return status["ready"] and all(len(up[role]) == n and not set(kill.pids) & set(up[role]) for role, n in self.counts.items())

    def serves(self, load):
        """A hit whose quota is counted, and a cold asset of each backend."""
        try:
            hit = self.stack.get(load.warm[0].path, user="probe:probe")
            if hit.body != load.warm[0].data or "ratelimit" not in hit.headers:
                return False
            for backend in load.BACKENDS:
                asset = self.stack.add(os.urandom(1000), backend=backend)
                answer = self.stack.get(asset.path, user="probe:probe")
                if answer.status != 200 or answer.body != asset.data:
                    return False
            return True
        except OSError:
            return False
        except Exception as fault:      # of http.client: the front died in it
            if type(fault).__module__ != "http.client":
                raise
            return False

    def wait_whole(self, load, kill):
        try:
            wait_until(lambda: self.serves(load), "requests are answered again after the death of the " + str(kill), WHOLE_S)
            kill.whole = time.monotonic()
        finally:
            if kill.victim == "radosgw":    # not before: nobody needs it
                self.stack.store.engine.start("radosgw")
        wait_until(lambda: self.replaced(kill), "everybody is there again after the death of the " + str(kill), WHOLE_S)


# -- books ----------------------------------------------------------------------------


class Ledger:
    """All of it: the lines that are JSON, and what is not."""

    def __init__(self, stack):
        self.final, self.fills, self.fragments, self.doubles = {}, {}, [], []
        folder = os.path.join(stack.config()["dirs"]["state"], "ledger")
        for day in sorted(os.listdir(folder)):
            with open(os.path.join(folder, day), encoding="utf-8", errors="replace") as f:
                whole, _, rest = f.read().rpartition("\n")
            for text in whole.split("\n"):
                self.take(text)
            if rest:
                self.fragments.append(rest)

    def take(self, text):
        try:
            line = json.loads(text)
        except ValueError:
            self.fragments.append(text)
            return
        if line["status"] == 0:
            return      # a reservation that came too late for its client, given back: nothing
        lines = self.fills if line["cache"] == "fill" else self.final
        before = lines.get(line["id"])
        if before is not None and not before["estimated"]:
            self.doubles.append((before, line))
        lines[line["id"]] = line


def counter(stack, user, kind):
    """What memcached holds for a user's month: keys as in lib/quota."""
    month = datetime.datetime.now(datetime.timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    subject = hashlib.sha256(("user\0front\0" + user).encode()).hexdigest()[:40]
    text = "".join(part + "\0" for part in (subject, SET, kind, "month")) + str(int(month.timestamp()))
    epoch = re.findall(r"counters are made from the ledger .* epoch=([0-9a-f]+)", stack.log())[-1]
    key = "eo%s:%s" % (epoch, hashlib.sha256(text.encode()).hexdigest()[:44])
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(stack.env["MEMCACHED_SOCKET"])
        s.sendall(b"mg %s v\r\n" % key.encode())
        answer = b""
        while b"\r\n" not in answer or (answer.startswith(b"VA") and answer.count(b"\r\n") < 2):
            answer += s.recv(4096)
    return int(answer.split()[2]) if answer.startswith(b"VA") else 0


class Books:
    """One user's requests between two deaths of memcached, compared with ledger and counters."""

    def __init__(self, storm, user):
        self.storm, self.user = storm, user
        self.accountants = 0    # that died meanwhile

    def outcomes(self):
        return [o for o in self.storm.load.outcomes if o.user == self.user]

    def missing(self):
        """Requests that ended well and have no line."""
        ledger = Ledger(self.storm.stack)
        return [o for o in self.outcomes() if o.verdict == "right" and o.ident not in ledger.final]

    def differences(self):
        stack, ledger = self.storm.stack, Ledger(self.storm.stack)
        found = ["two lines: %s" % (pair,) for pair in ledger.doubles]
        mine = [line for lines in (ledger.final, ledger.fills) for line in lines.values() if line["user"] == self.user]
        for o in self.outcomes():
            line = ledger.final.get(o.ident)
            if o.verdict == "right" and (line is None or line["bytes"] != o.got):
                found.append("%s has the line %s" % (o, line))
        lost = [o for o in self.outcomes() if o.verdict != "right" and o.ident not in ledger.final]
        unsettled = [o for o in self.outcomes() if o.ident in ledger.final and o.ident not in ledger.fills and self.may_fill(o)]
        for kind in KINDS:
            told = sum(line[kind] if line["counted"] else line["reserved"][kind] for line in mine)
            # one that died in the middle of counting may have given back what its successor cannot know of
            given_back = sorted((max(0, line["reserved"][kind] - line[kind]) for line in mine if not line["counted"]), reverse=True)
            least = told - sum(given_back[:self.accountants])
            held = counter(stack, self.user, kind)
            # what a dead process had reserved stays so: too much, never too little
            gone = lost + unsettled if kind == "upstream_bytes" else lost
            most = {"requests": len(lost), "misses": len(lost)}.get(kind, sum(max(len(o.asset.data), 64 << 20) for o in gone) +
                                                                      self.accountants * (CLIENTS << 26))
            if not least <= held <= told + most:
                found.append("%s of %s: the ledger says %d, the counter %d, at most %d were lost with %d requests" % (
                    kind, self.user, told, held, most, len(gone)))
        return found

    def may_fill(self, o):
        """May a mover have died with a fill that outlived this request, and is charged to it?"""
        return any(kill.victim == "mover" and o.begun < kill.at and owner(o.asset, 2) == kill.index for kill in self.storm.kills)

    def close(self):
        """All of them have ended."""
        wait_until(lambda: not self.storm.load.busy_with(self.user), "the requests of %s end" % self.user, 3 * SILENCE_S)
        settle(self.missing, "each request that ended well has its line")
        settle(self.differences, "ledger and counters agree")


# -- the storm ----------------------------------------------------------------------------


class Storm:
    def __init__(self, stack, seed, say=lambda text: None):
        self.stack, self.seed, self.say = stack, seed, say
        self.rng = random.Random(seed)
        self.victims = BUCKET_VICTIMS if stack.store.kind == "s3" else VICTIMS
        self.load = Load(stack, seed)
        self.killer = Killer(stack, self.rng)
        self.kills, self.users = [], 0
        self.failed = {}            # kill -> requests that failed by it
        self.checked = 0            # objects that were read back
        self.books = None
        self.log_before = len(stack.log())

    # -- what must hold

    def judge(self):
        """Every answer so far: right, or failed by a death that it touched."""
        assert not self.load.faults, self.load.faults
        with self.load.lock:
            new = self.load.outcomes[self.load.judged:]
            self.load.judged += len(new)
        for o in new:
            if o.verdict in ("right", "left"):
                continue
            assert o.verdict == "failed", "%s\n%s" % (o, self.tell())
            guilty = [kill for kill in self.kills if kill.may_fail(o)]
            assert guilty, "%s, and no death explains it\n%s" % (o, self.tell(o))
            self.failed.setdefault(id(guilty[-1]), []).append(o)

    def tell(self, o=None):
        text = ["seed %s" % self.seed] + ["killed %+.3f s: %s" % (kill.at - (o.begun if o else 0), kill) for kill in self.kills[-4:]]
        if o is not None and o.ident:
            text += [line for line in self.stack.log().splitlines() if o.ident in line][:40]
        return "\n".join(text)

    def check_cache(self, prune=True):
        """Every object is what its source is; what is not kept for hits goes, as by retention."""
        if self.stack.store.kind == "s3":
            self.check_bucket(prune)
            return
        root, kept = self.stack.cache_dir, {asset.name for asset in self.load.warm}
        for folder, dirs, names in os.walk(root):
            if folder == root:
                dirs[:] = [d for d in dirs if d != "spool"]
            for name in names:
                if name.endswith("@meta"):
                    self.check_object(os.path.join(folder, name[:-5]), prune and os.path.basename(folder) not in kept)

    def check_object(self, path, prune):
        try:
            with open(path + "@meta", "rb") as f:
                meta = json.loads(f.read())
            with open(path + "@data", "rb") as f:
                inode, data = os.fstat(f.fileno()).st_ino, f.read()
        except FileNotFoundError:       # a mover is publishing it anew
            return
        if (inode, len(data)) != (meta["inode"], meta["length"]):
            return                      # a pair that does not match is served to nobody
        self.compare(path[len(self.stack.cache_dir) + 1:], data, meta)
        if prune:
            for end in ("@meta", "@data"):
                os.unlink(path + end)

    def check_bucket(self, prune):
        """As check_cache: there is nothing without its metadata, and it is that of the object."""
        bucket, kept = self.stack.store, {asset.name for asset in self.load.warm}
        for key in bucket.keys():
            answer = bucket.ask("GET", key)
            assert answer.status == 200, "%s: %s\n%s" % (key, answer, self.tell())     # nobody else deletes
            meta = json.loads(answer.headers.get(META, "null"))
            assert meta, "'%s' has no metadata\n%s" % (key, self.tell())
            assert meta["length"] == len(answer.body) and meta["backend"] == key.split("/")[1] and meta["etag"], (key, meta)
            self.compare(key, answer.body, meta)
            if prune and urllib.parse.unquote(key.split("/")[3]) not in kept:
                assert bucket.ask("DELETE", key).status == 204

    def compare(self, key, data, meta):
        """The bytes of an object with those of its source."""
        _, collection, item, asset = [urllib.parse.unquote(part) for part in key.split("/")[1:]]
        source = os.path.join(self.stack.env["PROVIDER_ROOT"], urllib.parse.quote(item, safe=""), "data.tif")
        assert (collection, asset) == ("DEMO", "data")
        with open(source, "rb") as f:
            assert f.read() == data, "'%s' was published and is not what its source is\n%s" % (key, self.tell())
        algorithm, _, told = meta.get("checksum", "").partition(":")
        assert not told or hashlib.new(algorithm, data).hexdigest() == told, "'%s' has a false checksum" % key
        self.checked += 1

    def check_spool(self):
        """What nobody holds any more is gone: every mover sweeps when it starts."""
        def left():
            found = []
            for name in os.listdir(os.path.join(self.stack.cache_dir, "spool")):
                try:
                    fd = os.open(os.path.join(self.stack.cache_dir, "spool", name), os.O_RDONLY | os.O_NONBLOCK)
                except FileNotFoundError:
                    continue
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(fd).st_nlink > 0:
                        found.append(name)
                except BlockingIOError:
                    pass
                finally:
                    os.close(fd)
            return found
        settle(left, "no left-overs are in the spool")

    def check_orphans(self):
        """Data that lost its metadata is nobody's hit: it is fetched again."""
        for folder, _, names in os.walk(self.stack.cache_dir):
            for name in names:
                if not name.endswith("@data") or name[:-4] + "meta" in names:
                    continue
                parts = os.path.join(folder, name)[len(self.stack.cache_dir):-5].split("/")[2:]
                answer = self.stack.get("/data/" + "/".join(parts), user="probe:probe")
                assert answer.status == 200 and not answer.is_hit, (name, answer)
                with open(os.path.join(self.stack.env["PROVIDER_ROOT"], parts[2], "data.tif"), "rb") as f:
                    assert f.read() == answer.body

    def check_deaths(self):
        """Nobody died who was not killed."""
        log = self.stack.log()[self.log_before:]
        killed = [pid for kill in self.kills for pid in kill.pids]
        for line in log.splitlines():
            if "EO-MASTER-DEATH" in line or "EO-RESOLVER-CRASH" in line or "EO-MASTER-KILL" in line or "EO-RESOLVER-TIMEOUT" in line:
                assert int(re.search(r"pid=(\d+)", line)[1]) in killed, "%s\n%s" % (line, self.tell())

    # -- one after the other

    def new_user(self):
        name = "u%d-%d" % (self.seed % 100000, self.users)
        self.users += 1
        with open(os.path.join(self.stack.dir, "htpasswd"), "a", encoding="ascii") as f:
            f.write("%s:{PLAIN}%s\n" % (name, name))
        self.books = Books(self, name)
        self.load.user = name

    def close_books(self):
        """Another user from here on; and what the one before asked for is counted."""
        old = self.books
        self.new_user()
        old.close()

    def one(self, victim):
        time.sleep(self.rng.uniform(0.05, 0.5))
        if victim in ("memcached", "master"):
            self.close_books()          # counters, or what was on its way to them, end here
            time.sleep(self.rng.uniform(0.05, 0.3))
        kill = self.killer.choose(victim)
        self.kills.append(kill)
        self.killer.strike(kill)
        if victim == "accountant":
            self.books.accountants += 1
        self.killer.wait_whole(self.load, kill)
        if victim in ("memcached", "master"):
            self.new_user()
        self.check_spool()
        # over a bucket a request for each object, in which time the load makes more of them
        if self.stack.store.kind == "directory" or len(self.kills) % 5 == 0:
            self.check_cache()
        self.judge()
        self.check_deaths()
        self.say("%3d %-13s whole after %.3f s" % (len(self.kills), victim, kill.whole - kill.back))

    def run(self, n):
        """n deaths of all kinds in random order."""
        victims = [self.victims[i % len(self.victims)] for i in range(n)]
        self.rng.shuffle(victims)
        for asset in self.load.warm:
            asset.warm()
        self.new_user()
        self.load.start()
        try:
            for victim in victims:
                self.one(victim)
        finally:
            self.load.stop()
        self.books.close()
        self.judge()
        self.check_deaths()
        self.check_orphans()
        self.check_cache(prune=False)
        fragments = Ledger(self.stack).fragments
        most = sum(kill.victim in ("accountant", "master") for kill in self.kills)
        assert len(fragments) <= most, "%d lines that are none after %d deaths that can cut one: %r" % (len(fragments), most, fragments[:3])
