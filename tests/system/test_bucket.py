# SPDX-License-Identifier: Apache-2.0
"""
lib/bucket on a real S3 engine: what operations answer, and what they do when it is not as it should be.
"""

import os
import re
import subprocess
import time
from collections import namedtuple

import pytest
from conftest import TOP, wait_until

BUILD = os.environ.get("EODATA_BUILD") or os.path.join(TOP, "build")
PART = 5 << 20
Result = namedtuple("Result", "name tries status code length etag reason amz body")


class Probe:
    def __init__(self, engine, bucket, folder):
        self.engine, self.bucket, self.keys = engine, bucket, os.path.join(folder, "keys")
        engine.write_keys(self.keys)

    def begin(self, method, key, *words, profile="default", bucket=None, seconds=20, shift_s=0):
        return subprocess.Popen([os.path.join(BUILD, "tests", "system", "bucket_probe"), self.keys, profile, self.engine.url,
                                 bucket or self.bucket, str(seconds), str(shift_s), method, key, *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, process):
        out, error = process.communicate(timeout=90)
        assert process.returncode == 0, error.decode()
        head, _, body = out.partition(b"\n\n")
        first, *lines = head.decode().split("\n")
        name, tries, status, code, length, etag = first.split(" ")
        amz = dict(line.split("=", 1) for line in lines)
        return Result(name, int(tries), int(status), code, int(length), etag, amz.pop("reason"), amz, body)

    def __call__(self, *arguments, **more):
        return self.end(self.begin(*arguments, **more))


@pytest.fixture
def probe(s3_engine, s3_bucket, tmp_path):
    return Probe(s3_engine, s3_bucket, str(tmp_path))


def make_file(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    return str(path), path.read_bytes()


def test_an_object_goes_and_comes_with_its_metadata(probe, s3_engine, tmp_path):
    path, data = make_file(tmp_path, 3000000)
    key = "30d/a b+c=d/é&.tif"
    put = probe("PUT", key, "<1000,2000000," + path, ":x-amz-meta-sha256=1220aa", ":Content-Type=image/tiff")
    assert (put.name, put.status, put.tries) == ("ok", 200, 1), put
    head = probe("HEAD", key)
    assert (head.name, head.length, head.etag, head.amz["x-amz-meta-sha256"]) == ("ok", 2000000, put.etag, "1220aa"), head
    got = s3_engine.request("GET", "/%s/%s" % (probe.bucket, key))
    assert got.body == data[1000:2001000] and got.headers["content-type"] == "image/tiff"
    assert probe("GET", key).body == got.body
    assert probe("PUT", key, "?tagging=", "=<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>").name == "ok"
    assert (probe("DELETE", key).status, probe("HEAD", key).name, probe("GET", key).code) == (204, "absent", "NoSuchKey")


def test_an_upload_of_parts_becomes_one_object(probe, s3_engine, tmp_path):
    path, data = make_file(tmp_path, PART + 1000)
    upload = re.search(rb"<UploadId>(.*?)</UploadId>", probe("POST", "big", "?uploads=").body).group(1).decode()
    etags = [probe("PUT", "big", "?partNumber=%d" % (i + 1), "?uploadId=" + upload, "<%d,%d,%s" % (i * PART, size, path)).etag
             for i, size in enumerate((PART, 1000))]
    assert probe("HEAD", "big").name == "absent"
    parts = "".join("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>" % (i + 1, etag) for i, etag in enumerate(etags))
    bad = parts.replace(etags[1], '"%s"' % ("0" * 32))
    whole = "=<CompleteMultipartUpload>%s</CompleteMultipartUpload>"
    refused = probe("POST", "big", "?uploadId=" + upload, whole % bad)
    assert (refused.name, refused.code) == ("bad", "InvalidPart"), refused
    done = probe("POST", "big", "?uploadId=" + upload, whole % parts)
    assert done.name == "ok" and b"CompleteMultipartUploadResult" in done.body, done
    assert s3_engine.request("GET", "/%s/big" % probe.bucket).body == data
    other = re.search(rb"<UploadId>(.*?)</UploadId>", probe("POST", "big", "?uploads=").body).group(1).decode()
    assert probe("DELETE", "big", "?uploadId=" + other).status == 204
    late = probe("PUT", "big", "?partNumber=1", "?uploadId=" + other, "<0,1000," + path)
    assert (late.name, late.code) == ("absent", "NoSuchUpload"), late


def test_what_is_refused_says_why(probe, s3_engine):
    assert probe("PUT", "a", "=x").name == "ok"
    nobody = probe("GET", "a", profile="nobody")
    assert (nobody.name, nobody.tries, nobody.code) == ("refused", 1, "AccessDenied"), nobody
    none = probe("GET", "a", bucket="there-is-none")
    assert (none.name, none.tries, none.code) == ("no-bucket", 1, "NoSuchBucket"), none
    for method in ("GET", "HEAD"):
        late = probe(method, "a", shift_s=-7200)    # radosgw takes signatures of the future; Amazon does not
        assert late.name == "clock" and late.tries == 1 and "clock" in late.reason, late


def test_it_comes_again_until_the_engine_is_back(probe, s3_engine):
    s3_engine.stop("radosgw")
    try:
        began = time.monotonic()
        away = probe("PUT", "a", "=x", seconds=5)
        assert away.name == "away" and away.tries > 1 and away.reason, away
        assert time.monotonic() - began < 30
        process = probe.begin("PUT", "a", "=x", seconds=30)
    finally:
        s3_engine.start("radosgw")
    back = probe.end(process)
    assert (back.name, back.status) == ("ok", 200), back
    wait_until(lambda: probe("HEAD", "a").name == "ok", "the object is there")
