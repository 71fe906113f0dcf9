# SPDX-License-Identifier: Apache-2.0
"""The cache in a bucket, of a real S3 engine on this machine: filled, and read."""

import configparser
import time
import urllib.parse

import s3

from .case import case
from .clients import Client, check, run_all
from .system import Failed, asked, free_port, listening, until

CLIENTS = 500
CROWDED = 4 << 20
LATE_MS = 200       # a provider's first byte: none answers at once


class Stored:
    """A system whose cache is a bucket, and the engine behind it."""

    def __init__(self, bench):
        if s3.missing():
            raise Failed("there is no %s here (Debian packages ceph-mon, ceph-osd, radosgw)" % ", ".join(s3.missing()))
        self.system = bench.another("s3-stack", None, "--cache", "s3")
        env = self.system.env
        keys = configparser.ConfigParser(interpolation=None)
        keys.read(env["S3_KEY_FILE"])
        self.engine = s3.Engine(env["S3_DIR"])
        self.engine.url = env["S3_URL"]
        self.engine.owner = s3.User("default", keys["default"]["aws_access_key_id"], keys["default"]["aws_secret_access_key"])
        self.bucket = env["S3_BUCKET"]

    def path(self, name):
        return "/%s/30d/loop_open/BENCH/%s/data" % (self.bucket, name)

    def is_there(self, name):
        return self.engine.request("HEAD", self.path(name)).status == 200

    def fill(self, name, size):
        """Seconds until a client has the cold object whole; then it is in the bucket, after self.lag seconds more."""
        if self.is_there(name):
            self.engine.request("DELETE", self.path(name))
            until(lambda: not self.is_there(name), "the end of the object")
            time.sleep(3)       # the mover believes for two seconds what it was told; the engine collects what is gone
        seconds = self.system.fetch(self.system.url(name), "fwd=miss; stored", size)
        since = time.monotonic()
        until(lambda: self.is_there(name), "the object in the bucket")
        self.lag = time.monotonic() - since
        return seconds


def stored(bench):
    if "s3" not in bench.kept:
        bench.kept["s3"] = Stored(bench)
    return bench.kept["s3"]


@case("s3-fill", 35, "a large object cold, and uploaded to a real S3 engine (on the same processors), beside the same with the "
      "directory; and how long after its last byte it is in the bucket")
def s3_fill(bench):
    name = bench.origin.large()
    size, kept, directory, lag, cpu = bench.origin.assets[name][0], stored(bench), bench.system, [], []

    def ours():
        before = kept.system.cpu_s()
        seconds = kept.fill(name, size)
        lag.append(kept.lag)
        cpu.append((kept.system.cpu_s() - before) / size * 1e9)
        return seconds

    def anchor():
        path = directory.published(name)
        if path is not None:
            path.unlink()
        seconds = directory.fetch(directory.url(name), "fwd=miss; stored", size)
        until(lambda: directory.published(name), "the large object in the cache")
        return seconds
    bench.table.compare("s3-fill", "s", [("eodata-proxy, S3", ours), ("eodata-proxy, directory", anchor)], False,
                        {"eodata-proxy, directory": 0.60})
    bench.table.report("s3-fill", "until it is in the bucket", lag, "s")
    bench.table.report("s3-fill", "processor time of the proxy", cpu, "s/GB")


def anchor(bench, kept, name):
    """URL of an nginx that passes a presigned URL of it on, over connections that it keeps, too."""
    port, url = free_port(), urllib.parse.urlsplit(kept.engine.presign("GET", kept.path(name), life_s=86400))
    bench.nginx("s3-nginx-%d" % port, "access_log off;\nupstream s3 { server %s; keepalive 32; }\n"
                "server { listen 127.0.0.1:%d; location /f { proxy_pass 'http://s3%s?%s'; proxy_set_header Host %s;\n"
                "    proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Authorization '';\n"
                "    proxy_max_temp_file_size 0; } }" % (url.netloc, port, url.path, url.query, url.netloc))
    listening(port)
    return "http://127.0.0.1:%d/f" % port


@case("s3-hit", 36, "a large object in the bucket beside nginx with proxy_pass to a presigned URL of it")
def s3_hit(bench):
    name = bench.origin.large()
    size, kept = bench.origin.assets[name][0], stored(bench)
    if not kept.is_there(name):
        kept.fill(name, size)
    url = anchor(bench, kept, name)
    bench.table.compare("s3-hit", "s", [
        ("eodata-proxy", lambda: kept.system.fetch(kept.system.url(name), "hit", size)),
        ("nginx proxy_pass", lambda: kept.system.fetch(url, None, size, auth=False))],
        False, {"nginx proxy_pass": 0.95})


@case("s3-decide", 37, "requests a second for a 1 KiB hit in the bucket through nginx (identity, rules, two quota sets, look-up in "
      "memcached, signature) beside nginx with proxy_pass to a presigned URL of it")
def s3_decide(bench):
    name = bench.origin.small()
    size, kept = bench.origin.assets[name][0], stored(bench)
    if not kept.is_there(name):
        kept.fill(name, size)
    url = anchor(bench, kept, name)
    bench.table.compare("s3-decide", "req/s", [
        ("eodata-proxy", lambda: kept.system.wrk(kept.system.url(name))),
        ("nginx proxy_pass", lambda: kept.system.wrk(url))], True, {"nginx proxy_pass": 0.70})


@case("s3-crowd", 41, "%d clients at once on one cold object, half of them at each of two hosts with one bucket: requests at the "
      "provider, whose first byte comes after %d ms; seconds until the last client has it whole" % (CLIENTS, LATE_MS))
def s3_crowd(bench):
    n, table, kept = bench.options.count or CLIENTS, bench.table, stored(bench)
    hosts = [kept.system, bench.another("s3-second", None, "--cache", "s3", "--join", kept.system.where)]
    late, log = hosts[0].env["UPSTREAM_URL"] + "/bad/late-%d/" % LATE_MS, hosts[0].env["UPSTREAM_LOG"]
    requests, first, all_s = [], [], []
    for i in range(bench.options.runs):
        name = "s3-crowd%d.bin" % i
        bench.origin.add(name, CROWDED, late)
        clients = [Client(hosts[i % 2].port, hosts[0].path(name), {"Authorization": hosts[0].auth}) for i in range(n)]
        all_s.append(run_all(clients, 120))
        check(clients, lambda _: bench.origin.assets[name][1])
        first.append(max(c.first_s for c in clients) * 1e3)
        until(lambda: kept.is_there(name) and asked(log, "/" + name), "the object in the bucket")
        requests.append(len(asked(log, "/" + name)))
    table.exactly("s3-crowd", "requests at the provider", requests, "", 1)
    table.report("s3-crowd", "first byte, last client", first, "ms")
    table.report("s3-crowd", "all %d bodies" % n, all_s, "s")
