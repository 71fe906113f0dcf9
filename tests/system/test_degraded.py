# SPDX-License-Identifier: Apache-2.0
"""
S3 that is down, slow, full, refuses, is missing, or finds our clock wrong: requests
are served from the providers, it is told once, seen in -/status, -/metrics and
-/ready, and over when S3 is itself again, without a restart.  By the real engine;
answers that it cannot be made to give come from a go-between.
"""

import contextlib
import email.utils
import http.client
import http.server
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
from conftest import Stack, wait_until
from stores import Bucket

AWAY = "degraded: the cache is away"
FULL = "degraded: the cache takes nothing"


class Between(http.server.BaseHTTPRequestHandler):
    """
    Passes requests on to the engine; server.mood(method) gives (status, headers, body)
    instead, or None, and server.twist(method, answer) what becomes of a real one.
    """

    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.mood(self.command)
        if answer is None:
            connection = http.client.HTTPConnection(self.server.engine, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            real = connection.getresponse()
            answer = real.status, dict(real.getheaders()), real.read()
            connection.close()
            answer = self.server.twist(self.command, answer)
        status, headers, body = answer
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", headers.get("content-length", headers.get("Content-Length", str(len(body)))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def between(s3_engine):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
    server.engine, server.mood = urllib.parse.urlsplit(s3_engine.url).netloc, lambda method: None
    server.twist = lambda method, answer: answer
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def keys(s3_engine, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("keys") / "keys")

    def write(user):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (user.id, user.secret))
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)
    write(s3_engine.owner)
    write.path = path
    return write


@pytest.fixture(scope="module")
def direct(new_bucket, s3_engine, keys):
    bucket = Bucket(s3_engine, new_bucket())
    made = Stack(store=bucket, extra=bucket.config(credentials=keys.path))
    yield made
    made.down()


@pytest.fixture(scope="module")
def behind(new_bucket, s3_engine, between):
    bucket = Bucket(s3_engine, new_bucket())
    made = Stack(store=bucket, extra=bucket.config(endpoint="http://127.0.0.1:%d" % between.server_port))
    yield made
    made.down()


def ready(stack):
    answer = stack.get("/data/-/ready", user=None)
    assert answer.status == 200, answer
    return answer.body.decode()


def metric(stack, name):
    text = stack.get("/data/-/metrics").body.decode()
    return int(re.search(r"^eodata_proxy_%s (\d+)$" % name, text, re.M)[1])


def serve(stack):
    """A cold asset, as its provider has it.  Was it stored?"""
    asset = stack.add(os.urandom(50000))
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    return "stored" in answer.headers["cache-status"]


def lines(stack, what, since):
    return [line for line in stack.log()[since:].splitlines() if what in line]


@contextlib.contextmanager
def degraded(stack, shown, why, keeps_hits=False):
    """Inside, S3 is what the caller has made it; afterwards it is well, and so is everything."""
    kept, since = stack.add(os.urandom(50000)).warm(), len(stack.log())
    gauge, code = ("store_away", "EO-STORE-AWAY") if shown == AWAY else ("store_full", "EO-STORE-FULL")
    counter = "store_failed_total", "store_refused_total"
    failures = sum(metric(stack, name) for name in counter)
    assert ready(stack) == "ready\n" and metric(stack, gauge) == 0

    def check():
        wait_until(lambda: serve(stack) is not None and shown in ready(stack), "-/ready says so")
        for _ in range(6):
            serve(stack)
        assert ready(stack).startswith("ready\n") and metric(stack, gauge) == 1
        assert stack.get("/data/-/status").json()["gauges"][gauge] == 1
        assert sum(metric(stack, name) for name in counter) >= failures + 3
        told = lines(stack, code, since)
        assert len(told) == 1 and why in told[0], told
        answer = stack.get(kept.path)
        assert answer.status == 200 and answer.body == kept.data and answer.is_hit == keeps_hits, answer
        assert "X-Amz-Signature" not in stack.log()
    yield check
    wait_until(lambda: serve(stack) and ready(stack) == "ready\n", "all is well again")
    assert len(lines(stack, "event=store-back", since)) == 1 and len(lines(stack, code, since)) == 1
    assert metric(stack, gauge) == 0
    if stack.store.find(kept):
        answer = stack.get(kept.path)
        assert answer.is_hit and answer.body == kept.data, answer
    stack.add(os.urandom(50000)).warm()


def test_s3_that_is_down(direct, s3_engine):
    with degraded(direct, AWAY, "connect") as check:
        s3_engine.stop("radosgw")
        try:
            check()
        finally:
            s3_engine.start("radosgw")


def test_s3_that_is_slow(direct, s3_engine):
    """So slow that it does not answer at all.  Who asks for what was a hit a moment ago gets it from the provider, too."""
    hit, answers = direct.add().warm(), []
    with degraded(direct, AWAY, "timeout") as check:
        radosgw = s3_engine.pids()["radosgw"]
        os.kill(radosgw, signal.SIGSTOP)
        asks = threading.Thread(target=lambda: answers.append(direct.get(hit.path)))
        asks.start()
        try:
            check()
            asks.join()
        finally:
            os.kill(radosgw, signal.SIGCONT)
    assert answers[0].status == 200 and answers[0].body == hit.data, answers


def test_s3_that_refuses(direct, s3_engine, keys):
    with degraded(direct, AWAY, "403") as check:
        keys(s3_engine.nobody)
        try:
            check()
        finally:
            keys(s3_engine.owner)
    for user in (s3_engine.nobody, s3_engine.owner):
        assert user.secret not in direct.log()


def test_s3_that_is_full(direct, s3_engine):
    """Hits go on."""
    with degraded(direct, FULL, "QuotaExceeded", keeps_hits=True) as check:
        s3_engine.bucket_quota(direct.store.name, 1)
        try:
            check()
        finally:
            s3_engine.bucket_quota(direct.store.name)


@pytest.mark.parametrize("status, code", [(503, "SlowDown"), (507, "StorageFull")])
def test_s3_that_takes_nothing(behind, between, status, code):
    with degraded(behind, FULL, code, keeps_hits=True) as check:
        between.mood = lambda method: (status, {}, b"<Error><Code>%s</Code></Error>" % code.encode()) if method in ("PUT", "POST") else None
        try:
            check()
        finally:
            between.mood = lambda method: None


def test_while_a_client_is_behind_one_part_at_a_time_is_uploaded(behind, between):
    """S3 that is as slow as this test wants; a client as slow, too, and then none."""
    held, go = [], threading.Event()
    asset = behind.add(os.urandom(30 << 20))

    def mood(method):
        if method == "PUT":
            held.append(method)
            go.wait(60)
    between.mood = mood
    try:
        slow = subprocess.Popen(["curl", "-q", "-sS", "--limit-rate", "100k", "-u", behind.user, "-o", os.devnull, asset.url])
        try:
            wait_until(lambda: behind.status()["gauges"]["spool_bytes"] >= len(asset.data) and held, "all of it is here, and a part on its way")
            assert len(held) == 1
        finally:
            slow.kill()
            slow.wait()
        wait_until(lambda: len(held) == 2, "another one goes along")
    finally:
        go.set()
        between.mood = lambda method: None
    wait_until(lambda: behind.store.find(asset), "it is there")
    assert behind.store.kept(asset)[0] == asset.data


def test_a_clock_that_differs_from_that_of_s3(behind, between):
    """To HEAD there is no code, but a Date."""
    with degraded(behind, AWAY, "its clock and that of this host differ") as check:
        between.mood = lambda method: (403, {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, b"" if method == "HEAD" else
                                       b"<Error><Code>RequestTimeTooSkewed</Code></Error>")
        try:
            check()
        finally:
            between.mood = lambda method: None


def test_a_bucket_that_is_missing(direct, s3_engine):
    with degraded(direct, AWAY, "NoSuchBucket") as check:
        for key in direct.store.keys():
            assert direct.store.ask("DELETE", key).status == 204
        assert direct.store.ask("DELETE").status == 204
        try:
            check()
        finally:
            s3_engine.make_bucket(direct.store.name)


# -- S3 that lies


def remembered(stack, asset):
    """A worker knows it, and leads nginx there."""
    def hit():
        answer = stack.request("HEAD", asset.path)
        return answer.is_hit and not lines(stack, "id=%s event=answer" % answer.headers["x-request-id"], 0)
    wait_until(hit, "it is remembered")


def forget_all(stack):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(stack.env["MEMCACHED_SOCKET"])
        s.sendall(b"flush_all\r\n")
        assert s.recv(100) == b"OK\r\n"


def test_whatever_status_s3_has_instead_of_the_object_is_a_miss(behind, between):
    """Never S3's own words under our headers."""
    asset = behind.add(os.urandom(50000)).warm()
    for status in (300, 402, 404, 406, 411, 415, 421, 424, 451, 501, 505, 507, 509):
        remembered(behind, asset)
        between.mood = lambda method, said=status: (said, {"Content-Type": "application/xml"}, b"<canary/>") if method == "GET" else None
        try:
            answer = behind.get(asset.path)
        finally:
            between.mood = lambda method: None
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, (status, answer)


@pytest.mark.parametrize("lie", [{"ETag": '"another"'}, {"Content-Encoding": "gzip"}])
def test_g9_a_part_of_something_else_is_never_taken_for_the_object(behind, between, lie):
    """By the mover, which asks where no worker knows the object."""
    asset = behind.add(os.urandom(50000)).warm()
    remembered(behind, asset)
    forget_all(behind)

    def twist(method, answer):
        status, headers, body = answer
        if method != "GET":
            return answer
        return status, {**{k: v for k, v in headers.items() if k.lower() not in map(str.lower, lie)}, **lie}, bytes(len(body))
    between.twist = twist
    try:
        answer = behind.get(asset.path)
    finally:
        between.twist = lambda method, answer: answer
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer


# -- objects whose time is nearly over


def test_a_redirect_lives_as_long_as_its_object_whatever_is_remembered(make_stack, new_bucket, s3_engine, between):
    """By the mover that asks S3, and by the worker that knows: until its class ends, not until memcached forgets."""
    bucket, day = Bucket(s3_engine, new_bucket()), 24 * 3600
    config = bucket.config(endpoint="http://127.0.0.1:%d" % between.server_port, remember="1m")
    config["cache"]["retentions"] = {"1d": {}}
    stack = make_stack({**config, "datasets": [{"retention": "1d"}], "rules": [
        {"users": ["alice"], "routes": ["-/*"], "allow": True}, {"groups": ["s2-users"], "allow": True, "delivery": "redirect"}]}, store=bucket)
    asset = stack.add(os.urandom(50000))
    assert stack.get(asset.path).body == asset.data
    wait_until(lambda: bucket.find(asset), "it is cached")

    def ask(left_s):
        """Who answers, and what, where S3 says that it has been there for a day but for so long."""
        def twist(method, answer):
            status, headers, body = answer
            stored = email.utils.formatdate(time.time() - day + left_s, usegmt=True)
            return status, {k: stored if k.lower() == "last-modified" else v for k, v in headers.items()}, body
        between.twist = twist
        try:
            forget_all(stack)
            mover = stack.pids("mover")[0]      # it believes for a while what S3 said last
            os.kill(mover, signal.SIGKILL)
            wait_until(lambda: mover not in stack.pids("mover") and stack.pids("mover"), "another mover")
            answer = wait_until(lambda: (lambda a: a if a.is_hit else None)(stack.get(asset.path)), "a hit")
            remembered(stack, asset)
            return [answer, stack.get(asset.path)]
        finally:
            between.twist = lambda method, answer: answer
    for left_s, least, most in ((day, 900, 900), (300, 270, 300)):
        for answer in ask(left_s):
            assert answer.status == 302, (left_s, answer)
            life = int(answer.headers["x-eodata-delivery"].removeprefix("redirect; life="))
            assert least <= life <= most and "X-Amz-Expires=%d&" % life in answer.headers["location"], (left_s, answer)
            assert answer.headers["cache-control"] == "private, max-age=%d" % (life - 60)
    for answer in ask(80):
        assert answer.status == 200 and answer.body == asset.data, answer
        assert answer.headers["x-eodata-delivery"] == "stream; reason=expires"
