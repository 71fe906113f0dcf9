# SPDX-License-Identifier: Apache-2.0
"""Assets whose source is S3: real EODAG says where and with which keys, a real engine has them."""

import contextlib
import os
import re
import socket
import ssl
import sys
import threading
import urllib.parse

import pytest
import s3
from conftest import TOP, Stack, wait_until
from test_tls import certificate

sys.path.insert(0, os.path.join(TOP, "tests", "fake"))
import eodag_providers  # noqa: E402

SIZE = 3000000
HOME = "eu-home-1"
MALFORMED = ("<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message>"
             "<Region>%s</Region></Error>" % HOME)
PAYS = (b'<RequestPaymentConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Payer>Requester</Payer>'
        b'</RequestPaymentConfiguration>')


class Between:
    """
    Before the engine, a connection for each request: notes what is asked, lets
    refuse(head) answer in its place, and cuts an answer after so many bytes.
    """

    def __init__(self, engine, tls=None):
        self.to = urllib.parse.urlsplit(engine.url)
        self.asked, self.refuse, self.cuts, self.tls = [], lambda head: None, [], tls
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http%s://127.0.0.1:%d" % ("s" if tls else "", self.socket.getsockname()[1])
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return      # closed
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client):
        if self.tls is not None:
            client = self.tls.wrap_socket(client, server_side=True)
        with client, contextlib.suppress(ConnectionError):      # it has heard enough
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            head = head.decode("latin-1")
            self.asked.append(head)
            answer = self.refuse(head)
            if answer is not None:
                client.sendall(answer)
                return
            with socket.create_connection((self.to.hostname, self.to.port)) as engine:
                engine.sendall(head.replace("\r\n", "\r\nConnection: close\r\n", 1).encode("latin-1"))
                left = self.cuts.pop(0) if self.cuts else None
                while left is None or left > 0:
                    data = engine.recv(65536 if left is None else min(left, 65536))
                    if not data:
                        return
                    client.sendall(data)
                    left = None if left is None else left - len(data)

    def of(self, bucket):
        return [head for head in self.asked if "/%s/" % bucket in head.split("\r\n", 1)[0]]

    def close(self):
        self.socket.close()


class Bucket:
    """One bucket and the provider that has it."""

    def __init__(self, engine, name, user=None):
        self.engine, self.name, self.user, self.backend, self.stack = engine, name, user, "loop_" + name.replace("-", "_"), None
        engine.make_bucket(name, user)

    def ask(self, method, key="", query=(), **more):
        answer = self.engine.request(method, "/%s/%s" % (self.name, key), list(query), user=self.user, **more)
        assert answer.status in (200, 204), answer
        return answer

    def add(self, key=None, data=None, origin=None, headers=None, **more):
        """An object, and an item that shows it."""
        name = self.stack.name("asset")
        key, data = key or name + "/data.tif", os.urandom(SIZE) if data is None else data
        self.ask("PUT", key, body=data, headers=headers)
        asset = self.stack.add(data, backend=self.backend, name=name, origin=origin or "s3://%s/%s" % (
            self.name, urllib.parse.quote(key)), **more)
        asset.key = key
        return asset


class World:
    def __init__(self, engine):
        self.engine, self.between, self.buckets, self.providers, self.credentials = engine, Between(engine), {}, {}, {}
        self.between.refuse = self.refuse

    def refuse(self, head):
        """Who signs for another region is told where this bucket is."""
        if "/elsewhere/" not in head or "%%2F%s%%2Fs3" % HOME in head:
            return None
        return ("HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n"
                "Connection: close\r\n\r\n%s" % (len(MALFORMED), MALFORMED)).encode()

    def add(self, name, credentials=None, owner=None, between=None, **auth):
        """credentials None: none, as EODAG sees it."""
        bucket = self.buckets[name] = Bucket(self.engine, name, owner)
        config = eodag_providers.s3_provider(bucket.backend, name, (between or self.between).url, **auth)
        config["download"]["ssl_verify"] = False        # its certificate is its own
        self.providers[bucket.backend] = config
        if credentials is not None:
            self.credentials[bucket.backend] = credentials
        return bucket

    def up(self):
        extra = {"rules": [
            {"name": "redirects", "groups": ["s2-users"], "collections": ["GEOID"], "allow": True, "delivery": "redirect"},
            {"name": "users", "groups": ["s2-users"], "allow": True}]}

        def prepare(where):
            where = os.path.join(where, "eodag-s3")
            eodag_providers.write_all(where, self.providers, self.credentials)
            extra["eodag"] = {"config_file": os.path.join(where, "eodag.yml"), "providers_dir": os.path.join(where, "providers")}
        self.stack = Stack(extra=extra, prepare=prepare)
        for bucket in self.buckets.values():
            bucket.stack = self.stack

    def down(self):
        self.stack.down()
        self.between.close()

    def signed(self, bucket):
        return [head.split("\r\n", 1)[0] for head in self.between.of(bucket)]


def keys(user):
    return {"aws_access_key_id": user.id, "aws_secret_access_key": user.secret,
            **({"aws_session_token": user.token} if user.token else {})}


@pytest.fixture(scope="module")
def world(s3_engine, tmp_path_factory):
    made = World(s3_engine)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(str(tmp_path_factory.mktemp("tls")), "s3", "IP:127.0.0.1", signed=False))
    made.private = Between(s3_engine, context)
    made.private.refuse = made.refuse
    reader = s3_engine.add_user("reader")
    made.add("signed", keys(s3_engine.owner))
    made.add("public")
    made.add("elsewhere", keys(s3_engine.owner))
    made.add("paid", keys(reader), requester_pays=True)
    made.add("unpaid", keys(reader))
    made.providers["loop_borrower"] = eodag_providers.s3_provider("loop_borrower", "signed", made.between.url)
    made.add("refused", keys(s3_engine.nobody))
    made.add("by-http", keys(s3_engine.owner), matching_url=re.escape(made.between.url) + "/by-http")
    made.providers["loop_by_http"]["download"]["bucket_path_level"] = 0
    made.add("turning", {"aws_profile": "turning"}, owner=s3_engine.add_user("turner"))
    made.add("redirected", keys(reader), between=made.private, requester_pays=True)
    made.up()
    yield made
    made.down()
    made.private.close()


def test_an_object_comes_once_from_s3_and_then_from_the_cache(world):
    bucket = world.buckets["signed"]
    asset = bucket.add(headers={"Content-Type": "image/tiff"})
    cold = world.stack.get(asset.path)
    assert cold.status == 200 and cold.body == asset.data and not cold.is_hit, cold
    of_s3 = bucket.ask("HEAD", asset.key).headers
    assert cold.headers["etag"] == of_s3["etag"] and cold.headers["last-modified"] == of_s3["last-modified"]
    assert cold.headers["content-type"] == "image/tiff" and 'filename="data.tif"' in cold.headers["content-disposition"]
    wait_until(asset.published, "it is cached")
    hit = world.stack.get(asset.path)
    assert hit.is_hit and hit.body == asset.data and hit.headers["etag"] == cold.headers["etag"]
    assert len([line for line in world.signed("signed") if asset.key in line]) == 1


def test_ranges_head_and_conditions_of_a_cold_object(world):
    asset = world.buckets["signed"].add()
    head = world.stack.request("HEAD", asset.path)
    assert head.status == 200 and head.headers["content-length"] == str(SIZE) and head.headers["accept-ranges"] == "bytes"
    for spec, first, last in (("2000000-2000099", 2000000, 2000099), ("-7", SIZE - 7, SIZE - 1), ("2999999-9999999", SIZE - 1, SIZE - 1)):
        part = world.stack.get(asset.path, {"Range": "bytes=" + spec})
        assert part.status == 206 and part.body == asset.data[first:last + 1], (spec, part)
        assert part.headers["content-range"] == "bytes %d-%d/%d" % (first, last, SIZE)
    assert world.stack.get(asset.path, {"Range": "bytes=%d-" % SIZE}).status == 416
    held = world.stack.get(asset.path, {"Range": "bytes=2000000-2000099", "If-Range": head.headers["etag"]})
    assert held.status == 206 and held.body == asset.data[2000000:2000100]
    assert world.stack.get(asset.path, {"If-None-Match": head.headers["etag"]}).status == 304


def test_an_empty_object_is_one(world):
    asset = world.buckets["signed"].add(data=b"")
    head = world.stack.request("HEAD", asset.path)
    assert head.status == 200 and head.headers["content-length"] == "0", head
    answer = world.stack.get(asset.path)
    assert answer.status == 200 and answer.body == b""


def test_an_object_in_parts_is_one_object(world):
    bucket, data = world.buckets["signed"], os.urandom(5 << 20) + b"end"
    asset = bucket.add(data=b"")
    upload = bucket.ask("POST", asset.key, [("uploads", "")]).body.decode().split("<UploadId>")[1].split("<")[0]
    parts = []
    for number, part in enumerate((data[:5 << 20], data[5 << 20:]), 1):
        etag = bucket.ask("PUT", asset.key, [("partNumber", str(number)), ("uploadId", upload)], body=part).headers["etag"]
        parts.append("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>" % (number, etag))
    bucket.ask("POST", asset.key, [("uploadId", upload)],
               body=("<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % "".join(parts)).encode())
    answer = world.stack.get(asset.path)
    assert answer.status == 200 and answer.body == data and answer.headers["etag"].endswith('-2"')


def test_what_is_public_is_asked_for_without_keys(world):
    bucket = world.buckets["public"]
    asset = bucket.add(headers={"x-amz-acl": "public-read"})
    answer = world.stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    assert world.signed("public") == ["GET /public/%s HTTP/1.1" % asset.key]
    private = bucket.add()
    refused = world.stack.get(private.path)
    assert refused.status == 403 and refused.json()["source"] == "upstream", refused


def test_e5_no_backend_borrows_the_keys_of_another(world):
    """EODAG gives a provider without credentials those of any other that has the same pattern."""
    owner = world.buckets["signed"].add()
    assert world.stack.get(owner.path).body == owner.data
    asset = world.stack.add(owner.data, backend="loop_borrower", origin="s3://signed/" + owner.key)
    answer = world.stack.get(asset.path)
    assert answer.status == 403 and answer.json()["source"] == "upstream", answer


def test_who_pays_is_said_where_it_is_configured(world):
    for name, status in (("paid", 200), ("unpaid", 403)):
        bucket = world.buckets[name]
        bucket.ask("PUT", query=[("requestPayment", "")], body=PAYS)
        asset = bucket.add(headers={"x-amz-grant-read": "id=reader"})
        answer = world.stack.get(asset.path)
        assert answer.status == status, (name, answer)
        assert all(("&x-amz-request-payer=requester&" in line) == (name == "paid") for line in world.signed(name))
        assert status != 200 or answer.body == asset.data


def test_a_bucket_in_another_region_is_found_and_then_known(world):
    bucket = world.buckets["elsewhere"]
    first, second = bucket.add(), bucket.add()
    for asset in (first, second):
        answer = world.stack.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data, answer
    regions = [line.split("X-Amz-Credential=")[1].split("%2F")[2] for line in world.signed("elsewhere")]
    assert regions[0] == s3.REGION and set(regions[1:]) == {HOME}
    # each mover learns it for itself
    assert regions.count(s3.REGION) <= len(world.stack.pids("mover"))


def test_a_body_that_breaks_off_is_resumed_with_a_signature_of_its_own(world):
    bucket = world.buckets["signed"]
    asset = bucket.add()
    world.between.cuts = [1200000, 1200000]
    answer = world.stack.curl(asset.url, "--max-time", "30")
    assert (answer.rc, answer.status) == (0, 200) and answer.body == asset.data, answer
    asked = [head for head in world.between.of("signed") if asset.key in head]
    assert len(asked) == 3 and "Range:" not in asked[0]
    assert all("Range: bytes=" in head and "If-Range: " in head for head in asked[1:]), asked
    wait_until(asset.published, "it is kept")
    with open(asset.published(), "rb") as f:
        assert f.read() == asset.data


def test_an_object_that_changed_meanwhile_is_never_spliced(world):
    bucket = world.buckets["signed"]
    asset = bucket.add()

    def change(head):
        if asset.key in head and "Range: " in head:
            bucket.ask("PUT", asset.key, body=os.urandom(SIZE))
    world.between.refuse, world.between.cuts = change, [1200000]
    try:
        answer = world.stack.curl(asset.url, "--max-time", "30")
    finally:
        world.between.refuse = world.refuse
    assert answer.rc != 0 and asset.data.startswith(answer.body), answer
    assert asset.published() is None


def test_keys_that_were_taken_back_are_made_anew(world):
    bucket, engine = world.buckets["turning"], world.engine
    file = os.path.join(world.stack.run_dir, "resolver", "home", ".aws", "credentials")     # EODAG's home

    def write(user):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file + ".new", "w") as f:
            f.write(s3.KEYS % ("turning", user.id, user.secret))
        os.rename(file + ".new", file)
    write(bucket.user)
    asset = bucket.add()
    part = world.stack.get(asset.path, {"Range": "bytes=2000000-2000099"})
    assert part.status == 206, part
    old, new = bucket.user, s3.User("turner", "AKIANEW", "another+secret/")
    engine.run("radosgw-admin", "key", "create", "--uid", "turner", "--access-key", new.id, "--secret-key", new.secret)
    engine.run("radosgw-admin", "key", "rm", "--uid", "turner", "--access-key", old.id)
    write(new)
    answer = world.stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    ids = [line.split("X-Amz-Credential=")[1].split("%2F")[0] for line in world.signed("turning")]
    assert ids == [old.id, old.id, new.id]


def test_what_s3_refuses_has_the_status_of_any_provider(world):
    missing = world.buckets["signed"].add()
    world.buckets["signed"].ask("DELETE", missing.key)
    answer = world.stack.get(missing.path)
    assert answer.status == 404 and answer.json()["source"] == "upstream", answer
    refused = world.buckets["refused"].add()
    answer = world.stack.get(refused.path)
    assert answer.status == 403 and b"AccessDenied" not in answer.body, answer
    assert "event=s3-refusal bucket=refused status=403 code=AccessDenied" in world.stack.log()


@pytest.mark.parametrize("end", ["", "/"])
def test_a_sub_path_is_an_object_below(world, end):
    bucket = world.buckets["signed"]
    asset = bucket.add("x.zarr/0.0/a b", data=b"chunk", origin="s3://signed/x.zarr" + end)
    answer = world.stack.get(asset.path + "/0.0/a%20b")
    assert answer.status == 200 and answer.body == b"chunk", answer
    assert world.stack.get(asset.path + "/0.1").status == 404
    tree = world.stack.get(asset.path)
    if end == "":
        assert tree.status == 404, tree     # S3 knows no such object
    else:
        assert tree.status == 501 and "many objects" in tree.json()["detail"], tree


def test_a_product_of_many_objects_is_501(world):
    """What EODAG would put into a zip: its download link, and what lies in one already."""
    product = world.buckets["signed"].add(origin="s3://signed/many", asset="downloadLink")
    answer = world.stack.get(product.path)
    assert answer.status == 501 and "many files" in answer.json()["detail"], answer
    member = world.buckets["signed"].add(origin="zip+s3://signed/a.zip!b.tif")
    assert world.stack.get(member.path).status == 501


def test_an_https_location_in_the_bucket_is_asked_for_with_keys_too(world):
    bucket = world.buckets["by-http"]
    asset = bucket.add("a b.tif", origin="%s/by-http/a%%20b.tif" % world.between.url)
    answer = world.stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    assert "X-Amz-Signature=" in world.signed("by-http")[0]


@pytest.mark.parametrize("key", ["scène (1)/+&=~ a.tif", "100%25/50%.tif", "a?b#c;d:e@f", "a//b", "'\"<>^`{|}"])
def test_e10_odd_keys_come_byte_by_byte(world, key):
    asset = world.buckets["signed"].add(key, data=key.encode())
    answer = world.stack.get(asset.path)
    assert answer.status == 200 and answer.body == key.encode(), answer


def test_who_is_sent_there_needs_nothing_but_the_location(world):
    """And what S3 does not give is said before anybody is sent."""
    bucket = world.buckets["redirected"]
    bucket.ask("PUT", query=[("requestPayment", "")], body=PAYS)
    asset = bucket.add(headers={"x-amz-grant-read": "id=reader"}, collection="GEOID")
    sent = world.stack.get(asset.path)
    assert sent.status == 302 and "private" in sent.headers["cache-control"], sent
    location = sent.headers["location"]
    assert location.startswith(world.private.url + "/redirected/") and "&x-amz-request-payer=requester&" in location
    # EODAG does not say when keys end, so they are believed for ten minutes
    life = int(sent.headers["x-eodata-delivery"].removeprefix("redirect; life="))
    assert 500 < life <= 600 and "&X-Amz-Expires=%d&" % life in location
    whole = world.stack.curl(location, "--insecure", user=None)
    assert whole.status == 200 and whole.body == asset.data, whole
    part = world.stack.curl(asset.url, "--insecure", "--location", "--range", "7-16")
    assert part.status == 206 and part.body == asset.data[7:17], part
    head = world.stack.request("HEAD", asset.path)
    assert head.status == 200 and head.headers["content-length"] == str(SIZE), head
    private = bucket.add(collection="GEOID")
    assert world.stack.get(private.path).status == 403
    plain = world.buckets["signed"].add(collection="GEOID")
    answer = world.stack.get(plain.path)
    assert answer.status == 200 and answer.body == plain.data, "nobody is sent where there is no TLS"


def test_no_key_and_no_signature_is_in_a_log(world):
    log = world.stack.log()
    assert "X-Amz-" not in log
    for user in world.engine.users.values():
        assert user.secret not in log and user.id not in log


def test_temporary_keys_are_sent_with_their_token(tmp_path):
    """An engine of its own: one that makes them says AccessDenied of whatever is wrong with keys."""
    from s3_engine import need_engine
    need_engine()
    engine = s3.Engine(str(tmp_path), tied=True, sts=True).up()
    try:
        world = World(engine)
        session = engine.add_session("session", engine.owner)
        bucket = world.add("temporary", keys(session))
        world.add("broken", keys(session._replace(token=session.token[:-8] + "AAAAAAA=")))
        world.up()
        try:
            asset = bucket.add()
            answer = world.stack.get(asset.path)
            assert answer.status == 200 and answer.body == asset.data, answer
            assert "&X-Amz-Security-Token=%s&" % urllib.parse.quote(session.token, safe="") in world.signed("temporary")[0]
            broken = world.buckets["broken"].add()
            assert world.stack.get(broken.path).status == 403
            assert len(world.signed("broken")) == 2, "with the token, and once with keys that were made anew"
            assert session.token not in world.stack.log() and session.secret not in world.stack.log()
        finally:
            world.down()
    finally:
        engine.down()
