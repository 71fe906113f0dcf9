# SPDX-License-Identifier: Apache-2.0
"""
E9: a provider whose certificate or TLS is wrong is 502, and nothing is ever
asked of it.  Certificates are made on the fly.
"""

import os
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import Stack

BODY = b"bytes behind TLS" * 1000


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def certificate(folder, name, san, days="30", signed=True):
    """NAME.pem with its key, by the authority of folder or by itself."""
    key, request, pem = (os.path.join(folder, name + end) for end in (".key", ".csr", ".pem"))
    with open(os.path.join(folder, name + ".ext"), "w") as f:
        f.write("subjectAltName=%s\n" % san)
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
            "-keyout", key, "-out", request)
    by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"] if signed else ["-signkey", key]
    life = ["-days", days]
    if int(days) < 0 and ssl.OPENSSL_VERSION_INFO >= (3, 4):     # which makes none that has ended by its days
        life = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]
    openssl(folder, "x509", "-req", "-in", request, *by, *life, "-extfile", name + ".ext", "-out", pem)
    return pem, key


class Provider:
    """One body for whoever gets through the handshake; asked counts those, met all that came."""

    def __init__(self, pem, key, newest=None):
        self.asked = self.met = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if newest is not None:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = newest
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(pem, key)
        self.context, self.listener = context, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            self.met += 1
            try:
                plain.settimeout(10)
                with self.context.wrap_socket(plain, server_side=True) as s:
                    if s.recv(65536):
                        self.asked += 1
                        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/tiff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY)
            except OSError:
                plain.close()


class Stapler:
    """
    A TLS 1.2 server that staples garbage to its good certificate, though nobody asked for a status: announced in
    its hello, or not even that.  All of it is said in the clear, so no library has to be talked into it.
    """

    def __init__(self, pem, announced):
        with open(pem) as f:
            self.certificate = ssl.PEM_cert_to_DER_cert(f.read())
        self.announced, self.said, self.met, self.over = announced, b"", 0, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def message(kind, body):
        return bytes([kind]) + len(body).to_bytes(3, "big") + body

    def flight(self, session):
        extensions = bytes.fromhex("ff01000100") + (bytes.fromhex("00050000") if self.announced else b"")
        hello = bytes.fromhex("0303") + os.urandom(32) + bytes([len(session)]) + session + bytes.fromhex("c02b00") + \
            len(extensions).to_bytes(2, "big") + extensions
        one = len(self.certificate).to_bytes(3, "big") + self.certificate
        garbage = os.urandom(400)
        return self.message(2, hello) + self.message(11, len(one).to_bytes(3, "big") + one) + \
            self.message(22, b"\x01" + len(garbage).to_bytes(3, "big") + garbage)

    def serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            self.met += 1
            try:
                plain.settimeout(10)
                with plain:
                    hello = plain.recv(65536)       # it fits in one packet, on loopback in one read
                    session = hello[44:44 + hello[43]]
                    flight = self.flight(session)
                    plain.sendall(bytes.fromhex("160303") + len(flight).to_bytes(2, "big") + flight)
                    while piece := plain.recv(65536):
                        self.said += piece
            except OSError:
                pass
            self.over.set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl(1)")
    made = str(tmp_path_factory.mktemp("tls"))
    openssl(made, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test authority",
            "-days", "30", "-keyout", "ca.key", "-out", "ca.pem")
    return made


@pytest.fixture(scope="module")
def running(folder):
    made = Stack(extra={"upstream": {"ca_file": os.path.join(folder, "ca.pem"), "allow_private": ["127.0.0.1"], "allow_http": True}})
    yield made
    made.down()


def fetch(running, provider):
    asset = running.add(backend="loop_open", data=BODY, origin="https://127.0.0.1:%d/x/data.tif" % provider.port)
    return asset, running.get(asset.path)


def test_e9_a_certificate_of_the_configured_authority_is_taken(running, folder):
    """What the refusals below are compared with."""
    provider = Provider(*certificate(folder, "good", "IP:127.0.0.1"))
    _, answer = fetch(running, provider)
    assert answer.status == 200 and answer.body == BODY, answer


@pytest.mark.parametrize("name, san, days, signed", [
    ("expired", "IP:127.0.0.1", "-1", True), ("wrong-name", "DNS:other.example,IP:127.0.0.2", "30", True),
    ("self-signed", "IP:127.0.0.1", "30", False)])
def test_e9_a_bad_certificate_is_502_and_nothing_is_asked(running, folder, name, san, days, signed):
    provider = Provider(*certificate(folder, name, san, days, signed))
    asset, answer = fetch(running, provider)
    assert answer.status == 502, answer
    assert provider.asked == 0 and asset.published() is None
    assert provider.met == 1, "and it is not tried in another way"


def test_e9_an_old_tls_is_502(running, folder):
    provider = Provider(*certificate(folder, "old", "IP:127.0.0.1"), newest=ssl.TLSVersion.TLSv1_1)
    _, answer = fetch(running, provider)
    assert answer.status == 502 and provider.asked == 0, answer
    assert provider.met == 1


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
def test_e9_a_staple_that_nobody_asked_for_is_502(running, folder, announced):
    """No status is asked for, so a server that keeps to the protocol sends none; this one does not."""
    provider = Stapler(certificate(folder, "stapled", "IP:127.0.0.1")[0], announced)
    asset, answer = fetch(running, provider)
    assert answer.status == 502 and asset.published() is None, answer
    assert provider.over.wait(10) and provider.met == 1
    assert provider.said[:1] == b"\x15" and len(provider.said) == 7, "an alert, and nothing else"
