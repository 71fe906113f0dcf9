# SPDX-License-Identifier: Apache-2.0
"""
What datasets, rules and backends say about an answer: what is stored and when a
range fills, redirects, rates, hits that the proxy streams itself, slots and
queues, sub-paths, and what cannot be had now (pending) or yet (carry).
"""

import hashlib
import json
import os
import tempfile
import threading

import pytest
from conftest import Stack, wait_until
from test_processes import fcgi

SIZE = 400000
pytestmark = pytest.mark.both_stores
DATASETS = [
    {"collections": ["NEVER"], "retention": "30d", "fill": "never"},
    {"collections": ["WHOLE"], "retention": "30d", "fill": "whole-only", "fill_after": "0 %"},
    {"collections": ["FIRST"], "retention": "30d", "fill": "any-read", "fill_after": "0 %"},
    {"collections": ["DELIVER"], "retention": "30d", "on_mismatch": "deliver"},
    {"collections": ["SMALL"], "retention": "30d", "max_size": "300 KB", "fill_after": "0 %"},
    {"collections": ["KEPT"], "retention": "keep"},
    {"collections": ["PUBLIC"], "retention": "30d", "cache_control": "public, max-age=86400"},
    {"collections": ["DEMO", "REDIRECT", "SLOW", "ORDERED"], "retention": "30d"},
]


@pytest.fixture(scope="module")
def second_root():
    """A second folder of the provider, so that an asset is a file in one and a directory in the other."""
    with tempfile.TemporaryDirectory(prefix="eodata-root-", dir="/tmp") as name:
        yield name


@pytest.fixture(scope="module")
def various(second_root, new_store):
    running = Stack("--provider-root", second_root, extra={
        "datasets": DATASETS,
        "backends": {"loop_basic": {"slots": 1}, "loop_qs": {"slots": 2, "queue": 1}, "loop_open": {"slots": 2, "queue": 2}},
        "rules": [
            {"name": "redirects", "groups": ["s2-users"], "collections": ["REDIRECT"], "allow": True, "delivery": "redirect"},
            {"name": "slow", "groups": ["s2-users"], "collections": ["SLOW"], "allow": True, "rate": "100 KB"},
            {"name": "users", "groups": ["s2-users"], "allow": True}]}, store=new_store())
    yield running
    running.down()


def multihash(data):
    return "1220" + hashlib.sha256(data).hexdigest()


def settled(stack, asset):
    """No transfer of it is under way: what is stored now is what will be."""
    wait_until(lambda: stack.status()["gauges"]["transfers"] == 0, "no transfer runs")
    return asset.published()


# -- what is stored


def test_the_gauge_of_transfers_counts_them(various):
    """The tests below wait for it."""
    asset = various.add_gated()
    finish = various.begin(asset)
    assert various.status()["gauges"]["transfers"] == 1
    asset.open()
    assert finish() == (0, asset.data)
    assert settled(various, asset)


def test_what_no_dataset_names_is_never_stored(various):
    asset = various.add(os.urandom(SIZE), collection="UNNAMED")
    for i in range(2):
        answer = various.get(asset.path)
        assert answer.body == asset.data and not answer.is_hit and "stored" not in answer.headers["cache-status"], answer
    assert settled(various, asset) is None
    assert len(asset.upstream()) == 2


def test_fill_never_stores_nothing(various):
    asset = various.add(os.urandom(SIZE), collection="NEVER")
    assert various.get(asset.path, {"Range": "bytes=0-%d" % (SIZE - 2)}).status == 206
    assert various.get(asset.path).body == asset.data
    assert settled(various, asset) is None


def test_fill_whole_only_is_by_the_whole_alone(various):
    asset = various.add(os.urandom(SIZE), collection="WHOLE")
    answer = various.get(asset.path, {"Range": "bytes=0-%d" % (SIZE - 2)})
    assert answer.status == 206 and answer.body == asset.data[:-1]
    assert settled(various, asset) is None
    assert various.get(asset.path).body == asset.data
    wait_until(asset.published, "the whole is stored")


def test_fill_after_nothing_is_by_the_first_range(various):
    asset = various.add(os.urandom(SIZE), collection="FIRST")
    assert various.get(asset.path, {"Range": "bytes=300000-300009"}).body == asset.data[300000:300010]
    wait_until(asset.published, "one range of ten bytes was enough")


def test_fill_after_a_quarter_is_not_by_less(various):
    asset = various.add(os.urandom(SIZE))
    assert various.get(asset.path, {"Range": "bytes=300000-349999"}).status == 206
    assert settled(various, asset) is None
    assert various.get(asset.path, {"Range": "bytes=200000-279999"}).status == 206
    wait_until(asset.published, "a quarter and more was asked for")


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-99"}])
def test_what_is_larger_than_max_size_is_delivered_and_not_stored(various, headers):
    asset = various.add(os.urandom(SIZE), collection="SMALL")
    answer = various.get(asset.path, headers)
    assert answer.body == (asset.data[:100] if headers else asset.data)
    assert settled(various, asset) is None
    small = various.add(os.urandom(SIZE // 2), collection="SMALL").warm()
    assert various.get(small.path).is_hit


def test_max_size_holds_for_a_body_of_unknown_length(various):
    asset = various.add(os.urandom(SIZE), collection="SMALL", backend="loop_open", case="chunked")
    answer = various.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data, answer
    assert settled(various, asset) is None


def test_a_mismatch_may_be_delivered_but_never_stored(various):
    data = os.urandom(SIZE)
    asset = various.add(data, collection="DELIVER", asset_members={"file:checksum": multihash(b"something else")})
    answer = various.curl(asset.url)
    assert answer.rc == 0 and answer.body == data, answer
    assert settled(various, asset) is None
    ticket = answer.headers["x-request-id"]
    assert any(ticket in line and "EO-MOVER-MISMATCH" in line and "action=deliver" in line for line in various.log().splitlines()), "and the log says so"


def test_an_object_is_under_its_retention(various):
    for collection, retention in (("KEPT", "keep"), ("DEMO", "30d")):
        asset = various.add(os.urandom(1000), collection=collection).warm()
        assert various.store.retention(asset) == retention


def test_a_datasets_cache_control_is_everywhere(various):
    asset = various.add(os.urandom(1000), collection="PUBLIC")
    cold = various.get(asset.path)
    wait_until(asset.published, "it is cached")
    for answer in (cold, various.get(asset.path), various.request("HEAD", asset.path)):
        assert answer.headers["cache-control"] == "public, max-age=86400", answer
    assert various.get(asset.path + "x").headers["cache-control"] != "public, max-age=86400", "an error is none of it"


def test_fill_never_holds_for_bodies_without_a_length_and_for_empty_ones(various):
    for more in ({"case": "chunked", "backend": "loop_open"}, {"data": b""}):
        asset = various.add(**{"data": os.urandom(1000), "collection": "NEVER", **more})
        assert various.get(asset.path).body == asset.data
        assert settled(various, asset) is None


@pytest.mark.directory_only("files that others write; eodata-proxyctl puts them into a bucket")
def test_what_a_harvester_wrote_is_a_hit(various):
    """By the key and the metadata of DESIGN.md, for an asset that no item knows."""
    data = os.urandom(5000)
    folder = os.path.join(various.cache_dir, "30d", "loop_header", "NEVER", "harvested%20item")
    os.makedirs(folder)
    path = os.path.join(folder, "data")
    with open(path + "@data.new", "wb") as f:
        f.write(data)
    os.rename(path + "@data.new", path + "@data")
    with open(path + "@meta.new", "w") as f:
        json.dump({"v": 1, "inode": os.stat(path + "@data").st_ino, "length": len(data), "etag": '"from-outside"',
                   "type": "image/tiff"}, f)
    os.rename(path + "@meta.new", path + "@meta")
    for name in (path + "@data", path + "@meta"):
        os.chmod(name, 0o644)
    answer = various.get("/data/loop_header/NEVER/harvested%20item/data")
    assert answer.status == 200 and answer.is_hit and answer.body == data, answer
    assert answer.headers["etag"] == '"from-outside"' and answer.headers["content-type"] == "image/tiff"


@pytest.mark.directory_only("a bucket has no cache.min_free")
def test_nothing_is_stored_while_the_file_system_is_too_full(make_stack):
    st = os.statvfs(os.environ.get("TMPDIR", "/tmp"))
    if st.f_bavail / st.f_blocks > 0.9:
        pytest.skip("the file system is so empty that no min_free is above it")
    stack = make_stack({"cache": {"min_free": "90 %"}})
    asset = stack.add()
    for _ in range(2):
        answer = stack.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer
    assert settled(stack, asset) is None


# -- redirects


@pytest.mark.directory_only("no object is in it")
def test_an_open_https_location_is_a_redirect(various):
    """Nobody has to be there: only the client goes."""
    asset = various.add(collection="REDIRECT", backend="loop_open", origin="https://127.0.0.1:1/open/data.tif?signed=yes")
    for method in ("GET", "HEAD"):
        answer = various.request(method, asset.path)
        assert answer.status == 302, answer
        assert answer.headers["location"] == "https://127.0.0.1:1/open/data.tif?signed=yes"
        assert "private" in answer.headers["cache-control"] and "max-age=" in answer.headers["cache-control"]
    assert "signed=yes" not in various.log()


@pytest.mark.directory_only("no object is in it")
def test_a_location_that_eodag_has_signed_is_a_redirect(various):
    """SASAuth: to the place that the signer names, which has been asked with the site's key; nobody else is."""
    asset = various.add(collection="REDIRECT", backend="loop_sas", origin="{base}/assets/sas/elsewhere/data.tif")
    answer = various.get(asset.path)
    assert answer.status == 302 and answer.headers["location"] == "https://127.0.0.1:1/data.tif?sig=good", answer
    life = int(answer.headers["x-eodata-delivery"].removeprefix("redirect; life="))
    assert 0 < life <= 3600 and "private" in answer.headers["cache-control"]
    assert "sig=good" not in various.log()


@pytest.mark.directory_only("no object is in it")
@pytest.mark.parametrize("backend", ["loop_open", "loop_sas", "loop_header", "loop_basic", "loop_token", "loop_qs"])
def test_what_needs_credentials_or_has_no_tls_is_streamed(various, backend):
    asset = various.add(collection="REDIRECT", backend=backend)
    answer = various.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    assert "location" not in answer.headers


@pytest.mark.directory_only("no object is in it")
def test_e5_the_sites_own_key_in_a_query_is_nobodys_to_see(various):
    """HttpQueryStringAuth: the location lets in whoever has it, for whatever the site may fetch.  It is streamed, or fails."""
    asset = various.add(collection="REDIRECT", backend="loop_qs_tls", origin="https://127.0.0.1:1/qs/data.tif")
    answer = various.get(asset.path)
    assert answer.status == 502 and "location" not in answer.headers, answer
    assert "canary" not in str(answer.all) and b"canary" not in answer.body and "canary" not in various.log()


# -- rates


def slows(various, kind):
    slow, fast = various.add(os.urandom(3 * SIZE // 2), collection="SLOW"), various.add(os.urandom(SIZE // 2))
    if kind == "cached":
        slow.warm()
        fast.warm()
    headers, first = ({"Range": "bytes=50000-"}, 50000) if kind == "range" else ({}, 0)
    order = []

    def ask(asset):
        answer = various.get(asset.path, headers)
        assert answer.body == asset.data[first:]
        order.append(asset)
    before = various.log().count(slow.name)
    thread = threading.Thread(target=ask, args=(slow,))
    thread.start()
    wait_until(lambda: various.log().count(slow.name) > before, "the slow one is under way")
    ask(fast)
    thread.join()
    assert order == [fast, slow], "600 KB at 100 KB a second end after 200 KB that begin later"


@pytest.mark.directory_only("no object is in it")
@pytest.mark.parametrize("kind", ["cold", "range"])
def test_a_rate_slows_its_rules_requests_and_no_others(various, kind):
    slows(various, kind)


@pytest.mark.directory_only("test_s3_hits.py has it of a bucket")
def test_a_rate_slows_its_rules_hits_and_no_others(various):
    slows(various, "cached")


@pytest.mark.directory_only("a header of hits that are files")
def test_the_rate_of_a_hit_is_the_fronts_to_keep(various):
    slow = various.add(os.urandom(1000), collection="SLOW").warm()
    head = fcgi("unix:" + various.env["FCGI_SOCKET"], slow.path)[1]
    assert "X-Accel-Redirect: /_eodata_cache/" in head and "X-Accel-Limit-Rate: 100000" in head
    assert "X-Accel-Limit-Rate" not in fcgi("unix:" + various.env["FCGI_SOCKET"], various.add().warm().path)[1]


# -- hits that the proxy sends itself


@pytest.fixture(scope="module")
def streaming():
    running = Stack(extra={"front": {"hits": "stream"}})
    yield running
    running.down()


@pytest.mark.directory_only("files that we send")
def test_streamed_hits_are_what_the_front_would_send(streaming):
    asset = streaming.add(os.urandom(SIZE)).warm()
    tag = streaming.request("HEAD", asset.path).headers["etag"]
    for headers, status, body in (
            ({}, 200, asset.data), ({"Range": "bytes=7-99"}, 206, asset.data[7:100]), ({"Range": "bytes=-5"}, 206, asset.data[-5:]),
            ({"Range": "bytes=0-"}, 206, asset.data), ({"Range": "bytes=%d-" % SIZE}, 416, None), ({"If-None-Match": tag}, 304, b""),
            ({"If-Match": tag}, 200, asset.data), ({"If-Match": '"x"'}, 412, None), ({"Range": "bytes=1-2", "If-Range": tag}, 206, asset.data[1:3]),
            ({"Range": "bytes=1-2", "If-Range": '"x"'}, 200, asset.data), ({"Range": "bytes=1-2,4-5"}, 200, asset.data)):
        answer = streaming.get(asset.path, headers)
        assert answer.status == status, (headers, answer)
        assert body is None or (answer.body == body and answer.is_hit), (headers, answer)
        assert body is None or answer.headers["etag"] == tag
    head = streaming.request("HEAD", asset.path)
    assert head.status == 200 and head.is_hit and head.headers["content-length"] == str(SIZE) and head.body == b""
    assert len(asset.upstream()) == 1
    reply = fcgi("unix:" + streaming.env["FCGI_SOCKET"], asset.path)
    assert "X-Accel" not in reply[1] and reply[2] == asset.data


@pytest.mark.directory_only("files that we send")
def test_a_streamed_hit_ends_visibly_when_its_file_is_cut(streaming):
    asset = streaming.add(os.urandom(24 << 20)).warm()
    finish = streaming.begin(asset, "--limit-rate", "4M")
    os.truncate(asset.published(), 20 << 20)
    rc, body = finish()
    assert rc != 0 and asset.data.startswith(body) and len(body) < len(asset.data)


# -- slots and queues


@pytest.mark.directory_only("no object is in it")
def test_one_slot_serves_many_one_after_the_other(various):
    assets = [various.add(backend="loop_basic") for _ in range(12)]
    answers = {}
    threads = [threading.Thread(target=lambda a=asset: answers.update({a.name: various.get(a.path)})) for asset in assets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[asset.name].body == asset.data for asset in assets] == [True] * 12


@pytest.mark.directory_only("no object is in it")
def test_a_full_queue_is_503_at_once_and_those_in_it_are_served(various):
    """loop_open has two slots and a queue of two."""
    assets = [various.add_gated(200000, 1000) for _ in range(4)]
    answers = {}
    threads = []
    for asset in assets:
        threads.append(threading.Thread(target=lambda a=asset: answers.update({a.name: various.get(a.path)})))
        threads[-1].start()
        wait_until(lambda a=asset: a.name in various.log(), "it is asked for")
    wait_until(lambda: various.status()["gauges"]["queued"] == 2, "two run, two wait")
    fifth = various.get(various.add(backend="loop_open").path)
    assert fifth.status == 503 and int(fifth.headers["retry-after"]) >= 1, fifth
    assert not answers, "nobody has waited for anybody"
    other = various.add(backend="loop_header")
    assert various.get(other.path).body == other.data, "another backend has slots of its own"
    for asset in assets:
        asset.open()
    for thread in threads:
        thread.join()
    assert all(answers[asset.name].body == asset.data for asset in assets)


# -- sub-paths


def test_chunks_of_a_store_cost_one_item_and_are_cached_beside_it(various, second_root):
    """An asset and its sub-paths: a file in one folder of the provider, a directory in the other."""
    name = various.name("store")
    various.write_file(name + "/store.zarr", b"the asset itself")
    chunks = {"0.%d" % i: os.urandom(3000) for i in range(20)}
    chunks["a group/.zarray"] = b"{}"
    for chunk, data in chunks.items():
        path = os.path.join(second_root, name, "store.zarr", chunk)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    various.provider("/-/reset")
    asset = various.add(False, name=name, origin="{base}/assets/hdr/%s/store.zarr" % name)
    assert various.get(asset.path).body == b"the asset itself"
    for cached in (False, True):
        for chunk, data in chunks.items():
            answer = various.get(asset.path + "/" + chunk.replace(" ", "%20"))
            assert answer.status == 200 and answer.body == data and answer.is_hit == cached, (chunk, answer)
        wait_until(lambda: settled(various, asset), "all are published")
    answer = various.get(asset.path)
    assert answer.is_hit and answer.body == b"the asset itself"
    assert various.get(asset.path + "/0.99").status == 404
    assert len(asset.stac()) == 1, "one item, so one resolve, for all of them"
    assert various.get(asset.path + "/../store.zarr").status == 400


# -- what cannot be had


def problem(answer, status):
    assert answer.status == status, answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["ticket"] == answer.headers["x-request-id"]
    return answer


@pytest.mark.directory_only("no object is in it")
@pytest.mark.parametrize("state", ["ordered", "orderable"])
def test_a_product_that_is_being_staged_is_503_with_retry_after(various, state):
    asset = various.add(backend="loop_order", name=various.name(state), origin="{base}/assets/open/x", properties={"order:status": state})
    answer = problem(various.get(asset.path), 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert asset.upstream() == [] and asset.published() is None


@pytest.mark.directory_only("no object is in it")
def test_a_product_that_was_ordered_long_ago_is_served(various):
    name = various.name("there")
    asset = various.add(os.urandom(1000), backend="loop_order", name=name, origin="{base}/assets/open/%s/data.tif" % name,
                        properties={"order:status": "succeeded"}, item_members={"fake:hide_origin": True})
    assert various.get(asset.path).body == asset.data


@pytest.mark.directory_only("no object is in it")
def test_a_product_of_many_files_is_501(various):
    asset = various.add(backend="loop_search", item_members={"fake:hide_origin": True})
    problem(various.get(asset.path[:-len("data")] + "downloadLink"), 501)
    assert asset.upstream() == []
