# SPDX-License-Identifier: Apache-2.0
"""
Clients without end that read as curl does and know every byte: each answer is
right, failed visibly, or false.  For tests/system/faults.py, which kills somebody
meanwhile.
"""

import dataclasses
import hashlib
import json
import random
import re
import socket
import threading
import time

from conftest import to_base64

KIB = 1 << 10
CLIENTS = 10
SILENCE_S = 25          # a client that hears nothing for so long is lost, and knows it only by its own clock


# -- reading as curl does ---------------------------------------------------------


class Broken(Exception):
    """The answer ended before its end."""


class Wire:
    """One request on a connection of its own, read to the end that its framing announces."""

    def __init__(self, stack, method, path, headers, user):
        self.socket = socket.create_connection((stack.host, stack.port), timeout=SILENCE_S)
        self.method, self.have, self.status, self.headers = method, b"", 0, {}
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: %s" % stack.host, "Authorization: Basic " + to_base64("%s:%s" % (user, user))]
        lines += ["%s: %s" % pair for pair in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def close(self):
        self.socket.close()

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Broken("the connection ended")
        self.have += data

    def line(self):
        while b"\r\n" not in self.have:
            self.more()
        line, self.have = self.have.split(b"\r\n", 1)
        return line.decode("latin-1")

    def head(self):
        self.status = int(self.line().split()[1])
        while True:
            line = self.line()
            if line == "":
                return
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def exactly(self, n, step):
        while n > 0:
            if not self.have:
                self.more()
            piece, self.have = self.have[:n], self.have[n:]
            n -= len(piece)
            step(piece)

    def body(self, step):
        """step(piece) for all of it; it may raise to stop."""
        if self.method == "HEAD" or self.status in (204, 304):
            return
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while True:
                n = int(self.line().split(";")[0], 16)
                self.exactly(n, step)
                if self.line() != "":
                    raise Broken("a chunk without its end")
                if n == 0:
                    return
        elif "content-length" in self.headers:
            self.exactly(int(self.headers["content-length"]), step)
        else:
            try:        # until the connection ends, whyever it does: nobody could tell
                while True:
                    self.exactly(65536, step)
            except Broken:
                pass


class Enough(Exception):
    """The client has what it wanted and leaves."""


@dataclasses.dataclass
class Outcome:
    kind: str
    asset: object
    user: str
    method: str
    begun: float
    headed: float = 0       # when the answer's head was there; 0: never
    ended: float = 0
    status: int = 0
    ident: str = ""
    got: int = 0            # bytes of the body
    verdict: str = ""       # right, left (of its own will), failed (and saw it), false, hung
    why: str = ""

    def __str__(self):
        return "%s %s %s of %s (%s bytes, %s): %s after %.3f s, status %d, %d bytes: %s" % (
            self.kind, self.method, self.ident, self.asset.name, len(self.asset.data), self.asset.path.split("/")[2], self.verdict,
            self.ended - self.begun, self.status, self.got, self.why)


def judge_answer(outcome, wire, body, asked):
    """What a whole answer is worth."""
    data = outcome.asset.data
    if wire.status >= 400:
        problem = wire.headers.get("content-type", "").startswith("application/problem+json")
        if outcome.method != "HEAD":
            try:
                problem = problem and json.loads(body)["status"] == wire.status
            except ValueError:
                problem = False
        return ("failed", "an error: %r" % body[:300]) if problem else ("false", "an error that is no problem document: %r" % body[:300])
    if outcome.method == "HEAD":
        right = wire.status == 200 and wire.headers.get("content-length", str(len(data))) == str(len(data))
        return ("right", "") if right else ("false", "a wrong head: %r" % wire.headers)
    if wire.status == 200:
        return ("right", "") if body == data else ("false", "200 with %d bytes that are not the asset's" % len(body))
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", wire.headers.get("content-range", ""))
    if wire.status != 206 or asked is None or match is None:
        return "false", "nobody asked for this: %r" % wire.headers
    first, last, size = (int(n) for n in match.groups())
    if (first, min(asked[1], len(data) - 1), len(data)) != (asked[0], last, size) or body != data[first:last + 1]:
        return "false", "206 with other bytes than were asked for: %r, asked %r" % (wire.headers, asked)
    return "right", ""


# -- the load -----------------------------------------------------------------------


class Load:
    """
    Clients without end.  What each asks for next is its own random choice from
    the seed; the instants are the machine's.
    """

    BACKENDS = ("loop_open", "loop_header", "loop_basic", "loop_token")

    def __init__(self, stack, seed, clients=CLIENTS):
        self.stack, self.seed = stack, seed
        self.user = "nobody-yet"
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.outcomes, self.judged = [], 0      # all that ended; how many of them were looked at
        self.busy = {}                          # thread -> (user, since)
        self.recent = []                        # assets that others may be fetching
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(clients)]
        self.warm = [stack.add(self.bytes(random.Random(seed + size), size), backend=backend)
                     for size, backend in ((1 * KIB, "loop_open"), (60 * KIB, "loop_header"), (700 * KIB, "loop_basic"))]
        self.faults = []

    @staticmethod
    def bytes(rng, n):
        return rng.randbytes(n)

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(3 * SILENCE_S)
            assert not thread.is_alive(), "a client that does not come to an end"

    # -- one client

    def client(self, i):
        rng = random.Random("%s-%d" % (self.seed, i))
        large = 1 if self.stack.store.kind == "s3" else 0
        acts = [(act, weight) for act, weight in (
            (self.hit, 6), (self.hit_range, 4), (self.head, 2), (self.cold, 8), (self.cold_range, 4), (self.joined, 4),
            (self.unknown_length, 2), (self.broken_off, 2), (self.slow_source, 3), (self.slow_client, 3), (self.resumed, 3),
            (self.left, 1), (self.large, large))]
        try:
            while not self.over.is_set():
                act = rng.choices([a for a, _ in acts], [w for _, w in acts])[0]
                with self.lock:
                    user = self.user
                    self.busy[i] = user
                act(rng, user)
                with self.lock:
                    self.busy.pop(i)
        except Exception as fault:      # the harness itself is wrong
            self.faults.append(fault)
            raise

    def busy_with(self, user):
        with self.lock:
            return user in self.busy.values()

    def ask(self, kind, asset, user, method="GET", asked=None, headers=None, pace=None, enough=None):
        """One request, to its end.  asked: a range; pace: bytes a second; enough: bytes after which it leaves.  (outcome, body)"""
        outcome = Outcome(kind, asset, user, method, time.monotonic())
        headers = dict(headers or {})
        if asked is not None:
            headers["Range"] = "bytes=%d-%d" % asked
        wire, body = None, bytearray()

        def step(piece):
            body.extend(piece)
            if enough is not None and len(body) >= enough:
                raise Enough
            if pace is not None and not self.over.is_set():
                time.sleep(len(piece) / pace)
        try:
            wire = Wire(self.stack, method, asset.path, headers, user)
            wire.head()
            outcome.headed, outcome.status, outcome.ident = time.monotonic(), wire.status, wire.headers.get("x-request-id", "")
            wire.body(step)
            outcome.verdict, outcome.why = judge_answer(outcome, wire, bytes(body), asked)
        except Enough:
            outcome.verdict = "left"
        except socket.timeout:
            outcome.verdict, outcome.why = "hung", "nothing came for %d s" % SILENCE_S
        except (Broken, OSError) as fault:
            outcome.verdict, outcome.why = "failed", "%s: %s" % (type(fault).__name__, fault)
        finally:
            if wire is not None:
                wire.close()
        outcome.got, outcome.ended = len(body), time.monotonic()
        if outcome.verdict in ("right", "left", "failed") and not self.is_prefix(outcome, bytes(body), asked):
            outcome.verdict, outcome.why = "false", "what came is no part of the asset"
        with self.lock:
            self.outcomes.append(outcome)
        return outcome, bytes(body)

    @staticmethod
    def is_prefix(outcome, body, asked):
        """Also what is cut is never other bytes."""
        if outcome.status not in (200, 206):
            return True
        return outcome.asset.data[asked[0] if outcome.status == 206 else 0:].startswith(body)

    # -- what there is to ask for

    def add(self, rng, low, high, checked=None, **more):
        data = self.bytes(rng, rng.randrange(low, high))
        if checked if checked is not None else rng.random() < 0.5:
            more["asset_members"] = {"file:size": len(data), "file:checksum": "1220" + hashlib.sha256(data).hexdigest()}
        if "case" in more:
            more["backend"] = rng.choice(("loop_open", "loop_header"))
        asset = self.stack.add(data, **{"backend": rng.choice(self.BACKENDS), **more})
        with self.lock:
            self.recent.append(asset)
            del self.recent[:-6]
        return asset

    def part(self, rng, asset):
        first = rng.randrange(len(asset.data))
        return first, min(len(asset.data) - 1, first + rng.randrange(64 * KIB))

    def hit(self, rng, user):
        self.ask("hit", rng.choice(self.warm), user)

    def hit_range(self, rng, user):
        asset = rng.choice(self.warm)
        self.ask("hit-range", asset, user, asked=self.part(rng, asset))

    def head(self, rng, user):
        asset = rng.choice(self.warm) if rng.random() < 0.5 else self.add(rng, 1, 100 * KIB)
        self.ask("head", asset, user, method="HEAD")

    def cold(self, rng, user):
        self.ask("cold", self.add(rng, 1, 200 * KIB), user)

    def cold_range(self, rng, user):
        asset = self.add(rng, 100 * KIB, 600 * KIB)
        for _ in range(rng.randrange(1, 6)):
            self.ask("cold-range", asset, user, asked=self.part(rng, asset))

    def large(self, rng, user):
        """Of several parts in a bucket."""
        self.ask("large", self.add(rng, 6 << 20, 9 << 20), user)

    def joined(self, rng, user):
        with self.lock:
            asset = rng.choice(self.recent) if self.recent else self.warm[0]
        self.ask("joined", asset, user, asked=self.part(rng, asset) if rng.random() < 0.3 else None)

    def unknown_length(self, rng, user):
        self.ask("unknown-length", self.add(rng, 1, 300 * KIB, case="chunked", checked=True), user)

    def broken_off(self, rng, user):
        self.ask("broken-off", self.add(rng, 300 * KIB, 900 * KIB, case="breaks-300000"), user)

    def slow_source(self, rng, user):
        self.ask("slow-source", self.add(rng, 200 * KIB, 700 * KIB, case="slow-500000"), user)

    def slow_client(self, rng, user):
        self.ask("slow-client", self.add(rng, 400 * KIB, 1500 * KIB), user, pace=1000 * KIB)

    def resumed(self, rng, user):
        """As "curl -C -" after a break: the rest, if it is the same version."""
        asset = self.add(rng, 200 * KIB, 800 * KIB)
        first, body = self.ask("resumed", asset, user, enough=rng.randrange(1, len(asset.data)))
        if first.verdict == "left" and len(body) < len(asset.data):
            self.ask("resumed-rest", asset, user, asked=(len(body), len(asset.data) - 1))

    def left(self, rng, user):
        asset = self.add(rng, 200 * KIB, 800 * KIB)
        self.ask("left", asset, user, enough=rng.randrange(1, len(asset.data)))
