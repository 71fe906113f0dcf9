# SPDX-License-Identifier: Apache-2.0
"""eodata-proxyctl object: what an operator and a harvester do with what is stored, over both stores."""

import calendar
import fcntl
import hashlib
import http.server
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import termios
import threading
import time
import urllib.parse
from types import SimpleNamespace

import pytest
from conftest import PREFIX, to_base64, wait_until

CTL = os.path.join(PREFIX, "sbin", "eodata-proxyctl")
LIMIT_S = 60
PART = 5 << 20
both_stores = pytest.mark.both_stores


def command(config, *words):
    return [CTL, "--config", config, "object", *words]


def ctl(stack, *words, config=None, **more):
    return subprocess.run(command(config or stack.env["CONFIG"], *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=LIMIT_S, **{"text": True, "stdin": subprocess.DEVNULL, **more})


def name_of(asset):
    """Its path without the base path."""
    return asset.path[len("/data/"):]


def ask_stat(stack, asset):
    """What stat says of it, as JSON; None where it is not stored."""
    done = ctl(stack, "stat", "--json", name_of(asset))
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["present"] else 1) and done.stderr == "", done
    return found if found["present"] else None


def write(tmp_path, data, name="file.tif"):
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def hit(stack, asset, headers=None):
    """What is stored, from the store."""
    answer = stack.get(asset.path, headers)
    assert answer.is_hit, answer
    return answer


# -- put


@both_stores
def test_what_is_put_is_a_hit_with_its_metadata(stack, tmp_path):
    data = os.urandom(300000)
    asset = stack.add(b"the provider's")
    digest = hashlib.sha256(data).hexdigest()
    done = ctl(stack, "put", "--type", "image/tiff; application=geotiff", "--etag", "v1", "--last-modified", "2026-01-02T03:04:05Z",
               "--sha256", digest, name_of(asset), write(tmp_path, data, "scène 1.tif"))
    assert done.returncode == 0 and done.stderr == "", done
    answer = hit(stack, asset)
    assert answer.body == data and answer.headers["etag"] == '"v1"'
    assert answer.headers["content-type"] == "image/tiff; application=geotiff"
    assert answer.headers["last-modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert "filename*=UTF-8''sc%C3%A8ne%201.tif" in answer.headers["content-disposition"]
    part = hit(stack, asset, {"Range": "bytes=1000-1999"})
    assert part.status == 206 and part.body == data[1000:2000]
    assert stack.get(asset.path, {"If-None-Match": '"v1"'}).status == 304
    assert asset.upstream() == []
    assert stack.store.read(asset)[1]["checksum"] == "sha256:" + digest


@both_stores
def test_without_options_the_file_says_it_all_and_the_same_bytes_have_the_same_tag(stack, tmp_path):
    path = write(tmp_path, os.urandom(1000), "x.json")
    os.utime(path, (1700000000, 1700000000))
    tags = []
    for asset in (stack.add(b""), stack.add(b"")):
        assert ctl(stack, "put", asset.url, path).returncode == 0       # a whole URL names it, too
        answer = hit(stack, asset)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        tags.append(answer.headers["etag"])
    assert tags[0] == tags[1]


@both_stores
@pytest.mark.parametrize("size", [0, PART, 2 * PART + 12345])
def test_what_comes_through_a_pipe_is_put_whole(stack, size):
    data = os.urandom(size)
    asset = stack.add(b"")
    done = ctl(stack, "put", name_of(asset), "-", input=data, text=False, stdin=None)
    assert done.returncode == 0, done
    assert hit(stack, asset).body == data


@both_stores
def test_what_is_put_takes_the_place_of_what_was_there(stack, tmp_path):
    asset = stack.add().warm()
    data = os.urandom(5000)
    assert ctl(stack, "put", name_of(asset), write(tmp_path, data)).returncode == 0
    assert hit(stack, asset).body == data       # also where a mover believes that the other one is there
    assert len(asset.upstream()) == 1 and ask_stat(stack, asset)["size"] == 5000


@both_stores
def test_a_chunk_of_a_tree_is_put_under_its_sub_path(stack, tmp_path):
    asset = stack.add(b"")
    assert ctl(stack, "put", name_of(asset) + "/0.0/a%20b", write(tmp_path, b"chunk")).returncode == 0
    answer = stack.get(asset.path + "/0.0/a%20b")
    assert answer.is_hit and answer.body == b"chunk" and "content-disposition" not in answer.headers
    assert ask_stat(stack, asset) is None


@both_stores
@pytest.mark.parametrize("options,data,want", [
    (("--sha256", "0" * 64), b"x", "its sha256 is not the announced one"),
    (("--multihash", "d50110" + "0" * 32), b"x", "its md5 is not the announced one"),
    (("--sha256", "12"), b"x", "--sha256 has 64 hex digits"),
    (("--etag", "W/\"1\""), b"x", "'etag' is not a strong entity-tag"),
    (("--etag", "a\r\nX: y"), b"x", "'etag' is not a strong entity-tag"),
    (("--type", "image/tiff\r\nX: y"), b"x", "--type is a media type"),
    (("--last-modified", "yesterday"), b"x", "--last-modified is a date"),
    (("--last-modified", "2026-02-31T00:00:00Z"), b"x", "--last-modified is a date"),
    ((), b"<!DOCTYPE html><title>Login</title>", "looks like an HTML page")])
def test_what_is_not_as_announced_is_not_put(stack, tmp_path, options, data, want):
    asset = stack.add(b"")
    done = ctl(stack, "put", *options, name_of(asset), write(tmp_path, data))
    assert done.returncode == 1 and want in done.stderr and done.stdout == "", done
    assert ask_stat(stack, asset) is None and stack.store.find(asset) is None


def test_a_good_digest_of_each_kind_is_kept(stack, tmp_path):
    for prefix, name in (("d501" "10", "md5"), ("1114", "sha1"), ("1340", "sha512")):
        asset, data = stack.add(b""), os.urandom(3000000)
        digest = hashlib.new(name, data).hexdigest()
        assert ctl(stack, "put", "--multihash", prefix + digest, name_of(asset), write(tmp_path, data)).returncode == 0
        assert ask_stat(stack, asset)["checksum"] == "%s:%s" % (name, digest)


def test_a_file_that_changes_while_it_is_read_is_not_put(stack, tmp_path):
    path = tmp_path / "grows"
    path.write_bytes(os.urandom(64 << 20))
    asset, stop = stack.add(b""), threading.Event()

    def grow():
        with open(path, "ab", buffering=0) as f:
            while not stop.is_set():
                f.write(b"more")
    thread = threading.Thread(target=grow)
    thread.start()
    try:
        done = ctl(stack, "put", name_of(asset), str(path))
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 1 and "it has changed while it was read" in done.stderr, done
    assert ask_stat(stack, asset) is None


def test_what_is_no_file_is_not_put(stack, tmp_path):
    asset = stack.add(b"")
    os.mkfifo(tmp_path / "fifo")
    for path, want in ((tmp_path / "fifo", "no regular file"), (tmp_path, "no regular file"), (tmp_path / "none", "No such file")):
        done = ctl(stack, "put", name_of(asset), str(path))
        assert done.returncode == 1 and want in done.stderr, done


def test_what_no_row_of_datasets_stores_or_is_too_large_is_not_put(make_stack, tmp_path):
    stack = make_stack({"cache": {"retentions": {"7d": {}}}, "datasets": [{"collections": ["DEMO"], "retention": "7d", "max_size": "1 MB"}]})
    elsewhere, small = stack.add(b"", collection="OTHER"), stack.add(b"")
    done = ctl(stack, "put", name_of(elsewhere), write(tmp_path, b"x"))
    assert done.returncode == 1 and "it is delivered, and never stored" in done.stderr, done
    for words, more in ((("put", name_of(small), write(tmp_path, os.urandom(1000001))), {}),
                        (("put", name_of(small), "-"), {"input": os.urandom(1000001), "text": False, "stdin": None})):
        done = ctl(stack, *words, **more)
        assert done.returncode == 1 and "larger than max_size" in str(done.stderr), done
    done = ctl(stack, "put", name_of(small), write(tmp_path, os.urandom(1000000)))
    assert done.returncode == 0 and "stored: 7d/" in done.stdout, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_puts_as_the_user_of_the_configuration(tmp_path):
    nobody = pwd.getpwnam("nobody")
    top = tempfile.mkdtemp(prefix="eodata-put-", dir=os.environ.get("TMPDIR", "/tmp"))
    try:
        os.chmod(top, 0o755)
        for name in ("cache", "spool"):
            os.mkdir(os.path.join(top, name))
            os.chown(os.path.join(top, name), nobody.pw_uid, nobody.pw_gid)
        config = tmp_path / "conf"
        config.write_text(json.dumps({"user": "nobody", "cache": {"path": top + "/cache", "retentions": {"30d": {}}},
                                      "dirs": {"spool": top + "/spool"}, "datasets": [{"retention": "30d"}]}))
        path = write(tmp_path, b"of root alone")
        os.chmod(path, 0o600)
        done = ctl(None, "put", "a/b/c/d", path, config=str(config))
        assert done.returncode == 0, done
        for name in ("d@data", "d@meta"):
            assert os.stat(os.path.join(top, "cache/30d/a/b/c", name)).st_uid == nobody.pw_uid
    finally:
        shutil.rmtree(top)


def put_and(stack, tmp_path, signo):
    """(asset, exit status, what it said) of a put in the middle of which that signal comes."""
    data, file = os.urandom(12 * PART), None
    for _ in range(10):     # an upload may have ended before the signal is there
        asset = stack.add()
        if stack.store.kind == "s3":
            before = stack.store.uploads()
            file = file or write(tmp_path, data)
            words, more = (file,), {}
        else:
            words, more = ("-",), {"stdin": subprocess.PIPE}
        process = subprocess.Popen(command(stack.env["CONFIG"], "put", name_of(asset), *words), stderr=subprocess.PIPE, **more)
        if stack.store.kind == "s3":
            wait_until(lambda: stack.store.uploads() != before or process.poll() is not None, "the upload has begun")
        else:
            process.stdin.write(data)       # all but a pipe's length has been read
        process.send_signal(signo)
        said = process.stderr.read()
        if process.wait(LIMIT_S) != 0:
            break
    return asset, process.returncode, said


@both_stores
def test_f5_a_put_that_is_killed_leaves_nothing_to_see(stack, tmp_path):
    asset, status, _ = put_and(stack, tmp_path, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert ask_stat(stack, asset) is None and stack.store.find(asset) is None
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit
    if stack.store.kind == "directory":
        spool = stack.config()["dirs"]["spool"]
        assert [name for name in os.listdir(spool) if stat.S_ISREG(os.lstat(os.path.join(spool, name)).st_mode)] == []


@both_stores
def test_a_put_that_is_interrupted_cleans_up(stack, tmp_path):
    before = stack.store.uploads() if stack.store.kind == "s3" else None
    asset, status, said = put_and(stack, tmp_path, signal.SIGTERM)
    assert status == 1 and b"interrupted" in said
    assert stack.store.find(asset) is None
    if stack.store.kind == "s3":
        wait_until(lambda: stack.store.uploads() == before, "it is aborted")


def test_a_put_goes_on_where_hangups_are_ignored_and_where_its_pipe_does_not_block(stack):
    asset, data, (read, write_to) = stack.add(b""), os.urandom(100000), os.pipe()
    os.set_blocking(read, False)        # as ssh leaves it, and some schedulers
    process = subprocess.Popen(command(stack.env["CONFIG"], "put", name_of(asset), "-"), stdin=read, stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    os.close(read)
    with open(write_to, "wb") as f:
        f.write(data[:10])
        f.flush()
        wait_until(lambda: fcntl.ioctl(write_to, termios.FIONREAD, b"\0" * 4) == b"\0" * 4, "it has read that")
        process.send_signal(signal.SIGHUP)
        f.write(data[10:])
    _, error = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, error
    assert hit(stack, asset).body == data


@both_stores
def test_what_cannot_be_printed_is_told(stack, tmp_path):
    asset, file = stack.add(b""), write(tmp_path, b"x")
    for words, status in ((("put", name_of(asset), file), 1), (("stat", name_of(asset)), 2), (("purge", name_of(asset)), 1)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command(stack.env["CONFIG"], *words), stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S)
        assert done.returncode == status and "cannot write to standard output" in done.stderr, (words, done)


# -- stat, purge


@both_stores
def test_stat_says_what_is_stored_and_until_when(stack):
    asset = stack.add(file="data.tif", asset_members={"type": "image/tiff"}).warm()
    found = ask_stat(stack, asset)
    answer = stack.get(asset.path)
    assert found["path"] == name_of(asset) and found["size"] == len(asset.data) and found["etag"] == answer.headers["etag"]
    assert found["type"] == "image/tiff" and found["backend"] == "loop_header" and found["retention"] == "30d"
    assert found["key"] == "30d/" + name_of(asset)
    times = {name: calendar.timegm(time.strptime(found[name], "%Y-%m-%dT%H:%M:%SZ")) for name in ("fetched", "stored", "expires")}
    assert abs(times["fetched"] - time.time()) < 600 and abs(times["stored"] - time.time()) < 600
    assert times["expires"] - times["stored"] == 30 * 86400
    assert (found["store_etag"] is not None) == (stack.store.kind == "s3")
    done = ctl(stack, "stat", asset.path)
    for value in (found["etag"], found["key"], found["expires"], str(found["size"])):
        assert value in done.stdout
    missing = stack.add()
    done = ctl(stack, "stat", name_of(asset), name_of(missing))
    assert done.returncode == 1 and name_of(missing) + "\n  not stored" in done.stdout and found["key"] in done.stdout
    assert missing.upstream() == [] and missing.stac() == []


@both_stores
def test_what_is_purged_is_fetched_anew(stack):
    asset, other = stack.add().warm(), stack.add().warm()
    done = ctl(stack, "purge", name_of(asset))
    assert done.returncode == 0 and "purged: 30d/" + name_of(asset) in done.stdout, done
    assert ask_stat(stack, asset) is None and ask_stat(stack, other) is not None
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data and not answer.is_hit and len(asset.upstream()) == 2
    gone = stack.add()
    done = ctl(stack, "purge", name_of(gone))
    assert done.returncode == 0 and done.stdout == name_of(gone) + "\n  not stored\n", done


def test_a_purge_leaves_no_file(stack):
    asset = stack.add().warm()
    folder = os.path.dirname(asset.published())
    assert ctl(stack, "purge", name_of(asset)).returncode == 0
    assert os.listdir(folder) == []


@both_stores
@pytest.mark.parametrize("path,want", [
    ("a/b/c/..", "'.' or '..' in the path"), ("a/b/c/%2e%2E", "'.' or '..' in the path"), ("../../etc/passwd/x", "'.' or '..' in the path"),
    ("a/b/c/x%2F..%2F..%2Fy", "'.' or '..' in the path"), ("a/b/c/x%5C..%5Cy", "'.' or '..' in the path"),
    ("a/b/c/d%00", "control character in the path"), ("a/b/c/d%0A", "control character"), ("a/b/c/d\n", "forbidden character"),
    ("a/b/c/%zz", "invalid percent-encoding"), ("a/b/c/%ff", "not UTF-8"), ("a//c/d", "empty path segment"), ("a/b/c", "a path is BACKEND"),
    ("a/b/c/d e", "'a/b/c/d e': a path is percent-encoded, as in a URL: a space is %20"), ("a/b/c/d#e", "a '#' is %23"),
    ("/other/a/b/c/d", "it is not below '/data'"), ("a/b/c/d?x=1", "no query"), ("-/status/x/y", "a path is BACKEND"), ("", "empty")])
def test_h1_a_hostile_path_is_refused(stack, tmp_path, path, want):
    for words, status in ((("stat", "--", path), 2), (("purge", "--", path), 1), (("put", "--", path, write(tmp_path, b"x")), 1)):
        done = ctl(stack, *words)
        assert done.returncode == status and want in done.stderr and "\n" not in done.stderr[:-1], done


@both_stores
def test_an_encoded_slash_stays_in_its_segment(stack, tmp_path):
    path = "/data/loop_header/DEMO/%s%%2F%%E2%%82%%AC/data" % stack.name()
    done = ctl(stack, "put", path, write(tmp_path, b"inside"))
    assert done.returncode == 0 and "30d" + path[len("/data"):] in done.stdout, done
    answer = stack.get(path)
    assert answer.is_hit and answer.body == b"inside"


# -- a bucket that cannot be used


@pytest.fixture
def broken(s3_engine, s3_bucket, tmp_path):
    """broken(member of cache.s3=value ...): a configuration."""
    def make(**members):
        keys = str(tmp_path / "keys")
        s3_engine.write_keys(keys)
        path = tmp_path / "conf"
        path.write_text(json.dumps({"cache": {"store": "s3", "retentions": {"30d": {}},
                                              "s3": {"endpoint": s3_engine.url, "bucket": s3_bucket, "credentials": keys, **members}},
                                    "dirs": {"spool": str(tmp_path / "spool")}, "datasets": [{"retention": "30d"}]}))
        return str(path)
    return make


@pytest.mark.parametrize("members,want", [
    ({"profile": "nobody"}, ("403", "403")), ({"bucket": "no-such-bucket"}, ("no such bucket", "NoSuchBucket")),
    ({"endpoint": "http://127.0.0.1:1"}, ("cannot ask 'http://127.0.0.1:1'", "connect"))], ids=["refused", "no bucket", "down"])
def test_a_bucket_that_cannot_be_used_is_told(broken, tmp_path, members, want):
    config = broken(**members)
    asked = [(("put", "a/b/c/d", write(tmp_path, b"x")), 1, want[1]), (("stat", "a/b/c/d", "a/b/c/e", "a/b/c/f"), 2, want[0]),
             (("purge", "a/b/c/d"), 1, want[0])]
    if "endpoint" in members:
        asked.pop()     # each tries for some seconds
    for words, status, text in asked:
        done = ctl(None, *words, config=config)
        assert done.returncode == status and text in done.stderr and done.stdout == "", done
        assert "AKIA" not in done.stderr and "Signature=" not in done.stderr
        assert ("the other 2 are not asked for" in done.stderr) == ("endpoint" in members and words[0] == "stat"), done


def test_what_lies_under_a_key_and_is_not_ours_is_not_stored_and_can_be_purged(broken, s3_engine, s3_bucket):
    config = broken()
    assert s3_engine.request("PUT", "/%s/30d/a/b/c/d" % s3_bucket, body=b"foreign").status == 200
    done = ctl(None, "stat", "a/b/c/d", config=config)
    assert done.returncode == 1 and "the object has no metadata of ours" in done.stdout, done
    assert ctl(None, "purge", "a/b/c/d", config=config).returncode == 0
    assert s3_engine.request("HEAD", "/%s/30d/a/b/c/d" % s3_bucket).status == 404


# -- warm


def login(stack, tmp_path):
    path = tmp_path / "login"
    path.write_text("Authorization: Basic %s\n" % to_base64(stack.user))
    path.chmod(0o600)
    return ("--header-file", str(path))


@both_stores
def test_warm_fetches_them_all_and_tells_which_failed(stack, tmp_path):
    assets = [stack.add() for _ in range(19)]
    listed = tmp_path / "list"
    listed.write_text("# a list\n\n" + "".join("%s\r\n" % asset.path for asset in assets[5:]))
    missing = "loop_header/DEMO/no-such-item/data"
    done = ctl(stack, "warm", "--jobs", "5", *login(stack, tmp_path), "--from", str(listed), missing, *map(name_of, assets[:5]))
    assert done.returncode == 1 and "19 of 20 assets are warm" in done.stderr, done
    assert "failed: %s: 404: " % missing in done.stderr and done.stderr.count("failed: ") == 1 and "20/20 " in done.stderr
    for asset in assets:
        wait_until(asset.published, "it is stored")
        assert hit(stack, asset).body == asset.data and len(asset.upstream()) == 1
    assert stack.user.split(":")[1] not in done.stderr


def test_warm_takes_an_item_from_a_file_or_a_url_and_assets_by_name(stack, tmp_path):
    first, second, third = stack.add(), stack.add(), stack.add(asset_members={"href": "https://provider.example/x.tif"})

    def item(asset):
        return os.path.join(stack.env["ITEMS_DIR"], "DEMO", asset.name + ".json")
    assert ctl(stack, "warm", *login(stack, tmp_path), "--item", item(first)).returncode == 0
    url = stack.config()["stac"]["item_url"].format(collection="DEMO", item=second.name, backend="loop_header")
    done = ctl(stack, "warm", *login(stack, tmp_path), "--item", url)
    assert done.returncode == 0, done
    done = ctl(stack, "warm", *login(stack, tmp_path), "--item", item(third))
    assert done.returncode == 1 and "name them with --assets" in done.stderr, done
    done = ctl(stack, "warm", *login(stack, tmp_path), "--item", item(third), "--assets", "data")
    assert done.returncode == 0, done
    for asset in (first, second, third):
        wait_until(asset.published, "it is stored")
    for words, want in (((item(third), "--assets", "data,none"), "the item has no asset 'none'"), ((item(third), "--assets", ","), "names none"),
                        (("http://127.0.0.1:1/item",), "cannot get the item: host '127.0.0.1'")):
        done = ctl(stack, "warm", "--item", *words)
        assert done.returncode == 1 and want in done.stderr, done
    for text, want in (("{}", "no STAC item"), ("[", "no JSON"), ('{"assets": {"a": {"href": {}}}}', "name them"), ("[" * 100000, "no JSON")):
        done = ctl(stack, "warm", "--item", write(tmp_path, text.encode(), "item"))
        assert done.returncode == 1 and want in done.stderr, done


def test_warm_tells_of_a_collection_that_has_further_pages(stack, tmp_path):
    """What it cannot see is not said to be warm."""
    asset = stack.add()
    with open(os.path.join(stack.env["ITEMS_DIR"], "DEMO", asset.name + ".json")) as f:
        page = {"type": "FeatureCollection", "features": [json.load(f)], "links": [{"rel": "self", "href": "https://stac.example/search"}]}
    done = ctl(stack, "warm", *login(stack, tmp_path), "--item", write(tmp_path, json.dumps(page).encode(), "last"))
    assert done.returncode == 0 and "1 of 1 assets are warm" in done.stderr and "warning" not in done.stderr, done
    page["links"].append({"rel": "next", "href": "https://stac.example/search?token=2"})
    done = ctl(stack, "warm", *login(stack, tmp_path), "--item", write(tmp_path, json.dumps(page).encode(), "page"))
    assert done.returncode == 0 and "warning: the collection has further pages, which are not asked for" in done.stderr, done


def test_warm_without_a_login_is_refused_like_everybody(stack, tmp_path):
    asset = stack.add()
    done = ctl(stack, "warm", name_of(asset))
    assert done.returncode == 1 and "0 of 1 assets are warm" in done.stderr and "failed: %s: 401" % name_of(asset) in done.stderr, done
    (tmp_path / "open").write_text("Authorization: Basic CANARY\n")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "bad").write_text("CANARY no header\n")
    (tmp_path / "bad").chmod(0o600)
    for name in ("open", "bad"):
        done = ctl(stack, "warm", "--header-file", str(tmp_path / name), name_of(asset))
        assert done.returncode == 1 and "CANARY" not in done.stderr and str(tmp_path / name) in done.stderr, done
    assert asset.upstream() == []


def test_warm_that_is_interrupted_says_how_far_it_came(stack, tmp_path):
    first, second = stack.add().warm(), stack.add_gated()
    warm = subprocess.Popen(command(stack.env["CONFIG"], "warm", "--jobs", "1", *login(stack, tmp_path), name_of(first), name_of(second)),
                            stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert warm.stderr.readline().startswith("1/2 ")
    warm.send_signal(signal.SIGINT)
    _, error = warm.communicate(timeout=LIMIT_S)
    second.open()
    assert warm.returncode == 1 and "1 of 2 assets are warm" in error and "interrupted: 1 are not done" in error, error


class Busy(http.server.BaseHTTPRequestHandler):
    """Answers what front.answers holds for a path, one after the other."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        front = self.server.front
        front.asked.append(self.path)
        front.origins.add(self.headers["Origin"])
        status, headers, body = front.answers.get(self.path, [(200, {}, b"body")]).pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = len(body) != int({"Content-Length": len(body), **headers}["Content-Length"])

    def log_message(self, *_):
        pass


@pytest.fixture
def front():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    server.front = SimpleNamespace(answers={}, asked=[], origins=set(), url="http://127.0.0.1:%d/data" % server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def problem(text):
    return json.dumps({"title": "x", "detail": text}).encode()


def test_warm_waits_where_it_is_told_to_and_gives_up_in_the_end(stack, front):
    front.answers = {
        "/data/a/b/c/later": [(503, {"Retry-After": "0"}, problem("full")), (429, {"Retry-After": "1"}, problem("quota")), (200, {}, b"12345")],
        "/data/a/b/c/tomorrow": [(429, {"Retry-After": "40000"}, problem("the day's quota"))],
        "/data/a/b/c/never": [(503, {"Retry-After": "0"}, problem("a\x1b[31m"))] * 10,
        "/data/a/b/c/cut": [(200, {"Content-Length": "100"}, b"x")],
        "/data/a/b/c/elsewhere": [(302, {"Location": "https://bucket.example/?X-Amz-Signature=CANARY"}, b"")],
        "/data/a/b/c/odd": [(500, {}, b"<html>")],
    }
    done = ctl(stack, "warm", "--url", front.url + "/", "--jobs", "6", *(path[len("/data/"):] for path in front.answers))
    lines = sorted(line for line in done.stderr.splitlines() if "failed: " in line)
    assert done.returncode == 1 and "1 of 6 assets are warm, " in done.stderr, done
    assert [line.split("failed: ")[1].split(" ", 2)[0:2] for line in lines] == [
        ["a/b/c/cut:", "truncated:"], ["a/b/c/elsewhere:", "302:"], ["a/b/c/never:", "503:"], ["a/b/c/odd:", "500"], ["a/b/c/tomorrow:", "429:"]]
    assert "the day's quota" in lines[4] and "\x1b" not in done.stderr and "CANARY" not in done.stderr
    assert front.asked.count("/data/a/b/c/later") == 3 and front.asked.count("/data/a/b/c/never") == 5
    assert front.asked.count("/data/a/b/c/tomorrow") == 1
    assert front.origins == {front.url[:-len("/data")]}     # rules with delivery "auto" stream to who sends one


def test_warm_believes_what_the_proxy_says_of_storing(stack, front, tmp_path):
    said = {"hit": "eodata-proxy; hit", "filled": "eodata-proxy; fwd=miss; stored", "joined": "eodata-proxy; fwd=miss; collapsed; stored",
            "hidden": None, "other": "cdn; hit", "cdn": "eodata-proxy; fwd=miss; stored, cdn; fwd=miss",
            "large": "eodata-proxy; fwd=miss", "away": "eodata-proxy; fwd=miss, cdn; fwd=miss; stored"}
    front.answers = {"/data/a/b/c/" + name: [(200, {"Cache-Status": text} if text else {}, b"123")] for name, text in said.items()}
    (tmp_path / "headers").write_bytes(b"Authorization: Bearer x\r\n\r\n")
    (tmp_path / "headers").chmod(0o600)
    done = ctl(stack, "warm", "--url", front.url, "--header-file", str(tmp_path / "headers"), *("a/b/c/" + name for name in said))
    assert done.returncode == 1 and "6 of 8 assets are warm" in done.stderr, done
    for name in ("large", "away"):
        assert "failed: a/b/c/%s: 200: delivered, and not stored\n" % name in done.stderr, done


def test_warm_encodes_what_it_asks_for_as_the_proxy_writes_it(stack, front, tmp_path):
    listed = tmp_path / "list"
    listed.write_bytes("a/b/c/é\n".encode() + b"a/b/c/x%2fy\na/../c/d\n")
    done = ctl(stack, "warm", "--url", front.url, "--from", str(listed))
    assert done.returncode == 1 and sorted(front.asked) == ["/data/a/b/c/%C3%A9", "/data/a/b/c/x%2Fy"], done
    assert "2 of 3 assets are warm" in done.stderr and "'.' or '..' in the path" in done.stderr
    listed.write_bytes(b"a/b/c/d\0\n")
    done = ctl(stack, "warm", "--url", front.url, "--from", str(listed))
    assert done.returncode == 1 and "holds a NUL" in done.stderr, done
    assert urllib.parse.urlsplit(front.url).path == "/data"
