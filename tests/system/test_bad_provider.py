# SPDX-License-Identifier: Apache-2.0
"""
A provider that answers wrongly.  Each case is the right status, or a body that
curl sees as cut; and nothing of it is ever published.
"""

import os
import re

import pytest
from conftest import wait_until

# curl: partial file, empty reply, receive error, HTTP/2 stream not closed
CUT = (18, 52, 56, 92)
BACKENDS = ["loop_open", "loop_header"]


def nothing_is_kept(stack, asset):
    """A second request asks the provider again."""
    assert asset.published() is None
    before = len(asset.upstream())
    stack.curl(asset.url, "--max-time", "20")
    assert len(asset.upstream()) > before or asset.published() is None


def is_problem(answer, status):
    assert answer.status == status, answer
    assert answer.rc == 0, answer
    assert answer.headers["content-type"].startswith("application/problem+json"), answer
    assert b"secret-of-the-provider" not in answer.body and b"own words" not in answer.body, answer


# -- statuses


@pytest.mark.parametrize("case,status", [
    ("status-401", 502), ("status-403", 403), ("status-404", 404), ("status-410", 404), ("status-416", 416),
    ("status-500", 502), ("status-502", 502), ("status-503", 503), ("status-504", 502),
    ("status-204", 502), ("status-418", 502)])
def test_a_status_of_the_provider_becomes_ours(stack, case, status):
    asset = stack.add(case=case, backend="loop_open")
    answer = stack.curl(asset.url)
    if case in ("status-416", "status-504"):
        # Nobody asked for a range; a gateway's time-out may be named as one.
        assert answer.status in (status, 502, 504), answer
        is_problem(answer, answer.status)
    else:
        is_problem(answer, status)
    assert asset.published() is None
    assert answer.json()["ticket"] == answer.headers["x-request-id"]


def test_retry_after_is_handed_on(stack):
    answer = stack.curl(stack.add(case="status-503", backend="loop_open").url)
    assert answer.headers["retry-after"] == "3", answer


@pytest.mark.parametrize("case", ["status-401", "status-403", "status-500"])
def test_a_login_that_the_provider_refuses_is_never_asked_of_the_client(stack, case):
    answer = stack.curl(stack.add(case=case, backend="loop_header").url)
    assert answer.status != 401 and "www-authenticate" not in answer.headers, answer


# -- error pages in disguise


def test_g9_a_login_page_with_status_200_is_no_asset(stack):
    asset = stack.add(case="html", backend="loop_open")
    answer = stack.curl(asset.url)
    is_problem(answer, 502)
    nothing_is_kept(stack, asset)


def test_an_asset_that_is_html_is_served(stack):
    """Not every page is a login page: the item says that this one is meant."""
    asset = stack.add(b"<!DOCTYPE html><title>a preview</title>" + b"x" * 5000, backend="loop_open", file="preview.html",
                      asset_members={"type": "text/html"})
    answer = stack.curl(asset.url)
    assert answer.status == 200 and answer.body == asset.data, answer
    assert answer.headers["x-content-type-options"] == "nosniff"


# -- bodies that end too early or never


@pytest.mark.both_stores
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", ["short", "half", "chunkcut", "reset"])
def test_d4_a_body_that_is_cut_is_seen_as_cut(stack, case, backend):
    asset = stack.add(case=case, backend=backend)
    answer = stack.curl(asset.url)
    assert answer.rc in CUT or answer.status == 502, answer
    assert answer.body != asset.data
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
@pytest.mark.parametrize("case", ["short", "chunkcut"])
def test_a_large_body_that_is_cut_is_seen_as_cut(stack, case):
    """Larger than all buffers on the way: the answer has begun long before."""
    asset = stack.add(os.urandom(24 << 20), case=case, backend="loop_open")
    answer = stack.curl(asset.url)
    assert answer.rc in CUT, answer.rc
    assert asset.published() is None


@pytest.mark.both_stores
def test_a_body_of_no_known_length_that_is_whole_arrives(stack):
    asset = stack.add(case="chunked", backend="loop_open")
    answer = stack.curl(asset.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == asset.data, answer
    wait_until(asset.published, "a whole chunked body is published")
    answer = stack.curl(asset.url)
    assert answer.is_hit and answer.body == asset.data, answer


@pytest.mark.both_stores
def test_a_body_that_ends_by_close_is_delivered_and_not_kept(stack):
    asset = stack.add(case="nolength", backend="loop_open")
    answer = stack.curl(asset.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == asset.data, answer
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
def test_a_body_that_ends_by_close_is_kept_where_the_item_proves_it(stack):
    data = os.urandom(100000)
    asset = stack.add(data, case="nolength", backend="loop_open", asset_members={"file:size": len(data)})
    answer = stack.curl(asset.url)
    assert answer.rc == 0 and answer.body == data, answer
    wait_until(asset.published, "it is published")


@pytest.mark.both_stores
def test_a_body_longer_than_announced_ends_where_it_was_announced(stack):
    asset = stack.add(case="long", backend="loop_open")
    answer = stack.curl(asset.url)
    assert answer.body in (asset.data, b"") or answer.rc in CUT, answer
    if answer.rc == 0 and answer.status == 200:
        assert answer.body == asset.data
    assert len(answer.body) <= len(asset.data)


def test_no_answer_at_all_is_502(stack):
    is_problem(stack.curl(stack.add(case="empty", backend="loop_open").url), 502)


def test_an_answer_that_is_no_http_is_502(stack):
    is_problem(stack.curl(stack.add(case="garbage", backend="loop_open").url), 502)


# -- checksums


def multihash(data):
    import hashlib
    return "1220" + hashlib.sha256(data).hexdigest()


@pytest.mark.both_stores
def test_a_wrong_checksum_at_the_very_end_is_a_cut(stack):
    data = os.urandom(3 << 20)
    asset = stack.add(data, case="wrongsum", backend="loop_open", asset_members={"file:checksum": multihash(data), "file:size": len(data)})
    answer = stack.curl(asset.url)
    assert answer.rc in CUT or answer.status == 502, answer
    assert len(answer.body) < len(data)
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
def test_a_wrong_checksum_of_a_small_body_is_seen(stack):
    data = os.urandom(100)
    asset = stack.add(data, case="wrongsum", backend="loop_open", asset_members={"file:checksum": multihash(data)})
    answer = stack.curl(asset.url)
    assert answer.rc in CUT or answer.status == 502, answer
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
@pytest.mark.parametrize("size", [100000, 5 << 20])     # added up in the mover's loop, and beside it
def test_a_right_checksum_is_published(stack, size):
    data = os.urandom(size)
    asset = stack.add(data, asset_members={"file:checksum": multihash(data), "file:size": len(data)})
    assert stack.curl(asset.url).body == data
    wait_until(asset.published, "it is published")


@pytest.mark.both_stores
def test_g9_a_size_that_the_item_denies_is_not_published(stack):
    data = os.urandom(100000)
    asset = stack.add(data, asset_members={"file:size": len(data) + 1})
    stack.curl(asset.url)
    nothing_is_kept(stack, asset)


# -- ranges


@pytest.mark.both_stores
def test_d4_a_wrong_content_range_is_never_delivered(stack):
    asset = stack.add(os.urandom(1 << 20), case="badrange", backend="loop_open")
    answer = stack.curl(asset.url, "-r", "100-199")
    assert answer.status == 502 or answer.rc in CUT or answer.body == asset.data[100:200], answer
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
@pytest.mark.parametrize("case", ["norangesaid", "partial"])
@pytest.mark.parametrize("asked", ["100-199", None], ids=["part", "whole"])
def test_d4_g9_a_206_that_is_not_what_was_asked_for_is_502_and_not_stored(stack, case, asked):
    """Without Content-Range, or the first half whatever was asked for: as an answer to a range, and to none."""
    asset = stack.add(case=case, backend="loop_open")
    answer = stack.curl(asset.url, *(["-r", asked] if asked else []))
    is_problem(answer, 502)
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
def test_g9_what_is_not_there_yet_is_found_when_it_is(stack):
    """A 404 of the provider is the answer to one request, and no object."""
    asset = stack.add(False, backend="loop_open")
    for _ in range(2):
        is_problem(stack.curl(asset.url), 404)
    stack.write_file(asset.upstream_path, b"it came later" * 1000)
    answer = stack.curl(asset.url)
    assert answer.status == 200 and answer.body == b"it came later" * 1000, answer
    wait_until(asset.published, "it is published")


@pytest.mark.both_stores
def test_d4_a_provider_without_ranges_is_served_from_the_fill(stack):
    asset = stack.add(os.urandom(1 << 20), case="norange", backend="loop_open")
    answer = stack.curl(asset.url, "-r", "100000-100099")
    assert answer.rc == 0 and answer.status == 206 and answer.body == asset.data[100000:100100], answer
    assert len(asset.upstream()) <= 2


@pytest.mark.both_stores
def test_d4_versions_are_never_mixed(stack):
    """Another tag at each request: what arrives is of one of them, or a failure."""
    asset = stack.add(os.urandom(1 << 20), case="changed-etag", backend="loop_open")
    for first in (0, 1000, 500000):
        answer = stack.curl(asset.url, "-r", "%d-%d" % (first, first + 99))
        assert answer.rc in CUT or answer.status == 502 or answer.body == asset.data[first:first + 100], answer
    answer = stack.curl(asset.url)
    assert answer.rc in CUT or answer.body == asset.data, answer


# -- time


@pytest.fixture(scope="module")
def hasty_stack():
    """One that waits for nothing."""
    from conftest import Stack
    running = Stack(extra={
        "upstream": {"first_byte_timeout": "1s", "low_speed": "10 KB", "low_speed_time": "1s", "connect_timeout": "1s"},
        "front": {"deadline": "3s"}, "eodag": {"timeout": "10s"}})
    yield running
    running.down()


def test_e12_a_provider_that_never_answers_is_504(hasty_stack):
    asset = hasty_stack.add(case="never", backend="loop_open")
    answer = hasty_stack.curl(asset.url)
    is_problem(answer, 504)


@pytest.mark.parametrize("case", ["stall", "stallbody", "stallat-150001", "drip", "empty", "reset"])
def test_e12_a_provider_that_stalls_is_given_up_visibly(hasty_stack, case):
    """And the books say what came: to the client, and from the provider."""
    asset = hasty_stack.add(case=case, backend="loop_open")
    answer = hasty_stack.curl(asset.url)
    assert answer.rc in CUT or answer.status in (502, 504), answer
    assert answer.body != asset.data
    assert asset.published() is None
    lines = wait_until(lambda: [line for line in hasty_stack.ledger() if line["item"] == asset.name], "it is in the books")
    received = len(answer.body) if answer.status == 200 else 0
    assert sum(line["bytes"] for line in lines if line["cache"] != "fill") >= received
    assert sum(line["bytes"] for line in lines) <= {"stallbody": 100000, "reset": 100000, "stallat-150001": 150001}.get(case, 1000), lines
    wait_until(lambda: hasty_stack.status()["gauges"]["transfers"] == 0, "no transfer is left")


def test_e12_others_are_served_while_one_stalls(hasty_stack):
    import threading
    slow = hasty_stack.add(case="never", backend="loop_header")
    thread = threading.Thread(target=lambda: hasty_stack.curl(slow.url))
    thread.start()
    good = hasty_stack.add(backend="loop_open")
    assert hasty_stack.curl(good.url).body == good.data
    thread.join()


# -- where to


@pytest.mark.parametrize("case", ["redirect-private", "redirect-meta", "redirect-file", "loop"])
def test_e4_a_redirect_to_where_nobody_may_go_is_502(stack, case):
    asset = stack.add(case=case, backend="loop_open")
    answer = stack.curl(asset.url)
    is_problem(answer, 502)
    assert "location" not in answer.headers
    assert b"10.0.0.1" not in answer.body and b"169.254" not in answer.body


def test_e4_a_redirect_loop_is_given_up_soon(stack):
    asset = stack.add(case="loop", backend="loop_open")
    stack.curl(asset.url)
    assert len(asset.upstream()) <= 12


@pytest.mark.parametrize("case", ["redirect-same", "redirect-relative", "redirect-other"])
def test_a_redirect_to_where_one_may_go_is_followed(stack, case):
    asset = stack.add(case=case, backend="loop_open")
    answer = stack.curl(asset.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == asset.data, answer


def test_e5_credentials_do_not_follow_a_redirect_to_another_port(stack):
    stack.provider("/-/reset")
    asset = stack.add(case="redirect-other", backend="loop_header")
    answer = stack.curl(asset.url)
    assert answer.status == 200 and answer.body == asset.data, answer
    seen = [r for r in stack.provider("/-/log", "GET")["other_requests"] if asset.name in r["uri"]]
    assert seen
    for request in seen:
        names = {name.lower() for name, _ in request["headers"]}
        assert not names & {"x-api-key", "authorization", "cookie"}, request


# -- headers


INTERNAL = {"x-accel-redirect", "x-accel-buffering", "x-accel-limit-rate", "x-accel-expires", "x-sendfile",
            "x-lighttpd-send-file", "set-cookie", "location", "refresh", "www-authenticate", "link",
            "x-provider-internal", "x-eodata-charge", "via", "status"}


@pytest.mark.both_stores
def test_d7_headers_of_the_provider_pass_an_allow_list(stack):
    asset = stack.add(case="evilheaders", backend="loop_open")
    cold = stack.curl(asset.url)
    assert cold.status == 200 and cold.body == asset.data, cold
    wait_until(asset.published, "it is published")
    cached = stack.curl(asset.url)
    assert cached.is_hit
    for answer in (cold, cached):
        assert not set(answer.headers) & INTERNAL, answer
        assert "evil" not in str(answer.all) and "secret" not in str(answer.all), answer
        assert answer.headers["cache-control"] == "private"
        assert answer.headers["access-control-allow-origin"] != "http://evil.example"


@pytest.mark.parametrize("case", ["header-nul", "header-cr", "header-huge", "header-many", "header-nocolon", "header-fold", "two-lengths"])
def test_d9_a_broken_header_block_is_502_and_ours_are_valid(stack, case):
    asset = stack.add(case=case, backend="loop_open")
    answer = stack.curl(asset.url)
    is_problem(answer, 502)
    assert "set-cookie" not in answer.headers
    assert all("\r" not in v and "\n" not in v and "\0" not in v for _, v in answer.all)
    assert asset.published() is None


@pytest.mark.both_stores
def test_d10_what_a_browser_would_run_is_marked_and_its_name_cleaned(stack):
    asset = stack.add(b"<script>alert(1)</script>" * 100, case="script", backend="loop_open", asset_members={"type": "text/html"})
    answer = stack.curl(asset.url)
    assert answer.status == 200 and answer.body == asset.data, answer
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r'attachment; filename="[^"\\]*"; filename\*=UTF-8\'\'[-\w.~%]*', answer.headers["content-disposition"]), answer
    # where the item does not say so it is no asset but a page
    is_problem(stack.curl(stack.add(asset.data, case="script", backend="loop_open").url), 502)


@pytest.mark.both_stores
def test_d11_a_coded_body_is_passed_on_with_its_coding_and_not_kept(stack):
    """A bomb: 16 MiB in as many KiB.  Nobody here takes it apart, whoever asks for whatever coding."""
    import gzip
    asset = stack.add(bytes(16 << 20), case="gzip", backend="loop_open")
    for headers in ([], ["-H", "Accept-Encoding: identity"], ["-H", "Accept-Encoding: gzip"]):
        answer = stack.curl(asset.url, *headers)
        assert answer.status == 200 and answer.headers.get("content-encoding") == "gzip", answer
        assert len(answer.body) < 1 << 18
        assert gzip.decompress(answer.body) == asset.data
    nothing_is_kept(stack, asset)


@pytest.mark.both_stores
def test_d11_a_part_of_a_coded_body_is_no_part_of_the_asset(stack):
    asset = stack.add(case="gziprange", backend="loop_open")
    is_problem(stack.curl(asset.url, "-r", "10-19"), 502)
    nothing_is_kept(stack, asset)


# -- the catalogue


@pytest.mark.parametrize("case,statuses", [
    ("status-404", (404,)), ("status-500", (502,)), ("status-403", (502, 403)), ("status-503", (503, 502)), ("html", (502,)),
    ("notjson", (502,)), ("empty", (502,)), ("huge", (502,)), ("redirect-private", (502,))])
def test_a_bad_catalogue_is_an_error_of_ours(stack, case, statuses):
    answer = stack.curl(stack.origin + "/data/loop_open/BAD-ITEM/%s/data" % case)
    assert answer.status in statuses, answer
    is_problem(answer, answer.status)


def test_a_catalogue_that_stalls_is_504(hasty_stack):
    answer = hasty_stack.curl(hasty_stack.origin + "/data/loop_open/BAD-ITEM/stall/data")
    is_problem(answer, 504)


def test_another_items_id_is_refused(stack):
    asset = stack.add(item_members={"id": "somebody-else"})
    answer = stack.get(asset.path)
    assert answer.status in (404, 502), answer
    assert asset.upstream() == []


def test_another_collections_item_is_refused(stack):
    asset = stack.add(item_members={"collection": "S2-secret"})
    answer = stack.get(asset.path)
    assert answer.status in (404, 502), answer
    assert asset.upstream() == []


# -- where an item may point to (cases E1, E2)


@pytest.mark.parametrize("href", [
    "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data/", "http://[::1]/x", "http://0.0.0.0/x", "http://0x0a.1/x",
    "http://2852039166/latest", "http://[::ffff:10.0.0.1]/x", "http://[64:ff9b::a00:1]/x", "http://localhost./x",
    "file:///etc/passwd", "/etc/passwd", "gopher://127.0.0.1:70/x", "ftp://127.0.0.1/x", "dict://127.0.0.1:11211/stats",
    "http://127.0.0.1:11211/x", "http://127.0.0.1:22/x", "//127.0.0.1/x", "http:/\\127.0.0.1/x", "", "javascript:alert(1)",
    "http://user:pass@10.0.0.1/x", "https://good@10.0.0.1/x", "http://no-such-host.invalid/x"])
def test_e1_e2_an_origin_that_nobody_may_fetch_is_refused(stack, href):
    asset = stack.add(origin=href, backend="loop_open")
    answer = stack.curl(asset.url)
    assert answer.status in (403, 404, 502, 504), answer
    is_problem(answer, answer.status)
    assert b"root:" not in answer.body
