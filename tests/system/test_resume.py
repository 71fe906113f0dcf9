# SPDX-License-Identifier: Apache-2.0
"""Bodies that break off at the provider: resumed, and never spliced from two versions."""

import os

import pytest
from conftest import wait_until

CUT = (18, 52, 56, 92)
SIZE = 3000000


def test_a_body_that_breaks_off_is_resumed_where_it_was(stack):
    """Three pieces, each from where the one before had ended; the client sees one whole body."""
    asset = stack.add(os.urandom(SIZE), case="breaks-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert (answer.rc, answer.status) == (0, 200), answer
    assert answer.body == asset.data
    assert [line[4] for line in asset.upstream()] == [
        "-", "bytes=1200000-%d" % (SIZE - 1), "bytes=2400000-%d" % (SIZE - 1)]
    wait_until(asset.published, "it is kept")
    with open(asset.published(), "rb") as f:
        assert f.read() == asset.data


def test_e11_credentials_that_end_in_the_middle_are_made_anew(stack):
    asset = stack.add(os.urandom(SIZE), case="breakslogin-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert (answer.rc, answer.status) == (0, 200), answer
    assert answer.body == asset.data
    wait_until(asset.published, "it is kept")


@pytest.mark.parametrize("case", ["breakschanged", "breaksignorant"])
def test_a_source_that_changed_in_between_is_never_spliced(stack, case):
    asset = stack.add(os.urandom(SIZE), case=case + "-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert answer.rc in CUT, answer
    assert asset.data.startswith(answer.body)
    assert len(asset.upstream()) == 2
    assert asset.published() is None


def test_a_body_that_gets_no_further_is_given_up(stack):
    """It breaks off at its first byte again and again."""
    asset = stack.add(os.urandom(SIZE), case="breaks-0", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert answer.rc in CUT or answer.status == 502, answer
    assert len(asset.upstream()) <= 5
    assert asset.published() is None
