#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
A data provider and a STAC catalogue on one loopback port, for tests, the
quickstart and benchmarks.  It answers by hand on the socket, so that it can
also answer wrongly: cut, too long, with a false range, not at all.

    /assets/open/PATH     the file PATH of --root
    /assets/hdr/PATH      the same, for X-API-Key: k
    /assets/basic/PATH    the same, for u:p by HTTP basic
    /assets/qs/PATH       the same, for ?apikey=k
    /assets/tok/PATH      the same, for a bearer token of POST /token
    /assets/sas/PATH      the same, for ?sig=good, and without the key of who signs
    /sas?href=URL         for Ocp-Apim-Subscription-Key: k: that URL, signed
    /bad/CASE/PATH        the same file, answered wrongly: see class Bad
    /stac/busy/SECONDS    429 with so many seconds of Retry-After, whatever is asked
    /badhdr/CASE/PATH     the same, for X-API-Key: k
    /stac/collections/C/items/I   --items DIR/C/I.json, {base} replaced
    /stac/search          POST {"ids": [...], "collections": [...]}
    /stac-login/...       the same two, for Authorization: Bearer catalogue
    /token                POST username=u, password=p -> access_token, expires_in
    /-/log                what was asked, as JSON
    /-/set?token_life=S   POST: life of tokens made from now on
    /-/revoke             POST: all tokens end now
    /-/open?gate=NAME     POST: lets /bad/gate-NAME-AT/PATH, chunkgate-... and headgate-NAME go on
    /-/hold?what=WHAT&gate=NAME   POST: searches, tokens or items (WHAT: search, token, item) wait at
                          the gate from now on; an item before its last byte, a search for its collection alone
                          if &collection=C is given
    /-/reset              POST: counters back to nothing

A second port (--other) answers /assets/open only and records the headers of
each request: that is where /bad/redirect-other leads.

An item may hold two members that never leave this program: "fake:hide_origin"
(true: the catalogue serves it without alternate.origin; the search, which
plays the provider's own catalogue, always shows the origin as the href).
"""

import argparse
import base64
import email.utils
import json
import mimetypes
import os
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse

CHUNK = 1 << 18
HEAD_MAX = 1 << 16
LOGIN_PAGE = b"<!DOCTYPE html><html><title>Sign in</title><form>user, password</form></html>\n"

mimetypes.add_type("image/tiff", ".tif")
mimetypes.add_type("image/tiff", ".tiff")
mimetypes.add_type("application/octet-stream", ".bin")


class Gone(Exception):
    """The peer went away, or the answer is meant to end the connection."""


class State:
    """What all connections share."""

    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.base = self.other_base = ""
        self.token_life = args.token_life
        self.tokens = {}            # token -> (end of its life, revoked)
        self.serial = 0
        self.gates = {}
        self.holds = {}             # what -> (gate, collection or None)
        self.asked = {}             # path -> how often
        self.open = 0               # requests being answered
        self.assets_open = 0        # of them, for assets
        self.assets_peak = 0        # so many at most, since the last reset
        self.reset()

    def reset(self):
        with self.lock:
            self.assets_peak = self.assets_open
            self.counts = {"assets": 0, "items": 0, "searches": 0, "tokens": 0, "signs": 0, "other": 0}
            self.requests = []
            self.other_requests = []

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def opened(self, n):
        with self.lock:
            self.open += n

    def assets_opened(self, n):
        with self.lock:
            self.assets_open += n
            self.assets_peak = max(self.assets_peak, self.assets_open)

    def record(self, request):
        entry = {"method": request.method, "uri": request.uri, "headers": request.headers}
        with self.lock:
            where = self.other_requests if request.other else self.requests
            where.append(entry)
            del where[:-1000]

    def new_token(self):
        with self.lock:
            self.serial += 1
            token = "token-%d" % self.serial
            self.tokens[token] = time.monotonic() + self.token_life
            self.counts["tokens"] += 1
        return token

    def token_good(self, token):
        with self.lock:
            return self.tokens.get(token, 0) > time.monotonic()

    def revoke(self):
        with self.lock:
            self.tokens.clear()

    def gate(self, name):
        with self.lock:
            return self.gates.setdefault(name, threading.Event())

    def hold(self, what, collections=()):
        with self.lock:
            name, only = self.holds.get(what, (None, None))
        if name is not None and (only is None or only in collections):
            self.gate(name).wait(120)

    def log(self, path, line):
        """One write(2) a line: several threads, and readers who tail."""
        if path:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(fd, (line + "\n").encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)


SIGNER = "Ocp-Apim-Subscription-Key"


class Request:
    def __init__(self, method, uri, headers, body, other):
        self.method = method
        self.uri = uri
        self.headers = headers      # list of [name, value]
        self.body = body
        self.other = other
        parts = urllib.parse.urlsplit(uri)
        self.path = parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.segments = [urllib.parse.unquote(s) for s in self.path.split("/")[1:]]

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


class Connection:
    """One client connection: reads requests, answers each, keeps alive."""

    def __init__(self, state, sock, other):
        self.state = state
        self.sock = sock
        self.other = other
        self.rfile = sock.makefile("rb")
        self.request = None
        self.logged = True
        self.log_file = None
        self.status = 0
        self.sent = 0

    # -- reading

    def read_request(self):
        line = self.rfile.readline(HEAD_MAX)
        if not line.endswith(b"\n"):
            return None
        words = line.decode("latin-1").split()
        if len(words) != 3:
            raise Gone
        headers, size = [], len(line)
        while True:
            line = self.rfile.readline(HEAD_MAX)
            size += len(line)
            if not line.endswith(b"\n") or size > HEAD_MAX:
                raise Gone
            if line in (b"\r\n", b"\n"):
                break
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            headers.append([name, value.strip()])
        request = Request(words[0], words[1], headers, b"", self.other)
        length = int(request.header("Content-Length") or 0)
        request.body = self.rfile.read(min(length, 1 << 20))
        return request

    def serve(self):
        try:
            while True:
                self.request = self.read_request()
                if self.request is None:
                    break
                self.state.record(self.request)
                self.logged, self.log_file, self.status, self.sent = True, None, 0, 0
                self.state.opened(1)
                try:
                    Answer(self).answer()
                finally:
                    self.log_now()
                    self.state.opened(-1)
                if (self.request.header("Connection") or "").lower() == "close":
                    break
        except (Gone, OSError, ValueError):
            pass
        finally:
            self.close()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.rfile.close()
        self.sock.close()

    # -- writing

    def will_log(self, path):
        """This request is one for the log: its line comes before its answer's end."""
        self.log_file = path
        self.logged = False
        if path == self.state.args.upstream_log:
            self.state.assets_opened(1)

    def log_now(self, more=0):
        if self.logged:
            return
        self.logged = True
        if self.log_file == self.state.args.upstream_log:
            self.state.assets_opened(-1)    # not after its end: another one may be here by then
        request = self.request
        self.state.log(self.log_file, "%s %s %d %d %s" % (
            request.method, request.uri, self.status, self.sent + more,
            (request.header("Range") or "-").replace(" ", "")))

    def send_raw(self, data):
        self.sock.sendall(data)

    def send_head(self, status, headers, reason="x"):
        self.status = status
        lines = ["HTTP/1.1 %d %s" % (status, reason)]
        lines += ["%s: %s" % (name, value) for name, value in headers]
        self.send_raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def send_body(self, data, last=True):
        if last:
            self.log_now(more=len(data))
        self.send_raw(data)
        self.sent += len(data)

    def send_simple(self, status, body=b"", headers=(), kind="text/plain"):
        head = [("Content-Type", kind), ("Content-Length", len(body))] + list(headers)
        self.status = status
        self.log_now(more=len(body))    # head and body may leave together
        self.send_head(status, head)
        self.send_raw(body)
        self.sent += len(body)

    def send_file(self, f, offset, length):
        """All but the last piece, then the log line, then the last piece."""
        last = min(length, 1 << 16)
        end = offset + length - last
        while offset < end:
            n = os.sendfile(self.sock.fileno(), f.fileno(), offset, min(end - offset, 4 * CHUNK))
            if n == 0:
                raise Gone
            offset += n
            self.sent += n
        f.seek(offset)
        self.send_body(f.read(last))


class File:
    """A file of --root with what HTTP says about it."""

    def __init__(self, path):
        self.f = open(path, "rb")
        st = os.fstat(self.f.fileno())
        self.size = st.st_size
        self.etag = '"%x-%x"' % (st.st_mtime_ns, st.st_size)
        self.modified = email.utils.formatdate(st.st_mtime, usegmt=True)
        self.type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        self.name = os.path.basename(path)

    def headers(self):
        name = "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in self.name)
        return [("Content-Type", self.type), ("ETag", self.etag), ("Last-Modified", self.modified),
                ("Accept-Ranges", "bytes"), ("Content-Disposition", 'attachment; filename="%s"' % name)]

    def read(self, offset=0, length=None):
        self.f.seek(offset)
        return self.f.read(self.size - offset if length is None else length)

    def close(self):
        self.f.close()


def parse_range(text, size):
    """(first, last), "416", or None for the whole."""
    if text is None or not text.startswith("bytes=") or "," in text:
        return None
    first, dash, last = text[6:].strip().partition("-")
    if dash == "" or not (first + last).isdigit() or not (first + last).isascii():
        return None
    if first == "":
        n = int(last)
        return "416" if n == 0 or size == 0 else (max(0, size - n), size - 1)
    if last != "" and int(last) < int(first):
        return None
    if int(first) >= size:
        return "416"
    return int(first), min(size - 1, int(last) if last != "" else size - 1)


class Answer:
    def __init__(self, conn):
        self.conn = conn
        self.state = conn.state
        self.request = conn.request

    def answer(self):
        segments = self.request.segments
        room = segments[0]
        if self.request.other:
            self.state.count("other")
            self.conn.will_log(self.state.args.upstream_log)
            self.asset("open", segments[2:])
        elif room == "assets" and len(segments) > 2:
            self.state.count("assets")
            self.conn.will_log(self.state.args.upstream_log)
            self.asset(segments[1], segments[2:])
        elif room in ("bad", "badhdr") and len(segments) > 2:
            self.state.count("assets")
            self.conn.will_log(self.state.args.upstream_log)
            if room == "badhdr" and not self.let_in("hdr"):
                return
            Bad(self, segments[2:]).answer(segments[1])
        elif room in ("stac", "stac-login"):
            self.conn.will_log(self.state.args.stac_log)
            if room == "stac-login" and self.request.header("Authorization") != "Bearer catalogue":
                self.conn.send_simple(401, b'{"code": "401"}', kind="application/json")
                return
            self.stac(segments[1:])
        elif room == "sas":
            self.conn.will_log(self.state.args.stac_log)
            self.sign()
        elif room == "token":
            self.conn.will_log(self.state.args.stac_log)
            self.token()
        elif room == "-":
            self.control(segments[1:])
        else:
            self.conn.send_simple(404, b"no such thing here\n")

    # -- assets

    def let_in(self, kind):
        request, conn = self.request, self.conn
        if kind == "open":
            return True
        if kind == "hdr" and request.header("X-API-Key") == "k":
            return True
        if kind == "qs" and request.query.get("apikey") == "k":
            return True
        if kind == "sas" and request.query.get("sig") == "good" and request.header(SIGNER) is None:
            return True
        given = request.header("Authorization") or ""
        if kind == "basic":
            if given == "Basic " + base64.b64encode(b"u:p").decode():
                return True
            conn.send_simple(401, b"who are you?\n", [("WWW-Authenticate", 'Basic realm="fake"')])
            return False
        if kind == "tok" and given.startswith("Bearer ") and self.state.token_good(given[7:]):
            return True
        conn.send_simple(401 if kind in ("hdr", "qs", "tok", "sas") else 404, b"no\n")
        return False

    def find(self, segments):
        """The file, or None and the 404 is sent."""
        for root in self.state.args.root:
            path = os.path.join(root, *segments)
            if ".." not in segments and "" not in segments and os.path.isfile(path):
                return File(path)
        self.conn.send_simple(404, b"no such file\n")
        return None

    def asset(self, kind, segments):
        if self.request.method != "GET":
            self.conn.send_simple(405, b"", [("Allow", "GET")])
            return
        if not self.let_in(kind):
            return
        f = self.find(segments)
        if f is None:
            return
        try:
            self.send_asset(f)
        finally:
            f.close()

    def send_asset(self, f, extra=()):
        conn, request = self.conn, self.request
        if request.header("If-Match") not in (None, "*", f.etag):
            conn.send_simple(412)
            return
        wanted = parse_range(request.header("Range"), f.size)
        if request.header("If-Range") not in (None, f.etag, f.modified):
            wanted = None
        if wanted == "416":
            conn.send_simple(416, b"", [("Content-Range", "bytes */%d" % f.size)])
            return
        headers = f.headers() + list(extra)
        first, length = 0, f.size
        if wanted is not None:
            first, length = wanted[0], wanted[1] - wanted[0] + 1
            headers.append(("Content-Range", "bytes %d-%d/%d" % (wanted[0], wanted[1], f.size)))
        headers.append(("Content-Length", length))
        conn.status = 206 if wanted is not None else 200
        if length == 0:
            conn.log_now()
        conn.send_head(conn.status, headers)
        if length > 0:
            conn.send_file(f.f, first, length)

    # -- catalogue

    def item_path(self, collection, item):
        for bad in (collection, item):
            if bad in ("", ".", "..") or "/" in bad or "\0" in bad:
                return None
        for items in self.state.args.items:
            path = os.path.join(items, collection, item + ".json")
            if os.path.isfile(path):
                return path
        return None

    def load_item(self, path):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        text = text.replace("{base}", self.state.base).replace("{other}", self.state.other_base)
        return json.loads(text)

    def stac(self, segments):
        if segments[:1] == ["busy"]:
            Bad(self, segments).busy(segments[-1])
            return
        if segments[:1] == ["search"]:
            self.search()
            return
        if len(segments) != 4 or segments[0] != "collections" or segments[2] != "items":
            self.conn.send_simple(404, b'{"code": "404"}', kind="application/json")
            return
        self.state.count("items")
        if segments[1] == "BAD-ITEM":
            self.bad_item(segments[3])
            return
        path = self.item_path(segments[1], segments[3])
        if path is None:
            self.conn.send_simple(404, b'{"code": "NotFoundError", "description": "no such item"}',
                                  kind="application/json")
            return
        item = self.load_item(path)
        if item.pop("fake:hide_origin", False):
            for asset in item.get("assets", {}).values():
                asset.pop("alternate", None)
        body = json.dumps(item).encode()
        self.conn.send_head(200, [("Content-Type", "application/geo+json"), ("Content-Length", len(body))])
        self.conn.send_body(body[:-1], last=False)
        self.state.hold("item", (segments[1],))
        self.conn.send_body(body[-1:])

    def bad_item(self, case):
        conn = self.conn
        if case.startswith("status-"):
            conn.send_simple(int(case[7:]), b'{"description": "as you wished"}', kind="application/json")
        elif case == "html":
            conn.send_simple(200, LOGIN_PAGE, kind="text/html")
        elif case == "notjson":
            conn.send_simple(200, b'{"type": "Feature", "id": ', kind="application/geo+json")
        elif case == "empty":
            conn.send_simple(200, b"", kind="application/geo+json")
        elif case == "huge":
            conn.status = 200
            conn.send_head(200, [("Content-Type", "application/geo+json"), ("Content-Length", 1 << 30)])
            conn.send_body(b'{"type": "Feature", "id": "', last=True)
            while True:
                conn.send_body(b"x" * CHUNK)
        elif case == "stall":
            conn.log_now()
            self.wait_for_peer()
        elif case == "redirect-private":
            conn.send_simple(302, b"", [("Location", "http://10.0.0.1/item")])
        else:
            conn.send_simple(404, b"{}", kind="application/json")

    def search(self):
        self.state.count("searches")
        wanted = json.loads(self.request.body or b"{}")
        self.state.hold("search", wanted.get("collections") or ())
        features = []
        for collection in wanted.get("collections") or []:
            for item in wanted.get("ids") or []:
                path = self.item_path(collection, item)
                if path is not None:
                    features.append(self.as_provider(self.load_item(path)))
        self.send_json({"type": "FeatureCollection", "features": features, "numberMatched": len(features),
                        "numberReturned": len(features), "links": []}, kind="application/geo+json")

    @staticmethod
    def as_provider(item):
        item.pop("fake:hide_origin", None)
        for asset in item.get("assets", {}).values():
            origin = asset.pop("alternate", {}).get("origin", {})
            asset["href"] = origin.get("href", asset.get("href"))
        item.get("properties", {}).pop("federation:backends", None)
        item["links"] = []
        return item

    def send_json(self, value, status=200, kind="application/json"):
        self.conn.send_simple(status, json.dumps(value).encode(), kind=kind)

    # -- tokens, control

    def sign(self):
        """As Azure's signers: another place in the same words.  One that is "elsewhere" is where TLS is, and of one
        in "nthsign" it says only there when it ends, and how manieth it is."""
        if self.request.header(SIGNER) != "k":
            self.send_json({"error": "no key"}, 401)
            return
        href = self.request.uri.split("href=", 1)[1]
        if "/elsewhere/" in href:
            href = "https://127.0.0.1:1/" + href.rsplit("/", 1)[1]
        if "/nthsign/" in href:
            self.state.count("signs")
            self.send_json({"href": "%s?sig=good&n=%d" % (href, self.state.counts["signs"])})
            return
        self.send_json({"href": href + "?sig=good", "msft:expiry": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))})

    def token(self):
        form = dict(urllib.parse.parse_qsl(self.request.body.decode("latin-1")))
        if form.get("username") != "u" or form.get("password") != "p":
            self.send_json({"error": "invalid_client"}, 401)
            return
        self.state.hold("token")
        token = self.state.new_token()
        self.send_json({"access_token": token, "token_type": "bearer", "expires_in": self.state.token_life})

    def control(self, segments):
        what, query, state = segments[0] if segments else "", self.request.query, self.state
        if what == "log":
            with state.lock:
                answer = dict(state.counts, open=state.open, assets_open=state.assets_open, assets_peak=state.assets_peak)
                answer.update(requests=list(state.requests), other_requests=list(state.other_requests))
            self.send_json(answer)
            return
        if what == "set" and "token_life" in query:
            state.token_life = float(query["token_life"])
        elif what == "revoke":
            state.revoke()
        elif what == "open":
            state.gate(query.get("gate", "")).set()
        elif what == "hold" and query.get("what") in ("search", "token", "item"):
            with state.lock:
                state.holds[query["what"]] = (query.get("gate", ""), query.get("collection"))
        elif what == "reset":
            state.reset()
        else:
            self.conn.send_simple(404, b"no such control\n")
            return
        self.conn.send_simple(204)

    def wait_for_peer(self):
        """Nothing more is sent; ends when the peer closes (or after ten minutes)."""
        self.conn.sock.settimeout(600)
        while self.conn.sock.recv(4096):
            pass
        raise Gone


class Bad:
    """
    The same file, answered wrongly.  One method a case, '-' is '_'; what
    follows the name in the path is its argument: status-503, slow-100000, late-200,
    gate-NAME-4096, chunkgate-NAME-4096, headgate-NAME, busy-7, busydate-7, busygate-NAME-7.  All but norange know nothing of ranges unless they say so.
    """

    def __init__(self, answer, segments):
        self.a = answer
        self.conn = answer.conn
        self.state = answer.state
        self.request = answer.request
        self.segments = segments
        self.f = None

    def answer(self, case):
        for name, arguments in (("status_", 1), ("stallat_", 1), ("slow_", 1), ("late_", 1), ("gate_", 2), ("chunkgate_", 2),
                                ("headgate_", 1), ("busy_", 1), ("busydate_", 1), ("busygate_", 2), ("breaks_", 1), ("breakschanged_", 1),
                                ("breaksignorant_", 1), ("breakslogin_", 1), ("breaksexpired_", 1), ("breaksskewed_", 1)):
            if case.replace("-", "_").startswith(name):
                method, words = getattr(self, name[:-1]), case.split("-")[1:]
                break
        else:
            method, words, arguments = getattr(self, "case_" + case.replace("-", "_"), None), [], 0
        if method is None or len(words) != arguments:
            self.conn.send_simple(404, b"no such case\n")
            return
        if self.request.method != "GET":
            self.conn.send_simple(405, b"", [("Allow", "GET")])
            return
        self.f = self.a.find(self.segments)
        if self.f is None:
            return
        try:
            method(*words)
        finally:
            self.f.close()

    def head(self, length, extra=(), status=200):
        headers = self.f.headers() + list(extra)
        if length is not None:
            headers.append(("Content-Length", length))
        self.conn.send_head(status, headers)

    def cut(self):
        """End the connection in the middle, by FIN."""
        raise Gone

    # -- statuses

    def status(self, number):
        extra = {"429": [("Retry-After", "7")], "503": [("Retry-After", "3")],
                 "416": [("Content-Range", "bytes */%d" % self.f.size)],
                 "401": [("WWW-Authenticate", 'Basic realm="the provider"')]}.get(number, [])
        body = ("<p>the provider's own words: %s, secret-of-the-provider</p>\n" % number).encode()
        self.conn.send_simple(int(number), body, extra, kind="text/html")

    def case_html(self):
        self.conn.send_simple(200, LOGIN_PAGE, kind="text/html; charset=utf-8")

    # -- bodies

    def case_short(self):
        self.head(self.f.size)
        self.conn.send_body(self.f.read(0, self.f.size - 10))
        self.cut()

    def case_half(self):
        self.head(self.f.size)
        self.conn.send_body(self.f.read(0, self.f.size // 2))
        self.cut()

    def case_long(self):
        self.head(self.f.size)
        self.conn.send_body(self.f.read() + b"and more that nobody announced\n")
        self.cut()

    def case_wrongsum(self):
        data = bytearray(self.f.read())
        if data:
            data[-1] ^= 0xff
        self.head(len(data))
        self.conn.send_body(bytes(data))

    def case_nolength(self):
        self.head(None, [("Connection", "close")])
        self.conn.send_body(self.f.read())
        self.cut()

    def chunks(self, data):
        for i in range(0, len(data), CHUNK):
            piece = data[i:i + CHUNK]
            yield b"%x\r\n" % len(piece) + piece + b"\r\n"

    def case_chunked(self):
        self.head(None, [("Transfer-Encoding", "chunked")])
        for piece in self.chunks(self.f.read()):
            self.conn.send_raw(piece)
        self.conn.sent = self.f.size
        self.conn.log_now()
        self.conn.send_raw(b"0\r\n\r\n")

    def case_chunkcut(self):
        self.head(None, [("Transfer-Encoding", "chunked")])
        for piece in self.chunks(self.f.read(0, self.f.size // 2)):
            self.conn.send_raw(piece)
        self.conn.sent = self.f.size // 2
        self.cut()

    def case_empty(self):
        self.cut()

    # -- bodies that break off, and can be resumed

    def times_asked(self):
        with self.state.lock:
            n = self.state.asked.get(self.request.uri, 0)
            self.state.asked[self.request.uri] = n + 1
        return n

    def breaks(self, most):
        """Ranges as they should be, but no answer is longer than this before it breaks off."""
        wanted = parse_range(self.request.header("Range"), self.f.size)
        if self.request.header("If-Range") not in (None, self.f.etag) or not isinstance(wanted, tuple):
            wanted = None
        first, last = wanted or (0, self.f.size - 1)
        extra = [("Content-Range", "bytes %d-%d/%d" % (first, last, self.f.size))] if wanted else []
        self.head(last - first + 1, extra, 206 if wanted else 200)
        self.conn.send_body(self.f.read(first, min(int(most), last - first + 1)))
        if last - first + 1 > int(most):
            self.cut()

    def breakschanged(self, most):
        """Another version each time."""
        self.f.etag = '"version-%d"' % self.times_asked()
        self.breaks(most)

    def breaksignorant(self, most):
        """Another version each time, from a server that does not know If-Range."""
        self.f.etag = '"version-%d"' % self.times_asked()
        self.request.headers = [h for h in self.request.headers if h[0].lower() != "if-range"]
        self.breaks(most)

    def breakslogin(self, most):
        """Each second request is refused: credentials that end in the middle."""
        if self.times_asked() % 2 == 1:
            self.status("401")
        else:
            self.breaks(most)

    def breaksexpired(self, most):
        """The same as S3 says it, of a signature whose time is over."""
        if self.times_asked() % 2 == 1:
            self.denied("AccessDenied", "Request has expired")
        else:
            self.breaks(most)

    def breaksskewed(self, most):
        """Its clock goes wrong in the middle: after the first all are refused."""
        if self.times_asked() > 0:
            self.case_skewed()
        else:
            self.breaks(most)

    def case_skewed(self):
        self.denied("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")

    def denied(self, code, message):
        self.conn.send_simple(403, ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>'
                                    '<RequestId>secret-of-the-provider</RequestId></Error>' % (code, message)).encode(), kind="application/xml")

    def case_gzip(self):
        import gzip
        data = gzip.compress(self.f.read(), 1)
        self.head(len(data), [("Content-Encoding", "gzip")])
        self.conn.send_body(data)

    def case_gziprange(self):
        """A part of the coded bytes, as RFC 9110 has it: of another representation."""
        wanted = parse_range(self.request.header("Range"), self.f.size)
        if not isinstance(wanted, tuple):
            self.case_gzip()
            return
        import gzip
        data = gzip.compress(self.f.read(), 1)
        part = data[wanted[0]:wanted[1] + 1]
        self.head(len(part), [("Content-Encoding", "gzip"), ("Content-Range", "bytes %d-%d/%d" % (*wanted, len(data)))], 206)
        self.conn.send_body(part)

    # -- ranges

    def case_partial(self):
        """206 and a half, whether a part was asked for or not."""
        half = self.f.size // 2
        self.head(half, [("Content-Range", "bytes 0-%d/%d" % (half - 1, self.f.size))], 206)
        self.conn.send_body(self.f.read(0, half))

    def case_norangesaid(self):
        """The part that was asked for, and not a word of which that is."""
        first, last = parse_range(self.request.header("Range"), self.f.size) or (0, self.f.size - 1)
        self.head(last - first + 1, [], 206)
        self.conn.send_body(self.f.read(first, last - first + 1))

    def case_badrange(self):
        wanted = parse_range(self.request.header("Range"), self.f.size)
        if not isinstance(wanted, tuple):
            self.a.send_asset(self.f)
            return
        first, last = wanted
        self.head(last - first + 1, [("Content-Range", "bytes %d-%d/%d" % (first + 1, last + 1, self.f.size + 1))], 206)
        self.conn.send_body(self.f.read(first, last - first + 1))

    def case_norange(self):
        self.head(self.f.size)
        self.conn.send_file(self.f.f, 0, self.f.size)

    def case_changed_etag(self):
        """Another version at each request."""
        with self.state.lock:
            self.state.serial += 1
            self.f.etag = '"version-%d"' % self.state.serial
        self.a.send_asset(self.f)

    def case_weak(self):
        """A weak validator, and the range machinery as it should be."""
        self.f.etag = "W/" + self.f.etag
        self.a.send_asset(self.f)

    # -- time

    def case_stall(self):
        self.head(self.f.size)
        self.conn.log_now()
        self.a.wait_for_peer()

    def case_never(self):
        self.conn.log_now()
        self.a.wait_for_peer()

    def case_stallbody(self):
        self.head(self.f.size)
        self.conn.send_body(self.f.read(0, self.f.size // 2))
        self.a.wait_for_peer()

    def stallat(self, at):
        """The first AT bytes, and nothing more until the peer has had enough."""
        self.head(self.f.size)
        self.conn.send_body(self.f.read(0, int(at)))
        self.a.wait_for_peer()

    def case_drip(self):
        self.head(self.f.size)
        self.conn.log_now()
        for i in range(self.f.size):
            self.conn.send_body(self.f.read(i, 1))
            time.sleep(0.2)

    def slow(self, rate):
        """RATE bytes a second, ranges as they should be."""
        self.paced(lambda sent: time.sleep(min(65536, int(rate)) / int(rate)))

    def late(self, ms):
        """As it should be, but not at once."""
        time.sleep(int(ms) / 1000)
        self.a.send_asset(self.f)

    def gate(self, name, at):
        """The first AT bytes, the rest when the gate NAME opens."""
        gate = self.state.gate(name)

        def wait(sent):
            if sent >= int(at) and not gate.wait(120):
                self.cut()
        self.paced(wait, first=int(at))

    def chunkgate(self, name, at):
        """The same without a length."""
        self.head(None, [("Transfer-Encoding", "chunked")])
        for piece in self.chunks(self.f.read(0, int(at))):
            self.conn.send_raw(piece)
        self.conn.sent = int(at)
        if not self.state.gate(name).wait(120):
            self.cut()
        for piece in self.chunks(self.f.read(int(at))):
            self.conn.send_raw(piece)
        self.conn.sent = self.f.size
        self.conn.log_now()
        self.conn.send_raw(b"0\r\n\r\n")

    def busy(self, seconds):
        """429 with so many seconds of Retry-After."""
        self.conn.send_simple(429, b"later\n", [("Retry-After", seconds)])

    def busydate(self, seconds):
        """The same, as the time when it ends."""
        self.conn.send_simple(429, b"later\n", [("Retry-After", email.utils.formatdate(time.time() + int(seconds), usegmt=True))])

    def busygate(self, name, seconds):
        """The same when the gate NAME opens."""
        if not self.state.gate(name).wait(120):
            self.cut()
        self.busy(seconds)

    def headgate(self, name):
        """Nothing until the gate NAME opens."""
        if not self.state.gate(name).wait(120):
            self.cut()
        self.a.send_asset(self.f)

    def paced(self, pause, first=None):
        wanted = parse_range(self.request.header("Range"), self.f.size)
        if isinstance(wanted, tuple):
            start, end = wanted[0], wanted[1] + 1
            self.head(end - start, [("Content-Range", "bytes %d-%d/%d" % (start, end - 1, self.f.size))], 206)
        else:
            start, end = 0, self.f.size
            self.head(end)
        done = start
        if first is not None and end - start > first:
            self.conn.send_body(self.f.read(start, first), last=False)
            done += first
            pause(first)
        while done < end:
            piece = self.f.read(done, min(65536, end - done))
            done += len(piece)
            self.conn.send_body(piece, last=done == end)
            if done < end:
                pause(done - start)

    # -- where to

    def redirect(self, location):
        self.conn.send_simple(302, b"", [("Location", location)])

    def path(self):
        return urllib.parse.quote("/".join(self.segments))

    def case_redirect_private(self):
        self.redirect("http://10.0.0.1/" + self.path())

    def case_redirect_meta(self):
        self.redirect("http://169.254.169.254/latest/meta-data/" + self.path())

    def case_redirect_other(self):
        self.redirect("%s/assets/open/%s" % (self.state.other_base, self.path()))

    def case_redirect_same(self):
        self.redirect("%s/assets/open/%s" % (self.state.base, self.path()))

    def case_redirect_relative(self):
        self.redirect("../" * (len(self.segments) + 1) + "assets/open/" + self.path())

    def case_redirect_file(self):
        self.redirect("file:///etc/passwd")

    def case_loop(self):
        self.redirect(self.state.base + self.request.uri)

    # -- headers

    def case_evilheaders(self):
        self.a.send_asset(self.f, [
            ("X-Accel-Redirect", "/secret"), ("X-Accel-Buffering", "no"), ("X-Accel-Limit-Rate", "1"),
            ("X-Accel-Expires", "3600"), ("X-Sendfile", "/etc/passwd"), ("X-LIGHTTPD-send-file", "/etc/passwd"),
            ("Set-Cookie", "session=evil"), ("Location", "http://evil.example/"), ("Status", "302 Found"),
            ("Refresh", "0; url=http://evil.example/"), ("WWW-Authenticate", "Basic realm=evil"),
            ("X-Eodata-Charge", "forged"), ("Access-Control-Allow-Origin", "http://evil.example"),
            ("Link", "</secret>; rel=preload"), ("X-Provider-Internal", "secret-of-the-provider"),
            ("Cache-Control", "public, max-age=31536000"), ("Via", "1.1 evil")])

    def raw_head(self, *lines):
        self.conn.status = 200
        self.conn.log_now(more=self.f.size)
        self.conn.send_raw(b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) +
                           b"Content-Length: %d\r\n\r\n" % self.f.size)
        self.conn.send_raw(self.f.read())

    def case_header_nul(self):
        self.raw_head(b"Content-Type: image/ti\0ff")

    def case_header_cr(self):
        self.raw_head(b'Content-Disposition: attachment; filename="a\rSet-Cookie: b=c"')

    def case_header_huge(self):
        self.raw_head(b"X-Long: " + b"x" * (1 << 20))

    def case_header_many(self):
        self.raw_head(*[b"X-Number-%d: x" % i for i in range(10000)])

    def case_header_fold(self):
        self.raw_head(b'Content-Disposition: attachment;\r\n filename="folded.tif"')

    def case_header_nocolon(self):
        self.raw_head(b"this is no header")

    def case_script(self):
        """Bytes that a browser would run, and a file name that wants out of its quotes."""
        self.raw_head(b"Content-Type: text/html; charset=utf-8",
                      b'Content-Disposition: inline; filename="a\\"; x=\\"<script>.html"')

    def case_two_lengths(self):
        self.raw_head(b"Content-Length: 5")

    def case_garbage(self):
        self.conn.status = 0
        self.conn.log_now()
        self.conn.send_raw(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        self.cut()

    def case_reset(self):
        self.head(self.f.size)
        self.conn.send_body(self.f.read(0, self.f.size // 2))
        self.conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.conn.rfile.close()
        self.conn.sock.close()
        raise Gone


def listen(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(1024)
    return sock


def accept_loop(state, sock, other):
    while True:
        try:
            peer, _ = sock.accept()
        except ConnectionError:
            continue
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(state, peer, other).serve, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description="a fake data provider and STAC catalogue on loopback")
    parser.add_argument("--root", action="append", default=[], metavar="DIR", help="files to serve; may be given again")
    parser.add_argument("--items", action="append", default=[], metavar="DIR", help="items: COLLECTION/ID.json; may be given again")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--port-file", metavar="FILE", help="two lines: the port, and the other port")
    parser.add_argument("--upstream-log", metavar="FILE", help="a line per asset request: METHOD URI STATUS BYTES RANGE")
    parser.add_argument("--stac-log", metavar="FILE", help="the same for items, searches and tokens")
    parser.add_argument("--token-life", type=float, default=3600, metavar="S", help="seconds; default 3600")
    state = State(parser.parse_args())

    threading.stack_size(256 * 1024)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    main_sock, other_sock = listen(state.args.port), listen(0)
    state.base = "http://127.0.0.1:%d" % main_sock.getsockname()[1]
    state.other_base = "http://127.0.0.1:%d" % other_sock.getsockname()[1]
    ports = "%d\n%d\n" % (main_sock.getsockname()[1], other_sock.getsockname()[1])
    for log in (state.args.upstream_log, state.args.stac_log):
        if log:
            open(log, "ab").close()
    if state.args.port_file:
        with open(state.args.port_file + ".new", "w") as f:
            f.write(ports)
        os.rename(state.args.port_file + ".new", state.args.port_file)
    else:
        sys.stdout.write(ports)
        sys.stdout.flush()
    threading.Thread(target=accept_loop, args=(state, other_sock, True), daemon=True).start()
    accept_loop(state, main_sock, False)


if __name__ == "__main__":
    main()
