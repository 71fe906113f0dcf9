# SPDX-License-Identifier: Apache-2.0
"""The cache in a bucket: filled while it streams, never visible before it is whole, and not needed to serve."""

import hashlib
import os
import signal
import time

import pytest
from conftest import wait_until
from stores import META

MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture(scope="module")
def store_kind():
    return "s3"


@pytest.fixture
def bucket(stack):
    return stack.store


def test_what_was_fetched_once_comes_from_the_bucket(stack, bucket):
    data = os.urandom(300000)
    digest = hashlib.sha256(data).hexdigest()
    asset = stack.add(data, file="scène (1).tif", asset_members={"file:checksum": "1220" + digest, "type": "image/tiff"})
    cold = asset.warm().cold
    hit = stack.get(asset.path)
    assert hit.is_hit and hit.body == data and len(asset.upstream()) == 1
    for name in ("etag", "content-type", "content-disposition", "content-length", "last-modified", "accept-ranges"):
        assert hit.headers.get(name) == cold.headers.get(name), name
    body, meta, headers = bucket.kept(asset)
    assert body == data and meta["length"] == len(data) and meta["etag"] == cold.headers["etag"]
    assert meta["backend"] == "loop_header" and meta["checksum"] == "sha256:" + digest and abs(meta["fetched"] - time.time()) < 600
    assert headers["content-type"] == "image/tiff" and headers["content-disposition"] == cold.headers["content-disposition"]
    assert bucket.find(asset).startswith("30d/")


def test_a_large_one_goes_in_parts_while_it_comes_and_is_seen_when_it_is_whole(stack, bucket):
    asset = stack.add_gated(5 * PART + 12345, 3 * PART)
    finish = stack.begin(asset)
    wait_until(lambda: bucket.uploads(asset), "an upload in parts")
    assert bucket.find(asset) is None
    asset.open()
    rc, body = finish()
    assert rc == 0 and body == asset.data
    wait_until(asset.published, "the object")
    body, meta, _ = bucket.kept(asset)
    assert body == asset.data and meta["length"] == len(body)
    wait_until(lambda: bucket.uploads(asset) == [], "nothing is left of the upload")
    hit = stack.get(asset.path)
    assert hit.is_hit and hit.body == asset.data


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART])
def test_sizes_at_the_bounds_of_parts(stack, bucket, size):
    asset = stack.add(os.urandom(size))
    asset.warm()
    assert bucket.kept(asset)[0] == asset.data
    hit = stack.get(asset.path)
    assert hit.is_hit and hit.body == asset.data


def test_a_body_of_unknown_length_is_stored_when_it_is_whole(stack, bucket):
    asset = stack.add(os.urandom(2 * PART + 77), case="chunked", backend="loop_open")
    asset.warm()
    assert bucket.kept(asset)[0] == asset.data
    hit = stack.get(asset.path)
    assert hit.is_hit and hit.body == asset.data


def test_a_hit_costs_its_user_no_bytes_of_the_provider(make_stack, bucket):
    stack = make_stack({"quotas": {"q": {"upstream_bytes": ["250 KB per month"], "when_unavailable": "refuse"}},
                        "rules": [{"who": "authenticated", "allow": True, "quotas": ["q"]}]}, store=bucket)
    asset = stack.add(os.urandom(200000))
    asset.warm()
    for _ in range(3):
        hit = stack.get(asset.path)
        assert hit.status == 200 and hit.is_hit and hit.body == asset.data, hit
    wait_until(lambda: len([line for line in stack.ledger() if line["cache"] == "hit" and line["bytes"] > 0]) == 3 and
               [line for line in stack.ledger() if line["cache"] == "fill"], "they are in the books, and so is what was fetched")
    assert sum(line["upstream_bytes"] for line in stack.ledger()) == 200000
    more = stack.add(os.urandom(200000))
    # 503: the accountant was late, which says nothing of the quota
    assert wait_until(lambda: (lambda status: status != 503 and status)(stack.get(more.path).status), "it was looked at") == 429


def test_a_wrong_body_leaves_neither_object_nor_upload(stack, bucket):
    data = os.urandom(3 * PART)
    asset = stack.add(data, case="wrongsum", backend="loop_open",
                      asset_members={"file:checksum": "1220" + hashlib.sha256(data).hexdigest(), "file:size": len(data)})
    assert stack.curl(asset.url).rc == 18
    wait_until(lambda: not bucket.uploads(asset), "the upload is aborted")
    assert bucket.find(asset) is None


def test_an_upload_that_s3_makes_after_it_was_given_up_is_aborted_too(stack, bucket, s3_engine):
    asset = stack.add_gated(3 * PART, MIB, asset_members={"file:checksum": "1220" + hashlib.sha256(b"another").hexdigest()})
    finish = stack.begin(asset)         # it has been looked for, and nothing is uploaded yet
    radosgw = s3_engine.pids()["radosgw"]
    os.kill(radosgw, signal.SIGSTOP)
    try:
        asset.open()
        assert finish()[0] == 18
    finally:
        os.kill(radosgw, signal.SIGCONT)
    # made first, then aborted; the latter is what the engine hears last of it
    wait_until(lambda: "DELETE /%s/30d%s" % (bucket.name, asset.path[len("/data"):]) in engine_log(s3_engine), "S3 is asked to abort it")
    wait_until(lambda: not bucket.uploads(asset), "it is aborted")
    assert bucket.find(asset) is None


def test_an_upload_that_is_cut_by_a_stop_is_aborted(make_stack, bucket):
    stack = make_stack({"pool": {"drain": "500ms"}}, store=bucket)
    asset = stack.add_gated(5 * PART, 3 * PART)
    finish = stack.begin(asset)
    wait_until(lambda: bucket.uploads(asset), "an upload in parts")
    os.kill(stack.master, signal.SIGTERM)
    assert finish()[0] != 0
    wait_until(lambda: not bucket.uploads(asset), "it is aborted")
    assert bucket.find(asset) is None


def engine_log(engine):
    with open(engine.path("log", "client.rgw.s3.log"), errors="replace") as f:
        return f.read()


def test_what_the_lifecycle_took_is_fetched_again_without_an_error(stack, bucket):
    asset = stack.add(os.urandom(50000))
    asset.warm()
    assert stack.get(asset.path).is_hit
    asset.expire()
    again = stack.get(asset.path)       # what is remembered says that it is there
    assert again.status == 200 and again.body == asset.data and not again.is_hit
    assert len(asset.upstream()) == 2
    wait_until(lambda: bucket.find(asset), "it is there again")


def test_what_is_not_ours_counts_as_missing_and_is_written_over(stack, bucket, s3_engine, make_stack):
    asset = stack.add(os.urandom(50000))
    asset.warm()
    key = bucket.find(asset)
    headers = bucket.kept(asset)[2]
    for body, meta in ((b"not ours", None), (b"of another length", headers[META]), (asset.data, "{}")):
        assert bucket.ask("PUT", key, body=body, headers={} if meta is None else {META: meta}).status == 200
        second = make_stack(store=bucket)        # which remembers nothing
        twin = second.add(asset.data, name=asset.name)
        answer = second.get(twin.path)
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit
        assert "EO-STORE-FOREIGN" in second.log()
        wait_until(lambda: bucket.kept(asset)[0] == asset.data and bucket.kept(asset)[1] and
                   bucket.kept(asset)[1].get("length") == len(asset.data), "it is ours again")


def test_another_version_in_the_bucket_is_never_mixed_in(stack, bucket):
    asset = stack.add(os.urandom(50000))
    asset.warm()
    assert stack.get(asset.path).is_hit
    other = os.urandom(50000)
    bucket.write(asset, other)
    answer = stack.get(asset.path)      # S3's own tag is another: that version, and all of it
    assert answer.status == 200 and answer.body == other and answer.is_hit, answer
    assert len(asset.upstream()) == 1


def test_keys_of_a_file_elsewhere_wait_for_the_next_start(make_stack, bucket, tmp_path):
    """Movers are confined: one that is told of a file which it may not read would have no keys at all."""
    stack = make_stack(store=bucket)
    keys = tmp_path / "keys"
    with open(stack.config()["cache"]["s3"]["credentials"]) as f:
        keys.write_text(f.read())
    keys.chmod(0o600)
    stack.reload(lambda config: config["cache"]["s3"].update(credentials=str(keys)))
    assert "until the next start these stay: cache.s3.credentials" in stack.log()
    stack.add(os.urandom(5000)).warm()
    assert stack.status()["gauges"]["store_away"] == 0 and "EO-STORE" not in stack.log()


def test_keys_come_from_the_environment_where_there_is_no_file(bucket, make_stack, s3_engine, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_engine.owner.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_engine.owner.secret)
    stack = make_stack(bucket.config(credentials=""), store=bucket)
    asset = stack.add(os.urandom(5000))
    asset.warm()
    stack.reload(lambda config: config["log"].update(level="info"))
    stack.add(os.urandom(5000)).warm()
    assert s3_engine.owner.secret not in stack.log()
