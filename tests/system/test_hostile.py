# SPDX-License-Identifier: Apache-2.0
"""
Hostile clients through the real front: identities (A), paths and names (C),
ranges, methods and headers (D), log lines (H).  Sent byte by byte, as no
well-meaning library would.
"""

import os
import pwd
import re
import socket
import subprocess
import sys
import urllib.parse

import pytest
from conftest import to_base64, wait_until


def raw(stack, data, timeout=30):
    """Send bytes, read to the end (nginx takes a half-closed client for gone); (status, header text, body)."""
    with socket.create_connection((stack.host, stack.port), timeout=timeout) as s:
        s.sendall(data)
        answer = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    return (int(words[1]) if len(words) > 1 else 0), head.decode("latin-1"), body


def request(stack, path, *headers, user="", method="GET", host="x"):
    """One raw request; path and headers go out as they stand."""
    user = stack.user if user == "" else user
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: " + host, "Connection: close"]
    if user is not None:
        lines.append("Authorization: Basic " + to_base64(user))
    lines += headers
    return raw(stack, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")


@pytest.fixture(scope="module")
def asset(stack):
    return stack.add(bytes(range(250)) * 800, name="hostile").warm()


# -- A: who asks


@pytest.mark.parametrize("headers", [
    ["EODATA_USER: alice"], ["EODATA-USER: alice"], ["Eodata-User: alice", "EODATA_GROUPS: s2-users"], ["EODATA-GROUPS: s2-users"],
    ["REMOTE_USER: alice"], ["Remote-User: alice"], ["X-Forwarded-User: alice"], ["X_Forwarded_User: alice"],
    ["X.Forwarded.User: alice"], ["X-Remote-User: alice"], ["Connection: X-Forwarded-User", "X-Forwarded-User: alice"],
    ["Cookie: EODATA_USER=alice"], ["Forwarded: for=127.0.0.1;user=alice"]], ids=lambda h: " ".join(h)[:40])
def test_a1_a2_a3_a5_a7_a_header_is_never_an_identity(stack, asset, headers):
    assert request(stack, asset.path, *headers, user=None)[0] == 401
    assert request(stack, asset.path, *headers, user=stack.env["USER_DENIED"])[0] == 403
    assert request(stack, asset.path, *headers)[0] == 200


@pytest.mark.parametrize("value", [
    "Basic", "Basic ", "Basic =", "Basic " + to_base64("alice"), "Basic " + to_base64("alice:"), "Basic " + to_base64(":alice"),
    "basic " + to_base64("alice:wrong"), "Basic\t" + to_base64("alice:alice"), "Digest username=alice", "Negotiate abc",
    "Basic " + to_base64("alice\0:alice"), "Basic " + to_base64("ali\0ce:alice")])
def test_credentials_that_were_not_verified_are_nobodys(stack, asset, value):
    status = request(stack, asset.path, "Authorization: " + value, user=None)[0]
    assert status in (400, 401), status


@pytest.mark.parametrize("second", ["Basic " + to_base64("bob:bob"), "Bearer abc"])
def test_a4_two_identities_at_once_are_refused_or_the_first(stack, asset, second):
    first = "Authorization: Basic " + to_base64("bob:bob")
    status = request(stack, asset.path, first, "Authorization: " + second, user=None)[0]
    assert status in (400, 401, 403), status
    status = request(stack, asset.path, "Authorization: " + second, "Authorization: Basic " + to_base64("alice:alice"), user=None)[0]
    assert status in (400, 401, 403), status


def test_a9_a_name_in_other_letters_is_another_user(stack, asset):
    """nginx reads the file of passwords for each request, and compares names in it exactly, but not those of a map."""
    with open(os.path.join(stack.dir, "htpasswd"), "a") as f:
        f.write("Alice:{PLAIN}another\nalice.2:{PLAIN}another\n")
    for name in ("Alice", "alice.2"):
        assert request(stack, asset.path, user=name + ":another")[0] == 403, name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a8_another_user_does_not_reach_the_socket(stack):
    """Its mode and its folder's: nobody is neither the proxy's user nor of the front's group."""
    ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
    path = stack.env["FCGI_SOCKET"]
    assert subprocess.run([sys.executable, "-c", ask, path]).returncode == 0
    who = pwd.getpwnam("nobody")
    done = subprocess.run([sys.executable, "-c", ask, path], user=who.pw_uid, group=who.pw_gid, extra_groups=[], cwd="/",
                          stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0 and "PermissionError" in done.stderr, done.stderr
    assert os.stat(path).st_mode & 0o007 == 0


def test_a10_a_bearer_token_is_not_an_identity_yet(stack, asset):
    assert request(stack, asset.path, "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", user=None)[0] == 401


def test_a_token_in_the_query_is_ignored_and_not_logged(stack, asset):
    status, _, _ = request(stack, asset.path + "?access_token=canary-token-1&user=alice", user=None)
    assert status == 401
    request(stack, asset.path + "?apikey=canary-token-2")
    for log in ("LOG", "FRONT_LOG", "UPSTREAM_LOG"):
        with open(stack.env[log], errors="replace") as f:
            assert "canary-token" not in f.read(), log


def test_a11_a_proxy_header_does_not_become_a_proxy(stack):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    cold = stack.add()
    status, _, body = request(stack, cold.path, "Proxy: http://127.0.0.1:%d" % listener.getsockname()[1])
    assert status == 200 and body == cold.data
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()


@pytest.mark.parametrize("header", ["X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-Accel-Redirect", "X-Forwarded-Prefix"])
def test_a12_the_path_is_the_request_lines(stack, asset, header):
    assert request(stack, "/data/loop_header/DEMO/nothing/data", "%s: %s" % (header, asset.path))[0] == 404
    assert request(stack, "/data/loop_header/DEMO/hostile/data", "%s: /data/-/health" % header, user=None)[0] == 401


# -- C: paths and names


@pytest.mark.parametrize("tail", [
    "..%2f..%2fetc%2fpasswd", "%2e%2e/data", "%2e%2e%2fdata", "..;/data", "%252e%252e/data", "%c0%ae%c0%ae/data", "..%5c..%5cdata",
    "..%00/data", "%2e/data", "./data", "hostile%2fdata", "hostile/../hostile/data/..", "hostile//data", "/hostile/data"])
def test_c1_no_path_leads_out_of_its_item(stack, tail):
    before, asked = len(stack.upstream()), len(stack.stac_log())
    status = request(stack, "/data/loop_header/DEMO/" + tail)[0]
    assert status in (400, 404), status
    assert len(stack.upstream()) == before
    for line in stack.stac_log()[asked:]:
        assert not {".", "..", ""} & {urllib.parse.unquote(s) for s in line[1].split("/")[1:]}, line


def test_c2_an_encoded_slash_stays_in_its_segment(stack):
    """nginx decodes it; what counts is the path as it was sent."""
    status = request(stack, "/data/loop_header/DEMO/a%2Fb%2F..%2F..%2Fhostile/data")[0]
    assert status in (400, 404), status
    asset = stack.add(os.urandom(5000), collection="DEMO", name="plain-%d" % os.getpid())
    assert request(stack, asset.path.replace("/DEMO/", "/DEMO%2F"))[0] in (400, 404)


@pytest.mark.parametrize("tail", [
    "a%00b/data", "a%0d%0aSet-Cookie:x=y/data", "a%0ab/data", "a%1fb/data", "a%7fb/data", "a%ff/data", "a%ed%a0%80/data", "a%c1%81/data",
    "a%f4%90%80%80/data", "a%/data", "a%2/data", "a%zz/data"])
def test_c3_bytes_that_are_no_name_are_400(stack, tail):
    status, head, _ = request(stack, "/data/loop_header/DEMO/" + tail)
    assert status == 400, status
    assert "set-cookie" not in head.lower()


def test_c3_names_that_look_alike_are_two(stack):
    """NFC and NFD of one word are two items, and neither is the other's."""
    composed = stack.add(name="caf\u00e9-%d" % os.getpid())
    status, _, body = request(stack, composed.path)
    assert status == 200 and body == composed.data
    other = "/data/loop_header/DEMO/" + urllib.parse.quote("cafe\u0301-%d" % os.getpid()) + "/data"
    assert request(stack, other)[0] == 404


@pytest.mark.both_stores
def test_c4_all_spellings_are_one_object_and_one_decision(stack):
    asset = stack.add(name="a b\u00e9-%d" % os.getpid())
    asset.warm()
    for path in (asset.path, asset.path.replace("%C3%A9", "%c3%a9"), asset.path.replace("/DEMO/", "/%44EMO/")):
        status, _, body = request(stack, path)
        assert status == 200 and body == asset.data, path
        assert request(stack, path, user=stack.env["USER_DENIED"])[0] == 403
    # empty and dotted segments are no spellings of it: for nobody, and whatever is cached
    assert asset.published()
    for path in (asset.path + "/", asset.path.replace("/DEMO/", "//DEMO/"), asset.path.replace("/DEMO/", "/./DEMO/"),
                 asset.path.replace("/DEMO/", "/x/../DEMO/"), "//" + asset.path[1:], asset.path.replace("/DEMO/", "/DEMO/%2e/")):
        for user in (stack.user, stack.env["USER_DENIED"], None):
            status, _, body = request(stack, path, user=user)
            assert status in (400, 401, 403, 404) and asset.data not in body, (path, user, status)
    assert len(asset.upstream()) == 1


@pytest.mark.both_stores
@pytest.mark.parametrize("name", ["with space", "plus+and&", "semi;colon", "q?mark", "hash#", "star*[x]?", "quote\"'", "back\\slash", "percent%41",
                                  "~tilde", "comma,x=y", "{brace}", "a" * 190, "\u65e5\u672c", "...", "@data", "x@meta"])
def test_a_strange_name_is_served_cold_and_cached(stack, name):
    asset = stack.add(name="%s-%d" % (name, os.getpid()))
    for turn in ("cold", "cached"):
        status, head, body = request(stack, asset.path)
        assert status == 200 and body == asset.data, (turn, head)
        wait_until(lambda: request(stack, asset.path, "Range: bytes=0-0")[1].count("; hit"), "it is cached")
    assert len(asset.upstream()) == 1


@pytest.fixture(scope="module")
def narrow():
    """Only the collection S2 is allowed; the item *, and the collection S2-secret, are not."""
    from conftest import Stack
    running = Stack(extra={"rules": [
        {"users": ["alice"], "collections": ["S2"], "items": ["open-*"], "allow": True},
        {"users": ["alice"], "collections": ["DE*O"], "allow": True}]})
    yield running
    running.down()


@pytest.mark.parametrize("collection", ["S2-secret", "s2", "S2 ", "S2%20", "S2%2F", "S2%00", "S%32-secret", "S2%2e", "*", "S2*", "S?", "[S]2"])
def test_c5_only_the_very_collection_of_a_rule_is_allowed(narrow, collection):
    narrow.add(collection="S2-secret", name="open-1")
    path = "/data/loop_header/%s/open-1/data" % collection.replace(" ", "%20")
    assert request(narrow, path)[0] in (400, 403, 404)
    assert narrow.upstream() == []


def test_c6_a_request_is_never_the_pattern(narrow):
    secret = narrow.add(collection="S2", name="secret")
    for item in ("*", "open-*", "s*", "[s]ecret", "secre?"):
        assert request(narrow, "/data/loop_header/S2/%s/data" % urllib.parse.quote(item))[0] in (403, 404), item
    assert request(narrow, secret.path)[0] == 403
    assert secret.upstream() == []
    good = narrow.add(collection="S2", name="open-2")
    assert request(narrow, good.path)[2] == good.data


def test_a_long_uri_is_refused(stack):
    assert request(stack, "/data/loop_header/DEMO/" + "a" * 5000 + "/data")[0] in (400, 404, 414)
    assert request(stack, "/data/" + "a/" * 6000)[0] in (400, 404, 414)


def test_c7_a_megabyte_of_uri_is_refused(stack):
    with socket.create_connection((stack.host, stack.port), timeout=30) as s:
        try:
            s.sendall(b"GET /data/" + b"a" * (1 << 20))
            s.shutdown(socket.SHUT_WR)
            answer = s.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            return
    assert b" 414 " in answer or b" 400 " in answer


def test_c7_many_parameters_change_nothing(stack, asset):
    status, _, body = request(stack, asset.path + "?" + "&".join("a[]=%d" % i for i in range(800)))
    assert status == 200 and body == asset.data
    assert request(stack, asset.path + "?" + "&".join("a[]=%d" % i for i in range(10000)))[0] in (400, 414)


# -- D: ranges, methods, bodies


@pytest.mark.parametrize("value", [
    "bytes=" + ",".join("0-%d" % i for i in range(1300)), "bytes=" + "0-," * 1000, "bytes=0-0,-1", "bytes=0-9,5-14"])
def test_d2_many_ranges_cost_one_body_at_most(stack, asset, value):
    for made in (asset, stack.add()):
        status, head, body = request(stack, made.path, "Range: " + value)
        assert status == 200 and body == made.data, head
        ticket = re.search(r"(?i)x-request-id: (\S+)", head)[1]
        lines = wait_until(lambda t=ticket: [line for line in stack.ledger() if line["id"] == t and line["cache"] != "fill"], "its line")
        assert [line["bytes"] for line in lines] == [len(made.data)], "billed once"


def test_two_range_headers_give_right_bytes(stack, asset):
    status, head, body = request(stack, asset.path, "Range: bytes=0-9", "Range: bytes=10-19")
    assert status in (200, 206, 400, 416), head
    assert status >= 400 or body in (asset.data, asset.data[0:10], asset.data[10:20])


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "DELETE", "PATCH", "get", "PROPFIND", "FOO"])
def test_d5_other_methods_are_refused(stack, asset, method):
    status, head, body = request(stack, asset.path, method=method)
    # what is no method to nginx does not reach us
    assert status == 405 or (status in (400, 501) and method in ("TRACE", "CONNECT", "get", "FOO")), head
    assert asset.data not in body
    if "eodata-proxy" in head:
        assert "\r\nAllow: GET, HEAD, OPTIONS" in head, head


def test_d5_a_method_override_is_ignored(stack, asset):
    status, _, body = request(stack, asset.path, "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: PUT")
    assert status == 200 and body == asset.data


def test_d6_a_body_of_a_get_is_dropped(stack, asset):
    status, _, body = request(stack, asset.path, "Content-Length: 5\r\n\r\nhello", )
    assert status == 200 and body.startswith(asset.data)


@pytest.mark.parametrize("length", ["1099511627776", "-1", "18446744073709551617", "abc"])
def test_d6_a_body_of_any_announced_length_does_no_harm(stack, asset, length):
    status = request(stack, asset.path, "Content-Length: " + length)[0]
    assert status in (400, 413, 408, 0), status
    assert stack.get(asset.path).status == 200


@pytest.mark.parametrize("header", ["X-Sendfile-Type: X-Accel-Redirect", "X-Accel-Mapping: /=/", "X-Sendfile: /etc/passwd",
                                    "X-Accel-Internal: /_eodata_cache/", "X-Accel-Limit-Rate: 1"])
def test_d8_what_a_client_says_of_sending_files_is_ignored(stack, asset, header):
    status, _, body = request(stack, asset.path, header)
    assert status == 200 and body == asset.data


def test_d8_the_caches_location_is_not_for_clients(stack, asset):
    path = os.path.relpath(asset.published(), stack.cache_dir)
    for prefix in ("/_eodata_cache/", "/data/../_eodata_cache/", "/_eodata_cache%2f", "//_eodata_cache/"):
        status, _, body = request(stack, prefix + urllib.parse.quote(path, safe="/"))
        assert status in (400, 404), prefix
        assert asset.data not in body


def test_d8_an_again_parameter_of_a_client_forces_nothing(stack, asset):
    status, head, body = request(stack, asset.path, "EODATA_AGAIN: x", "EODATA-AGAIN: x", "Eodata-Again: x")
    assert status == 200 and "; hit" in head and body == asset.data


# -- G: one object's key for another's


def test_g8_who_asks_and_how_makes_no_other_object(stack, asset):
    """Range, query, Host, Accept-Encoding and who asks are no part of the key: one object, one fetch, the very bytes."""
    assert asset.kept()[0] == asset.data
    for tail, *headers in (
            ["?a=1&b=2"], ["?b=2&a=1"], ["?"], ["", "X-Forwarded-Host: evil.example"],
            ["", "Accept-Encoding: gzip, br"], ["", "Accept-Encoding: identity;q=0"], ["", "Accept: text/html"], ["", "Accept-Language: tlh"],
            ["", "Cookie: user=bob"], ["", "User-Agent: GDAL"]):
        status, head, body = request(stack, asset.path + tail, *headers)
        assert status == 200 and body == asset.data and "; hit" in head, (tail, headers)
        assert "evil" not in head and "content-encoding" not in head.lower()
    status, head, body = request(stack, asset.path, host="evil.example")
    assert status == 200 and body == asset.data and "; hit" in head and "evil" not in head
    for first, last in ((0, 0), (5, 9), (100, 199999)):
        status, head, body = request(stack, asset.path + "?b=2", "Range: bytes=%d-%d" % (first, last))
        assert status == 206 and body == asset.data[first:last + 1] and "; hit" in head, (first, last)
    assert "private" in request(stack, asset.path)[1]
    assert len(asset.upstream()) == 1


@pytest.mark.both_stores
def test_g8_another_backend_or_case_is_another_object(stack):
    """The same names below two backends are two, each from its own provider; in another case they are nothing."""
    name = stack.name("same")
    one = stack.add(os.urandom(3000), backend="loop_header", name=name, file="one.tif", collection="CASE").warm()
    two = stack.add(os.urandom(3000), backend="loop_open", name=name, file="two.tif", collection="CASE")
    assert request(stack, two.path)[2] == two.data
    wait_until(lambda: "; hit" in request(stack, two.path)[1], "both are cached")
    for made in (one, two, one):
        status, head, body = request(stack, made.path)
        assert status == 200 and "; hit" in head and body == made.data
    for path in (two.path.replace("loop_open", "LOOP_OPEN"), two.path.replace("CASE", "Case"), two.path.replace(name, name.upper()),
                 two.path.replace("/data/loop", "/DATA/loop"), two.path[:-4] + "Data", two.path.replace("loop_open", "loop_open%20")):
        status, _, body = request(stack, path)
        assert status in (400, 404) and body not in (one.data, two.data), path


def test_g8_every_hit_asks_the_rules(narrow):
    """What one may read and has made cached is nobody else's: by no method, range, condition or spelling."""
    asset = narrow.add(collection="S2", name="open-cached").warm()
    tag = narrow.request("HEAD", asset.path).headers["etag"]
    for user, want in ((narrow.env["USER_DENIED"], 403), (None, 401)):
        for headers in ([], ["Range: bytes=0-0"], ["If-None-Match: " + tag], ["If-None-Match: *"], ["If-Match: " + tag, "Range: bytes=-5"],
                        ["Range: bytes=0-5", "If-Range: " + tag], ["Range: bytes=999999-"], ["Cookie: EODATA_USER=alice"]):
            for method in ("GET", "HEAD"):
                for path in (asset.path, asset.path + "?x=y", asset.path.replace("open", "%6fpen")):
                    status, head, body = request(narrow, path, *headers, user=user, method=method)
                    assert status == want and asset.data not in body, (user, headers, method, path)
                    assert tag not in head
    status, head, body = request(narrow, asset.path)
    assert status == 200 and "; hit" in head and body == asset.data


# -- H: lines in the log


def test_h1_a_log_line_is_one_line_whatever_the_client_says(stack):
    marker = "forged-%d" % os.getpid()
    request(stack, "/data/loop_header/DEMO/x%20id%3D1%20event%3Drequest%20" + marker + "%5c%22/data",
            "User-Agent: a\tid=1 event=request user=root \x1b[31m", "Origin: https://x\x1b[0m")
    text = stack.log()
    assert "\x1b" not in text
    for line in text.splitlines():
        assert not line.startswith("event=request user=root")
    with open(stack.env["FRONT_LOG"], errors="replace") as f:
        assert "\x1b" not in f.read()


def test_e8_h2_secrets_of_providers_are_in_no_log_and_no_cache(stack):
    for backend in ("loop_header", "loop_basic", "loop_qs", "loop_token"):
        made = stack.add(backend=backend)
        assert stack.get(made.path).status == 200
        wait_until(made.published, "it is cached")
    text = stack.log()
    for secret in ("apikey=k", "X-API-Key: k", "X-API-Key=k", "dTpw", "Bearer token-", "alice:alice", to_base64("alice:alice")):
        assert secret not in text, secret
    for folder, _, names in os.walk(stack.cache_dir):
        for name in names:
            assert "apikey" not in name
            if name.endswith("@meta"):
                with open(os.path.join(folder, name), errors="replace") as f:
                    meta = f.read()
                assert "apikey" not in meta and "token-" not in meta and "dTpw" not in meta
