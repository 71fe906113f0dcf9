# SPDX-License-Identifier: Apache-2.0
"""
What an operator sees: the routes of its own, metrics, the log, and that no secret
is in any of it; what make install writes and leaves alone.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest
from conftest import PREFIX, Stack, wait_until
from faults import is_sanitized
from test_processes import BUILDS, everyone, fcgi

CANARY = "CANARY7f3a"
BOB = "bob:bob"


# -- routes


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("route,text", [("health", b"ok\n"), ("ready", b"ready\n")])
def test_health_and_ready_ask_for_nobody_and_tell_nothing_else(stack, method, route, text):
    for user in (None, stack.user, BOB):
        answer = stack.request(method, "/data/-/" + route, user=user)
        assert answer.status == 200 and answer.body == (text if method == "GET" else b""), answer
        assert answer.headers["cache-control"] == "no-store"


def test_ready_is_not_so_without_the_cache(make_stack):
    stack = make_stack()
    asset, spool = stack.add().warm(), os.path.join(stack.cache_dir, "spool")
    mode = os.stat(stack.cache_dir)
    shutil.rmtree(stack.cache_dir)
    assert stack.get("/data/-/ready", user=None).status == 503
    assert stack.get("/data/-/health", user=None).status == 200
    assert stack.get(asset.path).body == asset.data, "people are served all the same"
    for path in (stack.cache_dir, spool):
        os.makedirs(path, exist_ok=True)
        os.chown(path, mode.st_uid, mode.st_gid)
        os.chmod(path, mode.st_mode & 0o7777)
    assert stack.get("/data/-/ready", user=None).status == 200
    asset.warm()
    assert stack.get(asset.path).is_hit


@pytest.mark.parametrize("user,status", [(None, 401), (BOB, 403)])
@pytest.mark.parametrize("route", ["status", "metrics"])
def test_status_and_metrics_are_for_whom_a_rule_names(stack, route, user, status):
    answer = stack.get("/data/-/" + route, user=user)
    assert answer.status == status, answer
    assert b"pid" not in answer.body and b"eodata_proxy_" not in answer.body


@pytest.mark.parametrize("route", ["quota", "jobs", "nothing", "", "Status", "status/", "status/x"])
def test_an_unknown_route_is_none(stack, route):
    assert stack.get("/data/-/" + route).status in (400, 403, 404)


def test_status_names_every_role_and_its_state(stack):
    answer = stack.get("/data/-/status")
    assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "no-store"
    status = answer.json()
    assert status["ready"] is True and status["draining"] is False
    # resolvers come and go with the backends in use
    roles = [p["role"] for p in status["processes"] if p["state"] in ("ready", "busy") and p["role"] != "resolver"]
    assert {role: roles.count(role) for role in set(roles)} == {"master": 1, "accountant": 1, "broker": 1, "mover": 1, "worker": 4}
    assert all(os.path.exists("/proc/%d" % p["pid"]) for p in status["processes"])
    again = stack.get("/data/-/status").json()
    assert again["counters"]["requests_total"] > status["counters"]["requests_total"]


def test_the_process_list_names_each_resolvers_backend(stack):
    for backend in ("loop_header", "loop_open"):
        assert stack.get(stack.add(backend=backend).path).status == 200
    resolvers = {p["note"]: p["pid"] for p in stack.status()["processes"] if p["role"] == "resolver" and p["state"] == "ready"}
    assert {"loop_header", "loop_open"} <= set(resolvers)
    for backend, pid in resolvers.items():
        with open("/proc/%d/cmdline" % pid) as f:
            assert f.read().rstrip("\0") == "eodata-proxy-resolver: " + backend


def test_promtool_accepts_the_metrics(stack):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    stack.add().warm()
    answer = stack.get("/data/-/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    done = subprocess.run([promtool, "check", "metrics"], input=answer.body, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and done.stdout == b"", done.stdout.decode()


def series(stack):
    text = stack.get("/data/-/metrics").body.decode()
    return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#") and "process_state" not in line}


def test_h3_no_user_and_no_path_makes_a_new_series(stack):
    def has_looked(process):
        """At its memory, which the sanitizers do not tell, and at its log: a series comes with the first look, 2 s after its start at most."""
        return process["uptime_s"] > 2 and (process["heap_bytes"] > 0 or is_sanitized())
    wait_until(lambda: all(has_looked(p) for p in stack.status()["processes"] if p["state"] in ("ready", "busy")), "each has all of its series")
    before = series(stack)
    for i in range(60):
        rc, head, _ = fcgi("unix:" + stack.env["FCGI_SOCKET"], "/data/b%d/c%d/i%d/%%22a%d" % (i, i, i, i), "EODATA_USER=u\"%d" % i)
        assert rc == 0 and "Status: 4" in head
    assert series(stack) <= before


# -- the log


def decisions(stack, ticket):
    return [line for line in stack.log().splitlines() if "id=" + ticket in line and "event=decision" in line]


FIELDS = (r"id=(?P<id>\S+) event=decision trace=00-[0-9a-f]{32}-[0-9a-f]{16}-0[01] realm=(?P<realm>\S+) user=(?P<user>\S*) "
          r"rule=(?P<rule>\S+) verdict=(?P<verdict>\S+) status=(?P<status>\d+) cache=(?P<cache>\S+)(?P<over> handed_over=yes)? "
          r"charge=(?P<charge>\d+/\d+/\d+) us=\d+ method=(?P<method>\S+) path=(?P<path>\S+)$")


def test_there_is_one_line_for_each_decision(stack):
    warm, cold = stack.add(b"x" * 1000).warm(), stack.add()
    tag = stack.request("HEAD", warm.path).headers["etag"]
    for ask, want in (
            (("GET", warm.path), {"user": "alice", "realm": "front", "rule": "users", "verdict": "allow", "status": "200", "cache": "hit", "charge": "1/0/1000"}),
            (("GET", warm.path, {"Range": "bytes=0-9"}), {"status": "206", "cache": "hit", "charge": "1/0/10"}),
            (("HEAD", warm.path), {"method": "HEAD", "status": "200", "cache": "hit", "charge": "1/0/0"}),
            (("GET", warm.path, {"If-None-Match": tag}), {"status": "304", "cache": "hit", "charge": "1/0/0"}),
            (("GET", cold.path), {"cache": "miss", "over": " handed_over=yes", "charge": "1/1/0"}),
            (("GET", warm.path, None, BOB), {"user": "bob", "rule": "-", "verdict": "deny", "status": "403", "charge": "0/0/0"}),
            (("GET", warm.path, None, None), {"user": "-", "rule": "-", "verdict": "login", "status": "401"}),
            (("PUT", warm.path), {"method": "PUT", "verdict": "bad", "status": "405"}),
            (("GET", "/data/a/b"), {"verdict": "bad"}),
            (("GET", "/data/-/status"), {"rule": "operators", "verdict": "allow", "status": "200"}),
            (("GET", "/data/-/health", None, None), {"status": "200"})):
        answer = stack.request(*ask)
        ticket = answer.headers["x-request-id"]
        lines = wait_until(lambda t=ticket: decisions(stack, t), "the line of %s" % (ask,))
        assert len(lines) == 1, lines
        found = re.search(FIELDS, lines[0])
        assert found, lines[0]
        assert {**found.groupdict(), **want} == found.groupdict(), (ask, lines[0])
        assert found["path"] == ask[1]


def test_the_clients_trace_is_in_the_log_and_at_the_provider(stack):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    asset = stack.add()
    stack.provider("/-/reset")
    answer = stack.get(asset.path, {"traceparent": "00-%s-00f067aa0ba902b7-01" % trace})
    lines = wait_until(lambda: decisions(stack, answer.headers["x-request-id"]), "its line")
    assert "trace=00-" + trace in lines[0]
    seen = [r for r in stack.provider("/-/log", "GET")["requests"] if asset.name in r["uri"]]
    assert len(seen) == 2, "item and asset"
    for request in seen:
        headers = {name.lower(): value for name, value in request["headers"]}
        assert headers["traceparent"].split("-")[1] == trace
        assert headers["cdn-loop"]


def test_a_request_that_was_here_before_is_508(stack):
    asset = stack.add()
    stack.provider("/-/reset")
    stack.get(asset.path)
    seen = [r for r in stack.provider("/-/log", "GET")["requests"] if asset.name in r["uri"]][0]
    loop = [value for name, value in seen["headers"] if name.lower() == "cdn-loop"][0]
    assert stack.get(asset.path, {"CDN-Loop": loop}).status == 508
    assert stack.get(asset.path, {"CDN-Loop": "somebody-else"}).status == 200


@pytest.mark.parametrize("user", ["a\nid=1 event=decision user=root", "a b", "x\x1b[31m", "\xff\xfe", "u" * 300, "*", "../x"])
def test_h1_a_strange_user_makes_one_escaped_line_or_400(stack, user):
    asset = stack.add(b"x").warm()
    before = len(stack.log())
    rc, head, _ = fcgi("unix:" + stack.env["FCGI_SOCKET"], asset.path, "EODATA_USER=" + user)
    assert rc == 0
    ticket = re.search(r"X-Request-Id: (\S+)", head)[1]
    line = wait_until(lambda: decisions(stack, ticket), "its line")
    assert len(line) == 1 and re.search(FIELDS, line[0]), line
    text = stack.log()[before:]
    assert "\x1b" not in text and not any(part.startswith("id=1") for part in text.splitlines())


# -- secrets


def files_below(folder):
    for where, _, names in os.walk(folder):
        for name in names:
            if os.path.isfile(os.path.join(where, name)):       # and no socket
                yield os.path.join(where, name)


def test_h2_no_secret_is_in_a_log_an_answer_a_metric_or_a_command_line(make_stack, monkeypatch):
    """Canaries in place of each: some are refused by the provider, since errors are what quotes them."""
    monkeypatch.setenv("EODATA_CANARY", CANARY + "-environment")
    stack = make_stack()
    shown = []

    def ask(path, *more, **headers):
        answer = stack.request("GET", path, headers, *more)
        shown.append("%s\n%s" % (answer.all, answer.body))
        return answer
    signed = stack.add(backend="loop_open", name="signed", origin="{base}/assets/open/signed/data.tif?X-Amz-Signature=%s-signature" % CANARY)
    for headers in ({}, {"Range": "bytes=0-9"}, {}):
        assert ask(signed.path, **headers).status in (200, 206)
    wait_until(signed.published, "it is cached")
    assert ask(signed.path).is_hit
    gone = stack.add(False, backend="loop_open", name="gone", origin="{base}/bad/status-500/signed/data.tif?sig=%s-gone" % CANARY)
    assert ask(gone.path).status == 502
    assert ask(stack.add(False, backend="loop_open", name="nowhere", origin="http://%s:secret@10.0.0.1/x" % CANARY).path).status >= 400
    assert ask(stack.add(False, backend="loop_open", name="closed", origin="http://127.0.0.1:9/x?t=%s" % CANARY).path).status >= 400
    # what clients send
    ask(signed.path + "?access_token=%s-query" % CANARY)
    ask(signed.path, Cookie="session=%s-cookie" % CANARY)
    ask(signed.path, None, Authorization="Bearer %s-bearer" % CANARY)
    ask(signed.path, "alice:%s-password" % CANARY)
    # what EODAG gets: the file with the credentials changes, and a reload takes it
    path = stack.config()["eodag"]["config_file"]
    with open(path) as f:
        accounts = json.load(f)
    for account in accounts.values():
        for name in account["auth"]["credentials"]:
            account["auth"]["credentials"][name] = "%s-%s" % (CANARY, name)
    with open(path, "w") as f:
        json.dump(accounts, f)
    stack.reload(lambda config: None)
    stack.provider("/-/reset")
    for backend in ("loop_header", "loop_basic", "loop_qs", "loop_token"):
        assert ask(stack.add(backend=backend).path).status in (401, 403, 500, 502), backend
    seen = json.dumps(stack.provider("/-/log", "GET"))
    assert CANARY + "-apikey" in seen, "the new credentials are in use"
    # where it could be
    for route in ("status", "metrics"):
        shown.append(ask("/data/-/" + route).body.decode())
    pids = everyone(stack)
    assert len(pids) >= 12
    for pid in pids:
        with open("/proc/%d/cmdline" % pid) as f:
            shown.append(f.read())
        # not dumpable: only root can look
        if pid != int(stack.env["MASTER_PID"]) and os.geteuid() == 0:
            with open("/proc/%d/environ" % pid, errors="replace") as f:
                shown.append(f.read())
    assert CANARY not in "\n".join(shown)
    looked = 0
    for folder in (os.path.join(stack.dir, "log"), stack.cache_dir, stack.config()["dirs"]["state"], stack.run_dir):
        for name in files_below(folder):
            if os.path.basename(name) in ("upstream.log", "stac.log", "provider.log"):
                continue        # the provider's own
            looked += 1
            with open(name, errors="replace") as f:
                assert CANARY not in name and CANARY not in f.read(), name
    assert looked >= 6


def test_h4_nothing_planted_around_python_is_imported(make_stack, monkeypatch, tmp_path):
    mark = tmp_path / "imported"
    planted = tmp_path / "planted"
    home = tmp_path / "home"
    site = home / ".local" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    planted.mkdir()
    code = "open(%r, 'w').write('yes')\n" % str(mark)
    for where in (planted, site):
        for name in ("json", "requests", "sitecustomize", "usercustomize", "eodag_locations"):
            (where / (name + ".py")).write_text(code)
    (site / "planted.pth").write_text("import os; " + code)
    (planted / "startup.py").write_text(code)
    os.chmod(tmp_path, 0o755)
    # the stack and its provider are Python programs, too: only the proxy gets these
    wrapper = tmp_path / "prefix"
    (wrapper / "sbin").mkdir(parents=True)
    script = wrapper / "sbin" / "eodata-proxy"
    script.write_text("#!/bin/sh\ncd %s\nPYTHONPATH=%s PYTHONSTARTUP=%s/startup.py PYTHONUSERBASE=%s/.local HOME=%s\n"
                      "export HOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE\nexec %s/sbin/eodata-proxy \"$@\"\n" % (
                          planted, planted, planted, home, home, PREFIX))
    script.chmod(0o755)
    monkeypatch.setenv("EODATA_PREFIX", str(wrapper))
    stack = make_stack()
    if os.geteuid() == 0:  # not dumpable: only root can look
        with open("/proc/%s/environ" % stack.env["MASTER_PID"]) as f:
            assert "PYTHONPATH=%s" % planted in f.read(), "it was there to be taken"
    for backend in ("loop_header", "loop_token", "loop_search"):
        asset = stack.add(backend=backend)
        assert stack.get(asset.path).body == asset.data
    assert not mark.exists()


# -- the installation


def make(*words):
    build = next((b for b in BUILDS if b and os.path.exists(os.path.join(b, "config.status"))), None)
    if build is None:
        pytest.skip("there is no build folder: make")
    done = subprocess.run(["make", "-C", build, "-s", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_an_installation_goes_where_it_should_keeps_the_configuration_and_goes_away():
    with tempfile.TemporaryDirectory(prefix="eodata-dest-", dir="/tmp") as dest:
        make("install", "DESTDIR=" + dest)
        found = {os.path.relpath(name, dest): name for name in files_below(dest)}
        wanted = ("sbin/eodata-proxy", "sbin/eodata-proxyctl", "libexec/eodata-proxy/eodata-proxy-resolver",
                  "share/eodata-proxy/eodag_glue.py", "man/man8/eodata-proxy.8", "man/man5/eodata-proxy.conf.5",
                  "eodata-proxy/eodata-proxy.conf")
        for name in wanted:
            assert any(path.endswith("/" + name) for path in found), (name, sorted(found))
        config = next(full for path, full in found.items() if path.endswith("/eodata-proxy/eodata-proxy.conf") and "/etc/" in "/" + path)
        with open(config, "a") as f:
            f.write("// mine\n")
        make("install", "DESTDIR=" + dest)
        with open(config) as f:
            assert f.read().endswith("// mine\n"), "an existing configuration is never overwritten"
        make("uninstall", "DESTDIR=" + dest)
        assert list(files_below(dest)) == [config], "all but what somebody has changed"
        os.unlink(config)
        make("install", "DESTDIR=" + dest)
        make("uninstall", "DESTDIR=" + dest)
        assert list(files_below(dest)) == []


def test_check_config_names_each_fault_by_its_path(tmp_path):
    path = tmp_path / "eodata-proxy.conf"
    path.write_text('{"rules": [{"who": "anyone", "alow": true}], "pool": {"workers": 0}, // what is this\n "surprise": 1}')
    done = subprocess.run([os.path.join(PREFIX, "sbin", "eodata-proxy"), "--config", str(path), "--check-config"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1
    for fault in ("rules[0].alow", "pool.workers", "surprise"):
        assert fault in done.stdout, done.stdout
