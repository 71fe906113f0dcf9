# SPDX-License-Identifier: Apache-2.0
"""All headers of the same object: cold, cached, and vanished between the two."""

import os

import pytest
from conftest import wait_until

# What may differ between two answers at all.
OF_THE_MOMENT = {"date", "server", "connection", "keep-alive", "x-request-id", "cache-status", "ratelimit", "ratelimit-policy"}


def vanish(stack, asset):
    """The file goes, and nginx alone knows: the worker's lookup must still see it."""
    data = asset.published()
    # The front opens by name, the worker too; so the name stays for the worker,
    # and what it is becomes unreadable for nobody but the front: a test as root
    # cannot do that by mode.  Here the object is gone before either looks.
    os.unlink(data)


def kept(answer):
    return sorted((n, v) for n, v in answer.all if n not in OF_THE_MOMENT)


def pair(stack, method, headers, **more):
    """The answers to the same request: cold, hit, and after the object has gone."""
    asset = stack.add(**more)
    cold = stack.request(method, asset.path, headers)
    asset.warm()
    hit = stack.request(method, asset.path, headers)
    vanish(stack, asset)
    gone = stack.request(method, asset.path, headers)
    assert hit.is_hit and not cold.is_hit and not gone.is_hit, (cold, hit, gone)
    return cold, hit, gone


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


def test_no_header_comes_twice(stack):
    for answer in pair(stack, "GET", {}):
        names = [name for name, _ in answer.all]
        assert sorted(names) == sorted(set(names)), answer


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
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert len(answer.headers["x-request-id"]) >= 16
        assert "x-eodata-charge" not in answer.headers


def test_the_front_asks_again_when_a_file_vanished_behind_the_workers_back(make_stack):
    """
    The worker sees the object, nginx does not: its cache location leads elsewhere
    for this test, which is what a file that goes in that instant looks like.
    """
    stack = make_stack()
    asset = stack.add().warm()
    site = os.path.join(stack.dir, "nginx-site.conf")
    with open(site) as f:
        text = f.read()
    empty = os.path.join(stack.dir, "www") + "/"
    assert "alias %s/;" % stack.cache_dir in text
    with open(site, "w") as f:
        f.write(text.replace("alias %s/;" % stack.cache_dir, "alias %s;" % empty))
    cold = stack.add()
    before = stack.get(cold.path)
    with open(os.path.join(stack.dir, "nginx.pid")) as f:
        os.kill(int(f.read()), 1)
    gone = wait_until(lambda: (lambda a: None if a.is_hit else a)(stack.get(asset.path)), "nginx has its new configuration")
    assert gone.status == 200 and gone.body == asset.data, gone
    names = [name for name, _ in gone.all]
    assert sorted(names) == sorted(set(names)), gone
    assert {n for n, _ in kept(gone)} == {n for n, _ in kept(before)}
    ranged = stack.get(asset.path, {"Range": "bytes=5-9"})
    assert ranged.status == 206 and ranged.body == asset.data[5:10], ranged
    head = stack.request("HEAD", asset.path)
    assert head.status == 200 and head.headers["content-length"] == str(len(asset.data)), head
    # Under one charge: the front's log has the same token for both of its requests.
    with open(stack.env["FRONT_LOG"]) as f:
        lines = [line for line in f if asset.path in line]
    assert all("charge= " not in line for line in lines), lines


def test_the_front_logs_the_charge_of_each_answer_and_hides_it(stack):
    asset = stack.add().warm()
    answer = stack.get(asset.path)
    assert answer.is_hit

    def lines():
        with open(stack.env["FRONT_LOG"]) as f:
            found = [line for line in f if "path=%s " % asset.path in line]
        return found if len(found) >= 2 else None
    for line in wait_until(lines, "the front's log"):
        assert "charge= " not in line and "charge=- " not in line, line
        assert "user=alice" in line and "status=200" in line
        assert "body=%d " % len(asset.data) in line
