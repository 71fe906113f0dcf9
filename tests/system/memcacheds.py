# SPDX-License-Identifier: Apache-2.0
"""memcached for tests, and things that only look like one."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILDS = [pathlib.Path(os.environ[name], up) for name, up in (("EODATA_BUILD", "."), ("EODATA_PREFIX", ".."))
          if name in os.environ] or [TOP / "build", TOP]
MEMCACHED = shutil.which("memcached", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin")


def probe_program(name):
    """From the build directory: $EODATA_BUILD, the one that $EODATA_PREFIX is in, build/ or the top of the tree."""
    programs = [build / "tests/system" / name for build in BUILDS]
    return next((p for p in programs if p.exists()), programs[0])


class Probe:
    """A probe that runs: it answers each line with one."""

    def __init__(self, program, *words):
        self.process = subprocess.Popen([program, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        """The words of its answer."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the probe died (status {self.process.wait()}) at: {line}"
        return answer.split()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


class Server:
    """A memcached of our own on a Unix socket."""

    def __init__(self, path):
        self.path = path
        self.process = None

    def start(self, *options):
        self.path.unlink(missing_ok=True)
        as_root = ["-u", "root"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen([MEMCACHED, "-s", str(self.path), "-t", "2", "-m", "16", *as_root, *options])
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                self.say("version")
                return self
            except OSError:
                time.sleep(0.01)
        self.stop()
        raise AssertionError("memcached did not start")

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def hang(self):
        """Stopped when this returns: a signal takes its time to reach every thread."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def say(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(self.path))
            s.sendall(command.encode() + b"\r\n")
            return s.recv(65536).decode()


class Listener:
    """Something on a Unix socket; each connection goes to serve(connection) in a thread."""

    def __init__(self, path, serve):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(64)
        self.path = path
        self.serve = serve
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(c)
            threading.Thread(target=self.guarded, args=(c,), daemon=True).start()

    def guarded(self, c):
        try:
            self.serve(c)
        except OSError:
            pass    # the probe closed, as it may
        # a connection stays open until the end of the test, unless serve closed it

    def close(self):
        # shutdown wakes accept, which close alone does not
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for c in self.open:
            c.close()


def relay(server, turns, said=None):
    """A proxy that appends to turns whenever the server answers what the client said since; and to said, what that was."""

    def serve(client):
        up = socket.socket(socket.AF_UNIX)
        up.connect(str(server.path))
        waiting = [False]

        def back():
            while data := up.recv(65536):
                if waiting[0]:
                    waiting[0] = False
                    turns.append(len(data))
                try:
                    client.sendall(data)
                except OSError:
                    return      # the probe has ended

        threading.Thread(target=back, daemon=True).start()
        while data := client.recv(65536):
            waiting[0] = True
            if said is not None:
                said.append(data)
            up.sendall(data)
        up.shutdown(socket.SHUT_RDWR)

    return serve
