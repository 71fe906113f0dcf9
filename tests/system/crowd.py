# SPDX-License-Identifier: Apache-2.0
"""
Clients that are all in the middle of their answers at the same time, and what
each of them got in the end: the whole, a refusal, or a visible failure.
"""

import http.client
import socket
import threading

from conftest import to_base64

SMALL_BUFFER = 4096     # of a client that takes nothing: so little fits into its socket
TIMEOUT_S = 90


class Client(threading.Thread):
    """One request; reads its first bytes, and the rest when it is told."""

    def __init__(self, stack, path, data, headers, takes_nothing):
        super().__init__(daemon=True)
        self.stack, self.path, self.data, self.headers = stack, path, data, headers
        self.takes_nothing = takes_nothing
        self.begun, self.go = threading.Event(), threading.Event()
        self.status, self.body, self.error = 0, b"", None
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(self.stack.host, self.stack.port)
        try:
            sock = connection.sock = socket.socket()
            if self.takes_nothing:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            sock.settimeout(TIMEOUT_S)
            sock.connect((self.stack.host, self.stack.port))
            connection.request("GET", self.path, headers={"Authorization": "Basic " + to_base64(self.stack.user), **self.headers})
            answer = connection.getresponse()
            self.status = answer.status
            self.body = answer.read(1)
            self.begun.set()
            if self.takes_nothing:
                self.go.wait(TIMEOUT_S)
            self.body += answer.read()
        except (OSError, http.client.HTTPException) as e:
            self.error = e
        finally:
            self.begun.set()
            connection.close()

    @property
    def is_whole(self):
        """As HTTP sees it: an end that looks good."""
        return self.error is None and self.status == 200

    def __repr__(self):
        return "<%s %d %r %d of %d bytes>" % (self.path, self.status, self.error, len(self.body), len(self.data))


class Crowd:
    def __init__(self, stack):
        self.stack, self.clients = stack, []

    def ask(self, asset, headers=None, takes_nothing=False):
        """takes_nothing: but the first bytes, until go_on()."""
        self.clients.append(Client(self.stack, asset.path, asset.data, headers or {}, takes_nothing))
        return self.clients[-1]

    def wait_begun(self):
        """Each has the head of its answer and a byte, and none has its end."""
        for client in self.clients:
            assert client.begun.wait(TIMEOUT_S), client
        ended = [client for client in self.clients if not client.is_alive()]
        assert not ended, ended[:3]

    def go_on(self):
        for client in self.clients:
            client.go.set()

    def join(self, clients=None):
        """Those that did not get all, every byte right.  Nobody may have got something else as a whole."""
        clients = self.clients if clients is None else clients
        for client in clients:
            client.join(TIMEOUT_S)
            assert not client.is_alive(), client
        wrong = [client for client in clients if client.is_whole and client.body != client.data]
        assert not wrong, "not what was asked for, but it looks good: %s" % wrong[:3]
        return [client for client in clients if not client.is_whole]
