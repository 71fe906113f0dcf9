# SPDX-License-Identifier: Apache-2.0
"""Bodies that break off at the provider: resumed, and never spliced from two versions."""

import os
import time

import pytest
from conftest import wait_until

CUT = (18, 52, 56, 92)
SIZE = 3000000
pytestmark = pytest.mark.both_stores


def test_a_body_that_breaks_off_is_resumed_where_it_was(stack):
    """Three pieces, each from where the one before had ended; the client sees one whole body."""
    asset = stack.add(os.urandom(SIZE), case="breaks-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert (answer.rc, answer.status) == (0, 200), answer
    assert answer.body == asset.data
    assert [line[4] for line in asset.upstream()] == [
        "-", "bytes=1200000-%d" % (SIZE - 1), "bytes=2400000-%d" % (SIZE - 1)]
    wait_until(asset.published, "it is kept")
    assert asset.kept()[0] == asset.data


@pytest.mark.parametrize("case, status", [("breakslogin", "401"), ("breaksexpired", "403")])
def test_e11_credentials_that_end_in_the_middle_are_made_anew(stack, case, status):
    """Each second request is refused: one refresh each time, and the transfer goes on."""
    asset = stack.add(os.urandom(SIZE), case=case + "-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert (answer.rc, answer.status) == (0, 200), answer
    assert answer.body == asset.data
    assert [line[2] for line in asset.upstream()] == ["200", status, "206", status, "206"]
    wait_until(asset.published, "it is kept")


def test_e11_a_clock_that_is_off_is_403_and_one_question_for_each(stack):
    """The provider finds the time wrong, whoever asks: that is told, and nobody is asked again for it."""
    asset = stack.add(case="skewed", backend="loop_open")
    for turn in (1, 2, 3):
        answer = stack.curl(asset.url)
        assert answer.status == 403 and answer.json()["source"] == "upstream", answer
        assert b"Skewed" not in answer.body and b"secret" not in answer.body
        assert len(asset.upstream()) == turn
    assert len(asset.stac()) == 1
    # and where it says so with a 401, fresh credentials are tried once
    asset = stack.add(case="status-401", backend="loop_open")
    assert stack.curl(asset.url).status == 502
    assert len(asset.upstream()) == 2


def test_e11_a_clock_that_goes_wrong_in_the_middle_is_one_refresh_and_a_cut(stack):
    asset = stack.add(os.urandom(SIZE), case="breaksskewed-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert answer.rc in CUT and asset.data.startswith(answer.body), answer
    assert [line[2] for line in asset.upstream()] == ["200", "403", "403"], "with the old credentials, and once with new ones"
    assert asset.published() is None


def test_e11_a_location_that_is_over_by_our_clock_is_used_all_the_same(stack):
    """The clock of who signed it, or ours, is 16 minutes off; what it says of its end is not worth a storm."""
    signed = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 1860))
    name = stack.name("signed")
    asset = stack.add(os.urandom(SIZE), backend="loop_open", name=name,
                      origin="{base}/assets/open/%s/data.tif?X-Amz-Date=%s&X-Amz-Expires=900&X-Amz-Signature=x" % (name, signed))
    for first in range(0, 1000, 50):
        answer = stack.get(asset.path, {"Range": "bytes=%d-%d" % (first, first + 49)})
        assert answer.status == 206 and answer.body == asset.data[first:first + 50], answer
    assert {line[2] for line in asset.upstream()} == {"206"} and len(asset.upstream()) == 20
    assert len(asset.stac()) == 1


@pytest.mark.parametrize("case", ["breakschanged", "breaksignorant"])
def test_a_source_that_changed_in_between_is_never_spliced(stack, case):
    asset = stack.add(os.urandom(SIZE), case=case + "-1200000", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert answer.rc in CUT, answer
    assert asset.data.startswith(answer.body)
    wait_until(lambda: len(asset.upstream()) == 2, "the provider has noted both")
    assert asset.published() is None


def test_a_body_that_gets_no_further_is_given_up(stack):
    """It breaks off at its first byte again and again."""
    asset = stack.add(os.urandom(SIZE), case="breaks-0", backend="loop_open")
    answer = stack.curl(asset.url, "--max-time", "30")
    assert answer.rc in CUT or answer.status == 502, answer
    assert len(asset.upstream()) <= 5
    assert asset.published() is None
