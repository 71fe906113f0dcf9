# SPDX-License-Identifier: Apache-2.0
"""All headers of the same object: cold, cached, and vanished between the two."""

import os
import signal

import pytest
from conftest import wait_until

# What may differ between two answers at all.
OF_THE_MOMENT = {"date", "server", "connection", "keep-alive", "x-request-id", "cache-status", "ratelimit", "ratelimit-policy"}


def kept(answer):
    return sorted((n, v) for n, v in answer.all if n not in OF_THE_MOMENT)


def pair(stack, method, headers, **more):
    """The answers to the same request: cold, hit, and after the object has gone."""
    asset = stack.add(**more)
    cold = stack.request(method, asset.path, headers)
    asset.warm()
    hit = stack.request(method, asset.path, headers)
    asset.expire()
    gone = stack.request(method, asset.path, headers)
    assert hit.is_hit and not cold.is_hit, (cold, hit)
    # where no byte of it is sent, what is remembered of a bucket may answer
    assert not gone.is_hit or stack.store.remembers and (method == "HEAD" or gone.status in (304, 416)), gone
    return cold, hit, gone


@pytest.mark.both_stores
@pytest.mark.parametrize("method,headers", [
    ("GET", {}), ("GET", {"Range": "bytes=10-99"}), ("HEAD", {}), ("GET", {"Range": "bytes=900000-"}),
    ("GET", {"Origin": "https://viewer.example.org"}), ("GET", {"If-None-Match": "*"})],
    ids=["get", "range", "head", "416", "origin", "304"])
def test_all_headers_are_the_same_cold_cached_and_vanished(stack, method, headers):
    cold, hit, gone = pair(stack, method, headers)
    assert cold.status == hit.status == gone.status
    # nginx leaves Accept-Ranges out of a 206, which says it by being one.
    ignore = {"accept-ranges"} if cold.status in (206, 304, 416) else set()
    if cold.status in (304, 416):
        ignore |= {"content-length", "content-type"}

    def view(answer):
        return [(n, v) for n, v in kept(answer) if n not in ignore]
    assert view(cold) == view(hit)
    assert view(cold) == view(gone)


@pytest.mark.both_stores
def test_no_header_comes_twice(stack):
    for answer in pair(stack, "GET", {}):
        names = [name for name, _ in answer.all]
        assert sorted(names) == sorted(set(names)), answer


@pytest.mark.both_stores
def test_every_data_answer_says_what_clients_need(stack):
    for answer in pair(stack, "GET", {}):
        assert answer.headers["etag"].startswith('"') and answer.headers["etag"].endswith('"')
        assert answer.headers["last-modified"].endswith("GMT")
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-type"] == "image/tiff"
        assert answer.headers["content-disposition"] == 'attachment; filename="data.tif"' or \
            answer.headers["content-disposition"].startswith('attachment; filename="data.tif";')
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "private"
        assert answer.headers["cache-status"].startswith("eodata-proxy; ")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert {"ETag", "X-Eodata-Delivery"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert len(answer.headers["x-request-id"]) >= 16
        assert "x-eodata-charge" not in answer.headers


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return set(f.read().split())


def test_the_front_asks_again_when_a_file_vanished_behind_the_workers_back(make_stack):
    """
    The worker sees the object, nginx does not: its cache location leads elsewhere
    for this test, which is what a file that goes in that instant looks like.
    """
    stack = make_stack()
    site = os.path.join(stack.dir, "nginx-site.conf")
    with open(site) as f:
        text = f.read()
    assert "alias %s/;" % stack.cache_dir in text
    with open(site, "w") as f:
        f.write(text.replace("alias %s/;" % stack.cache_dir, "alias %s/www/;" % stack.dir))
    asset = stack.add()
    cold = stack.get(asset.path)
    asset.warm()

    def decisions(answer):
        return [line for line in stack.log().splitlines()
                if "id=%s event=decision" % answer.headers["x-request-id"] in line]
    with open(os.path.join(stack.dir, "nginx.pid")) as f:
        nginx = int(f.read())
    old = children(nginx)
    os.kill(nginx, signal.SIGHUP)
    wait_until(lambda: children(nginx) and not old & children(nginx), "nginx has new workers and no old ones")
    received = {}
    for method, headers, status in (("GET", {}, 200), ("GET", {"Range": "bytes=5-9"}, 206), ("HEAD", {}, 200)):
        answer = stack.request(method, asset.path, headers)
        received[answer.headers["x-request-id"]] = len(answer.body)
        assert answer.status == status, answer
        assert answer.body == (b"" if method == "HEAD" else asset.data[5:10] if headers else asset.data)
        names = [name for name, _ in answer.all]
        assert sorted(names) == sorted(set(names)), answer
        if method == "GET" and not headers:
            assert kept(answer) == kept(cold)
        if method == "GET":
            # One id, and so one charge: the second decision adds the miss to what the first has reserved.
            # A worker logs after it has answered.
            wait_until(lambda: len(decisions(answer)) == 2, "both decisions are in the log")
            first, second = sorted(decisions(answer), key=lambda line: " cache=miss " in line)
            assert " cache=hit " in first and " cache=miss " in second
            assert " charge=1/0/" in first and " charge=1/1/" in second

    def booked():
        return {line["id"]: line["bytes"] for line in stack.ledger() if line["id"] in received and line["cache"] != "fill"} == received
    wait_until(booked, "the ledger has each once, with what was received")

    def logged():
        with open(stack.env["FRONT_LOG"]) as f:
            return [line for line in f if "charge=%s-" % answer.headers["x-request-id"] in line]
    wait_until(logged, "the last answer's charge in the front's log")


def test_the_front_logs_the_charge_of_a_hit_and_hides_it(stack):
    asset = stack.add().warm()
    answer = stack.get(asset.path)
    assert answer.is_hit and "x-eodata-charge" not in answer.headers

    def line():
        with open(stack.env["FRONT_LOG"]) as f:
            found = [line for line in f if "charge=%s-%d-" % (answer.headers["x-request-id"], len(asset.data)) in line]
        return found
    for found in wait_until(line, "the hit's charge in the front's log"):
        assert "user=alice" in found and "status=200" in found and "path=%s " % asset.path in found
        assert "body=%d " % len(asset.data) in found
