# SPDX-License-Identifier: Apache-2.0
"""
Many clients in one epoll loop, and one that asks for hits in a process of its
own.

One process of Python reads and hashes 300 to 500 MB/s here and sends a request
every 10 us: bodies beyond that, or answers of less than a millisecond to many
clients at once, would measure it and not the proxy.
"""

import hashlib
import heapq
import http.client
import multiprocessing
import resource
import select
import socket
import time

from .system import Failed

CHUNK = 1 << 16


class Client:
    """One request on a connection of its own, and what came of it."""

    def __init__(self, port, path, headers, rate=0):
        """rate: bytes a second that it reads at most; 0: as fast as they come."""
        self.address, self.rate = ("127.0.0.1", port), rate
        lines = ["GET %s HTTP/1.1" % path, "Host: 127.0.0.1", "Connection: close"] + ["%s: %s" % h for h in headers.items()]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.head, self.status, self.length = b"", 0, None
        self.bytes, self.sha256, self.kept = 0, hashlib.sha256(), []
        self.first_s = self.end_s = self.sent_at = None
        self.error = None

    def connect(self):
        self.socket = socket.socket()
        if self.rate > 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        self.socket.connect(self.address)
        self.socket.setblocking(False)

    def send(self):
        self.sent_at = time.monotonic()
        if self.socket.send(self.request) != len(self.request):
            raise Failed("a request did not fit into its socket")

    def read(self, keep):
        """Bytes that came; None: it is over.  keep: hash them later."""
        try:
            data = self.socket.recv(CHUNK if self.rate == 0 else 1 << 14)
        except BlockingIOError:
            return 0
        except OSError as e:
            return self.over(str(e))
        if self.first_s is None:
            self.first_s = time.monotonic() - self.sent_at
        if data == b"":
            return self.over(None if self.length == self.bytes else "ended after %d of %s bytes" % (self.bytes, self.length))
        n = len(data)
        if self.length is None:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if end == b"":
                return n
            self.take_head(head)
        self.bytes += len(data)
        if keep:
            self.kept.append(data)
        else:
            self.hash(data)
        return n

    def hash(self, *more):
        for data in [*self.kept, *more]:
            self.sha256.update(data)
        self.kept.clear()

    def take_head(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.length = int(self.headers.get("content-length", -1))

    def over(self, error):
        self.end_s = time.monotonic() - self.sent_at
        self.hash()
        self.error = error
        self.socket.close()
        return None

    def wrong(self, sha256, status=200):
        """Why this is not the answer that was wanted; None: it is."""
        if self.error is not None or self.status != status:
            return "status %d, %d bytes, %s" % (self.status, self.bytes, self.error)
        return None if self.sha256.hexdigest() == sha256 else "%d other bytes" % self.bytes


def run_all(clients, seconds, meanwhile=None):
    """
    All connect, then all ask at once, then all are read to their ends.  Nothing
    is hashed before all have their first bytes, for clients have processors of
    their own.  meanwhile() is called ten times a second.  Gives the seconds that
    it took.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * len(clients) + 256)), hard))
    for client in clients:
        client.connect()
    epoll = select.epoll(len(clients))
    by_fd = {client.socket.fileno(): client for client in clients}
    begin = tick = time.monotonic()
    for client in clients:
        client.send()
        epoll.register(client.socket.fileno(), select.EPOLLIN)
    silent = len(clients)
    waiting = []        # [when, fd]: slow ones that have read enough for now
    while by_fd:
        now = time.monotonic()
        if now - begin > seconds:
            raise Failed("%d of %d clients are not served after %d s" % (len(by_fd), len(clients), seconds))
        if meanwhile is not None and now >= tick:
            tick = now + 0.1
            meanwhile()
        while waiting and waiting[0][0] <= now:
            epoll.modify(heapq.heappop(waiting)[1], select.EPOLLIN)
        until = min([tick] + [w[0] for w in waiting[:1]])
        for fd, _ in epoll.poll(max(0.0, until - now)):
            client = by_fd[fd]
            silent -= client.first_s is None
            n = client.read(silent > 0)
            if n is None:
                del by_fd[fd]
            elif client.rate > 0 and n > 0:
                epoll.modify(fd, 0)
                heapq.heappush(waiting, (max(now, client.sent_at + client.bytes / client.rate), fd))
    epoll.close()
    return time.monotonic() - begin


def check(clients, sha256):
    """Has each got the body with sha256(client)?"""
    wrong = [why for why in (c.wrong(sha256(c)) for c in clients) if why is not None]
    if wrong:
        raise Failed("%d of %d clients got something else, the first: %s" % (len(wrong), len(clients), wrong[0]))


def asker(port, path, headers, pause, until, out):
    """Asks again and again on one connection: milliseconds of each answer, until told to stop."""
    connection, times = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    while not until.is_set():
        begin = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        times.append((time.perf_counter() - begin) * 1e3)
        if answer.status != 200 or "hit" not in answer.headers["Cache-Status"]:
            out.put("%d %s %r" % (answer.status, answer.headers["Cache-Status"], body[:200]))
            return
        time.sleep(pause)
    out.put(times)


class Asker:
    """One client that asks for a cached object in a process of its own, with a pause after each answer."""

    def __init__(self, port, path, headers, pause=0.005):
        context = multiprocessing.get_context("fork")
        self.until, self.out = context.Event(), context.SimpleQueue()
        self.process = context.Process(target=asker, args=(port, path, headers, pause, self.until, self.out), daemon=True)
        self.process.start()

    def end(self):
        """Milliseconds of each answer, sorted."""
        self.until.set()
        times = self.out.get()
        self.process.join()
        if isinstance(times, str):
            raise Failed("a hit was answered %s" % times)
        return sorted(times)


def percentile(sorted_values, p):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * p / 100))]
