# SPDX-License-Identifier: Apache-2.0
"""
Hits that nginx fetches from the bucket itself, with no process of ours in between, what
happens when S3 has something else to say, and clients that are sent there.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest
from conftest import PREFIX, Stack, to_base64, wait_until
from stores import Bucket
from test_headers import OF_THE_MOMENT

SIZE = 2 << 20
SMALL = 4000
RUSH = 1 << 20          # that the buffers on the way may take at once
USERS = {"name": "users", "groups": ["s2-users"], "allow": True, "quotas": ["q"]}
CONFIG = {
    "quotas": {"q": {"requests": ["100000 per month"], "bytes": ["1 TB per month"], "misses": ["100000 per month"]}},
    "rules": [
        {"name": "operators", "users": ["alice"], "routes": ["-/status", "-/metrics"], "allow": True},
        {**USERS, "name": "redirects", "collections": ["REDIRECT"], "delivery": "redirect"},
        {**USERS, "name": "chosen", "collections": ["AUTO"], "delivery": "auto"},
        {**USERS, "name": "slow", "collections": ["SLOW"], "rate": "1 MB"},
        USERS],
}


@pytest.fixture(scope="module")
def bucket(s3_engine, new_bucket):
    return Bucket(s3_engine, new_bucket())


@pytest.fixture(scope="module")
def stack(bucket):
    made = Stack(extra=CONFIG, store=bucket)
    yield made
    made.down()


def write_keys(path, user):
    """For whoever reads it at any time."""
    new = path.with_suffix(".new")
    new.write_text("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (user.id, user.secret))
    new.chmod(0o600)
    new.rename(path)


def add(stack, size=SIZE, **more):
    """Cached, and known to every worker to be."""
    asset = stack.add(os.urandom(size), **more).warm()
    wait_until(lambda: is_straight(stack, stack.request("HEAD", asset.path)), "it is remembered")
    return asset


def lines(stack, answer):
    return [line for line in stack.log().splitlines() if "id=%s " % answer.headers["x-request-id"] in line]


def hits_of(stack, asset):
    """The bytes of each in the books."""
    return sorted(x["bytes"] for x in stack.ledger() if x["cache"] == "hit" and x["item"] == asset.name and x["bytes"] > 0)


def booked(stack, ticket):
    """Every line of a request, as it stands there."""
    folder = os.path.join(stack.config()["dirs"]["state"], "ledger")
    text = "".join(open(os.path.join(folder, day)).read() for day in sorted(os.listdir(folder)))
    return [line for line in map(json.loads, text.split("\n")[:-1]) if line["id"] == ticket]


def is_straight(stack, answer):
    """Decided by a worker, and by nobody else."""
    wait_until(lambda: [x for x in lines(stack, answer) if "event=decision" in x], "the decision is in the log")
    return answer.is_hit and not [x for x in lines(stack, answer) if "handed_over" in x or " mover[" in x]


def without_secrets(stack):
    """Neither log has a URL that lets anybody in."""
    with open(os.path.join(stack.dir, "log", "nginx.log"), errors="replace") as f:
        return "X-Amz-" not in f.read() and "X-Amz-" not in stack.log()


def test_a_hit_comes_straight_from_s3_with_our_headers_and_none_of_its_own(stack):
    asset = add(stack, file="scène (1).tif", asset_members={"type": "image/tiff"})
    hit = stack.get(asset.path)
    assert hit.status == 200 and hit.body == asset.data and is_straight(stack, hit), hit
    assert {name for name, _ in hit.all} == {name for name, _ in asset.cold.all}
    for name, value in asset.cold.all:
        assert name in OF_THE_MOMENT or name in ("cache-status", "ratelimit") or hit.headers[name] == value, name
    assert len({name for name, _ in hit.all}) == len(hit.all), hit.all
    assert len(asset.upstream()) == 1


def test_ranges_and_conditions_of_such_a_hit(stack):
    asset = add(stack)
    etag = asset.cold.headers["etag"]
    for spec, first, last in (("0-0", 0, 0), ("500-999", 500, 999), ("%d-" % (SIZE - 9), SIZE - 9, SIZE - 1), ("-7", SIZE - 7, SIZE - 1)):
        part = stack.get(asset.path, {"Range": "bytes=" + spec})
        assert part.status == 206 and part.body == asset.data[first:last + 1] and is_straight(stack, part), (spec, part)
        assert part.headers["content-range"] == "bytes %d-%d/%d" % (first, last, SIZE)
    for headers, status in (({"Range": "bytes=%d-" % SIZE}, 416), ({"If-None-Match": etag}, 304), ({"If-Match": '"another"'}, 412)):
        answer = stack.get(asset.path, headers)
        assert answer.status == status and "location" not in answer.headers, answer
    for headers in ({"If-Match": etag}, {"Range": "bytes=0-9,20-29"}, {"Range": "bytes=0-9", "If-Range": '"another"'},
                    {"If-Unmodified-Since": asset.cold.headers["last-modified"]}, {"If-None-Match": '"another"'}):
        answer = stack.get(asset.path, headers)
        assert answer.status == 200 and answer.body == asset.data and is_straight(stack, answer), (headers, answer)
    assert stack.get(asset.path, {"Range": "bytes=0-9", "If-Range": etag}).body == asset.data[:10]
    head = stack.request("HEAD", asset.path)
    assert head.status == 200 and head.headers["content-length"] == str(SIZE) and head.headers["etag"] == etag
    assert len(asset.upstream()) == 1


def test_a_hit_costs_its_bytes_and_no_miss(stack):
    asset = add(stack)
    assert is_straight(stack, stack.request("HEAD", asset.path))
    handed_over = stack.status()["counters"]["misses_total"]
    stack.get(asset.path, {"Range": "bytes=0-999"})
    assert stack.get(asset.path).is_hit
    wait_until(lambda: hits_of(stack, asset) == [1000, SIZE], "the books")
    assert stack.status()["counters"]["misses_total"] == handed_over


@pytest.mark.parametrize("lost", ["gone", "another"])
def test_what_nginx_no_longer_finds_is_asked_for_again_under_the_same_charge(stack, bucket, lost):
    asset, data = add(stack), os.urandom(SIZE)
    assert is_straight(stack, stack.get(asset.path))
    if lost == "gone":
        bucket.remove(asset)
        data = asset.data
    else:
        bucket.write(asset, data)
    for headers, status, wanted in (({}, 200, data), ({"Range": "bytes=5-9"}, 206, data[5:10])):
        answer = stack.get(asset.path, headers)
        assert answer.status == status and answer.body == wanted, answer
        assert len({name for name, _ in answer.all}) == len(answer.all), answer.all
        assert len([x for x in stack.ledger() if x["id"] == answer.headers["x-request-id"] and x["cache"] != "fill"]) <= 1
    wait_until(lambda: bucket.published(asset) and bucket.read(asset)[0] == data, "it is there again")
    wait_until(lambda: is_straight(stack, stack.get(asset.path)), "and known to be")
    assert without_secrets(stack)


def test_while_s3_refuses_or_is_down_hits_become_misses(stack, bucket, s3_engine, make_stack, tmp_path):
    keys = tmp_path / "keys"
    write_keys(keys, s3_engine.owner)
    other = make_stack({**CONFIG, **bucket.config(credentials=str(keys))}, store=bucket)
    asset = add(other)
    assert is_straight(other, other.get(asset.path))
    write_keys(keys, s3_engine.nobody)
    answer = other.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer
    asset = add(stack)
    assert is_straight(stack, stack.get(asset.path))
    s3_engine.stop("radosgw")
    try:
        answer = stack.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer
    finally:
        s3_engine.start("radosgw")
    wait_until(lambda: is_straight(stack, stack.get(asset.path)), "it is a hit again")
    assert without_secrets(stack) and without_secrets(other)


def test_a_rate_holds_for_such_a_hit_too(stack):
    asset = add(stack, collection="SLOW")
    began = time.monotonic()
    answer = stack.curl(asset.url)
    assert answer.rc == 0 and answer.body == asset.data and is_straight(stack, answer)
    assert time.monotonic() - began >= (SIZE - RUSH) / 1e6, "it came faster than the rule allows"


def test_clients_cannot_ask_for_what_nginx_fetches_itself(stack):
    for path in ("/_eodata_s3", "/_eodata_s3?x=1", "/_eodata_s3/"):
        answer = stack.get(path, {"X-Eodata-S3-Path": "/test/x", "X-Eodata-S3-Host": "x"})
        assert answer.status == 404, answer


def test_the_mover_sends_it_where_it_should(make_stack, bucket):
    stack = make_stack({**CONFIG, "front": {"hits": "stream"}}, store=bucket)
    asset = add(stack)
    handed_over = stack.status()["counters"]["misses_total"]
    for headers, status, data in (({}, 200, asset.data), ({"Range": "bytes=5-9"}, 206, asset.data[5:10])):
        answer = stack.get(asset.path, headers)
        assert answer.status == status and answer.body == data and answer.is_hit, answer
    wait_until(lambda: hits_of(stack, asset) == [5, SIZE], "the books")
    assert stack.status()["counters"]["misses_total"] == handed_over
    bucket.remove(asset)
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit


def test_a_hit_that_is_gone_is_forgotten_under_its_own_key(make_stack, bucket):
    """What is in the bucket by now is of no class where it is asked for: a transfer runs that began before the reload."""
    stack = make_stack({**CONFIG, "front": {"hits": "stream"}, "datasets": [{"collections": ["S2"], "retention": "30d"}]}, store=bucket)
    asset, movers = stack.add_gated(collection="GEOID"), stack.pids("mover")
    finish = stack.begin(asset)
    stack.reload(lambda config: config["datasets"].append({"collections": ["GEOID"], "retention": "30d"}))
    file = os.path.join(stack.dir, "file")
    with open(file, "wb") as f:
        f.write(b"another")
    subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxyctl"), "--config", stack.env["CONFIG"], "object", "put", asset.path, file],
                   check=True, timeout=60)
    assert stack.get(asset.path).body == b"another"
    bucket.remove(asset)
    told, got = len(stack.log()), []
    thread = threading.Thread(target=lambda: got.append(stack.get(asset.path)))
    thread.start()
    wait_until(lambda: "event=object-lost" in stack.log()[told:], "S3 has said that it is gone")
    asset.open()
    thread.join()
    assert got[0].status == 200 and got[0].body == asset.data and not got[0].is_hit, got
    assert finish() == (0, asset.data) and stack.pids("mover") == movers


@pytest.mark.parametrize("front", ["apache", "lighttpd"])
def test_behind_other_fronts_the_mover_sends_it(bucket, front):
    if shutil.which({"apache": "apache2"}.get(front, front), path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("there is no %s here: scripts/test installs it" % front)
    stack = Stack("--front", front, extra=CONFIG, store=bucket)
    try:
        asset = add(stack)
        for headers, status, data in (({}, 200, asset.data), ({"Range": "bytes=5-9"}, 206, asset.data[5:10])):
            answer = stack.get(asset.path, headers)
            assert answer.status == status and answer.body == data and answer.is_hit, (answer, lines(stack, answer))
        bucket.remove(asset)
        answer = stack.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data and not answer.is_hit
        assert stack.get(add(stack, collection="REDIRECT").path).status == 302
    finally:
        stack.down()


def test_a_site_moves_from_a_directory_to_a_bucket_and_turns_nobody_away(bucket):
    """As README has it: nginx knows S3 already, and a new master begins with the new store beside the old one."""
    members = bucket.config()["cache"]
    stack = Stack(extra={**CONFIG, "cache": {"s3": members["s3"]}})
    load, over = [], threading.Event()

    def ask():
        while not over.is_set():
            answer = stack.curl(asset.url)
            load.append((answer.rc, answer.status, answer.body == asset.data))
    try:
        asset, running = stack.add(os.urandom(SIZE)).warm(), stack.add_gated(SIZE, SIZE // 2)
        finish, before = stack.begin(running), stack.master
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        config = stack.config()
        config["cache"]["store"] = "s3"
        stack.write_config(json.dumps(config))
        os.kill(before, signal.SIGUSR2)
        wait_until(lambda: stack.master != before and stack.status()["ready"], "the new master serves")
        wait_until(lambda: bucket.find(asset) and is_straight(stack, stack.get(asset.path)), "it comes from the bucket")
        running.open()
        assert finish() == (0, running.data)
        over.set()
        for thread in threads:
            thread.join()
        assert load and set(load) == {(0, 200, True)}, set(load)
    finally:
        over.set()
        stack.down()


# -- redirects


def follow(engine, answer, headers=None):
    """What is where it leads: of the engine, as anybody."""
    location = urllib.parse.urlsplit(answer.headers["location"])
    done = subprocess.run(["curl", "-q", "-sS", "-i", *[x for pair in (headers or {}).items() for x in ("-H", "%s: %s" % pair)],
                           location.geturl()], stdout=subprocess.PIPE, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_a_redirect_leads_to_the_cached_object(stack, s3_engine):
    asset = stack.add(os.urandom(SIZE), collection="REDIRECT")
    cold = stack.get(asset.path)
    assert cold.status == 200 and cold.body == asset.data and cold.headers["x-eodata-delivery"] == "stream; reason=no-url", cold
    wait_until(asset.published, "it is cached")
    answer = stack.get(asset.path)
    assert answer.status == 302 and answer.is_hit and is_straight(stack, answer), answer
    assert answer.headers["x-eodata-delivery"] == "redirect; life=900" and answer.headers["cache-control"] == "private, max-age=840"
    assert "X-Amz-Expires=900" in answer.headers["location"] and answer.body == b""
    assert follow(s3_engine, answer) == (200, asset.data)
    assert follow(s3_engine, answer, {"Range": "bytes=5-9"}) == (206, asset.data[5:10])
    part = stack.get(asset.path, {"Range": "bytes=0-99"})
    assert part.status == 302
    head = stack.request("HEAD", asset.path)
    assert head.status == 200 and head.headers["content-length"] == str(SIZE)
    assert head.headers["x-eodata-delivery"] == "stream; reason=head"
    assert stack.get(asset.path, {"If-None-Match": head.headers["etag"]}).status == 304
    for headers in ({"If-Match": head.headers["etag"]}, {"Range": "bytes=0-9", "If-Range": head.headers["etag"]}):
        answer = stack.get(asset.path, headers)
        assert answer.status in (200, 206) and answer.headers["x-eodata-delivery"] == "stream; reason=condition", answer
    wait_until(lambda: 100 in hits_of(stack, asset), "what they get is counted")
    assert without_secrets(stack)


def test_a_mover_redirects_too_where_no_worker_knows_the_object(make_stack, bucket, s3_engine):
    stack = make_stack({**CONFIG, **bucket.config(memory_key="")}, store=bucket)
    asset = stack.add(os.urandom(SIZE), collection="REDIRECT")
    assert stack.get(asset.path).body == asset.data
    wait_until(lambda: bucket.find(asset), "it is cached")

    def redirected():
        answer = stack.get(asset.path)
        return answer if answer.status == 302 else None
    answer = wait_until(redirected, "a redirect")
    assert answer.is_hit and follow(s3_engine, answer) == (200, asset.data)
    assert answer.headers["x-eodata-delivery"] == "redirect; life=900" and "Origin" in answer.headers["vary"]


def test_auto_redirects_where_that_is_worth_it_and_sure_to_work(make_stack, bucket, s3_engine):
    stack = make_stack(CONFIG, store=bucket)
    large, small = add(stack, collection="AUTO"), add(stack, size=SMALL, collection="AUTO")
    stack.reload(lambda config: config["front"].update(public_urls=["https://data.example.org/data"]))

    def get(asset, *more):
        return stack.curl(asset.url, "-H", "Host: data.example.org", *more)
    answer = get(large)
    assert answer.status == 302 and follow(s3_engine, answer) == (200, large.data)
    # a browser has it for a while, and a page's script may ask next
    assert {"Origin", "Authorization", "If-Range"} <= set(answer.headers["vary"].split(", ")), answer
    # front and engine under one name: clients would send their passwords to both
    answer = stack.get(large.path)
    assert answer.status == 200 and answer.headers["x-eodata-delivery"] == "stream; reason=credentials", answer
    for asset, more, why in ((large, ("-H", "Origin: https://x.example"), "origin"), (small, (), "size"), (large, ("-H", "If-Match: *"), "condition")):
        answer = get(asset, *more)
        assert answer.status == 200 and answer.body == asset.data, answer
        assert answer.headers["x-eodata-delivery"] == "stream; reason=" + why and is_straight(stack, answer)
    assert stack.request("HEAD", large.path, {"Origin": "x"}).headers["x-eodata-delivery"] == "stream; reason=head"


@pytest.mark.parametrize("client", ["curl", "requests", "gdal"])
def test_clients_leave_their_password_behind_on_the_way_to_another_host(stack, client, tmp_path):
    """The front as "localhost", S3 as an address: S3 would refuse a request with two kinds of credentials."""
    asset = add(stack, collection="REDIRECT")
    url = "http://localhost:%d%s" % (stack.port, asset.path)
    out = tmp_path / "out"
    command = {
        "curl": ["curl", "-q", "-sS", "-f", "-L", "-u", stack.user, "-o", out, url],
        "requests": [sys.executable, "-c", "import sys, requests\n"
                     "answer = requests.get(sys.argv[1], auth=tuple(sys.argv[2].split(':')), timeout=60)\n"
                     "answer.raise_for_status()\nassert answer.history\nopen(sys.argv[3], 'wb').write(answer.content)", url, stack.user, out],
        "gdal": [sys.executable, "-c", "import sys\nfrom osgeo import gdal\n"
                 "gdal.UseExceptions()\nf = gdal.VSIFOpenL('/vsicurl/' + sys.argv[1], 'rb')\nassert f\n"
                 "data = bytes(gdal.VSIFReadL(1, 1 << 24, f))\nopen(sys.argv[3], 'wb').write(data)", url, stack.user, out],
    }[client]
    env = {**os.environ, "GDAL_HTTP_USERPWD": stack.user, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "no_proxy": "*"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, timeout=120)
    if "No module named" in done.stdout and not os.environ.get("EODATA_TEST_COMPLETE"):
        pytest.skip(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert out.read_bytes() == asset.data
    assert len(asset.upstream()) == 1


def test_who_leaves_before_the_redirect_is_charged_nothing(make_stack, bucket):
    """The mover asks the accountant first, which is stopped; with when_unavailable "refuse" it waits a second for it."""
    quotas = {"quotas": {"q": {**CONFIG["quotas"]["q"], "when_unavailable": "refuse"}}}
    stack = make_stack({**CONFIG, **quotas, **bucket.config(memory_key="")}, store=bucket)
    asset = stack.add(os.urandom(SIZE), collection="REDIRECT")
    assert stack.get(asset.path).body == asset.data
    wait_until(lambda: bucket.find(asset) and stack.get(asset.path).status == 302, "redirects")
    accountant = stack.pids("accountant")[0]

    def leaves():
        """The ticket of one that was gone in that second."""
        told = len(stack.log())
        with socket.create_connection((stack.host, stack.port)) as s:
            s.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n\r\n" % (asset.path, to_base64(stack.user))).encode())
            wait_until(lambda: "handed_over=yes" in stack.log()[told:], "the mover has it")
        end = wait_until(lambda: re.search(r"id=(\w+) event=answer .* end=(\w+)", stack.log()[told:]), "its end")
        return end[1] if end[2] == "gone" else None
    os.kill(accountant, signal.SIGSTOP)
    try:
        ticket = wait_until(leaves, "one that left in time")
    finally:
        os.kill(accountant, signal.SIGCONT)
    # one line for it, and one for what was reserved too late
    wait_until(lambda: {x["asset"] for x in booked(stack, ticket)} >= {"data"}, "it is in the books")
    assert [x["bytes"] for x in booked(stack, ticket) if x["bytes"]] == []
