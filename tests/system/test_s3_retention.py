# SPDX-License-Identifier: Apache-2.0
"""
eodata-proxyctl retention: against the real engine, and against an S3 that says
what that one does not.
"""

import base64
import hashlib
import http.server
import json
import os
import pty
import re
import subprocess
import threading
import urllib.parse
from types import SimpleNamespace

import pytest
from conftest import PREFIX, wait_until

CTL = os.path.join(PREFIX, "sbin", "eodata-proxyctl")
LIMIT_S = 60
FOREIGN = ("<Rule><ID>logs of others</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>"
           "<Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>")
OURS_14D = ("<Rule><ID>eodata-proxy-14d</ID><Filter><Prefix>14d/</Prefix></Filter><Status>Enabled</Status>"
            "<Expiration><Days>14</Days></Expiration></Rule>")


def rules_of(text):
    """{id: the rule}, blanks and namespace aside."""
    return {re.search("<ID>(.*?)</ID>", rule).group(1): rule for rule in re.findall("<Rule>.*?</Rule>", text, re.S)}


class Site:
    """A configuration, and the tool with it."""

    def __init__(self, path, url, bucket, key_file="", classes=("7d", "keep"), **s3):
        self.file = path / "eodata-proxy.conf"
        self.secrets = []
        self.write(url, bucket, key_file, classes, **s3)

    def write(self, url, bucket, key_file="", classes=("7d", "keep"), **s3):
        self.file.write_text(json.dumps({"cache": {
            "retentions": {name: {} for name in classes},
            "s3": {"endpoint": url, "bucket": bucket, "credentials": str(key_file), **s3}}}))

    def ctl(self, *words, environment=None, **more):
        done = subprocess.run([CTL, "--config", self.file, "retention", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=LIMIT_S, env={**os.environ, **(environment or {})}, **more)
        self.keeps_secrets(done.stdout + done.stderr)
        return done

    def keeps_secrets(self, text):
        for secret in (*self.secrets, "X-Amz-", "Signature="):
            assert secret not in text


@pytest.fixture
def keys(s3_engine, tmp_path):
    s3_engine.write_keys(str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def site(s3_engine, s3_bucket, keys, tmp_path):
    made = Site(tmp_path, s3_engine.url, s3_bucket, keys)
    made.secrets = [word for user in s3_engine.users.values() for word in (user.id, user.secret)]
    made.put = lambda *rules: put_rules(s3_engine, s3_bucket, *rules)
    made.rules = lambda: rules_of(s3_engine.request("GET", "/" + s3_bucket, [("lifecycle", "")]).body.decode())
    return made


def put_rules(engine, bucket, *rules):
    body = "<LifecycleConfiguration>%s</LifecycleConfiguration>" % "".join(rules)
    answer = engine.request("PUT", "/" + bucket, [("lifecycle", "")], body.encode(), md5=True)
    assert answer.status == 200, answer


# -- what is wanted


def test_show_needs_no_bucket(tmp_path):
    site = Site(tmp_path, "https://s3.invalid", "eo-data", prefix="site-a/")
    done = site.ctl("show")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("eodata-proxy-site-a/7d: site-a/7d/: objects go after 7 days, unfinished uploads go after 2 days\n"
                           "eodata-proxy-site-a/keep: site-a/keep/: unfinished uploads go after 2 days\n")
    assert json.loads(site.ctl("show", "--json").stdout) == {"rules": [
        {"id": "eodata-proxy-site-a/7d", "prefix": "site-a/7d/", "expire_days": 7, "abort_days": 2},
        {"id": "eodata-proxy-site-a/keep", "prefix": "site-a/keep/", "expire_days": None, "abort_days": 2}]}
    assert list(rules_of(site.ctl("show", "--xml").stdout)) == ["eodata-proxy-site-a/7d", "eodata-proxy-site-a/keep"]


def test_show_of_the_directory_is_for_tmpfiles(tmp_path):
    site = Site(tmp_path, "https://s3.invalid", "eo-data")
    lines = ("# cache.retentions, for systemd-tmpfiles: /etc/tmpfiles.d/eodata-proxy.conf\n"
             "e /var/cache/eodata-proxy/7d - - - mM:7d\n# /var/cache/eodata-proxy/keep is kept for ever\n")
    assert site.ctl("show", "--directory").stdout == lines
    site.write("", "")
    assert site.ctl("show").stdout == lines
    assert json.loads(site.ctl("show", "--json").stdout)["rules"][0] == {"path": "/var/cache/eodata-proxy/7d", "expire_days": 7}
    for command, status in (("apply", 1), ("diff", 2)):
        done = site.ctl(command)
        assert done.returncode == status and "a directory has no rules of its own" in done.stderr


def test_secrets_of_the_proxy_are_not_needed_to_ask(tmp_path):
    site = Site(tmp_path, "https://s3.invalid", "eo-data")
    config = json.loads(site.file.read_text())
    config["cache"]["store"] = "s3"
    config["stac"] = {"headers_file": str(tmp_path / "of-another-user")}
    site.file.write_text(json.dumps(config))
    done = site.ctl("show", environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("eodata-proxy-7d: ")


@pytest.mark.parametrize("words,want", [
    ((), "show, diff or apply is missing after 'retention'"), (("see",), "show, diff or apply, not 'see'"),
    (("show", "diff"), "one command at a time, not 'diff'"), (("show", "--run", "/x"), "in the configuration")])
def test_wrong_use_is_told(tmp_path, words, want):
    done = Site(tmp_path, "https://s3.invalid", "eo-data").ctl(*words)
    assert done.returncode == 2 and want in done.stderr
    done = subprocess.run([CTL, "--yes", "status"], stderr=subprocess.PIPE, text=True, timeout=LIMIT_S)
    assert done.returncode == 2 and "--yes does not go with 'status'" in done.stderr


# -- the bucket


def test_an_empty_bucket_gets_the_rules_once(site):
    difference = ("+ eodata-proxy-7d: 7d/: objects go after 7 days, unfinished uploads go after 2 days\n"
                  "+ eodata-proxy-keep: keep/: unfinished uploads go after 2 days\n")
    done = site.ctl("diff")
    assert (done.returncode, done.stdout, done.stderr) == (1, difference, "")
    done = site.ctl("apply", "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, difference + "written\n", "")
    rules = site.rules()
    assert sorted(rules) == ["eodata-proxy-7d", "eodata-proxy-keep"]
    assert "<Expiration><Days>7</Days></Expiration>" in rules["eodata-proxy-7d"]
    assert "<Expiration>" not in rules["eodata-proxy-keep"]
    assert all("<DaysAfterInitiation>2</DaysAfterInitiation>" in rule for rule in rules.values())
    done = site.ctl("diff")
    assert (done.returncode, done.stdout) == (0, "")
    done = site.ctl("apply")    # nobody has to be asked
    assert (done.returncode, done.stdout) == (0, "nothing to do\n")


def test_rules_of_others_stay_and_ours_that_are_stale_go(site, s3_engine, s3_bucket, keys):
    site.put(FOREIGN, OURS_14D)
    before = site.rules()["logs of others"]
    done = site.ctl("apply", "--yes")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert r"  logs\x20of\x20others: logs/, with certain tags or sizes: objects go after 3 days" in lines
    assert "- eodata-proxy-14d: 14d/: objects go after 14 days" in lines
    assert site.rules()["logs of others"] == before
    assert sorted(site.rules()) == ["eodata-proxy-7d", "eodata-proxy-keep", "logs of others"]
    # another site, in the same bucket
    site.write(s3_engine.url, s3_bucket, keys, ("30d",), prefix="site-b/")
    assert site.ctl("apply", "--yes").returncode == 0
    assert sorted(site.rules()) == ["eodata-proxy-7d", "eodata-proxy-keep", "eodata-proxy-site-b/30d", "logs of others"]


def test_the_last_class_takes_the_last_rule_with_it(site, s3_engine, s3_bucket, keys):
    assert site.ctl("apply", "--yes").returncode == 0
    site.write(s3_engine.url, s3_bucket, keys, ())
    done = site.ctl("apply", "--yes")
    assert done.returncode == 0 and done.stdout.startswith("- eodata-proxy-7d: "), done
    assert s3_engine.request("GET", "/" + s3_bucket, [("lifecycle", "")]).status == 404
    done = site.ctl("apply")
    assert (done.returncode, done.stdout) == (0, "nothing to do\n")


def test_a_rule_of_others_that_takes_our_objects_is_told(site):
    site.put("<Rule><ID>all</ID><Prefix></Prefix><Status>Enabled</Status><Expiration><Days>5</Days></Expiration></Rule>")
    warning = "warning: the rule all is not ours, and by it objects go after 5 days, of 7d, keep\n"
    assert warning in site.ctl("diff").stderr
    assert warning in site.ctl("apply", "--yes").stderr


def test_versions_that_nobody_clears_are_told(site, s3_engine, s3_bucket):
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert s3_engine.request("PUT", "/" + s3_bucket, [("versioning", "")], enabled).status == 200
    assert "warning: the bucket keeps versions, and no rule lets old ones go of 7d, keep" in site.ctl("diff").stderr


def test_without_a_terminal_nothing_is_written(site):
    done = site.ctl("apply")
    assert done.returncode == 1 and "nothing is written" in done.stderr and "--yes" in done.stderr
    assert site.rules() == {}


class Terminal:
    """apply, asked on a terminal."""

    def __init__(self, site):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([CTL, "--config", site.file, "retention", "apply"], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = b""

    def until(self, text):
        while text not in self.text:
            self.text += os.read(self.master, 4096)

    def answer(self, line):
        os.write(self.master, line)
        try:
            while True:
                more = os.read(self.master, 4096)
                if not more:
                    break
                self.text += more
        except OSError:     # the other end is closed
            pass
        os.close(self.master)
        return self.process.wait(LIMIT_S)


@pytest.mark.parametrize("line,status", [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"yesno\n", 1), (b"\x04", 1)])
def test_on_a_terminal_somebody_is_asked(site, s3_bucket, line, status):
    terminal = Terminal(site)
    terminal.until(b"Write these rules to the bucket '%s'? [y/N] " % s3_bucket.encode())
    assert b"+ eodata-proxy-7d: " in terminal.text and site.rules() == {}
    assert terminal.answer(line) == status
    assert (b"\nwritten\r\n" in terminal.text) == (status == 0)
    assert (b"nothing is written" in terminal.text) == (status == 1)
    assert len(site.rules()) == (2 if status == 0 else 0)


def test_what_was_not_shown_is_not_overwritten(site):
    terminal = Terminal(site)
    terminal.until(b"[y/N] ")
    site.put(FOREIGN)
    assert terminal.answer(b"y\n") == 1
    assert b"somebody has changed the bucket's rules meanwhile" in terminal.text
    assert list(site.rules()) == ["logs of others"]


def test_objects_go_with_their_class_and_unfinished_uploads_everywhere(site, s3_engine, s3_bucket, keys):
    site.write(s3_engine.url, s3_bucket, keys, ("1d", "keep"), prefix="eo/")
    assert site.ctl("apply", "--yes").returncode == 0
    for folder in ("eo/1d", "eo/keep", "other"):
        assert s3_engine.request("PUT", "/%s/%s/whole" % (s3_bucket, folder), body=b"x").status == 200
    for folder in ("eo/keep", "other"):
        assert s3_engine.request("POST", "/%s/%s/half" % (s3_bucket, folder), [("uploads", "")]).status == 200

    def keys_of(*query):
        return sorted(re.findall("<Key>(.*?)</Key>", s3_engine.request("GET", "/" + s3_bucket, query).body.decode()))

    def passed():
        print(s3_engine.lifecycle(day_s=1, bucket=s3_bucket))      # for whom it fails
        return "eo/1d/whole" not in keys_of() and "eo/keep/half" not in keys_of(("uploads", ""))
    assert len(keys_of()) == 3 and len(keys_of(("uploads", ""))) == 2
    wait_until(passed, "the rules have done what they say", LIMIT_S)
    assert keys_of() == ["eo/keep/whole", "other/whole"]
    assert keys_of(("uploads", "")) == ["other/half"]


def test_what_expired_is_fetched_again_without_an_error_to_anyone(make_stack, s3_engine, s3_bucket, keys):
    stack = make_stack({
        "cache": {"store": "s3", "retentions": {"1d": {}, "keep": {}},
                  "s3": {"endpoint": s3_engine.url, "bucket": s3_bucket, "credentials": str(keys)}},
        "datasets": [{"collections": ["KEPT"], "retention": "keep"}, {"retention": "1d"}]})
    goes, stays = stack.add(), stack.add(collection="KEPT")

    def kept():
        return sorted(key.split("/")[0] for key in re.findall(
            "<Key>(.*?)</Key>", s3_engine.request("GET", "/" + s3_bucket).body.decode()))

    def fetch(asset):
        answer = stack.get(asset.path)
        assert (answer.status, answer.body) == (200, asset.data), answer
        return answer

    def passed():
        print(s3_engine.lifecycle(day_s=1, bucket=s3_bucket))      # for whom it fails
        return kept() == ["keep"]
    for asset in (goes, stays):
        fetch(asset)
    wait_until(lambda: fetch(goes).is_hit and fetch(stays).is_hit, "both are hits")
    assert kept() == ["1d", "keep"]
    done = subprocess.run([CTL, "--config", stack.env["CONFIG"], "retention", "apply", "--yes"], timeout=LIMIT_S)
    assert done.returncode == 0
    wait_until(passed, "the one has expired", LIMIT_S)
    fetch(goes)
    assert fetch(stays).is_hit
    wait_until(lambda: fetch(goes).is_hit, "it is there again")
    assert kept() == ["1d", "keep"] and (len(goes.upstream()), len(stays.upstream())) == (2, 1)


# -- what may be wrong


def both(site, want, **more):
    for words, status in ((("diff",), 2), (("apply", "--yes"), 1)):
        done = site.ctl(*words, **more)
        assert done.returncode == status and want in done.stderr and done.stdout == "", done


def test_wrong_keys_are_told_without_showing_them(site, s3_engine, s3_bucket, keys):
    keys.write_text(keys.read_text().replace(s3_engine.owner.secret, "CANARY" + s3_engine.owner.secret[6:]))
    site.secrets.append("CANARY")
    both(site, "the secret is not the key's: mend cache.s3.credentials (SignatureDoesNotMatch)")
    keys.write_text(keys.read_text().replace(s3_engine.owner.id, "CANARY"))
    both(site, "the key is not known there: mend cache.s3.credentials (InvalidAccessKeyId)")
    keys.write_text("[default]\naws_access_key_id = CANARY\n")
    both(site, str(keys))
    s3_engine.write_keys(str(keys))
    site.write(s3_engine.url, s3_bucket, keys, profile="nobody")
    both(site, "the key may not do this: it needs s3:GetLifecycleConfiguration")
    site.write(s3_engine.url, s3_bucket, keys, profile="absent")
    both(site, "absent")


def test_keys_may_be_in_the_environment(site, s3_engine, s3_bucket):
    site.write(s3_engine.url, s3_bucket)
    owner = s3_engine.owner
    environment = {"AWS_ACCESS_KEY_ID": owner.id, "AWS_SECRET_ACCESS_KEY": owner.secret, "AWS_SESSION_TOKEN": ""}
    assert site.ctl("apply", "--yes", environment=environment).returncode == 0
    both(site, "AWS_ACCESS_KEY_ID", environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})


def test_a_bucket_that_is_not_there_is_told(site, s3_engine, keys):
    site.write(s3_engine.url, "no-such-bucket", keys)
    both(site, "the bucket 'no-such-bucket': there is no such bucket: make it, or mend cache.s3.bucket (NoSuchBucket)")
    site.write("http://127.0.0.1:1", "no-such-bucket", keys)
    done = site.ctl("diff")     # which asks for some seconds
    assert done.returncode == 2 and "cannot ask 'http://127.0.0.1:1': " in done.stderr and done.stdout == "", done


# -- an S3 that says what the engine does not


class Other(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s3, query = self.server.s3, urllib.parse.parse_qs(self.path.partition("?")[2], keep_blank_values=True)
        if s3.before:
            self.answer(*s3.before.pop(0))
        elif "versioning" in query:
            self.answer(*s3.versioning)
        else:
            self.answer(*s3.lifecycle)

    def do_PUT(self):
        s3 = self.server.s3
        s3.written.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        if s3.lets_write:
            s3.lifecycle = (200, s3.written[-1][2], s3.lifecycle[2] if len(s3.lifecycle) > 2 else ())
        self.answer(200)

    def log_message(self, *_):
        pass


@pytest.fixture
def other(tmp_path):
    """s3.lifecycle and s3.versioning are what it answers, after those of s3.before; s3.written what was put."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    server.s3 = SimpleNamespace(lifecycle=(404, b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>"),
                                versioning=(200, b"<VersioningConfiguration/>"), written=[], lets_write=True, before=[])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = AKIACANARY\naws_secret_access_key = SECRETCANARY\n")
    (tmp_path / "keys").chmod(0o600)
    site = Site(tmp_path, "http://127.0.0.1:%d" % server.server_port, "eo-data", tmp_path / "keys")
    site.secrets = ["CANARY"]
    try:
        yield SimpleNamespace(s3=server.s3, site=site)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_aws_wants_of_a_put_is_sent_and_signed(other):
    size = ("x-amz-transition-default-minimum-object-size", "varies_by_storage_class")
    other.s3.lifecycle = (200, b"<LifecycleConfiguration>%s</LifecycleConfiguration>" % FOREIGN.encode(), [size])
    assert other.site.ctl("apply", "--yes").returncode == 0
    (path, headers, body), = other.s3.written
    assert headers["Content-MD5"] == base64.b64encode(hashlib.md5(body).digest()).decode()
    assert headers[size[0]] == size[1], "else what others have chosen for their transitions is lost"
    query = urllib.parse.parse_qs(path.partition("?")[2], keep_blank_values=True)
    assert "lifecycle" in query and set(query["X-Amz-SignedHeaders"][0].split(";")) >= {"host", "content-md5", size[0]}
    assert FOREIGN in body.decode()


def test_an_s3_that_is_busy_is_asked_again(other):
    busy = [(503, b"<Error><Code>SlowDown</Code></Error>"), (500, b"<Error><Code>InternalError</Code></Error>")]
    other.s3.before = list(busy)
    done = other.site.ctl("apply", "--yes")
    assert done.returncode == 0 and len(other.s3.written) == 1 and other.s3.before == [], done


def test_what_is_not_there_after_writing_is_told(other):
    other.s3.lets_write = False
    done = other.site.ctl("apply", "--yes")
    assert done.returncode == 1 and "the bucket shows others" in done.stderr and len(other.s3.written) == 1


@pytest.mark.parametrize("lifecycle,want", [
    ((400, b"<Error><Code>AuthorizationQueryParametersError</Code><Region>eu-west-9</Region></Error>"),
     "is in the region 'eu-west-9': mend cache.s3.region"),
    ((301, b"<Error><Code>PermanentRedirect</Code></Error>", [("x-amz-bucket-region", "eu-west-9")]),
     "is in the region 'eu-west-9': mend cache.s3.region"),
    ((403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>"), "the clock of this host is not that of 'http://127.0.0.1:"),
    ((501, b"<Error><Code>NotImplemented</Code></Error>"), "it has no such rules"),
    ((405, b"<Error><Code>MethodNotAllowed</Code><Message>\x1b[31m</Message></Error>"), "with status 405: is it S3?"),
    ((405, b"<Error><Code>MethodNotAllowed</Code><Message>&#x9b;31m no</Message></Error>"), r"(MethodNotAllowed, \xc2\x9b31m\x20no)"),
    ((301, b"", [("Location", "http://127.0.0.1:1/")]), "answers with status 301: is it S3?"),
    ((200, b"<html>hello</html>"), "the document is no LifecycleConfiguration"),
    ((200, b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "the document has a document type"),
    ((200, b"<a>" * 100000), "is nested too deep"),
    ((200, b"x" * (5 << 20)), "cannot ask 'http://127.0.0.1:"),
    ((200, b'<LifecycleConfiguration><Rule a="b"/></LifecycleConfiguration>'), "cannot be kept as it is")])
def test_an_answer_that_helps_nobody_is_an_error_and_nothing_is_written(other, lifecycle, want):
    other.s3.lifecycle = lifecycle
    both(other.site, want)
    assert other.s3.written == []


def test_versions_that_cannot_be_seen_stop_nothing(other):
    other.s3.versioning = (403, b"<Error><Code>AccessDenied</Code></Error>")
    done = other.site.ctl("apply", "--yes")
    assert done.returncode == 0 and "warning: cannot see if the bucket keeps versions" in done.stderr
