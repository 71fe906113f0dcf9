# SPDX-License-Identifier: Apache-2.0
"""
eodata-proxy-resolver with real EODAG, driven over its own sockets: the test is
the master and the movers.  The provider is tests/fake/provider.py.

EODATA_TEST_VENV names a Python environment with EODAG (default: .venv at the
top); the programs are taken from $EODATA_BUILD, or build/, or the top.
"""

import array
import ctypes
import errno
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = next((pathlib.Path(d) for d in (os.environ.get("EODATA_BUILD"), TOP / "build", TOP)
              if d and (pathlib.Path(d) / "eodata-proxy-resolver").exists()), TOP)
VENV = pathlib.Path(os.environ.get("EODATA_TEST_VENV") or TOP / ".venv")
RESOLVER, START = BUILD / "eodata-proxy-resolver", BUILD / "tests/fake/start_resolver"

if not (VENV / "bin/python3").exists():
    pytest.skip("no Python environment with EODAG: EODATA_TEST_VENV", allow_module_level=True)
if not RESOLVER.exists() or not START.exists():
    pytest.skip("eodata-proxy-resolver and tests/fake/start_resolver are not built", allow_module_level=True)

OURS = "https://data.example.org/data"
WAIT = 30           # seconds; nothing here should come near it

# An EODAG plugin that does each bad thing once, when its trigger file is there.
BAD_PLUGIN = '''
import json, os, signal, sys, time
from requests.auth import AuthBase
from eodag.plugins.authentication.base import Authentication

class Sneaky(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__

class Good(AuthBase):
    def __init__(self, value="k"): self.value = value
    def __call__(self, r):
        r.headers["X-API-Key"] = self.value
        return r

class BadAuth(Authentication):
    def validate_config_credentials(self): pass
    def authenticate(self):
        trigger = self.config.trigger
        if not os.path.exists(trigger):
            return Good()
        os.unlink(trigger)
        return getattr(self, self.config.behaviour)()
    def hang(self):
        while True: time.sleep(3600)
    def spin_deaf(self):
        for s in range(1, 32):
            try: signal.signal(s, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass
    def raises(self): raise ZeroDivisionError("secret-canary")
    def sys_exit(self): sys.exit(0)
    def os_exit(self): os._exit(0)
    def kills(self): os.kill(os.getpid(), signal.SIGSEGV)
    def flood(self):
        hoard = []
        while True: hoard.append(bytearray(1 << 24))
    def recurse(self): return self.recurse()
    def forks(self):
        pid = os.fork()
        if pid == 0: time.sleep(3600)
        open(self.config.trigger + ".pid", "w").write(str(pid))
        os._exit(1)
    def wrong_type(self): return Good(17)
    def subclass(self): return Good(Sneaky("k"))
    def newline(self): return Good("k\\r\\nX-Evil: 1")
    def long_header(self): return Good("k" * 20000)
    def nothing_callable(self): return 42
    def escapes(self):
        tried = {}
        for path in self.config.forbidden:
            try: tried[path] = open(path).read(1)
            except OSError as e: tried[path] = e.errno
        for path in self.config.forbidden:
            try: open(path + ".new", "w"); tried[path + ".new"] = "written"
            except OSError as e: tried[path + ".new"] = e.errno
        try: os.setuid(1); tried["setuid"] = "done"
        except OSError as e: tried["setuid"] = e.errno
        try: os.kill(os.getppid(), 0); tried["kill"] = "done"
        except OSError as e: tried["kill"] = e.errno
        json.dump(tried, open(self.config.trigger + ".tried", "w"))
        return Good()
    def changes(self):
        os.chdir("/tmp"); os.umask(0); signal.signal(signal.SIGALRM, signal.SIG_IGN)
        import locale; locale.setlocale(locale.LC_ALL, "C")
        return Good()
'''
BEHAVIOURS = ("hang", "spin_deaf", "raises", "sys_exit", "os_exit", "kills", "flood", "recurse", "forks", "wrong_type",
              "subclass", "newline", "long_header", "nothing_callable", "changes", "escapes")


# --- the conversation ---------------------------------------------------------


def text(s):
    if s is None:
        return b"n"
    data = s.encode()
    return b"s" + struct.pack(">I", len(data)) + data + b"\0"


def raw(data):
    return b"n" if data is None else b"b" + struct.pack(">I", len(data)) + data + b"\0"


def number(n, wide=False):
    return b"q" + struct.pack(">Q", n) if wide else b"u" + struct.pack(">I", n)


class Reader:
    def __init__(self, data):
        self.type, self.data = data[:1], data[1:]

    def get(self):
        tag, self.data = self.data[:1], self.data[1:]
        if tag == b"n":
            return None
        if tag in b"uq":
            n = 4 if tag == b"u" else 8
            value, self.data = int.from_bytes(self.data[:n], "big"), self.data[n:]
            return value
        n = int.from_bytes(self.data[:4], "big")
        value, self.data = self.data[4:4 + n], self.data[5 + n:]
        return value.decode() if tag == b"s" else value

    def end(self):
        assert self.data == b""


class Refused(Exception):
    def __init__(self, status, retry_after, reason):
        super().__init__("%d %s" % (status, reason))
        self.status, self.retry_after, self.reason = status, retry_after, reason


class Gone(Exception):
    """The resolver ended the connection."""


class Line:
    """A mover's stream to one resolver."""

    def __init__(self, fd, backend):
        self.sock = socket.socket(fileno=fd)
        self.sock.setblocking(True)
        self.sock.settimeout(WAIT)
        self.backend, self.job, self.buffer, self.bye = backend, 0, b"", False

    def send(self, item=None, asset="data", collection="DEMO", name="it1", subpath=None, fresh=False, backend=None, times=1):
        """So many jobs at once; the number of the first."""
        first = self.job + 1
        self.job += times
        if isinstance(item, dict):
            item = json.dumps(item).encode()
        self.send_frame(*(b"j" + number(job, True) + text(None) + text(backend or self.backend) + text(collection) +
                          text(name) + text(asset) + text(subpath) + raw(item) + number(1 if fresh else 0)
                          for job in range(first, first + times)))
        return first

    def send_frame(self, *messages):
        try:
            self.sock.sendall(b"".join(struct.pack(">I", len(message)) + message for message in messages))
        except (BrokenPipeError, ConnectionResetError):
            raise Gone from None

    def read(self, n):
        while len(self.buffer) < n:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Gone
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def answer(self):
        while True:
            a = self.any_answer()
            if a["job"] != 0:
                return a
            self.bye = True

    def any_answer(self):
        r = Reader(self.read(struct.unpack(">I", self.read(4))[0]))
        assert r.type == b"a"
        a = {"job": r.get(), "kind": ("source", "pending", "carry", "failed")[r.get()]}
        if a["kind"] == "source":
            a["source"] = ("http", "s3")[r.get()]
            names = ["backend", "expires_ms", "media_type", "filename", "size", "checksum", "tls_verify"]
            names += ["url", "for_clients", "method", "body", "digest_user"] if a["source"] == "http" else [
                "bucket", "s3_key", "s3_region", "s3_endpoint", "s3_access", "s3_secret", "s3_token",
                "s3_requester_pays", "s3_anonymous"]
            a.update((n, r.get()) for n in names)
            if a["source"] == "http":
                a["headers"] = [r.get() for _ in range(r.get())]
        else:
            names = {"pending": ("status", "retry_after_s", "order_id", "reason"), "carry": ("reason",),
                     "failed": ("status", "retry_after_s", "who", "reason")}[a["kind"]]
            a.update((n, r.get()) for n in names)
        r.end()
        return a

    def resolve(self, *args, **kwargs):
        job = self.send(*args, **kwargs)
        a = self.answer()
        assert a["job"] == job
        return a

    def close(self):
        self.sock.close()


class Broker:
    """The program, with this test as its master and its movers."""

    def __init__(self, directory, provider, movers=2, glue_dir=None, env=None, credentials=None, **eodag):
        self.dir = directory
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, TOP / "tests/fake/eodag_providers.py", directory / "eodag", provider.url],
                       check=True)
        self.more_providers(provider)
        if credentials is not None:
            (directory / "eodag/eodag.yml").write_text(json.dumps(credentials))
        self.write_config(**eodag)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(movers)]
        self.movers = [p[0] for p in pairs]
        for s in self.movers + [self.control]:
            s.settimeout(WAIT)
        fds = [control.fileno()] + [p[1].fileno() for p in pairs]
        self.log = directory / "log"
        environment = {"PATH": "/usr/bin:/bin", "EODATA_PROXY_GLUE_DIR": str(glue_dir or self.glue_dir())}
        # Python itself leaks at exit, and the sanitizer would make that the exit status.
        environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        environment.update(env or {})
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([START, RESOLVER, self.config] + [str(f) for f in fds], pass_fds=fds,
                                            env=environment, stderr=log, stdin=subprocess.DEVNULL, cwd=directory)
        self.pid = self.process.pid
        control.close()
        for _, theirs in pairs:
            theirs.close()
        self.backends = []

    def glue_dir(self):
        """The glue, and beside it the bad plugin with the metadata that makes it one."""
        glue = self.dir / "glue"
        glue.mkdir(exist_ok=True)
        copy_glue(glue)
        (glue / "badauth.py").write_text(BAD_PLUGIN)
        info = glue / "badauth-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: badauth\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[eodag.plugins.auth]\nBadAuth = badauth:BadAuth\n")
        return glue

    def more_providers(self, provider):
        path = self.dir / "eodag/providers/loop.yml"
        config = json.loads(path.read_text())
        search, products, download = (config["loop_open"][k] for k in ("search", "products", "download"))
        for name in BEHAVIOURS:
            config["bad_" + name] = {
                "name": "bad_" + name, "search": search, "products": products, "download": download,
                "auth": {"type": "BadAuth", "matching_url": "%s/bad_%s/" % (provider.url, name), "behaviour": name,
                         "trigger": str(self.trigger_file(name)), "forbidden": self.forbidden(), "credentials": {"x": "y"}}}
        config["loop_digest"] = {
            "name": "loop_digest", "search": search, "products": products, "download": download,
            "auth": {"type": "GenericAuth", "method": "digest", "matching_url": provider.url + "/dig/",
                     "credentials": {"username": "u", "password": "p"}}}
        config["loop_busy"] = {
            "name": "loop_busy", "products": products, "download": download,
            "search": dict(search, api_endpoint=provider.url + "/stac/busy/3600")}
        config["loop_s3"] = {
            "name": "loop_s3", "search": search, "products": products,
            "download": {"type": "AwsDownload", "s3_endpoint": "http://127.0.0.1:1"},
            "auth": {"type": "AwsAuth", "s3_endpoint": "http://127.0.0.1:1",
                     "matching_conf": {"s3_endpoint": "http://127.0.0.1:1"},
                     "credentials": {"aws_access_key_id": "AK", "aws_secret_access_key": "SK"}}}
        path.write_text(json.dumps(config))

    def forbidden(self):
        """What is no resolver's: objects, the books, the configuration (each there, and readable by this user)."""
        paths = [self.dir / "cache/object", self.dir / "state/ledger", self.dir / "secret.conf"]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        return [str(p) for p in paths]

    def trigger_file(self, name):
        """Where a resolver may write (and unlink)."""
        return self.dir / "run" / "resolver" / ("trigger_" + name)

    def trigger(self, name):
        self.trigger_file(name).touch()

    def write_config(self, **eodag):
        settings = {"python": str(VENV), "config_file": str(self.dir / "eodag/eodag.yml"),
                    "providers_dir": str(self.dir / "eodag/providers"),
                    "collections_file": str(self.dir / "eodag/collections.yml"),
                    "timeout": "3s", "cooldown": "2s", "memory_max": "400 MB"}
        settings.update(eodag)
        cache = self.dir / "cache"
        cache.mkdir(exist_ok=True)
        self.config = self.dir / "eodata-proxy.conf"
        self.config.write_text(json.dumps({
            "eodag": settings, "front": {"public_urls": [OURS]},
            "cache": {"path": str(cache), "retentions": {"30d": {}}},
            "dirs": {"run": str(self.dir / "run"), "state": str(self.dir / "state"), "spool": str(cache / "spool")}}))

    def ready(self):
        try:
            assert len(self.control.recv(64)) == 16
        except (AssertionError, OSError):
            raise AssertionError("not ready: " + self.log.read_text()) from None
        return self

    def reload(self):
        """The configuration as it is in the file now; the answer is the generation."""
        fd = os.memfd_create("config", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        text = subprocess.run([START, "--sealed", self.config], stdout=subprocess.PIPE, check=True).stdout
        assert os.write(fd, text) == len(text)
        fcntl.fcntl(fd, 1033, 0xf)          # F_ADD_SEALS: all
        socket.send_fds(self.control, [struct.pack("=IIQ", 0x656f6331, 2, 0)], [fd])
        os.close(fd)
        self.ready()

    def ask(self, backend, mover=0):
        self.movers[mover].send(b"c" + text(backend))

    def connected(self, mover=0):
        data, ancillary, _, _ = self.movers[mover].recvmsg(4096, socket.CMSG_SPACE(4 * 4))
        fds = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
        r = Reader(data)
        assert r.type == b"C"
        backend, ok, status, retry_after, reason = (r.get() for _ in range(5))
        r.end()
        assert len(fds) == (1 if ok else 0)
        if not ok:
            raise Refused(status, retry_after, reason)
        return Line(fds[0], backend)

    def connect(self, backend, mover=0):
        self.ask(backend, mover)
        return self.connected(mover)

    def resolve(self, backend, *args, **kwargs):
        line = self.connect(backend)
        try:
            return line.resolve(*args, **kwargs)
        finally:
            line.close()

    def children(self):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], stdout=subprocess.PIPE, text=True).stdout
        return [int(p) for p in out.split()]

    def stop(self):
        for s in self.movers + [self.control]:
            s.close()
        if self.process.poll() is None:
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


class Provider:
    def __init__(self, directory):
        root, items = directory / "root", directory / "items/DEMO"
        root.mkdir()
        items.mkdir(parents=True)
        (root / "data.bin").write_bytes(b"the bytes\n")
        item = feature("{base}/assets/hdr/data.bin", ["loop_search"])
        (items / "it1.json").write_text(json.dumps(item))
        port_file = directory / "ports"
        self.process = subprocess.Popen([sys.executable, TOP / "tests/fake/provider.py", "--root", root, "--items",
                                         directory / "items", "--port-file", port_file])
        until(port_file.exists)
        self.url = "http://127.0.0.1:" + port_file.read_text().split()[0]

    def counts(self):
        with urllib.request.urlopen(self.url + "/-/log") as f:
            return json.load(f)

    def tell(self, what):
        urllib.request.urlopen(urllib.request.Request(self.url + "/-/" + what, data=b"")).close()

    def fetch(self, a):
        """As the mover will: exactly the source."""
        request = urllib.request.Request(a["url"], headers=dict(h.split(": ", 1) for h in a["headers"]))
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as f:
            return f.read()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def copy_glue(where):
    for f in (TOP / "fcgi-app/resolver").glob("eodag_*.py"):
        shutil.copy(f, where)


def until(condition, seconds=WAIT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def feature(href, backends=None, asset="data", **properties):
    properties.setdefault("datetime", "2020-01-01T00:00:00Z")
    if backends is not None:
        properties["federation:backends"] = backends
    described = {"href": OURS + "/x/DEMO/it1/data", "type": "image/tiff", "file:size": 10,
                 "file:checksum": "1220" + "ab" * 32}
    if href is not None:
        described["alternate"] = {"origin": {"href": href}}
    return {"type": "Feature", "stac_version": "1.0.0", "id": "it1", "collection": "DEMO", "bbox": [0, 0, 0, 0],
            "geometry": {"type": "Point", "coordinates": [0, 0]}, "properties": properties, "links": [],
            "assets": {asset: described}}


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    p = Provider(tmp_path_factory.mktemp("provider"))
    yield p
    p.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory, provider):
    b = Broker(tmp_path_factory.mktemp("broker"), provider).ready()
    yield b
    b.stop()


@pytest.fixture
def own_broker(tmp_path, provider):
    """For tests that end it, or that need settings of their own."""
    made = []

    def make(**kwargs):
        made.append(Broker(tmp_path / str(len(made)), provider, **kwargs))
        return made[-1]
    yield make
    for b in made:
        b.stop()


# --- what EODAG makes of it -------------------------------------------------------


@pytest.mark.parametrize("backend, path", [("loop_open", "open"), ("loop_header", "hdr"), ("loop_basic", "basic"),
                                           ("loop_qs", "qs"), ("loop_token", "tok")])
def test_a_source_opens_what_the_item_shows(broker, provider, backend, path):
    a = broker.resolve(backend, feature("%s/assets/%s/data.bin" % (provider.url, path), [backend]))
    assert (a["kind"], a["source"], a["backend"]) == ("source", "http", backend)
    assert provider.fetch(a) == b"the bytes\n"
    assert (a["media_type"], a["size"], a["filename"]) == ("image/tiff", 10, "data.bin")
    assert a["checksum"] == "1220" + "ab" * 32 and a["tls_verify"] == 1


def test_an_open_source_has_no_credentials(broker, provider):
    a = broker.resolve("loop_open", feature(provider.url + "/assets/open/data.bin", ["loop_open"]))
    assert a["headers"] == [] and a["url"] == provider.url + "/assets/open/data.bin" and a["expires_ms"] == 0
    assert a["for_clients"] == 1


def test_arguments_of_the_location_survive_a_login_by_query(broker, provider):
    a = broker.resolve("loop_qs", feature(provider.url + "/assets/qs/data.bin?b=&a=1%2F2&apikey=old", ["loop_qs"]))
    assert a["url"] == provider.url + "/assets/qs/data.bin?b=&a=1%2F2&apikey=k"
    assert a["for_clients"] == 0


def test_a_token_is_kept_until_fresh_is_asked_and_says_when_it_ends(broker, provider):
    item = feature(provider.url + "/assets/tok/data.bin", ["loop_token"])
    first, second = broker.resolve("loop_token", item), broker.resolve("loop_token", item)
    assert first["headers"] == second["headers"]
    assert abs(first["expires_ms"] / 1000 - (time.time() + 3600)) < 60
    provider.tell("revoke")
    third = broker.resolve("loop_token", item, fresh=True)
    assert third["headers"] != first["headers"]
    assert provider.fetch(third) == b"the bytes\n"


def test_a_signature_that_does_not_say_its_end_to_eodag_is_not_kept_for_good(broker, provider):
    """EODAG from 4.10 on keeps them; but one of them has ended some day."""
    item = feature(provider.url + "/assets/sas/nthsign/data.bin", ["loop_sas"])
    first, second = (broker.resolve("loop_sas", item)["url"] for _ in range(2))
    assert "sig=good" in first and "sig=good" in second and first != second


@pytest.mark.parametrize("geometry", [
    {"type": "LineString", "coordinates": [[0, 0]]}, {"type": "Polygon", "coordinates": [[[None, None], [1, 0], [1, 1], [0, 0]]]},
    {"type": "Point", "coordinates": ["a", "b"]}, {"type": "Cube", "coordinates": []}, {},
    {"type": "Point", "coordinates": json.loads("[" * 700 + "]" * 700)}], ids=lambda g: g.get("type", "none"))
def test_an_asset_does_not_depend_on_the_items_geometry(broker, provider, geometry):
    item = feature(provider.url + "/assets/open/data.bin", ["loop_open"])
    a = broker.resolve("loop_open", dict(item, geometry=geometry))
    assert a["kind"] == "source" and provider.fetch(a) == b"the bytes\n"


@pytest.mark.parametrize("item", [None, feature(None, ["loop_search"]), feature("http://elsewhere.example/x", ["other"]),
                                  feature(OURS + "/loop_search/DEMO/it1/data", ["loop_search"])],
                         ids=["no item", "no origin", "another backend's item", "origin is ours"])
def test_without_a_location_the_provider_is_searched(broker, provider, item):
    before = provider.counts()["searches"]
    a = broker.resolve("loop_search", item)
    assert a["kind"] == "source" and provider.fetch(a) == b"the bytes\n"
    assert provider.counts()["searches"] > before


def test_the_items_own_location_needs_no_search(broker, provider):
    before = provider.counts()["searches"]
    broker.resolve("loop_header", feature(provider.url + "/assets/hdr/data.bin", ["loop_header"]))
    assert provider.counts()["searches"] == before


def test_a_digest_login_is_left_to_the_mover(broker, provider):
    a = broker.resolve("loop_digest", feature(provider.url + "/dig/x", ["loop_digest"]))
    assert a["digest_user"] == "u:p" and a["headers"] == []


def test_an_s3_location_is_bucket_key_and_keys(broker):
    a = broker.resolve("loop_s3", feature("s3://bucket/a/b.tif", ["loop_s3"]))
    assert (a["source"], a["bucket"], a["s3_key"], a["s3_endpoint"]) == ("s3", "bucket", "a/b.tif", "http://127.0.0.1:1")
    assert (a["s3_access"], a["s3_secret"], a["s3_anonymous"]) == ("AK", "SK", 0)


def test_a_subpath_goes_behind_the_path(broker, provider):
    a = broker.resolve("loop_header", feature(provider.url + "/assets/hdr/z.zarr?v=1", ["loop_header"]),
                       subpath="0/.zarray%20x")
    assert a["url"] == provider.url + "/assets/hdr/z.zarr/0/.zarray%20x?v=1"
    assert a["checksum"] is None and a["size"] == (1 << 64) - 1


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("backends", [["loop_open"], None])
def test_a_protected_location_asked_through_an_open_backend_is_refused(broker, provider, backends):
    a = broker.resolve("loop_open", feature(provider.url + "/assets/hdr/data.bin", backends))
    assert (a["kind"], a["status"], a["who"]) == ("failed", 403, "policy")


def test_a_host_that_only_begins_like_the_backends_gets_no_credentials(broker, provider):
    a = broker.resolve("loop_header", feature(provider.url + "0.evil.example/assets/hdr/x", ["loop_header"]))
    assert a["kind"] == "failed" and "X-API-Key" not in json.dumps(a)


def test_a_foreign_host_without_federation_is_not_taken(broker):
    a = broker.resolve("loop_header", feature("https://evil.example/assets/hdr/x"))
    assert a["kind"] != "source" or "evil.example" not in a["url"]


@pytest.mark.parametrize("href", ["file:///etc/passwd", "ftp://h/x", "/etc/passwd", "http://u:p@127.0.0.1/x",
                                  "http://h\r\nX: y/", "javascript:1"])
def test_a_location_that_cannot_be_fetched_is_502(broker, href):
    a = broker.resolve("loop_open", feature(href, ["loop_open"]))
    assert (a["kind"], a["status"]) == ("failed", 502)


def test_an_item_of_another_name_is_404(broker, provider):
    item = feature(provider.url + "/assets/open/data.bin", ["loop_open"])
    assert broker.resolve("loop_open", item, name="it2")["status"] == 404
    assert broker.resolve("loop_open", item, collection="S2")["status"] == 404


def test_an_unknown_asset_is_404(broker, provider):
    item = feature(provider.url + "/assets/open/data.bin", ["loop_open"])
    assert broker.resolve("loop_open", item, asset="none")["status"] == 404
    assert broker.resolve("loop_search", None, asset="none")["status"] == 404
    assert broker.resolve("loop_search", None, name="none")["status"] == 404


@pytest.mark.parametrize("item", [b"", b"{", b"[]", b"[" * 200000, b'{"assets": 1}', b"\xff\xfe"])
def test_an_item_that_is_none_is_502(broker, item):
    line = broker.connect("loop_open")
    assert line.resolve(item)["status"] == 502 or item == b'{"assets": 1}'
    assert line.resolve(feature("http://h/x", ["loop_open"]))["kind"] == "source"
    line.close()


def test_an_unknown_backend_is_404_from_the_broker(broker):
    for name in ("nobody", "loop_open ", "../x"):
        with pytest.raises(Refused) as refused:
            broker.connect(name)
        assert refused.value.status == 404


def test_a_failing_token_service_is_502_and_tells_no_password(own_broker, provider):
    b = own_broker(credentials={"loop_token": {"auth": {"credentials": {"username": "u", "password": "canary"},
                                                        "retry_total": 0}}}).ready()
    a = b.resolve("loop_token", feature(provider.url + "/assets/tok/data.bin", ["loop_token"]))
    assert (a["kind"], a["status"]) == ("failed", 502)
    assert "canary" not in b.log.read_text() + json.dumps(a)


def test_a_provider_that_says_when_to_come_back_is_not_slept_for(broker):
    """EODAG's client would sleep that hour, and the resolver be killed for it."""
    line = broker.connect("loop_busy")
    for _ in range(2):
        a = line.resolve()
        assert (a["kind"], a["status"], a["retry_after_s"], a["who"]) == ("failed", 429, 3600, "upstream")
    line.close()


# --- nonsense -------------------------------------------------------------------------


def test_nonsense_ends_its_connection_and_no_other(broker, provider):
    item = feature(provider.url + "/assets/open/data.bin", ["loop_open"])
    good = broker.connect("loop_open")
    good.resolve(item)
    for message in (b"x", b"j", b"a" * 100, b"j" + number(1, True) + b"s\xff\xff\xff\xff"):
        bad = broker.connect("loop_open", 1)
        bad.send_frame(message)
        with pytest.raises(Gone):
            bad.answer()
        bad.close()
    bad = broker.connect("loop_open", 1)
    bad.sock.sendall(b"\x7f\xff\xff\xff")
    with pytest.raises(Gone):
        bad.answer()
    bad.close()
    bad = broker.connect("loop_open", 1)
    bad.send(item, backend="loop_header")
    with pytest.raises(Gone):
        bad.answer()
    bad.close()
    assert good.resolve(item)["kind"] == "source"
    good.close()


def test_nonsense_to_the_broker_is_dropped(broker):
    for message in (b"x", b"c", b"c" + text("loop_open") + b"x", os.urandom(900), b"c" * 5000):
        broker.movers[1].send(message)
    broker.connect("loop_open", 1).close()


def test_jobs_of_two_movers_are_served_by_one_resolver(broker, provider):
    item = feature(provider.url + "/assets/hdr/data.bin", ["loop_header"])
    lines = [broker.connect("loop_header", m) for m in (0, 1)]
    before = broker.children()
    for _ in range(20):
        for line in lines:
            line.send(item)
    for _ in range(20):
        for line in lines:
            assert line.answer()["kind"] == "source"
    assert broker.children() == before
    for line in lines:
        line.close()


# --- plugins that do harm ---------------------------------------------------------------


def landlock():
    """The version that this kernel has, 0 for none."""
    return max(0, ctypes.CDLL(None, use_errno=True).syscall(444, None, ctypes.c_size_t(0), 1))


def item_of(provider, behaviour):
    return feature("%s/bad_%s/x" % (provider.url, behaviour), ["bad_" + behaviour])


@pytest.mark.parametrize("behaviour", ["sys_exit", "os_exit", "kills", "flood", "recurse", "forks"])
def test_h5_a_resolver_that_dies_hurts_only_its_backend_and_is_back(broker, provider, behaviour, record_property):
    backend, item = "bad_" + behaviour, item_of(provider, behaviour)
    other_item = feature(provider.url + "/assets/open/data.bin", ["loop_open"])
    other = broker.connect("loop_open", 1)
    line = broker.connect(backend)
    assert line.resolve(item)["kind"] == "source"
    broker.trigger(behaviour)
    line.send(item)
    other.send(other_item)
    assert other.answer()["kind"] == "source"
    try:
        a = line.answer()
        assert (a["kind"], a["status"]) == ("failed", 500)
        with pytest.raises(Gone):
            line.answer()
    except Gone:
        pass
    began = time.monotonic()
    assert broker.resolve(backend, item)["kind"] == "source"
    back_ms = (time.monotonic() - began) * 1000
    record_property("back_ms", round(back_ms))
    print("%s: back after %.0f ms" % (behaviour, back_ms))
    assert other.resolve(other_item)["kind"] == "source"
    if behaviour == "flood":
        assert " EO-BOUND bound=resolver_memory_bytes max=400000000 " in broker.log.read_text()
    if behaviour == "forks":
        pid = int(broker.trigger_file("forks.pid").read_text())
        until(lambda: not alive(pid))
    other.close()
    line.close()


@pytest.mark.parametrize("behaviour", ["sys_exit", "recurse"])
def test_h5_an_answer_that_is_the_last_one_dooms_no_other_job(broker, provider, behaviour):
    """Those behind it, of all movers, were not begun: they are told so, and ask again."""
    backend, item = "bad_" + behaviour, item_of(provider, behaviour)
    line, other = broker.connect(backend), broker.connect(backend, 1)
    assert line.resolve(item)["kind"] == "source"
    broker.trigger(behaviour)
    job = line.send(item, times=2)     # together: the second lies there before the first ends the resolver
    a = line.answer()
    assert (a["job"], a["kind"], a["status"]) == (job, "failed", 500)
    for each in (line, other):
        with pytest.raises(Gone):
            each.answer()
        assert each.bye
        each.close()


@pytest.mark.parametrize("behaviour", ["raises", "wrong_type", "subclass", "newline", "long_header", "nothing_callable"])
def test_h5_what_a_plugin_gets_wrong_is_a_failed_answer(broker, provider, behaviour):
    item = item_of(provider, behaviour)
    line = broker.connect("bad_" + behaviour)
    broker.trigger(behaviour)
    a = line.resolve(item)
    assert a["kind"] == "failed" and a["status"] in (500, 502)
    assert line.resolve(item)["kind"] == "source"      # by the same process
    assert "canary" not in json.dumps(a) + broker.log.read_text()
    line.close()


def test_f10_a_plugin_reaches_no_files_of_others(broker, provider):
    """From inside the real process, by the code of a plugin.  H6: nor what belongs to other requests."""
    line = broker.connect("bad_escapes")
    broker.trigger("escapes")
    assert line.resolve(item_of(provider, "escapes"))["kind"] == "source"
    tried = json.loads(broker.trigger_file("escapes.tried").read_text())
    line.close()
    for pid in broker.children():
        status = dict(s.split(":\t", 1) for s in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines() if ":\t" in s)
        assert status["NoNewPrivs"] == "1"
        assert [int(status[s], 16) for s in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0] * 4
    assert tried.pop("setuid") == errno.EPERM
    if landlock() < 1:
        pytest.skip("this kernel has no Landlock")
    if landlock() >= 6:
        assert tried.pop("kill") == errno.EPERM
    else:
        del tried["kill"]
    if "ASAN_OPTIONS" in os.environ:        # the checkers may read all
        tried = {k: v for k, v in tried.items() if k.endswith(".new")}
    assert set(tried.values()) == {errno.EACCES}, tried


def test_h5_what_a_plugin_changes_does_not_last(broker, provider):
    item = item_of(provider, "changes")
    line = broker.connect("bad_changes")
    broker.trigger("changes")
    assert line.resolve(item)["kind"] == "source"
    assert line.resolve(item)["kind"] == "source"
    cwds = {os.readlink("/proc/%d/cwd" % p) for p in broker.children() if os.access("/proc/%d/cwd" % p, os.R_OK)}
    assert cwds <= {"/", str(broker.dir)}
    line.close()


@pytest.mark.parametrize("behaviour", ["hang", "spin_deaf"])
def test_h5_a_backend_that_hangs_is_killed_and_cools_down_while_others_go_on(broker, provider, behaviour):
    backend, item = "bad_" + behaviour, item_of(provider, behaviour)
    other_item = feature(provider.url + "/assets/open/data.bin", ["loop_open"])
    other = broker.connect("loop_open", 1)
    other.resolve(other_item)
    line = broker.connect(backend)
    broker.trigger(behaviour)
    began = time.monotonic()
    line.send(item)
    slowest = 0
    while time.monotonic() < began + 1:
        t = time.monotonic()
        assert other.resolve(other_item)["kind"] == "source"
        slowest = max(slowest, time.monotonic() - t)
    print("slowest resolve of another backend: %.1f ms" % (slowest * 1000))
    with pytest.raises(Gone):
        line.answer()
    assert 2.5 < time.monotonic() - began < 10
    with pytest.raises(Refused) as refused:
        broker.connect(backend)
    assert refused.value.status == 504 and refused.value.retry_after >= 1
    assert other.resolve(other_item)["kind"] == "source"

    def again():
        try:
            return broker.resolve(backend, item)["kind"] == "source"
        except Refused as e:
            assert e.status == 504
            return False
    until(again)
    other.close()
    line.close()


def test_a_resolver_that_was_stopped_is_replaced(own_broker):
    b = own_broker().ready()
    item = feature("http://h/x", ["loop_open"])
    line = b.connect("loop_open")
    line.resolve(item)
    (child,) = b.children()
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(Gone):
        line.answer()
    assert b.resolve("loop_open", item)["kind"] == "source"
    assert child not in b.children()


def test_three_crashes_in_a_row_cool_down(own_broker, provider):
    b = own_broker(cooldown="60s").ready()
    for _ in range(3):
        line = b.connect("bad_os_exit")
        b.trigger("os_exit")
        line.send(item_of(provider, "os_exit"))
        with pytest.raises(Gone):
            line.answer()
        line.close()
    with pytest.raises(Refused) as refused:
        b.connect("bad_os_exit")
    assert refused.value.status == 504
    assert b.resolve("loop_open", feature("http://h/x", ["loop_open"]))["kind"] == "source"


# --- life -------------------------------------------------------------------------------


def test_an_idle_resolver_makes_room_and_a_busy_one_does_not(own_broker, provider):
    b = own_broker(resolvers=1, timeout="20s").ready()
    assert b.resolve("loop_open", feature("http://h/x", ["loop_open"]))["kind"] == "source"
    first = b.children()
    line = b.connect("bad_hang")           # waits until the idle one has gone
    assert len(b.children()) == 1 and b.children() != first
    b.trigger("hang")
    line.send(item_of(provider, "hang"))
    until(lambda: not b.trigger_file("hang").exists())
    with pytest.raises(Refused) as refused:
        b.connect("loop_open")
    assert refused.value.status == 503
    line.close()


def test_an_idle_resolver_ends_by_itself(own_broker):
    b = own_broker(idle="5s").ready()
    line = b.connect("loop_open")
    assert line.resolve(feature("http://h/x", ["loop_open"]))["kind"] == "source"
    with pytest.raises(Gone):
        line.answer()
    assert line.bye
    until(lambda: b.children() == [])
    assert "died" not in b.log.read_text()


def test_resolvers_outlive_the_broker_until_they_are_idle(own_broker):
    b = own_broker(idle="5s").ready()
    line = b.connect("loop_open")
    item = feature("http://h/x", ["loop_open"])
    line.resolve(item)
    (child,) = b.children()
    b.process.kill()
    b.process.wait()
    assert line.resolve(item)["kind"] == "source"
    with pytest.raises(Gone):
        line.answer()
    until(lambda: not alive(child))


def test_resolvers_without_broker_and_movers_end(own_broker):
    b = own_broker().ready()
    line = b.connect("loop_open")
    line.resolve(feature("http://h/x", ["loop_open"]))
    (child,) = b.children()
    b.process.kill()
    b.process.wait()
    line.close()
    until(lambda: not alive(child))


def test_all_end_when_the_master_is_gone(own_broker):
    b = own_broker().ready()
    line = b.connect("loop_open")
    line.resolve(feature("http://h/x", ["loop_open"]))
    (child,) = b.children()
    b.control.close()
    assert b.process.wait(WAIT) == 0
    with pytest.raises(Gone):
        line.answer()
    until(lambda: not alive(child))


def test_drain_lets_a_job_end(own_broker, provider):
    b = own_broker(timeout="5s").ready()
    line = b.connect("loop_search")
    line.send(None)
    b.control.send(struct.pack("=IIQ", 0x656f6331, 3, 0))
    assert line.answer()["kind"] == "source"
    with pytest.raises(Gone):
        line.answer()
    assert line.bye and b.process.wait(WAIT) == 0


def test_a_reload_that_concerns_no_resolver_leaves_them(own_broker):
    b = own_broker().ready()
    line = b.connect("loop_open")
    item = feature("http://h/x", ["loop_open"])
    line.resolve(item)
    before = b.children()
    b.reload()
    assert line.resolve(item)["kind"] == "source" and b.children() == before


def test_a_reload_with_other_credentials_takes_them(own_broker, provider):
    b = own_broker().ready()
    item = feature(provider.url + "/assets/hdr/data.bin", ["loop_header"])
    line = b.connect("loop_header")
    assert line.resolve(item)["headers"] == ["X-API-Key: k"]
    (b.dir / "eodag/eodag.yml").write_text(json.dumps({"loop_header": {"auth": {"credentials": {"apikey": "new"}}}}))
    b.reload()
    with pytest.raises(Gone):
        line.answer()
    assert b.resolve("loop_header", item)["headers"] == ["X-API-Key: new"]
    assert b.process.poll() is None


def test_a_reload_with_a_changed_file_of_providers_takes_it(own_broker, provider):
    """Written in place: the directory itself has the same time as before."""
    b = own_broker().ready()
    path = b.dir / "eodag/providers/loop.yml"
    config = json.loads(path.read_text())
    config["loop_new"] = dict(config["loop_open"], name="loop_new")
    with pytest.raises(Refused):
        b.connect("loop_new")
    path.write_text(json.dumps(config))
    b.reload()
    assert b.resolve("loop_new", feature(provider.url + "/assets/open/data.bin", ["loop_new"]))["kind"] == "source"


def test_a_reload_to_an_environment_that_is_none_keeps_the_old(own_broker, tmp_path):
    b = own_broker().ready()
    b.write_config(python=str(tmp_path))
    b.reload()
    assert b.resolve("loop_open", feature("http://h/x", ["loop_open"]))["kind"] == "source"
    assert "EO-BROKER-RELOAD" in b.log.read_text()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- start -------------------------------------------------------------------------------


def fails_to_start(b, *words):
    assert b.process.wait(WAIT) == 1
    log = b.log.read_text()
    for word in words:
        assert word in log
    return log


def test_an_environment_of_another_python_is_refused(own_broker, tmp_path):
    (tmp_path / "venv/bin").mkdir(parents=True)
    b = own_broker(python=str(tmp_path / "venv"))
    fails_to_start(b, "eodag.python is no environment for Python")


def test_an_eodag_outside_the_tested_range_is_refused(own_broker, tmp_path):
    glue = tmp_path / "old"
    (glue / "eodag-3.0.0.dist-info").mkdir(parents=True)
    (glue / "eodag-3.0.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: eodag\nVersion: 3.0.0\n")
    copy_glue(glue)
    fails_to_start(own_broker(glue_dir=glue), "3.0.0", "tested\\x20range")


def test_h4_nothing_of_the_callers_python_is_imported(own_broker, tmp_path):
    planted = tmp_path / "planted"
    planted.mkdir()
    home = tmp_path / "home"
    user = home / ("lib/python%d.%d/site-packages" % sys.version_info[:2])
    mark = tmp_path / "imported"
    for where in (planted, user):
        where.mkdir(parents=True, exist_ok=True)
        for name in ("json.py", "sitecustomize.py", "usercustomize.py", "requests.py", "startup.py"):
            (where / name).write_text("open(%r, 'a').write(__file__ + chr(10))\n" % str(mark))
    env = {"PYTHONPATH": str(planted), "PYTHONSTARTUP": str(planted / "startup.py"), "PYTHONHOME": "/nonexistent",
           "PYTHONUSERBASE": str(home), "HOME": str(home), "PYTHONINSPECT": "1", "http_proxy": "http://127.0.0.1:1",
           "PYTHONVERBOSE": "1"}
    b = own_broker(env=env)
    for f in planted.iterdir():
        shutil.copy(f, b.dir)           # its working directory
    b.ready()
    assert b.resolve("loop_open", feature("http://h/x", ["loop_open"]))["kind"] == "source"
    assert not mark.exists(), mark.read_text()


def test_a_proxy_in_the_environment_is_not_used(own_broker):
    b = own_broker(env={"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1",
                        "all_proxy": "http://127.0.0.1:1"}).ready()
    assert b.resolve("loop_search", None)["kind"] == "source"
