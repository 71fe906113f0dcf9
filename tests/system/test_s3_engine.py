# SPDX-License-Identifier: Apache-2.0
"""
The S3 engine that other tests stand on does what they take for granted.
"""

import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import is_alive, wait_until
from s3_engine import TOP, need_engine, s3

RULES = b"""<LifecycleConfiguration>
<Rule><ID>short</ID><Filter><Prefix>1d/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>
<Rule><ID>uploads</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>
<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
</LifecycleConfiguration>"""
ONE_RULE = RULES[:RULES.index(b"</Rule>")] + b"</Rule></LifecycleConfiguration>"


def test_objects_come_back_to_those_who_may(s3_engine, s3_bucket):
    path, data = "/%s/keep/a b+c=d/é&.tif" % s3_bucket, os.urandom(300000)
    put = s3_engine.request("PUT", path, body=data, headers={"x-amz-meta-note": "one", "Content-Type": "image/tiff"})
    assert put.status == 200, put
    got = s3_engine.request("GET", path, headers={"Range": "bytes=100-199"})
    assert (got.status, got.body, got.headers["x-amz-meta-note"]) == (206, data[100:200], "one")
    assert s3_engine.request("GET", path, user=s3_engine.nobody).status == 403
    assert s3_engine.request("PUT", "/another-bucket", user=s3_engine.nobody).status == 403     # none at all
    assert s3_engine.request("GET", "/%s/keep/no" % s3_bucket).status == 404


def test_a_pass_of_the_lifecycle_expires_and_aborts(s3_engine, s3_bucket):
    def listed(*query):
        return s3_engine.request("GET", "/" + s3_bucket, query).body

    for name in ("1d/goes", "keep/stays"):
        assert s3_engine.request("PUT", "/%s/%s" % (s3_bucket, name), body=b"x").status == 200
    assert s3_engine.request("POST", "/%s/keep/half" % s3_bucket, [("uploads", "")]).status == 200
    assert s3_engine.request("PUT", "/" + s3_bucket, [("lifecycle", "")], RULES, md5=True).status == 200
    assert b"<Key>1d/goes</Key>" in listed() and b"<Key>keep/half</Key>" in listed(("uploads", ""))

    def passed():
        print(s3_engine.lifecycle(day_s=1, bucket=s3_bucket))      # for whom it fails
        return b"1d/goes" not in listed() and b"keep/half" not in listed(("uploads", ""))
    wait_until(passed, "what is older than its rule says has gone")
    assert b"<Key>keep/stays</Key>" in listed()


def test_a_pass_with_long_days_expires_nothing(s3_engine, s3_bucket):
    assert s3_engine.request("PUT", "/%s/1d/young" % s3_bucket, body=b"x").status == 200
    s3_engine.lifecycle(day_s=1)        # a day is over: each list is begun anew
    assert s3_engine.request("PUT", "/" + s3_bucket, [("lifecycle", "")], ONE_RULE, md5=True).status == 200
    s3_engine.lifecycle(day_s=86400, bucket=s3_bucket)
    assert s3_engine.request("HEAD", "/%s/1d/young" % s3_bucket).status == 200


def test_a_pass_is_made_though_another_has_the_lock(s3_engine, s3_bucket):
    assert s3_engine.request("PUT", "/" + s3_bucket, [("lifecycle", "")], ONE_RULE, md5=True).status == 200
    in_list = re.search(":%s:.* index: (\\d+)" % s3_bucket, s3_engine.lifecycle(day_s=1, bucket=s3_bucket)).group(1)
    s3_engine.run("rados", "--pool", "default.rgw.log", "--namespace", "lc", "lock", "get", "lc." + in_list, "lc_process",
                  "--lock-duration", "8")
    assert s3_bucket in s3_engine.lifecycle(day_s=1, bucket=s3_bucket)


def test_a_pass_that_does_not_come_to_the_bucket_is_told(s3_engine, s3_bucket):
    with pytest.raises(s3.Failed, match="did not come to " + s3_bucket):
        s3_engine.lifecycle(day_s=86400, bucket=s3_bucket)


def test_nothing_is_left_of_an_engine_whose_starter_was_killed(tmp_path):
    need_engine()
    program = ("import sys, time; sys.path.insert(0, sys.argv[1]); import s3\n"
               "engine = s3.Engine(sys.argv[2], tied=True).up(); print(*engine.pids().values(), flush=True); time.sleep(600)")
    starter = subprocess.Popen([sys.executable, "-c", program, os.path.join(TOP, "scripts", "lib"), str(tmp_path / "s3")],
                               stdout=subprocess.PIPE, text=True)
    try:
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert len(pids) == 3 and all(is_alive(pid) for pid in pids)
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "its daemons have ended, too")


def test_a_daemon_that_was_stopped_comes_back_at_the_same_place(s3_engine, s3_bucket):
    assert s3_engine.request("PUT", "/%s/a" % s3_bucket, body=b"x").status == 200
    s3_engine.stop("radosgw")
    s3_engine.start("radosgw")
    assert s3_engine.request("GET", "/%s/a" % s3_bucket).body == b"x"
