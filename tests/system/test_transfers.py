# SPDX-License-Identifier: Apache-2.0
"""
Transfers that are shared, and their limits; what is kept of items, sources and
refusals; where items come from; an upgrade while a transfer runs.
"""

import hashlib
import os
import signal
import socket

import pytest
from conftest import Stack, is_alive, to_base64, wait_until
from test_processes import CUT, everyone

MIB = 1 << 20


# -- shared


@pytest.mark.both_stores
def test_a_slow_client_stops_nobody_who_shares_its_transfer(stack):
    asset = stack.add_gated(8 * MIB, MIB)
    slow = stack.begin(asset, "--limit-rate", "1M")
    fast = stack.begin(asset)
    asset.open()
    assert fast() == (0, asset.data)
    assert asset.published() or wait_until(asset.published, "it is published while the slow one reads on")
    late = stack.get(asset.path)
    assert late.is_hit and late.body == asset.data
    assert slow() == (0, asset.data)
    assert len(asset.upstream()) == 1


@pytest.mark.both_stores
def test_who_joins_in_mid_flight_gets_it_from_the_start_and_ranges_from_what_is_there(stack):
    asset = stack.add_gated(4 * MIB, 2 * MIB)
    first = stack.begin(asset)
    second = stack.begin(asset)
    answer = stack.get(asset.path, {"Range": "bytes=1000-1999"})
    assert answer.status == 206 and answer.body == asset.data[1000:2000]
    assert stack.request("HEAD", asset.path).headers["content-length"] == str(4 * MIB)
    assert not asset.upstream("GET"), "the one request of it has not ended"
    asset.open()
    assert first() == (0, asset.data) and second() == (0, asset.data)
    assert len(asset.upstream()) == 1


@pytest.mark.both_stores
def test_a_client_that_leaves_takes_nobody_with_it(stack):
    asset = stack.add_gated(4 * MIB, MIB)
    starter = stack.begin(asset)
    other = stack.begin(asset)
    starter.leave()
    assert starter()[0] != 0
    asset.open()
    assert other() == (0, asset.data)
    assert len(asset.upstream()) == 1


# -- their limits


@pytest.fixture(scope="module")
def tight(new_store):
    running = Stack(extra={"spool": {"max": "4 MiB", "max_transfer": "1 MiB", "clients_per_transfer": 2, "transfers": 3}}, store=new_store())
    yield running
    running.down()


def no_transfers(stack):
    wait_until(lambda: stack.status()["gauges"]["transfers"] == 0, "no transfer runs")


@pytest.mark.both_stores
@pytest.mark.parametrize("checksum", [None, "right", "wrong"])
def test_what_is_larger_than_the_spool_is_delivered_and_not_stored(tight, checksum):
    data = os.urandom(16 * MIB)
    digest = hashlib.sha256(data if checksum == "right" else b"another").hexdigest()
    asset = tight.add(data, asset_members={} if checksum is None else {"file:checksum": "1220" + digest})
    answer = tight.curl(asset.url)
    if checksum == "wrong":
        assert answer.rc in CUT and len(answer.body) < len(data) and data.startswith(answer.body), answer.rc
    else:
        assert answer.rc == 0 and answer.body == data, answer.rc
    no_transfers(tight)
    assert asset.published() is None


@pytest.mark.both_stores
@pytest.mark.parametrize("percent", [10, 50])
def test_f4_a_client_that_leaves_ends_what_nobody_else_wants(tight, percent):
    """A body that is not stored: the provider is let go, the client pays for what it got, no worker is lost."""
    size, workers = 4 * MIB, tight.pids("worker")
    asset = tight.add(os.urandom(size), case="stallat-%d" % (size * percent // 100), backend="loop_open")
    with socket.create_connection((tight.host, tight.port), timeout=20) as client:
        client.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n\r\n" % (asset.path, to_base64(tight.user))).encode())
        got = b""
        while len(got) < size * percent // 100 - 70000:     # buffers on the way hold the rest back
            more = client.recv(1 << 16)
            assert more, len(got)
            got += more
        wait_until(lambda: tight.provider("/-/log", "GET")["open"] == 2, "the asset, and this question")
    wait_until(lambda: tight.provider("/-/log", "GET")["open"] == 1, "the provider is let go")
    no_transfers(tight)
    lines = wait_until(lambda: [line for line in tight.ledger() if line["item"] == asset.name and line["cache"] == "miss"], "its line")
    assert len(got) - 10000 <= lines[0]["bytes"] <= size * percent // 100, (len(got), lines)
    assert len(asset.upstream()) == 1 and tight.pids("worker") == workers


@pytest.mark.both_stores
def test_two_speeds_with_a_spool_that_cannot_grow_are_both_served_right(tight):
    asset = tight.add_gated(16 * MIB, MIB // 2)
    slow, fast = tight.begin(asset, "--limit-rate", "8M"), tight.begin(asset)
    asset.open()
    assert fast() == (0, asset.data)
    rc, body = slow()
    assert (rc == 0 and body == asset.data) or (rc != 0 and asset.data.startswith(body)), (rc, len(body))
    no_transfers(tight)


@pytest.mark.both_stores
def test_more_clients_than_may_share_are_503(tight):
    asset = tight.add_gated(MIB // 2, 10000)
    finish = [tight.begin(asset), tight.begin(asset)]
    answer = tight.get(asset.path)
    assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1, answer
    asset.open()
    assert [f() for f in finish] == [(0, asset.data)] * 2
    no_transfers(tight)


@pytest.mark.both_stores
def test_more_transfers_than_may_run_are_503(tight):
    assets = [tight.add_gated(MIB // 2, 10000) for _ in range(3)]
    finish = [tight.begin(asset) for asset in assets]
    answer = tight.get(tight.add().path)
    assert answer.status == 503, answer
    for asset, f in zip(assets, finish):
        asset.open()
        assert f() == (0, asset.data)
    no_transfers(tight)


# -- what is kept


def test_an_item_that_is_not_there_is_asked_for_once(stack):
    before = len(stack.stac_log())
    for _ in range(5):
        assert stack.get("/data/loop_header/DEMO/not-there-at-all/data").status == 404
    assert len([line for line in stack.stac_log()[before:] if "not-there-at-all" in line[1] and line[0] == "GET"]) == 1


def test_an_asset_that_is_not_there_is_resolved_once(stack):
    asset = stack.add()
    for _ in range(5):
        assert stack.get(asset.path + "-no").status == 404
    assert len(asset.stac()) == 1


def test_a_token_that_ended_is_renewed_before_it_is_used(make_stack):
    """Tokens live shorter than any margin: they are used all the same, and one that is over is used but once."""
    stack = make_stack(None, "--token-life", "20")
    assets = [stack.add(backend="loop_token") for _ in range(3)]
    for asset in assets:
        answer = stack.get(asset.path)
        assert answer.status == 200 and answer.body == asset.data, answer
        stack.provider("/-/revoke")
    for asset in assets:
        assert [line[2] for line in asset.upstream()] in (["200"], ["401", "200"]), asset.upstream()


# -- where items come from


def test_a_catalogue_with_a_login_and_the_backend_in_its_url(make_stack, tmp_path):
    headers = tmp_path / "headers"
    headers.write_text("# the catalogue's\nAuthorization: Bearer catalogue\n")
    headers.chmod(0o600)
    stack = make_stack()
    closed = stack.config()["stac"]["item_url"].replace("/stac/", "/stac-login/") + "?provider={backend}"
    stack.reload(lambda config: config.update(stac={"item_url": closed}))
    assert stack.get(stack.add().path).status == 502, "it wants a login"
    stack.reload(lambda config: config.update(stac={"item_url": closed, "headers_file": str(headers)}))
    asset = stack.add()
    assert stack.get(asset.path).body == asset.data
    assert any(line[1].endswith("/items/%s?provider=loop_header" % asset.name) and line[2] == "200" for line in stack.stac_log())
    seen = [r for r in stack.provider("/-/log", "GET")["requests"] if "/assets/" in r["uri"] and asset.name in r["uri"]]
    assert seen and "catalogue" not in str(seen), "the catalogue's login is the catalogue's"
    headers.chmod(0o644)
    generation = stack.status()["generation"]
    os.kill(int(stack.env["MASTER_PID"]), signal.SIGHUP)
    wait_until(lambda: str(headers) in stack.log() and "not taken" in stack.log(), "a file that others may read is refused")
    assert stack.status()["generation"] == generation


@pytest.mark.parametrize("backend", ["loop_header", "loop_open", "loop_token"])
def test_without_a_catalogue_the_backend_is_searched(make_stack, backend):
    stack = make_stack({"stac": {"item_url": ""}})
    asset = stack.add(backend=backend)
    assert stack.get(asset.path).body == asset.data
    assert asset.stac() == [] and any(line[1].startswith("/stac/search") for line in stack.stac_log())
    assert stack.get(asset.path.replace(asset.name, "no-such-item")).status == 404


def test_an_item_of_another_backend_is_searched_at_the_one_that_was_asked(stack):
    asset = stack.add(backend="loop_search", properties={"federation:backends": ["loop_qs"]})
    answer = stack.get(asset.path)
    assert answer.status == 200 and answer.body == asset.data, answer
    assert any(line[1].startswith("/stac/search") for line in stack.stac_log())


# -- an upgrade


@pytest.mark.both_stores
def test_an_upgrade_leaves_a_running_transfer_alone(make_stack):
    stack = make_stack()
    asset = stack.add_gated()
    finish = stack.begin(asset)
    old = everyone(stack)
    os.kill(int(stack.env["MASTER_PID"]), signal.SIGUSR2)
    wait_until(lambda: "upgraded successor=" in stack.log(), "the new one is ready", 40)
    new = int(stack.log().split("upgraded successor=")[1].split()[0])
    try:
        for _ in range(20):
            other = stack.add()
            assert stack.get(other.path).body == other.data
        asset.open()
        assert finish() == (0, asset.data)
        wait_until(lambda: not any(is_alive(pid) for pid in old), "the old ones have ended")
        assert stack.get(asset.path).body == asset.data
    finally:
        os.kill(new, signal.SIGTERM)
        wait_until(lambda: not is_alive(new), "the new one has ended", 40)
