# SPDX-License-Identifier: Apache-2.0
"""
Every operation that S3 is asked for, with URLs that lib/s3 signed (s3_probe), on
a real engine.  s3_probe comes from the build directory: $EODATA_BUILD, or the one
that $EODATA_PREFIX is in.
"""

import base64
import hashlib
import html
import http.client
import os
import pathlib
import re
import shutil
import subprocess
import urllib.parse

import pytest
from conftest import TOP
from s3_engine import need_engine, s3

BUILDS = [pathlib.Path(os.environ[name], up) for name, up in (("EODATA_BUILD", "."), ("EODATA_PREFIX", ".."))
          if name in os.environ] or [pathlib.Path(TOP, "build"), pathlib.Path(TOP)]
PROBE = next((p for p in (build / "tests/system/s3_probe" for build in BUILDS) if p.exists()), None)
pytestmark = pytest.mark.skipif(PROBE is None, reason="s3_probe is not built: make")

ODD_KEYS = ["plain", "a b", "a+b", "a=b", "a&b", "a%b", "a%2Fb%20c", "a?b#c", "é/ሴ/😀", "a//b", "/lead", "//", "tail/", "a:b@c;d,e", "!*'()$",
            "~._-", "[x]{y}|\\^`<>\"", "%", "...", ".a/b.", "30d/b/c/%2E%2E/data@data", "tab\tin", "x" * 1018]


class Signer:
    def __init__(self, engine, bucket, profile="default", prefix="", addressing="path", url=None, keys=None):
        self.engine = engine
        self.process = subprocess.Popen([PROBE, keys, profile, url or engine.url, bucket, prefix, addressing],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def sign(self, method, key=None, query=(), headers=(), life_s=60, shift_s=0):
        def encode(text):
            return text.encode("utf-8", "surrogateescape").hex()

        words = ["?%s=%s" % (encode(n), encode(v)) for n, v in dict(query).items()]
        words += [":%s=%s" % (encode(n), encode(v)) for n, v in dict(headers).items()]
        return self.say(" ".join(["sign", method, str(life_s), str(shift_s), "-" if key is None else encode(key), *words]))

    def ask(self, method, key=None, query=(), signed=(), sent=(), body=None, **more):
        """signed: headers that are signed and sent; sent: headers beside them."""
        url = self.sign(method, key, query, signed, **more)
        return send(method, url, body, {**dict(signed), **dict(sent)})

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=20) == 0


def send(method, url, body=None, headers=(), to=None):
    """As it is, to the letter.  to: host and port to connect to, where a name leads nowhere."""
    assert url.startswith("http://"), url
    host, path = url[len("http://"):].split("/", 1)
    connection = http.client.HTTPConnection(to or host, timeout=60)
    try:
        connection.request(method, "/" + path, body, {**dict(headers), "Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def code(answer):
    """What S3 says is wrong."""
    return answer[0], re.search(rb"<Code>(.*?)</Code>", answer[1]).group(1).decode()


@pytest.fixture
def signer(s3_engine, tmp_path):
    """Signers with what is said of them; they end without an error."""
    started = []
    keys = tmp_path / "keys"
    s3_engine.write_keys(keys)

    def start(bucket, **how):
        started.append(Signer(s3_engine, bucket, keys=keys, **how))
        return started[-1]
    start.keys = keys
    yield start
    for one in started:
        one.end()


def test_objects_are_put_got_looked_at_and_deleted(signer, s3_bucket):
    s = signer(s3_bucket, prefix="site a")
    data = os.urandom(100000)
    meta = {"Content-Type": "image/tiff", "x-amz-meta-eodata-etag": '"e"', "x-amz-meta-eodata": "z", "Content-Disposition": 'attachment; filename="a  b"'}
    assert s.ask("PUT", "k", signed=meta, body=data)[0] == 200
    status, body, headers = s.ask("GET", "k", sent={"Range": "bytes=10-19"})
    assert (status, body) == (206, data[10:20])
    status, body, headers = s.ask("HEAD", "k")
    assert (status, body, headers["content-length"]) == (200, b"", "100000")
    assert (headers["content-type"], headers["x-amz-meta-eodata-etag"], headers["x-amz-meta-eodata"]) == ("image/tiff", '"e"', "z")
    assert headers["content-disposition"] == 'attachment; filename="a  b"'
    etag = headers["etag"]
    assert s.ask("GET", "k", sent={"If-Match": etag})[1] == data
    assert s.ask("GET", "k", sent={"If-Match": '"other"'})[0] == 412
    status, body, headers = s.ask("GET", "k", {"response-content-type": "a/b; c=\"d+e\"", "response-content-disposition": "x=y&z"})
    assert (headers["content-type"], headers["content-disposition"]) == ('a/b; c="d+e"', "x=y&z")
    assert b"<Key>site a/k</Key>" in s.ask("GET", None, {"list-type": "2", "prefix": "site a/"})[1]
    assert s.ask("DELETE", "k")[0] == 204
    assert s.ask("HEAD", "k")[0] == 404


def test_parts_are_uploaded_copied_listed_completed_and_aborted(signer, s3_bucket):
    s = signer(s3_bucket)
    part, rest = os.urandom(5 << 20), b"the end"

    def begin():
        status, body, _ = s.ask("POST", "big +", {"uploads": ""}, signed={"Content-Type": "image/tiff", "x-amz-meta-a": "1"})
        assert status == 200
        return re.search(rb"<UploadId>(.*?)</UploadId>", body).group(1).decode()

    upload = begin()
    etags = []
    for number, body in enumerate((part, rest), 1):
        status, _, headers = s.ask("PUT", "big +", {"uploadId": upload, "partNumber": str(number)}, body=body)
        assert status == 200
        etags.append(headers["etag"])
    assert s.ask("GET", "big +", {"uploadId": upload})[1].count(b"<PartNumber>") == 2
    assert upload.encode() in s.ask("GET", None, {"uploads": "", "prefix": "big"})[1]
    xml = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % "".join(
        "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>" % pair for pair in enumerate(etags, 1))
    assert s.ask("POST", "big +", {"uploadId": upload}, body=xml)[0] == 200
    assert s.ask("GET", "big +")[1] == part + rest
    source = {"x-amz-copy-source": urllib.parse.quote("/%s/big +" % s3_bucket)}
    upload = begin()
    assert s.ask("PUT", "big +", {"uploadId": upload, "partNumber": "1"}, signed=source)[0] == 200
    assert s.ask("DELETE", "big +", {"uploadId": upload})[0] == 204
    assert s.ask("GET", "big +", {"uploadId": upload})[0] == 404
    assert s.ask("PUT", "copy", signed=source)[0] == 200
    assert s.ask("GET", "copy")[1] == part + rest


def test_tags_and_lifecycles_are_written(signer, s3_bucket):
    s = signer(s3_bucket)
    tags = b"<Tagging><TagSet><Tag><Key>sha256</Key><Value>00</Value></Tag></TagSet></Tagging>"
    rules = (b"<LifecycleConfiguration><Rule><ID>a</ID><Filter><Prefix>7d/</Prefix></Filter><Status>Enabled</Status>"
             b"<Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>")
    assert s.ask("PUT", "k", body=b"x")[0] == 200
    assert s.ask("PUT", "k", {"tagging": ""}, body=tags)[0] == 200
    assert b"<Value>00</Value>" in s.ask("GET", "k", {"tagging": ""})[1]
    md5 = {"Content-MD5": base64.b64encode(hashlib.md5(rules).digest()).decode()}
    assert s.ask("PUT", None, {"lifecycle": ""}, signed=md5, body=rules)[0] == 200
    assert b"<Prefix>7d/</Prefix>" in s.ask("GET", None, {"lifecycle": ""})[1]
    assert s.ask("HEAD", None)[0] == 200
    assert s.ask("POST", None, {"delete": ""}, body=b"<Delete><Object><Key>k</Key></Object></Delete>")[0] == 200
    assert s.ask("HEAD", "k")[0] == 404


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_any_key_is_the_same_object_through_every_transport(signer, s3_bucket, s3_engine):
    """Written by http.client, read by libcurl, and listed by somebody else's signature."""
    s = signer(s3_bucket, prefix="p")
    for number, key in enumerate(ODD_KEYS):
        assert s.ask("PUT", key, body=b"%d" % number)[0] == 200, key
    for number, key in enumerate(ODD_KEYS):
        url = s.sign("GET", key)
        got = subprocess.run(["curl", "-sS", "-f", "-g", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert (got.returncode, got.stdout) == (0, b"%d" % number), (key, got.stderr)
    listed = s3_engine.request("GET", "/" + s3_bucket, [("encoding-type", "url")]).body.decode()
    keys = {urllib.parse.unquote_plus(html.unescape(key)) for key in re.findall("<Key>(.*?)</Key>", listed)}
    assert keys == {"p/" + key for key in ODD_KEYS}


def test_a_virtual_host_is_the_same_bucket(signer, s3_bucket, s3_engine):
    """Names below localhost lead to loopback, but not everywhere."""
    port = urllib.parse.urlsplit(s3_engine.url).port
    s = signer(s3_bucket, addressing="virtual", url="http://s3.localhost:%d" % port, prefix="p")
    for number, key in enumerate(ODD_KEYS):
        url = s.sign("PUT", key)
        assert url.startswith("http://%s.s3.localhost:%d/p/" % (s3_bucket, port))
        assert send("PUT", url, b"%d" % number, to="127.0.0.1:%d" % port)[0] == 200, key
    by_path = signer(s3_bucket, prefix="p")
    for number, key in enumerate(ODD_KEYS):
        assert by_path.ask("GET", key)[1] == b"%d" % number
    answer = send("GET", s.sign("GET", None, {"list-type": "2"}), to="127.0.0.1:%d" % port)
    assert b"<KeyCount>%d</KeyCount>" % len(ODD_KEYS) in answer[1]


def test_another_method_key_query_header_or_host_is_refused(signer, s3_bucket, s3_engine):
    s = signer(s3_bucket)
    assert s.ask("PUT", "k", body=b"x")[0] == 200
    url = s.sign("GET", "k")
    assert send("GET", url)[0] == 200
    refused = {
        "method": send("PUT", url, b"y"),
        "head": (send("HEAD", url)[0], b"<Code>SignatureDoesNotMatch</Code>"),
        "key": send("GET", url.replace("/k?", "/l?")),
        "life": send("GET", url.replace("Expires=60", "Expires=61")),
        "query": send("GET", url + "&response-content-type=a"),
        "signature": send("GET", url[:-1] + ("0" if url[-1] != "0" else "1")),
        "host": send("GET", url.replace("127.0.0.1", "localhost"), to=s3_engine.url[len("http://"):]),
        "header": send("PUT", s.sign("PUT", "k", headers={"x-amz-meta-a": "1"}), b"y", {"x-amz-meta-a": "2"}),
        "no header": send("PUT", s.sign("PUT", "k", headers={"x-amz-meta-a": "1"}), b"y"),
    }
    assert {name: code(answer) for name, answer in refused.items()} == {name: (403, "SignatureDoesNotMatch") for name in refused}
    assert send("GET", url)[1] == b"x"


def test_a_wrong_secret_and_a_stranger_are_refused(signer, s3_bucket):
    assert signer(s3_bucket).ask("PUT", "k", body=b"x")[0] == 200
    with open(signer.keys, "a", encoding="utf-8") as f:
        f.write("".join("[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n%s" % entry for entry in (
            ("wrong", signer_id(signer), "another", ""), ("unknown", "AKIANOBODY", "x", ""),
            ("token", signer_id(signer), "another", "aws_session_token = bm90IGEgdG9rZW4=\n"))))
    assert code(signer(s3_bucket, profile="wrong").ask("GET", "k")) == (403, "SignatureDoesNotMatch")
    assert code(signer(s3_bucket, profile="unknown").ask("GET", "k")) == (403, "InvalidAccessKeyId")
    assert code(signer(s3_bucket, profile="nobody").ask("GET", "k")) == (403, "AccessDenied")
    tokened = signer(s3_bucket, profile="token")
    assert "&X-Amz-Security-Token=bm90IGEgdG9rZW4%3D&" in tokened.sign("GET", "k")
    assert tokened.ask("GET", "k")[0] == 403
    assert "Security-Token" not in signer(s3_bucket).sign("GET", "k")


def test_temporary_keys_are_taken_with_their_token_alone(tmp_path):
    need_engine()
    engine, keys = s3.Engine(tmp_path / "s3", tied=True, sts=True), tmp_path / "keys"
    try:
        engine.up().make_bucket("data")
        session = engine.add_session("session", engine.owner)
        engine.write_keys(keys)
        s = Signer(engine, "data", keys=keys, profile="session")
        assert s.ask("PUT", "a b", body=b"x", signed={"x-amz-meta-a": "1"})[0] == 200
        url = s.sign("GET", "a b", {"response-content-type": "a/b"})
        assert send("GET", url)[:2] == (200, b"x")
        assert s.ask("DELETE", "a b")[0] == 204
        token = "&X-Amz-Security-Token=" + urllib.parse.quote(session.token, safe="")
        assert token in url
        assert send("GET", url.replace(token, ""))[0] == 403
        keys.write_text(re.sub("aws_session_token = .*", "", keys.read_text()))
        assert s.ask("GET", "a b")[0] == 403
        s.end()
    finally:
        engine.down()


def signer_id(signer):
    return re.search("aws_access_key_id = (.*)", signer.keys.read_text()).group(1)


def test_a_life_ends_and_clocks_may_differ(signer, s3_bucket):
    s = signer(s3_bucket)
    assert s.ask("PUT", "k", body=b"x")[0] == 200
    assert s.ask("GET", "k", life_s=604800)[0] == 200
    assert s.ask("GET", "k", life_s=60, shift_s=-50)[0] == 200
    assert code(s.ask("GET", "k", life_s=60, shift_s=-61)) == (403, "AccessDenied")
    assert s.ask("GET", "k", life_s=3600, shift_s=-1800)[0] == 200     # our clock is behind: only the life counts
    assert s.ask("GET", "k", shift_s=600)[0] == 200                    # ... ahead: 15 minutes are forgiven
    assert s.sign("GET", "k", life_s=604801).startswith("refused: ")
    assert s.sign("GET", "k", life_s=0).startswith("refused: ")


def test_new_keys_are_used_without_a_restart(signer, s3_bucket, s3_engine):
    s = signer(s3_bucket)
    assert s.ask("PUT", "k", body=b"x")[0] == 200
    old = signer.keys.read_text()
    wrong = re.sub("aws_secret_access_key = .*", "aws_secret_access_key = wrong", old)

    def replace(text):
        new = signer.keys.with_suffix(".new")
        new.touch(0o600)
        new.write_text(text)
        new.rename(signer.keys)

    replace(wrong)
    assert s.ask("GET", "k")[0] == 403
    replace("[default]\nhalf")
    assert s.say("reload") == "broken: '%s': line 2: neither '[name]' nor 'name = value'" % signer.keys
    assert s.say("reload") == "same"
    assert s.ask("GET", "k")[0] == 403
    replace(old)
    assert s.say("reload") == "new"
    assert s.ask("GET", "k")[0] == 200
