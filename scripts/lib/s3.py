#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
usage: scripts/lib/s3.py up DIR [--bucket NAME]...
       scripts/lib/s3.py down DIR
       scripts/lib/s3.py user DIR NAME [--no-buckets]
       scripts/lib/s3.py lifecycle DIR [--day S] [--bucket NAME]

A real S3 engine in DIR, for tests and for the curious: Ceph's monitor, one OSD
whose objects are in memory, and radosgw (Debian packages ceph-mon, ceph-osd and
radosgw; no systemd, no root).  It listens on loopback, on ports of its own, so
several can run side by side.  What is stored is gone when it ends.

"up" returns when S3 answers, and DIR/s3.env then holds, for the shell:

  S3_URL        http://127.0.0.1:PORT, path style, region us-east-1
  S3_BUCKET     the (first) bucket; "data" where none is named
  S3_KEY_FILE   AWS shared credentials: [default] owns the buckets, [nobody]
                may do nothing

"user" makes another user with keys and adds it to S3_KEY_FILE as [NAME].
"lifecycle" makes the pass that S3 makes once a day, now, and once: for it a day
has S seconds (1), so that an object which a rule lets live for 7 days goes when
it is 7 * S seconds old.  Without this nothing expires.  With a bucket's name it
is an error if the pass did not come to it: give rules to one bucket at a time.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.parse
import uuid
from collections import namedtuple

from processes import Failed, Processes, check, end, program, read, start_time, until, write

REGION = "us-east-1"
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
# In this order they start; in the other they end, for each waits for the ones before it when it ends.
ORDER = ("ceph-mon", "ceph-osd", "radosgw")
START_S = 60
LOCK_S = 120
# of what radosgw-admin says of a pass, which has "lifecycle:" in each line of it
PASS = re.compile(r"lifecycle: .*(START entry|is_expired|If-UnModified|processed|ERROR|fail)")

CONF = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
auth cluster required = none
auth service required = none
auth client required = none
# radosgw's own default asks for what there is only with cephx
ms mon client mode = crc
auth allow insecure global id reclaim = false
run dir = {dir}/run
crash dir = {dir}/run
# its path would have to be short
admin socket =
pid file = {dir}/run/$name.pid
log file = {dir}/log/$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
[mon]
mon data = {dir}/mon
mon cluster log file = {dir}/log/cluster.log
# of the disk that other tests fill
mon data avail warn = 2
mon data avail crit = 1
# changes of the map are collected for a second otherwise, and each start waits for several
paxos propose interval = 0.02
paxos min wait = 0.01
[osd]
osd data = {dir}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class load list = *
osd fast shutdown notify mon = false
[client.rgw.s3]
# tcp_nodelay: else 40 ms for each small answer
rgw frontends = beast endpoint=127.0.0.1:{s3_port} tcp_nodelay=1
rgw data = {dir}/rgw
# BUCKET.s3.localhost is a bucket, too
rgw dns name = s3.localhost
rgw enable lc threads = false
# what is deleted leaves memory soon
rgw gc obj min wait = 2
rgw gc processor period = 5
rgw gc processor max time = 5
"""

# With these there are temporary keys, and AccessDenied is said of a wrong signature, too.
STS = """
rgw s3 auth use sts = true
rgw sts key = %s
"""

KEYS = "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n"       # of a User
TOKEN = "aws_session_token = %s\n"      # ... with temporary ones
SESSIONS = ('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sts:GetSessionToken"], '
            '"Resource": ["*"]}]}')
User = namedtuple("User", "name id secret token", defaults=(None,))
Answer = namedtuple("Answer", "status headers body")    # headers: names in lower case


def missing():
    """The programs of it that are not here."""
    return [name for name in PROGRAMS if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None]


def hold_port():
    """A port that stays ours: bound and not listening, so that a daemon (they all set SO_REUSEADDR) may."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s


class Engine:
    """
    processes: where its daemons are noted, if somebody else's list.  tied: they
    are killed when the thread ends that started them, whatever ends it.  sts: it
    makes temporary keys.
    """

    def __init__(self, where, processes=None, tied=False, sts=False):
        self.where = os.path.realpath(where)
        self.path = lambda *names: os.path.join(self.where, *names)
        self.conf = self.path("ceph.conf")
        self.processes = processes or Processes(self.path("s3.pids"))
        self.more = STS % secrets.token_hex(8) if sts else ""
        self.wrap = [program("setpriv"), "--pdeathsig", "KILL", "--"] if tied else []
        self.held, self.users, self.url, self.daemons = [], {}, None, {}

    # -- daemons

    def run(self, *command, seconds=START_S):
        """All that a command of Ceph's says; some of them would wait for ever for what is not there."""
        done = subprocess.run([program(command[0]), "-c", self.conf, *command[1:]], stdin=subprocess.DEVNULL, cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
        if done.returncode != 0:
            raise Failed("%s: %s" % (" ".join(command[:3]), done.stdout))
        return done.stdout

    def start(self, name):
        arguments = {"ceph-mon": ["-i", "a"], "ceph-osd": ["-i", "0"], "radosgw": ["-n", "client.rgw.s3"]}[name]
        log = self.path("log", name + ".out")
        self.daemons[name] = self.processes.spawn(
            name, [*self.wrap, program(name), "-c", self.conf, *arguments, "--foreground"], log)
        if name == "radosgw":
            until(self.answers, "S3", START_S)

    def stop(self, name):
        for entry in [p for p in self.processes.all if p[0] == name]:
            end("s3", *entry)
            self.processes.all.remove(entry)
        self.processes.save()

    def kill(self, name):
        """As a crash does it."""
        self.daemons[name].kill()
        self.daemons[name].wait()
        self.stop(name)

    def pids(self):
        return {name: pid for name, pid, _ in self.processes.all if name in ORDER}

    def answers(self):
        for name, process in self.daemons.items():
            check(process, name, self.path("log", name + ".out"))
        try:
            return self.ask("GET", "/").status == 200
        except OSError:
            return False

    def up(self):
        lacking = missing()
        if lacking:
            raise Failed("there is no %s here (Debian packages ceph-mon, ceph-osd, radosgw)" % ", ".join(lacking))
        for name in ("mon", "osd", "rgw", "run", "log"):
            shutil.rmtree(self.path(name), ignore_errors=True)     # of one that is down
            os.makedirs(self.path(name))
        self.held = [hold_port(), hold_port()]
        s3_port, mon_port = [s.getsockname()[1] for s in self.held]
        self.url = "http://127.0.0.1:%d" % s3_port
        fsid = str(uuid.uuid4())
        write(self.conf, CONF.format(dir=self.where, fsid=fsid, mon_port=mon_port, s3_port=s3_port).lstrip() + self.more)
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", "[v2:127.0.0.1:%d]" % mon_port, self.path("monmap"))
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", self.path("monmap"))
        self.start("ceph-mon")
        osd = str(uuid.uuid4())
        self.run("ceph", "osd", "new", osd)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start("ceph-osd")
        self.start("radosgw")
        self.owner = self.add_user("default")
        self.nobody = self.add_user("nobody", buckets=False)
        return self

    def down(self):
        for name in reversed(ORDER):
            self.stop(name)
        for s in self.held:
            s.close()
        self.held = []

    # -- what an administrator does

    def add_user(self, name, buckets=True, caps=None):
        """Its keys look like AWS's, '/' and '+' among their bytes.  Without buckets it can make none.  caps: radosgw-admin's."""
        user = User(name, "AKIA" + secrets.token_hex(8).upper(), "+/" + base64.b64encode(secrets.token_bytes(27)).decode() + "/+")
        self.run("radosgw-admin", "user", "create", "--uid", name, "--display-name", name, "--access-key", user.id,
                 "--secret-key", user.secret, *([] if buckets else ["--max-buckets", "-1"]), *(["--caps", caps] if caps else []))
        self.users[name] = user
        return user

    def add_session(self, name, of):
        """Temporary keys of a user, for a quarter of an hour: a User with a token.  Of an engine with sts."""
        admin = self.users.get("admin") or self.add_user("admin", caps="user-policy=*")
        self.act(admin, Action="PutUserPolicy", PolicyName="sessions", UserName=of.name, PolicyDocument=SESSIONS)
        said = self.act(of, Action="GetSessionToken", DurationSeconds="900", Version="2011-06-15")
        self.users[name] = User(name, *(re.search("<%s>(.*?)</%s>" % (word, word), said).group(1)
                                        for word in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
        return self.users[name]

    def act(self, user, **words):
        """One of the actions that are no S3: their body is signed."""
        body = urllib.parse.urlencode(words).encode()
        url = self.presign("POST", "/", user=user, payload=hashlib.sha256(body).hexdigest())
        answer = self.ask("POST", url[len(self.url):], body, {"Content-Type": "application/x-www-form-urlencoded"})
        if answer.status != 200:
            raise Failed("%s: %d %s" % (words["Action"], answer.status, answer.body.decode()))
        return answer.body.decode()

    def lifecycle(self, day_s=1, bucket=None):
        """
        A pass that was made, over that bucket too, and the lines that tell what it
        looked at and did.  radosgw-admin ends well also where it did nothing: while
        another has the lock of the rules (for 90 s, if it died with it), and for a
        bucket whose rules share one of 32 lists with those of another: of each list
        it takes up the first.  (Its own --bucket is not heeded by 16, and ends 18
        where that has no rules.)
        """
        def passed():
            said = self.run("radosgw-admin", "lc", "process", "--rgw-lc-debug-interval", str(day_s), "--debug-rgw", "20",
                            "--log-to-stderr", "true")
            if re.search("failed to ac?quire lock", said):      # 16 and 18
                return None
            lines = "\n".join(line for line in said.splitlines() if PASS.search(line))
            if bucket and not re.search("START entry.*:%s:" % re.escape(bucket), lines):
                raise Failed("the pass did not come to %s: it has no rules, or those of another bucket are before it\n%s"
                             % (bucket, lines))
            return lines or "no bucket has rules"
        return until(passed, "a pass of the lifecycle", LOCK_S)

    def settle(self, buckets):
        """Buckets and the file of keys: what the shell is told of them."""
        for bucket in buckets:
            self.make_bucket(bucket)
        self.write_keys(self.path("keys"))
        return {"S3_URL": self.url, "S3_BUCKET": buckets[0], "S3_KEY_FILE": self.path("keys")}

    def write_keys(self, path):
        write(path, "".join(KEYS % user[:3] + (TOKEN % user.token if user.token else "") for user in self.users.values()), 0o600)

    def bucket_quota(self, bucket, objects=None):
        """It is full with so many; None: never."""
        if objects is not None:
            self.run("radosgw-admin", "quota", "set", "--quota-scope", "bucket", "--bucket", bucket, "--max-objects", str(objects))
        self.run("radosgw-admin", "quota", "disable" if objects is None else "enable", "--quota-scope", "bucket", "--bucket", bucket)

    # -- what a client does; a signer of its own, in other words than the one that is tested with it

    def presign(self, method, path, query=(), user=None, life_s=600, headers=None, at=None, payload="UNSIGNED-PAYLOAD"):
        """path: decoded, "/bucket/key".  query: pairs, decoded.  headers: to be signed, and sent by the caller."""
        user = user or self.owner
        at = at or datetime.datetime.now(datetime.timezone.utc)
        day, host = at.strftime("%Y%m%d"), urllib.parse.urlsplit(self.url).netloc
        scope = "/".join((day, REGION, "s3", "aws4_request"))
        signed = {"host": host, **{name.lower(): value for name, value in (headers or {}).items()}}
        names = ";".join(sorted(signed))
        pairs = [*query, ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", user.id + "/" + scope),
                 ("X-Amz-Date", at.strftime("%Y%m%dT%H%M%SZ")), ("X-Amz-Expires", str(life_s)), ("X-Amz-SignedHeaders", names)]
        text = "&".join("=".join(pair) for pair in sorted(tuple(urllib.parse.quote(s, safe="") for s in pair) for pair in pairs))
        where = urllib.parse.quote(path, safe="/")
        canonical = "\n".join([method, where, text, *("%s:%s" % pair for pair in sorted(signed.items())), "", names, payload])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", at.strftime("%Y%m%dT%H%M%SZ"), scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + user.secret).encode()
        for word in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        return "%s%s?%s&X-Amz-Signature=%s" % (self.url, where, text, hmac.digest(key, to_sign.encode(), "sha256").hex())

    def ask(self, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.url).netloc, timeout=START_S)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def request(self, method, path, query=(), body=None, headers=None, user=None, md5=False):
        """Signed.  The headers are sent; those that S3 wants signed (x-amz-*) are."""
        headers = dict(headers or {})
        if md5:
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        amz = {name: value for name, value in headers.items() if name.lower().startswith("x-amz-")}
        url = self.presign(method, path, query, user, headers=amz)
        return self.ask(method, url[len(self.url):], body, headers)

    def make_bucket(self, name, user=None):
        answer = self.request("PUT", "/" + name, user=user)
        if answer.status != 200:
            raise Failed("cannot make the bucket '%s': %d %s" % (name, answer.status, answer.body.decode()))


# -- the command

def load(where):
    """That of an "up" before; of scripts/stack, which ends its daemons itself, there is no list."""
    engine = Engine(where)
    if os.path.exists(engine.processes.file):
        engine.processes.all = json.loads(read(engine.processes.file))["processes"]
    return engine


def up(options):
    engine = load(options.dir)
    if any(start_time(pid) == start for _, pid, start in engine.processes.all):
        raise Failed("an engine is up in %s already" % engine.where)
    engine.processes.all = []
    try:
        engine.up()
        values = engine.settle(options.bucket or ["data"])
        write(engine.path("s3.env"), "".join("%s=%s\n" % (k, shlex.quote(v)) for k, v in values.items()))
    except BaseException:
        engine.down()
        raise


def down(options):
    load(options.dir).down()


def user(options):
    engine = Engine(options.dir)
    made = engine.add_user(options.name, not options.no_buckets)
    with open(engine.path("keys"), "a", encoding="utf-8") as f:
        f.write(KEYS % made[:3])


def lifecycle(options):
    Engine(options.dir).lifecycle(options.day, options.bucket)


def main():
    parser = argparse.ArgumentParser(prog="scripts/lib/s3.py", usage=__doc__.strip()[len("usage: "):], add_help=False)
    parser.add_argument("--help", action="store_true")
    commands = parser.add_subparsers(dest="what")
    for act in (up, down, user, lifecycle):
        command = commands.add_parser(act.__name__, add_help=False)
        command.add_argument("dir")
        command.set_defaults(act=act)
    commands.choices["up"].add_argument("--bucket", action="append")
    commands.choices["user"].add_argument("name")
    commands.choices["user"].add_argument("--no-buckets", action="store_true")
    commands.choices["lifecycle"].add_argument("--day", type=int, default=1)
    commands.choices["lifecycle"].add_argument("--bucket")
    options = parser.parse_args()
    if options.help:
        print(__doc__.strip())
        return 0
    if options.what is None:
        parser.error("what, and where?")
    try:
        options.act(options)
        return 0
    except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as problem:
        sys.stderr.write("s3: %s\n" % problem)
        return 1


if __name__ == "__main__":
    sys.exit(main())
