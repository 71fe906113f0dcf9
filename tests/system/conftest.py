# SPDX-License-Identifier: Apache-2.0
"""
The whole system for each test session: scripts/stack, and what tests do with it.

One stack serves all tests that do not need a configuration of their own; each
test makes its own assets, so that what is cached for one is cold for the next.

Tests that are marked both_stores run twice: over a directory, and over a bucket
of a real S3 engine (stores.py).  What only a directory can show is marked
directory_only("why") among them.
"""

import http.client
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import pytest
from s3_engine import new_bucket, s3_bucket, s3_engine  # noqa: F401 (fixtures)
from stores import Bucket, Directory

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
STACK = os.path.join(TOP, "scripts", "stack")
PREFIX = os.environ.get("EODATA_PREFIX") or os.path.join(TOP, "build", "inst")
AS_NOBODY = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", "HOME=/nonexistent"]
DEADLINE_S = 20
LOGINS = {"loop_open": "open", "loop_header": "hdr", "loop_basic": "basic", "loop_qs": "qs", "loop_token": "tok", "loop_sas": "sas",
          "loop_search": "hdr"}


def wait_until(test, what, seconds=DEADLINE_S):
    """Until test() gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (seconds, what))
        time.sleep(0.01)


def may_nobody(path):
    """Can a user without rights use what lies there?"""
    return os.geteuid() != 0 or subprocess.run([*AS_NOBODY, "test", "-r", path], stderr=subprocess.DEVNULL).returncode == 0


def is_stopped(pid):
    """Each of its threads: a signal takes its time to reach them."""
    states = []
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, thread)) as f:
            states.append(f.read().rpartition(")")[2].split()[0])
    return set(states) == {"T"}


def is_alive(pid):
    """Not ended, and no zombie."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Answer:
    """Status, headers (names in lower case; list of pairs in all) and body."""

    def __init__(self, status, pairs, body, rc=0):
        self.status = status
        self.all = [(name.lower(), value) for name, value in pairs]
        self.headers = dict(self.all)
        self.body = body
        self.rc = rc            # curl's, where curl asked

    def __repr__(self):
        return "<%d %s %r... rc=%d>" % (self.status, self.headers, self.body[:300], self.rc)

    def json(self):
        return json.loads(self.body)

    @property
    def is_hit(self):
        return "; hit" in self.headers.get("cache-status", "")


class Asset:
    """A file at the provider, its item, and the path at the front."""

    def __init__(self, stack, name, path, data, backend, collection, asset):
        self.stack, self.name, self.upstream_path, self.data = stack, name, path, data
        self.path = "/data/" + "/".join(urllib.parse.quote(s, safe="") for s in (backend, collection, name, asset))
        self.url = stack.origin + self.path

    def upstream(self, method="GET"):
        """The provider's log lines for it: [method, uri, status, bytes, range]."""
        return [line for line in self.stack.upstream() if self.upstream_path in urllib.parse.unquote(line[1]) and line[0] == method]

    def stac(self):
        return [line for line in self.stack.stac_log() if line[1].endswith("/items/" + urllib.parse.quote(self.name, safe=""))]

    def published(self):
        """The name of its object in the store (a path, a key) if everybody gets it from there, or None."""
        return self.stack.store.published(self)

    def kept(self):
        """(bytes, metadata) of its object."""
        return self.stack.store.read(self)

    def expire(self):
        """Its object goes, as by retention."""
        self.stack.store.remove(self)

    def warm(self):
        """Fetch it (cold: the answer) and wait until it is cached."""
        self.cold = self.stack.get(self.path)
        assert self.cold.status == 200, self.cold
        wait_until(self.published, "%s in the cache" % self.name)
        return self


class Stack:
    serial = itertools.count(1)

    def __init__(self, *options, extra=None, as_nobody=False, prepare=None, store=None):
        """
        as_nobody: all of it as a user without rights, where root runs the tests.
        prepare(its folder) comes before anything is started there.  store: a Bucket;
        else it is a directory of its own.
        """
        parent = os.environ.get("TMPDIR", "/tmp")
        self.dir = tempfile.mkdtemp(prefix="eodata-test-", dir=parent)
        os.chmod(self.dir, 0o711)
        if prepare is not None:
            prepare(self.dir)
        command = [sys.executable, STACK, "up", self.dir, *options]
        if as_nobody and os.geteuid() == 0:
            shutil.chown(self.dir, "nobody", "nogroup")
            command = AS_NOBODY + command
        extra = merge(store.config() if store else {}, extra or {})
        if extra:
            path = os.path.join(self.dir, "extra.json")
            with open(path, "w") as f:
                json.dump(extra, f)
            command += ["--config-extra", path]
        env = dict(os.environ)
        env["ASAN_OPTIONS"] = "detect_leaks=0:log_path=%s/sanitizer" % self.dir
        env["UBSAN_OPTIONS"] = "print_stacktrace=1:log_path=%s/sanitizer" % self.dir
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError("scripts/stack up: %s" % done.stdout)
        self.env = {}
        with open(os.path.join(self.dir, "stack.env")) as f:
            for line in f:
                name, _, value = line.rstrip("\n").partition("=")
                self.env[name] = shlex.split(value)[0]
        parts = urllib.parse.urlsplit(self.env["PROXY_URL"])
        self.host, self.port = parts.hostname, parts.port
        self.origin = "http://%s:%d" % (self.host, self.port)
        self.cache_dir = self.env["CACHE_DIR"]
        self.store = store or Directory(self.cache_dir)
        self.user = self.env["USER_OK"]

    def down(self):
        done = subprocess.run([sys.executable, STACK, "down", self.dir], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = [name for name in os.listdir(self.dir) if name.startswith("sanitizer")]
        text = "".join(open(os.path.join(self.dir, name), errors="replace").read()[:4000] for name in found)
        if done.returncode == 0 and not found and os.environ.get("EODATA_KEEP") is None:
            shutil.rmtree(self.dir)
        assert done.returncode == 0, done.stdout
        assert not found, "a sanitizer found something (%s):\n%s" % (self.dir, text)

    # -- what there is to ask for

    def name(self, hint="x"):
        return "%s-%d" % (hint, next(self.serial))

    def write_file(self, name, data):
        path = os.path.join(self.env["PROVIDER_ROOT"], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as f:
            f.write(data)
        os.rename(path + ".new", path)
        return path

    def add(self, data=None, backend="loop_header", case=None, name=None, file="data.tif", collection="DEMO",
            asset="data", origin=None, asset_members=None, item_members=None, properties=None):
        """
        A file at the provider and an item for it.  case: one of the provider's
        wrong answers.  origin: any other location, with {base} and {other}.
        """
        name = name or self.name(case or "asset")
        if data is None:
            data = os.urandom(200000)
        if isinstance(data, bytes):
            self.write_file(urllib.parse.quote(name, safe="") + "/" + file, data)
        path = "%s/%s" % (urllib.parse.quote(name, safe=""), file)
        if origin is None:
            room = "assets/" + LOGINS[backend] if case is None else ("bad/" if backend == "loop_open" else "badhdr/") + case
            origin = "{base}/%s/%s" % (room, urllib.parse.quote(path))
        members = {"href": "%s/%s/%s/%s/%s" % (self.env["PROXY_URL"], backend, collection, name, asset),
                   "alternate": {"origin": {"href": origin}}}
        members.update(asset_members or {})
        item = {"type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
                "geometry": {"type": "Point", "coordinates": [0, 0]}, "bbox": [0, 0, 0, 0], "links": [],
                "properties": dict({"datetime": "2020-01-01T00:00:00Z", "federation:backends": [backend]}, **(properties or {})),
                "assets": {asset: members}}
        item.update(item_members or {})
        folder = os.path.join(self.env["ITEMS_DIR"], collection)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name + ".json"), "w") as f:
            json.dump(item, f)
        return Asset(self, name, path, data, backend, collection, asset)

    # -- asking

    def request(self, method, path, headers=None, user="", body=None):
        """As it is written: nothing is normalised.  user: NAME:PASSWORD, None for nobody."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=70)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            user = self.user if user == "" else user
            if user is not None:
                connection.putheader("Authorization", "Basic " + to_base64(user))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def get(self, path, headers=None, user=""):
        return self.request("GET", path, headers, user)

    def curl(self, url, *options, user=""):
        """As people do it: rc is what curl says of it."""
        folder = tempfile.mkdtemp(prefix="curl-", dir=self.dir)
        head, out = os.path.join(folder, "head"), os.path.join(folder, "body")
        user = self.user if user == "" else user
        command = ["curl", "-q", "-sS", "--max-time", "70", "-D", head]
        if "-o" not in options:
            command += ["-o", out]
        if user is not None:
            command += ["-u", user]
        command += [*options, url]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        status, pairs = 0, []
        try:
            with open(head, encoding="latin-1") as f:
                for line in f.read().splitlines():
                    if line.startswith("HTTP/"):
                        status, pairs = int(line.split()[1]), []
                    elif ":" in line:
                        name, _, value = line.partition(":")
                        pairs.append((name, value.strip()))
        except FileNotFoundError:
            pass
        body = b""
        if os.path.exists(out):
            with open(out, "rb") as f:
                body = f.read()
        shutil.rmtree(folder)
        answer = Answer(status, pairs, body, done.returncode)
        answer.error = done.stderr
        return answer

    def add_gated(self, size=2 << 20, at=1 << 20, known=True, gate=None, **more):
        """An asset whose body stops after at bytes until open() is called, of one with the same gate too."""
        gate = gate or self.name("gate").replace("-", "")
        asset = self.add(os.urandom(size), backend="loop_open", case="%s-%s-%d" % ("gate" if known else "chunkgate", gate, at), **more)
        asset.open = lambda: self.provider("/-/open?gate=" + gate)
        return asset

    def begin(self, asset, *options):
        """A curl that has got the first of its bytes: what finish() gives."""
        body = os.path.join(self.dir, self.name("body"))
        curl = subprocess.Popen(["curl", "-q", "-sS", "--no-buffer", "--max-time", "60", "-u", self.user, "-o", body, *options, asset.url],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: os.path.exists(body) and os.path.getsize(body) > 0 or curl.poll() is not None, "the body begins")
        assert curl.poll() is None, curl.communicate()

        def finish():
            """(rc, body)"""
            text, _ = curl.communicate()
            with open(body, "rb") as f:
                data = f.read()
            os.unlink(body)
            return curl.returncode, data
        finish.leave = curl.terminate
        finish.size = lambda: os.path.getsize(body)
        return finish

    def reload(self, change):
        """The configuration after change(it), and until it is in force."""
        config, before = self.config(), self.status()["generation"]
        change(config)
        self.write_config(json.dumps(config))
        os.kill(self.master, signal.SIGHUP)

        def in_force():
            """Said to be, no old worker is left that could take one more request, and movers have heard of it."""
            now = self.status()
            return now["generation"] > before and "reloaded generation=%d" % now["generation"] in self.log() and \
                all(p["generation"] == now["generation"] for p in now["processes"] if p["role"] in ("worker", "mover") and p["state"] == "ready")
        wait_until(in_force, "the new configuration is in force")

    def write_config(self, text):
        with open(self.env["CONFIG"], "w") as f:
            f.write(text)

    # -- looking

    def lines(self, name):
        with open(self.env[name], errors="replace") as f:
            return [line.split(" ", 4) for line in f.read().splitlines()]

    def upstream(self):
        return self.lines("UPSTREAM_LOG")

    def stac_log(self):
        return self.lines("STAC_LOG")

    def log(self):
        with open(self.env["LOG"], errors="replace") as f:
            return f.read()

    def status(self):
        """What eodata-proxyctl says: processes, counters."""
        done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--run", self.run_dir, "--json", "status"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def run_dir(self):
        return self.config()["dirs"]["run"]

    @property
    def master(self):
        """The pid of the master that serves; MASTER_PID is the first one's."""
        with open(os.path.join(self.run_dir, "eodata-proxy.pid")) as f:
            return int(f.read())

    def pids(self, role):
        """Of a role's processes that are ready, in the order of their slots."""
        return [p["pid"] for p in self.status()["processes"] if p["role"] == role and p["state"] in ("ready", "busy")]

    def process(self, name):
        """The pid of something that scripts/stack has started."""
        with open(os.path.join(self.dir, "stack.pids")) as f:
            return {found: pid for found, pid, _ in json.load(f)["processes"]}[name]

    def config(self):
        with open(self.env["CONFIG"]) as f:
            return json.load(f)

    def ledger(self):
        """Its lines, the later ones of an id in place of the estimated ones before; transfers apart."""
        lines, folder = {}, os.path.join(self.config()["dirs"]["state"], "ledger")
        for day in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            with open(os.path.join(folder, day)) as f:
                for text in f.read().split("\n")[:-1]:
                    line = json.loads(text)
                    if line["status"] == 0:
                        continue    # a reservation that came too late for its client, given back: nothing
                    name = line["id"], line["cache"] == "fill"
                    assert name not in lines or lines[name]["estimated"], line
                    lines[name] = line
        return list(lines.values())

    def provider(self, control, method="POST"):
        """The provider's controls: "/-/log" and so on."""
        request = urllib.request.Request(self.env["UPSTREAM_URL"] + control, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def to_base64(text):
    import base64
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def merge(base, extra):
    """As scripts/stack does it."""
    if not isinstance(base, dict) or not isinstance(extra, dict):
        return extra
    return {**base, **{k: merge(base[k], v) if k in base else v for k, v in extra.items()}}


# -- over which store


def pytest_configure(config):
    config.addinivalue_line("markers", "both_stores: runs over a directory and over a bucket of S3")
    config.addinivalue_line("markers", "directory_only(why): of those, one that a bucket has nothing of")


def pytest_generate_tests(metafunc):
    both = metafunc.definition.get_closest_marker("both_stores")
    only = metafunc.definition.get_closest_marker("directory_only")
    if both is not None and "store_kind" in metafunc.fixturenames:
        metafunc.parametrize("store_kind", ["directory"] if only else ["directory", "s3"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def store_kind(request):
    return getattr(request, "param", "directory")


@pytest.fixture(scope="module")
def new_store(request, store_kind):
    """For Stack(store=new_store()): one of its own."""
    if store_kind == "directory":
        return lambda: None
    engine, name = request.getfixturevalue("s3_engine"), request.getfixturevalue("new_bucket")
    return lambda: Bucket(engine, name())


@pytest.fixture(scope="session")
def common():
    """By the kind of its store, the stack that tests share."""
    made = {}
    yield made
    for one in made.values():
        one.down()


@pytest.fixture(scope="module")
def stack(common, store_kind, new_store):
    if store_kind not in common:
        common[store_kind] = Stack(store=new_store())
    return common[store_kind]


@pytest.fixture
def make_stack(new_store):
    """A stack with a configuration of its own: make_stack({...}, "--token-life", "2")."""
    made = []

    def make(extra=None, *options, store=None):
        made.append(Stack(*options, extra=extra, store=store or new_store()))
        return made[-1]
    yield make
    for one in made:
        one.down()
