# SPDX-License-Identifier: Apache-2.0
"""
The other fronts, Apache and lighttpd, with the files of conf-examples: each way
that an answer can take, all headers, failures that must be seen as failures, and
who asks (A1 to A7 and A12).  nginx has all the other files of this folder.
"""

import contextlib
import email.utils
import http.client
import os
import shutil
import signal

import pytest
from conftest import Stack, to_base64, wait_until
from test_headers import OF_THE_MOMENT, kept
from test_hostile import request

SIZE = 300000
LARGE = 24 << 20        # more than all buffers on the way
CUT = (18, 56)          # curl's exits for half a body


@pytest.fixture(scope="module", params=["apache", "lighttpd"])
def front(request):
    if shutil.which({"apache": "apache2"}.get(request.param, request.param), path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("there is no %s here: scripts/test installs it" % request.param)
    running = Stack("--front", request.param, extra={"rules": [
        {"name": "operators", "users": ["alice"], "routes": ["-/status", "-/metrics"], "allow": True},
        {"name": "redirects", "groups": ["s2-users"], "collections": ["REDIRECT"], "allow": True, "delivery": "redirect"},
        {"name": "slow", "groups": ["s2-users"], "collections": ["SLOW"], "allow": True, "rate": "1 MB"},
        {"name": "users", "groups": ["s2-users"], "allow": True}]})
    running.front = request.param
    yield running
    running.down()


@pytest.fixture(scope="module")
def cached(front):
    return front.add(os.urandom(SIZE)).warm()


@contextlib.contextmanager
def vanished(stack):
    """
    The files that the front is told to send are not there.  Worker and mover hold
    the directory open and still see them: to the front that is what a file looks
    like that went between their answer and its open().
    """
    aside = stack.cache_dir + "-aside"
    os.rename(stack.cache_dir, aside)
    try:
        yield
    finally:
        os.rename(aside, stack.cache_dir)


def decisions(stack, item):
    """The workers' lines about it."""
    return [line for line in stack.log().splitlines() if " event=decision " in line and "/%s/" % item in line]


def fields(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def front_log(stack, ticket):
    """What the front logged of an answer: it may write its lines some seconds later."""
    def found():
        with open(stack.env["FRONT_LOG"], errors="replace") as f:
            return [fields(line) for line in f if line.endswith("\n") and ticket in line]
    return wait_until(found, "the answer is in the front's log")


def test_h1_a_path_adds_no_fields_to_the_fronts_log(front):
    """What is decoded may hold spaces."""
    answer = front.get("/data/loop_header/DEMO/none%20user=forged%20charge=0%20sent=0/data?secret=yes")
    assert answer.status == 404
    line = front_log(front, "/none%20user=forged%20charge=0%20sent=0/data")[0]
    assert line["user"] == "alice" and line["charge"] != "0" and int(line["sent"]) > 0 and line["path"].endswith("/data"), line


# -- each way that an answer can take


def test_a_cold_object_arrives_and_is_kept(front):
    asset = front.add(os.urandom(LARGE))
    answer = front.curl(asset.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == asset.data and not answer.is_hit, answer
    assert answer.headers["content-length"] == str(LARGE)
    wait_until(asset.published, "it is cached")


def test_a_body_of_no_known_length_arrives(front):
    asset = front.add(os.urandom(SIZE), case="chunked", backend="loop_open")
    answer = front.curl(asset.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == asset.data, answer
    assert "content-length" not in answer.headers and "accept-ranges" not in answer.headers


def test_a_hit_is_sent_by_the_front(front, cached):
    answer = front.curl(cached.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == cached.data and answer.is_hit, answer
    ticket = answer.headers["x-request-id"]
    line = wait_until(lambda: [x for x in decisions(front, cached.name) if "id=%s " % ticket in x], "the decision is in the log")[0]
    assert " cache=hit " in line and "handed_over" not in line
    assert len(cached.upstream()) == 1


def test_a_hit_with_a_rate_is_sent_by_the_mover(front):
    """These fronts keep none."""
    asset = front.add(os.urandom(SIZE), collection="SLOW").warm()
    answer = front.curl(asset.url)
    assert answer.rc == 0 and answer.status == 200 and answer.body == asset.data and answer.is_hit, answer
    ticket = answer.headers["x-request-id"]
    line = wait_until(lambda: [x for x in front.log().splitlines() if "id=%s event=answer " % ticket in x], "the mover has answered it")[0]
    assert " cache='hit' " in line and len(asset.upstream()) == 1


def test_a_redirect_a_preflight_and_our_own_pages_pass(front):
    asset = front.add(collection="REDIRECT", backend="loop_open", origin="https://127.0.0.1:1/open/data.tif?signed=yes")
    for method in ("GET", "HEAD"):
        answer = front.request(method, asset.path)
        assert answer.status == 302 and answer.headers["location"] == "https://127.0.0.1:1/open/data.tif?signed=yes", answer
        assert answer.headers["cache-control"].startswith("private")
    answer = front.request("OPTIONS", asset.path, {"Origin": "https://viewer.example.org", "Access-Control-Request-Method": "GET"}, user=None)
    assert answer.status == 204 and answer.headers["access-control-allow-origin"] == "*", answer
    for page in ("health", "ready"):
        assert front.get("/data/-/" + page, user=None).status == 200
    assert front.get("/data/-/status").json()["ready"] and front.get("/data/-/status", user=front.env["USER_DENIED"]).status == 403


@pytest.mark.parametrize("value,first,last", [("bytes=0-0", 0, 0), ("bytes=10-99", 10, 99), ("bytes=-5", SIZE - 5, SIZE - 1),
                                              ("bytes=299990-", 299990, SIZE - 1), ("bytes=0-999999999", 0, SIZE - 1)])
def test_a_range_is_exactly_these_bytes_cold_and_cached(front, cached, value, first, last):
    for asset in (front.add(os.urandom(SIZE)), cached):
        answer = front.get(asset.path, {"Range": value})
        assert answer.status == 206 and answer.body == asset.data[first:last + 1], answer
        assert answer.headers["content-range"] == "bytes %d-%d/%d" % (first, last, SIZE)
        assert answer.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("value", ["bytes=0-1,4-5", "bytes=0-9,5-14", "lines=1-2", "bytes=5-2"])
def test_d1_what_is_no_single_range_is_the_whole(front, cached, value):
    """Also for small bodies, which a front has whole in its hands and could make parts of."""
    for asset in (front.add(os.urandom(3000)), front.add(os.urandom(3000)).warm(), cached):
        answer = front.get(asset.path, {"Range": value})
        assert answer.status == 200 and answer.body == asset.data, (asset.name, answer)


def test_d3_if_range_is_a_range_only_for_this_version(front, cached):
    tag = front.request("HEAD", cached.path).headers["etag"]
    for asset, value, status in ((cached, tag, 206), (cached, '"other"', 200), (front.add(os.urandom(SIZE)), '"other"', 200)):
        answer = front.get(asset.path, {"Range": "bytes=3-7", "If-Range": value})
        assert answer.status == status and answer.body == (asset.data[3:8] if status == 206 else asset.data), answer


def test_d3_what_is_charged_of_a_hit_is_what_is_sent(front, cached):
    """Each front has views of its own on If-Range and on HTTP/1.0, and sends the whole where it takes no range."""
    head = front.request("HEAD", cached.path).headers
    date = email.utils.parsedate_to_datetime(head["last-modified"])
    for options in (["--http1.0"], ["-H", "If-Range: " + head["last-modified"]], ["-H", "If-Range: " + head["etag"] + "\t"],
                    ["-H", "If-Range: " + date.strftime("%A, %d-%b-%y %H:%M:%S GMT")]):
        answer = front.curl(cached.url, "-r", "3-7", *options)
        assert answer.rc == 0 and answer.status == 206 and answer.is_hit and answer.body == cached.data[3:8], (options, answer)
        ticket = answer.headers["x-request-id"]
        lines = wait_until(lambda: [line for line in front.ledger() if line["id"] == ticket], "its line")
        assert lines[0]["bytes"] == 5 and lines[0]["cache"] == "hit", (options, lines)


def test_d1_a_range_beyond_the_end_is_416(front, cached):
    for asset in (front.add(os.urandom(SIZE)), cached):
        answer = front.get(asset.path, {"Range": "bytes=%d-" % SIZE})
        assert answer.status == 416 and answer.headers["content-range"] == "bytes */%d" % SIZE, answer


def test_head_has_the_headers_and_no_body(front, cached):
    for asset in (front.add(os.urandom(SIZE)), cached):
        answer = front.request("HEAD", asset.path)
        assert answer.status == 200 and answer.body == b"" and answer.headers["content-length"] == str(SIZE), answer
        assert answer.headers["accept-ranges"] == "bytes" and answer.headers["etag"].startswith('"')


def test_what_the_client_has_is_304(front, cached):
    head = front.request("HEAD", cached.path).headers
    for headers in ({"If-None-Match": head["etag"]}, {"If-None-Match": "*"}, {"If-Modified-Since": head["last-modified"]}):
        answer = front.get(cached.path, headers)
        assert answer.status == 304 and answer.body == b"" and answer.headers["etag"] == head["etag"], (headers, answer)
        assert "x-sendfile" not in answer.headers and "x-eodata-charge" not in answer.headers
    cold = front.add(os.urandom(SIZE))
    assert front.get(cold.path, {"If-None-Match": "*"}).status == 304
    for headers in ({"If-None-Match": '"other"'}, {"If-Modified-Since": "Mon, 01 Jan 1996 00:00:00 GMT"}, {"If-Match": head["etag"]}):
        answer = front.get(cached.path, headers)
        assert answer.status == 200 and answer.body == cached.data, (headers, answer)
    assert front.get(cached.path, {"If-Match": '"other"'}).status == 412


def test_errors_are_the_proxys_own(front):
    for path, user, status in (("/data/loop_header/DEMO/nobody-knows-it/data", "", 404), ("/data/loop_header/DEMO", "", 404),
                               ("/data/loop_header/DEMO/x/data", None, 401), ("/data/loop_header/DEMO/x/data", front.env["USER_DENIED"], 403)):
        before = len(decisions(front, "nobody-knows-it"))
        answer = front.get(path, user=user)
        assert answer.status == status and answer.json()["ticket"] == answer.headers["x-request-id"], answer
        assert answer.headers["content-type"] == "application/problem+json"
        if status == 404 and "nobody" in path:
            wait_until(lambda: len(decisions(front, "nobody-knows-it")) > before, "the decision is in the log")
            assert len(decisions(front, "nobody-knows-it")) == before + 1, "and nobody has asked again"


@pytest.mark.parametrize("name", ["with space", "plus+and&", "semi;colon", "q?mark", "hash#", "quote\"'", "back\\slash", "percent%41", "comma,x=y",
                                  "\u65e5\u672c", "data.de.gz", "x.cgi", "@data"])
def test_a_strange_name_is_served_cold_and_cached(front, name):
    asset = front.add(name=front.name(name) + name, asset="data.de.tar.gz")
    for _ in ("cold", "cached"):
        answer = front.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data, answer
        assert "content-encoding" not in answer.headers and "content-language" not in answer.headers, "the front makes nothing of a name"
        assert answer.headers["content-type"] == "image/tiff"
        wait_until(asset.published, "it is cached")
    assert answer.is_hit and len(asset.upstream()) == 1


def test_c2_an_encoded_slash_stays_in_its_segment(front):
    asset = front.add(os.urandom(5000))
    assert front.get(asset.path.replace("/DEMO/", "/DEMO%2F")).status in (400, 404)
    assert front.get("/data/loop_header/DEMO/a%2Fb/data").status == 404
    assert any(line[1].endswith("/items/a%2Fb") for line in front.stac_log()), "the proxy has looked for the item 'a/b'"


def test_nothing_is_compressed(front):
    asset = front.add(b"<!DOCTYPE html><title>a preview</title>" + b"x" * 50000, backend="loop_open", file="preview.html",
                      asset_members={"type": "text/html"})
    for _ in ("cold", "cached"):
        answer = front.get(asset.path, {"Accept-Encoding": "gzip, deflate, br"})
        assert answer.status == 200 and answer.body == asset.data and "content-encoding" not in answer.headers, answer
        assert "vary" not in answer.headers
        wait_until(asset.published, "it is cached")


# -- all headers


@pytest.mark.parametrize("method,headers", [
    ("GET", {}), ("GET", {"Range": "bytes=10-99"}), ("HEAD", {}), ("GET", {"Range": "bytes=900000-"}),
    ("GET", {"Origin": "https://viewer.example.org"}), ("GET", {"If-None-Match": "*"})],
    ids=["get", "range", "head", "416", "origin", "304"])
def test_all_headers_are_the_same_cold_cached_and_vanished(front, method, headers):
    asset = front.add()
    cold = front.request(method, asset.path, headers)
    asset.warm()
    hit = front.request(method, asset.path, headers)
    with vanished(front):
        behind = front.request(method, asset.path, headers)
    os.unlink(asset.published())
    gone = front.request(method, asset.path, headers)
    assert hit.is_hit and not cold.is_hit and not gone.is_hit, (cold, hit, gone)
    ignore = set()
    if cold.status in (304, 416):
        ignore |= {"content-length", "content-type", "accept-ranges"}
    for answer in (hit, behind, gone):
        assert answer.status == cold.status and (answer.body == cold.body or cold.status == 416), (cold, answer)
        assert [h for h in kept(answer) if h[0] not in ignore] == [h for h in kept(cold) if h[0] not in ignore]
    for answer in (cold, hit, behind, gone):
        names = [name for name, _ in answer.all]
        assert sorted(names) == sorted(set(names)), "no header comes twice"
        assert not {"x-sendfile", "x-eodata-charge", "x-powered-by", "vary"} & set(names)
        assert ", " not in answer.headers["x-request-id"] and answer.headers["cache-status"].count("eodata-proxy") == 1


def test_headers_are_those_behind_nginx(front, stack):
    for case in ("cold", "hit"):
        views = []
        for running in (front, stack):
            asset = running.add(b"the same bytes on each" * 1000, name="same-on-all-%s-%s" % (case, front.front))
            if case == "hit":
                asset.warm()
            answer = running.get(asset.path)
            assert answer.is_hit == (case == "hit")
            views.append(sorted((n, v) for n, v in answer.all if n not in OF_THE_MOMENT | {"etag", "last-modified", "transfer-encoding"}))
        assert views[0] == views[1]


# -- a file that has vanished


@pytest.mark.parametrize("headers,status,first,last", [({}, 200, 0, SIZE), ({"Range": "bytes=5-9"}, 206, 5, 10)])
def test_a_vanished_file_is_asked_for_again_and_no_error(front, headers, status, first, last):
    asset = front.add(os.urandom(SIZE)).warm()
    wait_until(lambda: asset.cold.headers["x-request-id"] in "".join(decisions(front, asset.name)), "that it was cold is in the log")
    before = len(decisions(front, asset.name))
    with vanished(front):
        answer = front.get(asset.path, headers)
    assert answer.status == status and answer.body == asset.data[first:last], answer
    wait_until(lambda: len(decisions(front, asset.name)) == before + 2, "both decisions are in the log")
    hit, miss = sorted(decisions(front, asset.name)[before:], key=lambda line: " cache=miss " in line)
    assert " cache=hit " in hit and " cache=miss " in miss and "user=alice" in miss
    assert (fields(hit)["id"] == fields(miss)["id"]) == (front.front == "apache"), "lighttpd has forgotten the first answer by then"
    assert "charge=1/1/%d " % (last - first if front.front == "apache" else 0) in miss
    assert fields(miss)["id"] == answer.headers["x-request-id"]


def test_a_connection_goes_on_after_a_vanished_file(front):
    """One connection: vanished, then a hit, then nobody's request, which must not be alice's."""
    asset = front.add(os.urandom(SIZE)).warm()
    login = {"Authorization": "Basic " + to_base64(front.user)}
    connection = http.client.HTTPConnection(front.host, front.port, timeout=60)

    def ask(headers):
        connection.request("GET", asset.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    try:
        with vanished(front):
            assert ask(login) == (200, asset.data)
            used = connection.sock
        assert ask(login) == (200, asset.data)
        assert ask({})[0] == 401
        assert ask(login) == (200, asset.data)
        assert used is not None and connection.sock is used, "it was the same connection all along"
    finally:
        connection.close()


def test_asking_again_is_not_for_clients(front, cached):
    for tail in ("", "/", "/0123456789abcdef0123456789abcdef", "/0123456789abcdef0123456789abcdef-0-1", cached.path):
        status, _, body = request(front, "/_eodata_again" + tail, "REDIRECT_STATUS: 404", "Redirect-Status: 404")
        assert status in (403, 404) and cached.data not in body, (tail, status)
    answer = request(front, cached.path, "EODATA_AGAIN: unknown", "EODATA-AGAIN: unknown", "Eodata-Again: unknown")
    assert answer[0] == 200 and "; hit" in answer[1]


def test_a_replaced_file_is_never_sent_under_the_new_ones_tag(front):
    """No front keeps a file open, or what it knows of it, from one request to the next."""
    asset = front.add(os.urandom(SIZE)).warm()
    for _ in range(3):
        assert front.get(asset.path).body == asset.data
        os.unlink(asset.published())
        asset.data = os.urandom(SIZE)
        front.write_file(asset.upstream_path, asset.data)
        asset.warm()
        answer = front.get(asset.path)
        assert answer.is_hit and answer.body == asset.data, answer


# -- what the front logs


def test_the_front_logs_each_charge_and_hides_it(front):
    asset = front.add(os.urandom(SIZE))
    cold = front.get(asset.path)
    asset.warm()
    hit = front.get(asset.path)
    ranged = front.get(asset.path, {"Range": "bytes=0-99"})
    with vanished(front):
        gone = front.get(asset.path)
    for answer, n in ((cold, SIZE), (hit, SIZE), (ranged, 100), (gone, SIZE)):
        assert "x-eodata-charge" not in answer.headers and len(answer.body) == n
        lines = front_log(front, answer.headers["x-request-id"])
        assert len(lines) == 1, "an answer is one line"
        line = lines[0]
        assert line["charge"].startswith(answer.headers["x-request-id"]) and line["status"] == str(answer.status)
        assert line["user"] == "alice" and line["path"] == asset.path and line["complete"] != "X"
        assert n < int(line["sent"]) < n + 3000, line
    assert front_log(front, hit.headers["x-request-id"])[0]["charge"].split("-")[1] == str(SIZE), "what was reserved"


def test_no_secret_is_in_a_log(front, cached):
    front.get(cached.path + "?access_token=canary-token-1")
    front.get(cached.path, {"Cookie": "session=canary-token-2"})
    request(front, cached.path, "Authorization: Bearer canary-token-3", user=None)
    last = front.get(cached.path)
    front_log(front, last.headers["x-request-id"])
    for name in ("LOG", "FRONT_LOG", "UPSTREAM_LOG"):
        with open(front.env[name], errors="replace") as f:
            text = f.read()
        assert "canary-token" not in text and to_base64(front.user) not in text, name


# -- failures are seen as failures


@pytest.mark.parametrize("case", ["short", "chunkcut"], ids=["with-a-length", "without"])
@pytest.mark.parametrize("size", [SIZE, LARGE])
def test_d4_a_body_that_is_cut_is_seen_as_cut(front, case, size):
    asset = front.add(os.urandom(size), case=case, backend="loop_open")
    answer = front.curl(asset.url)
    assert answer.rc in CUT or (size == SIZE and answer.status == 502), answer
    assert answer.body != asset.data and asset.published() is None


def test_a_wrong_checksum_is_a_cut(front):
    asset = front.add(os.urandom(LARGE), asset_members={"file:checksum": "1220" + "00" * 32})
    answer = front.curl(asset.url)
    assert answer.rc in CUT, answer
    assert len(answer.body) < LARGE and asset.published() is None


@pytest.mark.parametrize("known", [True, False], ids=["with-a-length", "without"])
def test_a_killed_mover_is_seen_by_the_client_and_the_next_one_serves(front, known):
    asset = front.add_gated(known=known)
    finish = front.begin(asset)
    movers = front.pids("mover")
    for pid in movers:
        os.kill(pid, signal.SIGKILL)
    rc, body = finish()
    asset.open()
    assert rc in CUT and asset.data.startswith(body) and len(body) < len(asset.data), rc
    fresh = front.add()
    answer = wait_until(lambda: (lambda a: a if a.status == 200 else None)(front.get(fresh.path)), "a new mover serves")
    assert answer.body == fresh.data and not set(movers) & set(front.pids("mover"))


def test_without_the_proxy_it_is_an_error_and_no_empty_success(front):
    socket_path = front.env["FCGI_SOCKET"]
    os.rename(socket_path, socket_path + "-aside")
    try:
        assert front.get("/data/-/health").status in (502, 503)
    finally:
        os.rename(socket_path + "-aside", socket_path)
    wait_until(lambda: front.get("/data/-/health").status == 200, "it is served again")


# -- A: who asks


@pytest.mark.parametrize("headers", [
    ["EODATA_USER: alice"], ["EODATA-USER: alice", "EODATA-GROUPS: s2-users"], ["Eodata-User: alice", "EODATA_GROUPS: s2-users"],
    ["X-Forwarded-User: alice"], ["X_Forwarded_User: alice"], ["X.Forwarded.User: alice"], ["REMOTE_USER: alice"], ["Remote-User: alice"],
    ["Connection: close, X-Forwarded-User", "X-Forwarded-User: alice"], ["X-Remote-User: alice"], ["Auth-Type: Basic", "Remote-User: alice"],
    ["HTTP_REMOTE_USER: alice"], ["Cookie: EODATA_USER=alice"]],
    ids=["EODATA", "EODATA-dash", "EODATA-groups", "A1", "A2", "A3", "A5-underscore", "A5", "A7", "X-Remote-User", "Auth-Type", "HTTP_", "Cookie"])
def test_a1_a2_a3_a5_a7_a_header_is_never_an_identity(front, cached, headers):
    assert request(front, cached.path, *headers, user=None)[0] == 401
    assert request(front, cached.path, *headers, user=front.env["USER_DENIED"])[0] == 403
    status, _, body = request(front, cached.path, *headers)
    assert status == 200 and body == cached.data


@pytest.mark.parametrize("name", ["X-Forwarded-User", "X_Forwarded_User", "Remote-User", "EODATA_USER", "EODATA-USER"])
def test_a4_a_second_identity_beside_a_login_changes_nothing(front, cached, name):
    login = "Authorization: Basic " + to_base64(front.env["USER_DENIED"])
    second = "%s: alice" % name
    for headers in ([login, second], [second, login], [second, login, second]):
        assert request(front, cached.path, *headers, user=None)[0] == 403, headers


@pytest.mark.parametrize("second", ["Basic " + to_base64("bob:bob"), "Basic " + to_base64("alice:wrong"), "Bearer abc"])
def test_a4_two_logins_are_refused_or_the_first(front, cached, second):
    alice = "Authorization: Basic " + to_base64(front.user)
    status = request(front, cached.path, "Authorization: " + second, alice, user=None)[0]
    assert status in (400, 401, 403), status
    status = request(front, cached.path, alice, "Authorization: " + second, user=None)[0]
    assert status in (200, 400, 401), status


@pytest.mark.parametrize("value", [
    "", "Basic", "Basic ", "Basic =", "Basic " + to_base64("alice"), "Basic " + to_base64("alice:"), "Basic " + to_base64(":alice"),
    "basic " + to_base64("alice:wrong"), "Digest username=alice", "Negotiate abc", "Bearer " + to_base64("alice:alice"), "bearer alice",
    "Basic " + to_base64("alice\0:alice"), "Basic " + to_base64("ali\0ce:alice"), "Basic " + to_base64(":"), "x"])
def test_a6_credentials_that_were_not_verified_are_nobodys(front, cached, value):
    status, _, body = request(front, cached.path, "Authorization: " + value, user=None)
    assert status in (400, 401) and cached.data not in body, status


def test_a_password_goes_no_further_than_the_front(front):
    """Seen from the proxy's side: in a parameter it would be in a worker's memory."""
    asset = front.add()
    assert front.get(asset.path).status == 200
    assert to_base64(front.user) not in front.log()


@pytest.mark.parametrize("header", ["X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-Sendfile", "X-LIGHTTPD-send-file", "X-Forwarded-Prefix"])
def test_a12_the_path_is_the_request_lines(front, cached, header):
    assert request(front, "/data/loop_header/DEMO/nothing/data", "%s: %s" % (header, cached.path))[0] == 404
    assert request(front, cached.path, "%s: /data/-/health" % header, user=None)[0] == 401
    assert request(front, cached.path, "%s: /etc/passwd" % header)[2] == cached.data


@pytest.mark.parametrize("tail", ["..%2f..%2fetc%2fpasswd", "%2e%2e/data", "..%00/data", "a%0d%0aSet-Cookie:x=y/data", "%2e/data", "./data",
                                  "%252e%252e/data", "/x/data", "a%ff/data", "a%/data"])
def test_c1_no_path_leads_out_of_its_item(front, tail):
    before = len(front.upstream())
    status, head, _ = request(front, "/data/loop_header/DEMO/" + tail)
    assert status in (400, 404) and "set-cookie" not in head.lower(), status
    assert len(front.upstream()) == before
