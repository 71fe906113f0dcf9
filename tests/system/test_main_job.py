# SPDX-License-Identifier: Apache-2.0
"""The main job: a cold asset through EODAG, a cached one through the front."""

import json
import os
import threading

import pytest
from conftest import LOGINS, wait_until


def error(answer, status):
    """The answer is an error of ours, as it should be."""
    assert answer.status == status, answer
    assert answer.headers["content-type"].startswith("application/problem+json"), answer
    body = answer.json()
    assert body["code"] == str(status) or body["code"] == status
    assert body["ticket"] == answer.headers["x-request-id"]
    assert body["description"]
    assert "cache-status" in answer.headers
    return body


# -- cold, then cached


@pytest.mark.both_stores
def test_cold_asset_is_the_providers_bytes_for_one_request_and_one_item(stack):
    asset = stack.add()
    answer = stack.get(asset.path)
    assert answer.status == 200, answer
    assert answer.body == asset.data
    assert answer.headers["content-length"] == str(len(asset.data))
    assert not answer.is_hit
    assert [line[0] + line[2] for line in asset.upstream()] == ["GET200"]
    assert len(asset.stac()) == 1


@pytest.mark.both_stores
def test_a_cached_asset_comes_without_the_provider(stack):
    asset = stack.add().warm()
    before = len(asset.upstream()), len(asset.stac())
    answer = stack.get(asset.path)
    assert answer.status == 200, answer
    assert answer.body == asset.data
    assert answer.is_hit, answer
    assert (len(asset.upstream()), len(asset.stac())) == before


@pytest.mark.parametrize("backend", sorted(set(LOGINS) - {"loop_search"}))
def test_each_kind_of_login_is_eodags_work(stack, backend):
    asset = stack.add(backend=backend)
    answer = stack.get(asset.path)
    assert answer.status == 200, answer
    assert answer.body == asset.data
    assert all(line[2] == "200" for line in asset.upstream())


def test_an_item_without_origin_is_found_by_search(stack):
    asset = stack.add(backend="loop_search", item_members={"fake:hide_origin": True})
    answer = stack.get(asset.path)
    assert answer.status == 200, answer
    assert answer.body == asset.data
    assert any(line[0] == "POST" and line[1].startswith("/stac/search") for line in stack.stac_log())


@pytest.mark.both_stores
def test_the_sample_is_cold_then_cached(stack):
    path = stack.env["SAMPLE_URL"][len(stack.origin):]
    with open(os.path.join(stack.env["PROVIDER_ROOT"], "egm96.tif"), "rb") as f:
        want = f.read()
    first = stack.get(path)
    assert first.status == 200 and first.body == want and not first.is_hit, first
    wait_until(lambda: stack.get(path, {"Range": "bytes=0-0"}).is_hit, "a hit")
    second = stack.get(path)
    assert second.status == 200 and second.body == want and second.is_hit, second


@pytest.mark.both_stores
def test_a_hundred_requests_for_one_cold_asset_are_one_fetch(stack):
    name = stack.name("shared")
    asset = stack.add(os.urandom(1 << 20), backend="loop_open", case="gate-%s-1000" % name.replace("-", ""))
    resolves = stack.status()["counters"]["resolves_total"]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(stack.get(asset.path))) for _ in range(100)]
    for thread in threads:
        thread.start()
    wait_until(lambda: stack.provider("/-/log", "GET")["open"] > 1, "the provider is asked")
    stack.provider("/-/open?gate=" + name.replace("-", ""))
    for thread in threads:
        thread.join()
    assert [a.status for a in answers] == [200] * 100
    assert all(a.body == asset.data for a in answers)
    assert len(asset.upstream()) == 1
    assert len(asset.stac()) == 1
    assert stack.status()["counters"]["resolves_total"] == resolves + 1


@pytest.mark.both_stores
def test_fifty_cold_assets_at_once_come_each_to_its_own_client(stack):
    assets = [stack.add(os.urandom(100000 + i)) for i in range(50)]
    answers = {}
    threads = [threading.Thread(target=lambda a=asset: answers.update({a.name: stack.get(a.path)})) for asset in assets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for asset in assets:
        assert answers[asset.name].status == 200, answers[asset.name]
        assert answers[asset.name].body == asset.data
        assert len(asset.upstream()) == 1 and len(asset.stac()) == 1


@pytest.mark.both_stores
def test_an_empty_asset_is_empty_cold_and_cached(stack):
    asset = stack.add(b"")
    first = stack.get(asset.path)
    assert first.status == 200 and first.body == b"", first
    wait_until(asset.published, "it is cached")
    assert stack.get(asset.path).body == b""


# -- who may


def test_a_user_outside_the_rules_is_refused_before_anything_is_asked(stack):
    asset = stack.add()
    body = error(stack.get(asset.path, user=stack.env["USER_DENIED"]), 403)
    assert "policy" in json.dumps(body)
    assert asset.upstream() == [] and asset.stac() == []


@pytest.mark.both_stores
def test_a_user_outside_the_rules_is_refused_what_is_cached(stack):
    asset = stack.add().warm()
    error(stack.get(asset.path, user=stack.env["USER_DENIED"]), 403)
    error(stack.get(asset.path, {"Range": "bytes=0-9"}, user=stack.env["USER_DENIED"]), 403)
    assert stack.request("HEAD", asset.path, user=stack.env["USER_DENIED"]).status == 403


def test_nobody_is_asked_to_log_in(stack):
    asset = stack.add()
    answer = stack.get(asset.path, user=None)
    error(answer, 401)
    assert answer.headers["www-authenticate"]
    assert asset.upstream() == []


def test_a_wrong_password_is_401(stack):
    asset = stack.add()
    assert stack.get(asset.path, user="alice:wrong").status == 401
    assert asset.upstream() == []


# -- what is not there


def test_an_unknown_asset_is_404(stack):
    asset = stack.add()
    error(stack.get(asset.path + "x"), 404)
    assert asset.upstream() == []


def test_an_unknown_item_is_404(stack):
    error(stack.get("/data/loop_header/DEMO/no-such-item/data"), 404)


def test_an_unknown_backend_is_404(stack):
    asset = stack.add()
    error(stack.get(asset.path.replace("loop_header", "no_such_backend")), 404)
    assert asset.upstream() == []


def test_another_backends_credentials_are_not_used(stack):
    """The item says that the header's provider has it; asked through the open one."""
    asset = stack.add(backend="loop_header")
    answer = stack.get(asset.path.replace("loop_header", "loop_open"))
    assert answer.status in (404, 502, 403), answer
    assert all(line[2] != "200" for line in asset.upstream())


# -- HEAD, ranges, conditions: cold and cached

COLD_OR_CACHED = pytest.mark.parametrize("cached", [False, True], ids=["cold", "cached"])


def asset_for(stack, cached, **more):
    asset = stack.add(**more)
    return asset.warm() if cached else asset


@pytest.mark.both_stores
@COLD_OR_CACHED
def test_head_says_what_get_would(stack, cached):
    asset = asset_for(stack, cached)
    answer = stack.request("HEAD", asset.path)
    assert answer.status == 200, answer
    assert answer.body == b""
    assert answer.headers["content-length"] == str(len(asset.data))
    assert answer.headers["etag"].startswith('"')
    assert answer.is_hit == cached


@pytest.mark.both_stores
def test_head_on_a_cold_asset_fetches_at_most_a_byte(stack):
    asset = stack.add()
    assert stack.request("HEAD", asset.path).status == 200
    assert sum(int(line[3]) for line in asset.upstream()) <= 1
    assert asset.published() is None


@pytest.mark.both_stores
@COLD_OR_CACHED
@pytest.mark.parametrize("text,first,last", [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-", 100, -1), ("bytes=-1", -1, -1), ("bytes=-100", -100, -1),
    ("bytes=0-", 0, -1), ("bytes=199999-199999", -1, -1), ("bytes=199990-300000", -10, -1), ("bytes=-300000", 0, -1),
    ("BYTES=0-9", 0, 9), ("bytes=0-9,", 0, 9), ("bytes=0-18446744073709551617", 0, -1),
])
def test_d1_a_range_is_exactly_these_bytes(stack, cached, text, first, last):
    asset = asset_for(stack, cached)
    size = len(asset.data)
    first, last = first % size, last % size
    answer = stack.get(asset.path, {"Range": text})
    assert answer.status == 206, answer
    assert answer.headers["content-range"] == "bytes %d-%d/%d" % (first, last, size)
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.body == asset.data[first:last + 1]


@pytest.mark.both_stores
@COLD_OR_CACHED
@pytest.mark.parametrize("text", ["bytes=200000-", "bytes=200000-200001", "bytes=-0", "bytes=9223372036854775808-",
                                  "bytes=18446744073709551617-"])
def test_d1_a_range_beyond_the_end_is_416(stack, cached, text):
    asset = asset_for(stack, cached)
    answer = stack.get(asset.path, {"Range": text})
    assert answer.status == 416, answer
    assert answer.headers["content-range"] == "bytes */%d" % len(asset.data)


@pytest.mark.both_stores
@COLD_OR_CACHED
@pytest.mark.parametrize("text", ["bytes=5-2", "bytes=", "bytes=alpha", "bytes=-", "items=0-5", "0-5", "bytes=--5", "bytes=0x0-5",
                                  "bytes=0-5,7-9", "bytes=" + ",".join("%d-%d" % (i, i + 5) for i in range(1000))])
def test_d1_what_is_no_single_range_is_the_whole(stack, cached, text):
    asset = asset_for(stack, cached)
    answer = stack.get(asset.path, {"Range": text})
    assert answer.status == 200, answer
    assert answer.body == asset.data


@pytest.mark.both_stores
@COLD_OR_CACHED
def test_the_tag_is_the_same_and_gives_304(stack, cached):
    asset = asset_for(stack, cached)
    tag = stack.request("HEAD", asset.path).headers["etag"]
    answer = stack.get(asset.path, {"If-None-Match": tag})
    assert answer.status == 304, answer
    assert answer.body == b""
    assert answer.headers["etag"] == tag
    assert stack.get(asset.path, {"If-None-Match": '"another"'}).status == 200


@pytest.mark.both_stores
@COLD_OR_CACHED
def test_the_date_gives_304(stack, cached):
    asset = asset_for(stack, cached)
    date = stack.request("HEAD", asset.path).headers["last-modified"]
    assert stack.get(asset.path, {"If-Modified-Since": date}).status == 304
    assert stack.get(asset.path, {"If-Modified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}).status == 200


@pytest.mark.both_stores
@COLD_OR_CACHED
def test_if_match_holds_or_is_412(stack, cached):
    asset = asset_for(stack, cached)
    tag = stack.request("HEAD", asset.path).headers["etag"]
    answer = stack.get(asset.path, {"If-Match": tag})
    assert answer.status == 200 and answer.body == asset.data, answer
    assert stack.get(asset.path, {"If-Match": '"another"'}).status == 412


@pytest.mark.both_stores
@COLD_OR_CACHED
def test_if_unmodified_since_holds_or_is_412(stack, cached):
    asset = asset_for(stack, cached)
    date = stack.request("HEAD", asset.path).headers["last-modified"]
    answer = stack.get(asset.path, {"If-Unmodified-Since": date})
    assert answer.status == 200 and answer.body == asset.data, answer
    assert stack.get(asset.path, {"If-Unmodified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}).status == 412


@pytest.mark.both_stores
@COLD_OR_CACHED
def test_d3_if_range_is_a_range_only_for_this_version(stack, cached):
    asset = asset_for(stack, cached)
    head = stack.request("HEAD", asset.path).headers
    for same in (head["etag"], head["etag"] + "\t"):      # at which nginx takes it for another
        answer = stack.get(asset.path, {"Range": "bytes=5-9", "If-Range": same})
        assert answer.status == 206 and answer.body == asset.data[5:10], answer
    for other in ('"another"', "W/" + head["etag"], "Thu, 01 Jan 1998 00:00:00 GMT"):
        answer = stack.get(asset.path, {"Range": "bytes=5-9", "If-Range": other})
        assert answer.status == 200 and answer.body == asset.data, answer


# -- ranges that fill, files that vanish


@pytest.mark.both_stores
def test_ranges_of_a_cold_asset_cost_one_item(stack):
    asset = stack.add(os.urandom(1 << 20))
    for i in range(20):
        answer = stack.get(asset.path, {"Range": "bytes=%d-%d" % (i * 1000, i * 1000 + 99)})
        assert answer.status == 206 and answer.body == asset.data[i * 1000:i * 1000 + 100], answer
    assert len(asset.stac()) == 1


@pytest.mark.both_stores
def test_ranges_that_asked_for_a_quarter_fill_the_cache(stack):
    asset = stack.add(os.urandom(1 << 20))
    step = 1 << 17
    for i in range(3):
        answer = stack.get(asset.path, {"Range": "bytes=%d-%d" % (i * step, (i + 1) * step - 1)})
        assert answer.status == 206 and answer.body == asset.data[i * step:(i + 1) * step], answer
    wait_until(asset.published, "the fill is published")
    answer = stack.get(asset.path)
    assert answer.is_hit and answer.body == asset.data


@pytest.mark.both_stores
def test_a_vanished_object_is_a_miss(stack):
    asset = stack.add().warm()
    asset.expire()
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer
    assert len(asset.upstream()) == 2


@pytest.mark.both_stores
def test_an_object_with_foreign_metadata_is_a_miss(stack):
    asset = stack.add().warm()
    stack.store.write(asset, os.urandom(5000))
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer


# -- our own routes


def test_health_and_ready_need_no_login(stack):
    assert stack.get("/data/-/health", user=None).status == 200
    assert stack.get("/data/-/ready", user=None).status == 200


def test_status_and_metrics_are_for_those_whom_a_rule_allows(stack):
    answer = stack.get("/data/-/status")
    assert answer.status == 200 and answer.json(), answer
    assert stack.get("/data/-/metrics").status == 200
    for route in ("status", "metrics"):
        assert stack.get("/data/-/" + route, user=None).status == 401
        assert stack.get("/data/-/" + route, user=stack.env["USER_DENIED"]).status == 403


def test_options_and_other_methods(stack):
    asset = stack.add()
    assert stack.request("OPTIONS", asset.path).status in (200, 204)
    for method in ("PUT", "DELETE", "POST", "PATCH", "PROPFIND"):
        answer = stack.request(method, asset.path)
        assert answer.status == 405, (method, answer)
        assert "GET" in answer.headers["allow"]
    assert asset.upstream() == []


# -- the token of a provider that lets it expire


def test_a_revoked_token_is_replaced(stack):
    first, second = stack.add(backend="loop_token"), stack.add(backend="loop_token")
    assert stack.get(first.path).body == first.data
    stack.provider("/-/revoke")
    answer = stack.get(second.path)
    assert answer.status == 200 and answer.body == second.data, answer
