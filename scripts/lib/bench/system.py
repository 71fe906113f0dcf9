# SPDX-License-Identifier: Apache-2.0
"""
The system under test: scripts/stack with the quotas of a real site and nothing
that limits, the provider of the large objects, and what anchors need.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from processes import Failed, free_port, program, until

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("EODATA_BUILD") or TOP / "build")
VENV = pathlib.Path(os.environ.get("EODATA_TEST_VENV") or TOP / ".venv")
WORKERS = 4
SLOW = 128 << 10        # bytes a second of a slow provider
CONFIG = {
    "pool": {"workers": WORKERS}, "log": {"level": "info"},
    "backends": {"*": {"slots": 1024, "queue": 4096}},
    "memcached_timeout": "2s",      # a machine that others use must not open the circuit breaker
    "quotas": {
        "standard": {"per": "user", "requests": ["100000000 per second"], "bytes": ["1000000 TB per month"],
                     "upstream_bytes": ["1000000 TB per day"], "when_unavailable": "allow"},
        "s2-pool": {"per": "group", "bytes": ["1000000 TB per month"], "misses": ["100000000 per day"],
                    "when_unavailable": "refuse"}},
    "rules": [{"name": "operators", "users": ["alice"], "routes": ["-/status", "-/metrics"], "allow": True},
              {"name": "users", "groups": ["s2-users"], "allow": True, "quotas": ["standard", "s2-pool"]}]}


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, **more)


def listening(port):
    def test():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    until(test, "port %d" % port)


def merge(base, extra):
    if not isinstance(base, dict) or not isinstance(extra, dict):
        return extra
    return {**base, **{k: merge(base[k], v) if k in base else v for k, v in extra.items()}}


def asked(log, end, method="GET"):
    """What was asked for at this end of a path and is answered: [status, bytes, range] each, of METHOD URI STATUS BYTES RANGE."""
    with open(log) as f:
        lines = [line.split(None, 4) for line in f]
    return [line[2:] for line in lines if line[0] == method and line[1].endswith(end)]


class Bench:
    """What a case gets: options, the table, a folder, and what it starts, which ends with it."""

    def __init__(self, options, table):
        self.options, self.table = options, table
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="eodata-bench-"))
        self.dir.chmod(0o711)
        self.ended = []         # what to call at the end, last first
        self.kept = {}          # what one case measured for another, by its name
        self.shared = self.made_origin = None

    @property
    def origin(self):
        """The provider of the cases: made when the first asks."""
        if self.made_origin is None:
            self.made_origin = Origin(self)
        return self.made_origin

    @property
    def system(self):
        """The system that cases share; what they change in it they put back."""
        if self.shared is None:
            self.shared = self.another("stack")
        return self.shared

    def another(self, name, config=None, *options):
        """
        A system of a case's own, with this merged over the configuration, and more options for
        scripts/stack.  Ends with end() or with the bench.
        """
        base = {**CONFIG, "stac": {"item_url": self.origin.url + "items/{collection}/{item}.json"}}
        system = System(self, self.dir / name, merge(base, config or {}), *options)
        self.ended.append(system.end)
        return system

    def start(self, *command, **more):
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, **more)

        def end():
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.ended.append(end)
        return process

    def nginx(self, name, http):
        """An nginx of its own with this in its http block, as the user that fronts run as."""
        where = self.dir / name
        where.mkdir(mode=0o755)
        user = "user www-data;\n" if os.geteuid() == 0 else ""
        temps = ""
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (where / kind).mkdir(mode=0o777)
            (where / kind).chmod(0o777)
            temps += "%s_temp_path %s;\n" % (kind, where / kind)
        (where / "nginx.conf").write_text(
            "%sdaemon off;\npid %s;\nerror_log %s;\nworker_processes 2;\nevents { worker_connections 4096; }\nhttp {\n"
            "include /etc/nginx/mime.types;\n%s%s\n}\n" % (user, where / "pid", where / "error.log", temps, http))
        self.start(program("nginx"), "-c", where / "nginx.conf", "-e", where / "error.log")

    def end(self):
        for what in reversed(self.ended):
            try:
                what()
            except Exception as e:     # the others must end too
                sys.stderr.write("bench: %s\n" % e)
        if self.options.keep:
            sys.stderr.write("bench: all of it is left in %s\n" % self.dir)
        else:
            subprocess.run(["rm", "-rf", self.dir], check=False)    # a million files: Python takes minutes


class Origin:
    """The provider, and the catalogue: an nginx, which is not what limits."""

    def __init__(self, bench):
        self.bench = bench
        self.root = bench.dir / "origin"
        self.root.mkdir(mode=0o755)
        self.items = bench.dir / "items"
        (self.items / "BENCH").mkdir(parents=True)
        self.assets = {}        # name -> (bytes, sha256)
        self.log = bench.dir / "origin.log"
        port = free_port()
        self.url = "http://127.0.0.1:%d/" % port
        bench.nginx("origin-nginx", "log_format asked '$request_method $uri $status $body_bytes_sent $http_range';\n"
                    "access_log %s asked; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n"
                    "server { listen 127.0.0.1:%d backlog=4096; root %s;\n"
                    "location /slow/ { alias %s/; limit_rate %d; }\n"
                    "location /items/ { alias %s/; types { } default_type application/geo+json; } }" %
                    (self.log, port, self.root, self.root, SLOW, self.items))
        listening(port)

    def add(self, name, size, base=None):
        """An asset of random bytes, and its item, if they are not there yet.  base: where it is, if not at self.url."""
        if name in self.assets:
            return
        digest, left = hashlib.sha256(), size
        with open(self.root / name, "wb") as f:
            while left > 0:
                block = os.urandom(min(left, 1 << 20))
                left -= len(block)
                digest.update(block)
                f.write(block)
        self.describe(name, (base or self.url) + name, size, digest.hexdigest())

    def describe(self, item, href, size, sha256):
        """An item with one asset, "data"."""
        self.assets[item] = (size, sha256)
        (self.items / "BENCH" / (item + ".json")).write_text(json.dumps({
            "type": "Feature", "stac_version": "1.0.0", "id": item, "collection": "BENCH",
            "bbox": [0, 0, 0, 0], "geometry": {"type": "Point", "coordinates": [0, 0]}, "links": [],
            "properties": {"datetime": "2020-01-01T00:00:00Z", "federation:backends": ["loop_open"]},
            "assets": {"data": {"href": href, "type": "application/octet-stream", "file:size": size,
                                "file:checksum": "1220" + sha256}}}))

    def small(self):
        self.add("small.bin", 1024)
        return "small.bin"

    def large(self):
        self.add("large.bin", self.bench.options.size << 20)
        return "large.bin"


class System:
    """scripts/stack: front, proxy, memcached, catalogue; env has what stack.env says."""

    def __init__(self, bench, where, config, *options):
        self.bench, self.where = bench, where
        extra = where.with_suffix(".json")
        extra.write_text(json.dumps(config))
        run(TOP / "scripts/stack", "up", where, "--provider-root", bench.origin.root, "--config-extra", extra, *options)
        self.is_up = True
        self.env = dict(shlex.split(line)[0].split("=", 1) for line in open(where / "stack.env"))
        self.auth = "Basic " + base64.b64encode(self.env["USER_OK"].encode()).decode()

    def end(self):
        if self.is_up:
            self.is_up = False
            run(TOP / "scripts/stack", "down", self.where)

    def status(self):
        """What -/status says, as JSON."""
        request = urllib.request.Request(self.env["PROXY_URL"] + "/-/status", headers={"Authorization": self.auth})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def count(self, name):
        return self.status()["counters"][name]

    @property
    def port(self):
        return urllib.parse.urlsplit(self.env["PROXY_URL"]).port

    def pids(self, role):
        return [p["pid"] for p in self.status()["processes"] if p["role"] == role]

    def cpu_s(self):
        """Processor time of all our processes until now, in seconds."""
        ticks = 0
        for process in self.status()["processes"]:
            if process["pid"] > 0:
                stat = pathlib.Path("/proc/%d/stat" % process["pid"]).read_text()
                ticks += sum(map(int, stat[stat.rindex(")") + 2:].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def path(self, name):
        return "/data/loop_open/BENCH/%s/data" % name

    def url(self, name):
        return "%s/loop_open/BENCH/%s/data" % (self.env["PROXY_URL"], name)

    def fetch(self, url, expect, size, auth=True):
        """Seconds for the whole body of so many bytes; expect stands in its Cache-Status."""
        command = [program("curl"), "-sS", "-f", "-o", "/dev/null", "-w", "%{time_total} %{size_download} %header{cache-status}"]
        if auth:
            command += ["-H", "Authorization: " + self.auth]
        out = run(*command, url, capture_output=True, text=True).stdout.split(None, 2)
        if int(out[1]) != size:
            raise Failed("%s gave %s bytes" % (url, out[1]))
        if expect is not None and expect not in (out[2] if len(out) > 2 else ""):
            raise Failed("%s: not a %s but '%s'" % (url, expect, out[2:]))
        return float(out[0])

    def published(self, name):
        path = pathlib.Path(self.env["CACHE_DIR"]) / "30d/loop_open/BENCH" / name / "data@data"
        return path if path.exists() else None

    def warm(self, name):
        """It is in the cache afterwards."""
        if self.published(name) is None:
            self.fetch(self.url(name), None, self.bench.origin.assets[name][0])
            until(lambda: self.published(name), "%s in the cache" % name)

    def wrk(self, url, seconds=3, connections=32, script=None):
        """Requests a second; script: one of wrk's, with what follows it on its command line."""
        command = [program("wrk"), "-t1", "-c%d" % connections, "-d%ds" % seconds, "-H", "Authorization: " + self.auth]
        if script is not None:
            command += ["-s", script[0]]
        command += [url, "--", *script[1:]] if script is not None else [url]
        out = run(*command, capture_output=True, text=True).stdout
        if "Non-2xx" in out or "Socket errors" in out:
            raise Failed("wrk: %s\nThe proxy's last refusals:\n%s" % (out, "".join(self.refusals())))
        return float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))

    def refusals(self):
        with open(self.env["LOG"], errors="replace") as f:
            return [line for line in f if "status=4" in line or "status=5" in line or " warn " in line or " error " in line][-5:]
