# SPDX-License-Identifier: Apache-2.0
"""The main job as a user without any rights, where the other tests run as root."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile

import pytest
from conftest import AS_NOBODY, STACK, TOP, may_nobody


def run(*command):
    return subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def test_the_stack_runs_as_an_ordinary_user():
    if os.geteuid() != 0:
        pytest.skip("all tests run as an ordinary user here")
    prefix = os.environ.get("EODATA_PREFIX") or os.path.join(TOP, "build", "inst")
    for path in (STACK, os.path.join(prefix, "sbin", "eodata-proxy")):
        if not may_nobody(path):
            pytest.skip("'nobody' cannot read %s" % path)
    where = tempfile.mkdtemp(prefix="eodata-test-", dir="/tmp")
    shutil.chown(where, "nobody", "nogroup")
    try:
        up = run(*AS_NOBODY, sys.executable, STACK, "up", where)
        assert up.returncode == 0, up.stdout
        with open(os.path.join(where, "stack.env")) as f:
            env = {k: shlex.split(v)[0] for k, _, v in (line.rstrip("\n").partition("=") for line in f)}
        for want in ("fwd=miss", "hit"):
            got = run("curl", "-q", "-sS", "-u", env["USER_OK"], "-D", "-", "-o", os.path.join(where, "body"), env["SAMPLE_URL"])
            assert " 200 " in got.stdout.splitlines()[0] and want in got.stdout, got.stdout
    finally:
        down = run(sys.executable, STACK, "down", where)
        assert down.returncode == 0, down.stdout
        shutil.rmtree(where)
