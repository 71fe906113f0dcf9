# SPDX-License-Identifier: Apache-2.0
"""
Processes that a command of this checkout leaves running and ends later, by pid and start time.
What scripts/stack, scripts/lib/s3.py and scripts/bench share.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

END_S = 40


class Failed(Exception):
    pass


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def write(path, text, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(fd, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        f.write(text)


def tail(path, lines=25):
    try:
        return "".join(read(path).splitlines(keepends=True)[-lines:])
    except OSError:
        return ""


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Failed("there is no %s here: run scripts/setup" % name)
    return path


def start_time(pid):
    """When the kernel started it: with the pid, the name of one process."""
    try:
        stat = read("/proc/%d/stat" % pid)
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2:].split()
    return None if fields[0] in "ZX" else fields[19]


def hold_port():
    """A port of the loopback that nobody else is given, but a server that asks for it by its number can have."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(test, what, seconds=30):
    """Until test() gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed("%s is not there after %d s" % (what, seconds))
        time.sleep(0.02)


class Processes:
    """Of one folder: kept in a file of it, so that another command can end them."""

    def __init__(self, file, **more):
        self.file, self.more = file, more       # what else the file keeps
        self.all = []                           # of [name, pid, start time]

    def save(self):
        write(self.file, json.dumps({**self.more, "processes": self.all}))

    def spawn(self, name, command, log, env=None):
        out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environment.update(env or {})
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/",
                                   env=environment, start_new_session=True)
        os.close(out)
        self.all.append([name, process.pid, start_time(process.pid)])
        self.save()
        return process


def check(process, name, log):
    if process.poll() is not None:
        raise Failed("%s ended with %d:\n%s" % (name, process.returncode, tail(log)))


def end(who, name, pid, start):
    """SIGTERM, and where that does not do, SIGKILL to its group: false then.  Only the one that began at start."""
    if start is None or start_time(pid) != start:
        return True
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while start_time(pid) == start and time.monotonic() < deadline:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        time.sleep(0.02)
    if start_time(pid) != start:
        return True
    sys.stderr.write("%s: %s (%d) did not end within %d s: killed\n" % (who, name, pid, END_S))
    # A session was made for it, or for the one that it has succeeded: its group is ours too.
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    return False
