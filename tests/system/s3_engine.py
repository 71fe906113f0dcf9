# SPDX-License-Identifier: Apache-2.0
"""
The real S3 engine for tests (scripts/lib/s3.py): one for all tests of a session,
each with a bucket of its own.  conftest.py makes the fixture known.
"""

import itertools
import os
import shutil
import sys
import tempfile

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(TOP, "scripts", "lib"))
import s3  # noqa: E402

serial = itertools.count(1)


def need_engine():
    """scripts/test has installed it.  Who calls pytest by hand may do without."""
    lacking = s3.missing()
    if lacking and os.environ.get("EODATA_TEST_COMPLETE"):
        pytest.fail("scripts/test should have installed %s" % ", ".join(lacking))
    if lacking:
        pytest.skip("no %s here (Debian packages ceph-mon, ceph-osd, radosgw; scripts/test installs them)" % ", ".join(lacking))


@pytest.fixture(scope="session")
def s3_engine():
    """An s3.Engine that is up.  It ends with this process, however that ends."""
    need_engine()
    where = tempfile.mkdtemp(prefix="eodata-s3-", dir=os.environ.get("TMPDIR", "/tmp"))
    engine = s3.Engine(where, tied=True)
    try:
        yield engine.up()
    finally:
        engine.down()
    if os.environ.get("EODATA_KEEP") is None:
        shutil.rmtree(where)


@pytest.fixture(scope="session")
def new_bucket(s3_engine):
    """new_bucket() makes an empty one and returns its name."""
    def new():
        name = "test-%d" % next(serial)
        s3_engine.make_bucket(name)
        return name
    return new


@pytest.fixture
def s3_bucket(s3_engine, new_bucket):
    """An empty bucket of this test, whose rules go with it: they would be in the way of another's (Engine.lifecycle)."""
    name = new_bucket()
    yield name
    assert s3_engine.request("DELETE", "/" + name, [("lifecycle", "")]).status == 204
