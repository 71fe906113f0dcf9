# SPDX-License-Identifier: Apache-2.0
"""What is remembered of objects and leases (lib/cache) on a real memcached, and on things that only look like one.

Needs memcached and tests/system/memory_probe from the build directory.
"""

import pathlib
import signal
import socket
import tempfile
import threading
import time

import pytest

from memcacheds import MEMCACHED, Listener, Probe, Server, probe_program, relay

PROGRAM = probe_program("memory_probe")
TIMEOUT_MS = 300    # where it is about time
PATIENT_MS = 5000
LONG_MS = 3000      # of which a busy machine cannot make two
SLACK_MS = 5000     # what never ends is longer
SECRET = "0123456789abcdef0123456789abcdef"
STORE = "https://s3.example.org/eo-data/site-a/"
KEY = "30d/peps/S2_L2A/S2A_MSIL2A_1/B02"

pytestmark = [
    pytest.mark.skipif(MEMCACHED is None, reason="memcached is not installed"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="memory_probe is not built: make"),
]


@pytest.fixture
def room():
    """A directory with a short name: socket paths have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="eom") as name:
        yield pathlib.Path(name)


@pytest.fixture
def server(room):
    s = Server(room / "m").start()
    yield s
    s.stop()


class Host(Probe):
    def __init__(self, *servers, timeout_ms=PATIENT_MS, secret=SECRET, store=STORE):
        super().__init__(PROGRAM, timeout_ms, secret, store, *servers)
        self.ms = None

    def ask(self, line):
        *words, last = super().ask(line)
        self.ms = float(last.removeprefix("ms="))
        return words

    def say(self, line):
        words = self.ask(line)
        assert len(words) == 1, words
        return words[0]

    def look(self, *keys):
        return self.ask("look " + " ".join(keys))

    def keep(self, key, length, ttl=60, etag_bytes=3):
        return self.say(f"keep {key} {ttl} {length} {etag_bytes}")

    def counts(self):
        words = self.ask("counts")
        return dict(zip(words[::2], map(int, words[1::2])))


@pytest.fixture
def probes():
    """make(server, ...): a host; all of them end well."""
    made = []

    def make(*args, **kwargs):
        made.append(Host(*args, **kwargs))
        return made[-1]

    yield make
    for p in made:
        p.end()


def present(length, etag_bytes=3):
    return f'present:{length}:"{"0" * etag_bytes}":"s3-{length}"'


# -- what is remembered ------------------------------------------------------------------------


def test_what_one_host_keeps_another_knows(server, probes):
    a, b = probes(server.path), probes(server.path)
    assert b.look(KEY) == ["unknown"]
    assert a.keep(KEY, 1 << 40) == "ok"
    assert b.look(KEY) == [present(1 << 40)]
    assert a.keep(KEY, 7) == "ok", "published again: the last one is right"
    assert b.look(KEY, "30d/none", KEY) == [present(7), "unknown", present(7)]
    assert b.say(f"forget {KEY}") == "ok"
    assert a.look(KEY) == ["unknown"]
    assert b.say(f"forget {KEY}") == "ok", "what is not there is forgotten"


def test_absence_is_remembered_shortly_and_never_over_what_is_there(server, probes):
    p = probes(server.path)
    assert p.say(f"absent {KEY} 60") == "ok"
    assert p.look(KEY) == ["absent"]
    assert p.keep(KEY, 5) == "ok", "it was published"
    assert p.say(f"absent {KEY} 60") == "no", "by somebody who looked before that"
    assert p.look(KEY) == [present(5)]
    assert p.say("absent 30d/other 1") == "ok"
    p.ask("sleep 1100")
    assert p.look("30d/other") == ["unknown"], "whatever memcached's clock says"


def test_nothing_is_believed_past_its_time(server, probes):
    p = probes(server.path)
    assert p.keep("a", 5, ttl=0) == "no"
    assert p.keep("a", 5, ttl=60) == "ok"
    assert p.keep("month", 6, ttl=40 * 86400) == "ok", "more than memcached takes as relative"
    p.ask("sleep 30000")
    assert p.look("a", "month") == [present(5), present(6)]
    p.ask("sleep 31000")
    assert p.look("a", "month") == ["unknown", present(6)]


def test_memcached_forgets_by_itself(server, probes):
    p = probes(server.path)
    assert p.keep("a", 5, ttl=1) == "ok"
    name = p.say("name o a")
    until = time.monotonic() + 10
    while server.say(f"mg {name}") != "EN\r\n" and time.monotonic() < until:
        time.sleep(0.1)
    assert server.say(f"mg {name}") == "EN\r\n"


def test_the_longest_entry_fits(server, probes):
    p = probes(server.path)
    assert p.keep(KEY, 9, etag_bytes=510) == "ok"
    assert p.look(KEY) == [present(9, 510)]


def test_16_keys_cost_one_wait(room, server, probes):
    turns = []
    proxy = Listener(room / "p", relay(server, turns))
    p = probes(proxy.path)
    keys = [f"30d/x/{i}" for i in range(16)]
    try:
        for i, key in enumerate(keys):
            assert p.keep(key, i + 1, etag_bytes=500) == "ok"
        turns.clear()
        assert p.look(*keys) == [present(i + 1, 500) for i in range(16)]
        assert len(turns) == 1
        for line in (f"take {KEY} a 10", "renew", "release", f"forget {KEY}"):
            turns.clear()
            assert p.say(line) in ("held", "ok")
            assert len(turns) == 1, line
    finally:
        proxy.close()


def test_two_servers_share_what_is_remembered(room, probes):
    servers = [Server(room / f"m{i}").start() for i in range(2)]
    try:
        a = probes(servers[0].path, servers[1].path)
        b = probes(servers[1].path, servers[0].path)
        keys = [f"k{i}" for i in range(64)]     # none on one of them is too rare to happen
        for key in keys:
            assert a.keep(key, 3) == "ok"
        assert [b.look(key) for key in keys] == [[present(3)]] * 64
        for s in servers:
            assert int(s.say("stats").split("STAT curr_items ")[1].split()[0]) > 0
        for i, path in enumerate((room / "aside", servers[0].path)):   # in each other's place: keys are elsewhere
            servers[i].path.rename(path)
        (room / "aside").rename(servers[1].path)
        later = probes(servers[0].path, servers[1].path)
        assert [later.look(key) for key in keys] == [["unknown"]] * 64
    finally:
        for s in servers:
            s.stop()


# -- what is not believed ----------------------------------------------------------------------


def raw(server, command, value=b""):
    """The answer in bytes; a value goes behind its command."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(str(server.path))
        s.sendall(command.encode() + b"\r\n" + (value + b"\r\n" if command.startswith("ms ") else b""))
        return s.recv(65536)


def value_of(server, name):
    return raw(server, f"mg {name} v").split(b"\r\n", 1)[1][:-2]


def test_nothing_that_memcached_hears_names_a_key_or_a_bucket(room, server, probes):
    said = []
    proxy = Listener(room / "p", relay(server, [], said))
    p = probes(proxy.path)
    try:
        assert p.look(KEY) == ["unknown"]
        assert p.keep(KEY, 5) == "ok"
        assert p.look(KEY) == [present(5)]
        assert p.say(f"absent {KEY}2 60") == "ok"
        assert p.say(f"take {KEY} me 10") == "held"
        assert p.say("release") == "held"
        assert p.say(f"forget {KEY}") == "ok"
    finally:
        proxy.close()
    text = b"".join(said)
    assert text.count(p.say(f"name o {KEY}").encode()) == 4 and p.say(f"name l {KEY}").encode() in text
    for word in (*KEY.split("/")[1:], "eo-data", "site-a", "s3.example.org", SECRET):
        assert word.encode() not in text, word


def test_another_tenant_of_memcached_is_not_believed(server, probes):
    site = probes(server.path)
    tenant = probes(server.path, secret="another secret, of 32 bytes or more")
    bucket = probes(server.path, store=STORE + "b/")
    assert site.keep(KEY, 5) == "ok" and tenant.keep(KEY, 6) == "ok" and bucket.keep(KEY, 7) == "ok"
    assert (site.look(KEY), tenant.look(KEY), bucket.look(KEY)) == ([present(5)], [present(6)], [present(7)])
    mine, theirs = site.say(f"name o {KEY}"), tenant.say(f"name o {KEY}")
    assert len({mine, theirs, bucket.say(f"name o {KEY}")}) == 3
    value = value_of(server, theirs)
    assert raw(server, f"ms {mine} {len(value)}", value) == b"HD\r\n"
    assert site.look(KEY) == ["unknown"]
    assert site.counts()["forged"] == 1
    # a replay of our own under another name
    assert site.keep("old", 8) == "ok"
    value = value_of(server, site.say("name o old"))
    assert raw(server, f"ms {mine} {len(value)}", value) == b"HD\r\n"
    assert site.look(KEY, "old") == ["unknown", present(8)]
    for value in (b"", b"x", b"0" * 31, b"0" * 32, b"\0" * 300, b"7" * 8192, b"7" * 8193, b"7" * 500000):
        assert raw(server, f"ms {mine} {len(value)}", value) == b"HD\r\n"
        assert site.look(KEY, "old") == ["unknown", present(8)], len(value)
    assert site.counts()["forged"] == 10
    assert site.keep(KEY, 5) == "ok" and site.look(KEY) == [present(5)], "and it goes on"


# -- leases ------------------------------------------------------------------------------------


def test_of_two_hosts_one_has_the_lease(server, probes):
    a, b = probes(server.path), probes(server.path)
    assert a.say(f"take {KEY} a 10") == "held"
    assert b.say(f"take {KEY} b 10") == "others"
    assert (a.say("held"), b.say("held")) == ("yes", "no")
    assert b.say("take 30d/other b 10") == "held", "another object is another lease"
    assert b.say("release") == "held"
    assert b.say("release") == "others", "it is not ours any more"
    assert a.say("renew") == "held"
    assert a.say("release") == "held"
    assert b.say(f"take {KEY} b 10") == "held"


def test_what_a_dead_one_held_goes_to_who_lives_in_its_seat_alone(server, probes):
    p = probes(server.path)
    for owner, want in (("m1-0:life1:1", "held"),
                        ("m1-0:life1:2", "others"),     # another transfer of the same process
                        ("m1-1:life2:1", "others"),     # another mover of that master
                        ("m1-01:life2:1", "others"),
                        ("m2-0:life2:1", "others"),     # another host, or the master of an upgrade
                        ("m1-0:life2", "others"),
                        ("m1-0", "others"),
                        ("m1-0:life2:1", "held"),
                        ("m2-0:life1:1", "others")):
        assert p.say(f"take {KEY} {owner} 10") == want, owner


def test_a_lease_that_was_taken_from_a_dead_one_is_whole(server, probes):
    dead, heir, other = probes(server.path), probes(server.path), probes(server.path)
    assert dead.say(f"take {KEY} m1-0:life1:1 10") == "held"
    assert heir.say(f"take {KEY} m1-0:life2:1 10") == "held"
    assert (dead.say("renew"), heir.say("renew"), other.say(f"take {KEY} m2-0:x:1 10")) == ("others", "held", "others")
    assert heir.say("release") == "held"
    assert other.say(f"take {KEY} m2-0:x:1 10") == "held"


def test_of_many_that_want_it_at_once_one_gets_it(server, probes):
    hosts = [probes(server.path) for _ in range(8)]
    for turn in range(20):
        said = {}
        threads = [threading.Thread(target=lambda i=i, p=p: said.update({i: p.say(f"take {KEY}{turn} host{i} 30")}))
                   for i, p in enumerate(hosts)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(said.values()) == ["held"] + ["others"] * 7, said


def test_a_lease_that_was_lost_is_seen_by_its_owner(server, probes):
    a, b = probes(server.path), probes(server.path)
    for lose in ("flush_all", "md " + a.say(f"name l {KEY}")):
        assert a.say(f"take {KEY} a 10") == "held"
        server.say(lose)
        assert b.say(f"take {KEY} b 10") == "held"
        assert a.say("renew") == "others"
        assert a.say("held") == "no"
        assert b.say("renew") == "held", "and the other's is left alone"
        assert a.say("release") == "others"
        assert b.say("release") == "held"
    assert a.say(f"take {KEY} a 10") == "held"
    server.say("flush_all")
    assert a.say("release") == "others"


def test_a_lease_ends_with_its_time(room, server, probes):
    said = []
    proxy = Listener(room / "p", relay(server, [], said))
    a, b = probes(proxy.path), probes(server.path)
    assert a.say(f"take {KEY} a 2") == "held"
    a.ask("sleep 2100")
    assert a.say("held") == "no"
    said.clear()
    assert a.say("renew") == "others" and not said, "which needs no question"
    proxy.close()
    until = time.monotonic() + 10
    while b.say(f"take {KEY} b 10") != "held" and time.monotonic() < until:
        time.sleep(0.1)
    assert b.say("held") == "yes"


def test_a_renewal_makes_it_longer(server, probes):
    a, b = probes(server.path), probes(server.path)
    assert a.say(f"take {KEY} a 4") == "held"
    until = time.monotonic() + 4.5
    while time.monotonic() < until:
        assert a.say("renew") == "held"
        assert b.say(f"take {KEY} b 4") == "others"
        time.sleep(0.3)


@pytest.mark.parametrize("value", [b"x", b"", b"7" * 100, b"7" * 100000, "replayed"])
def test_nobody_else_keeps_an_object_from_being_stored(server, probes, value):
    """A lease that is none, or an old one that somebody put there again, for ever."""
    a = probes(server.path)
    name = a.say(f"name l {KEY}")
    if value == "replayed":
        old = probes(server.path)
        assert old.say(f"take {KEY} gone 2") == "held"
        value = value_of(server, name)
        a.ask("sleep 2100")
    assert raw(server, f"ms {name} {len(value)} T0", value) == b"HD\r\n"
    assert a.say(f"take {KEY} a 10") == "held"
    assert a.say("renew") == "held"
    assert a.say("release") == "held"


# -- servers that fail (G5) ----------------------------------------------------------------------


def test_g5_a_stopped_memcached_costs_one_timeout_and_then_nothing_for_a_second(server, probes):
    p = probes(server.path, timeout_ms=LONG_MS)
    assert p.keep(KEY, 5) == "ok"
    assert p.say(f"take {KEY} a 60") == "held"
    server.hang()
    assert p.look(KEY) == ["unknown"]
    assert LONG_MS - 5 <= p.ms < 2 * LONG_MS, "one, not two"
    for line, want in ((f"look {KEY}", "unknown"), (f"forget {KEY}", "no"), (f"keep {KEY} 60 6 3", "no"),
                       ("renew", "away")):
        assert p.say(line) == want
        assert p.ms < LONG_MS / 2, line
    assert p.say("held") == "yes", "nobody knows better"
    assert p.counts()["away"] == 4, "a lease is not counted here"
    server.process.send_signal(signal.SIGCONT)
    p.ask("sleep 1000")
    assert p.look(KEY, "30d/none") == [present(5), "unknown"], "no late answer is mixed up"
    assert p.say("renew") == "held"


def test_a_killed_memcached_is_away_at_once_and_a_new_one_is_taken(server, probes):
    p = probes(server.path)
    assert p.keep(KEY, 5) == "ok"
    server.stop()
    assert p.look(KEY) == ["unknown"] and p.ms < PATIENT_MS
    assert p.say(f"take {KEY} a 10") == "away"
    server.start()
    p.ask("sleep 1000")
    assert p.look(KEY) == ["unknown"]
    assert p.say(f"take {KEY} a 10") == "held"
    assert p.keep(KEY, 5) == "ok" and p.look(KEY) == [present(5)]
    server.stop()
    server.start()
    assert p.look(KEY) == ["unknown"], "a restart while nobody asked is no failure"
    assert p.counts()["away"] == 1


def test_a_full_memcached_stores_nothing_and_answers_still(room, probes):
    s = Server(room / "m").start("-M", "-m", "2")
    p = probes(s.path)
    try:
        n = 0
        while n < 5000 and p.keep(f"k{n}", 5, etag_bytes=500) == "ok":
            n += 1
        assert 0 < n < 5000
        assert p.look("k0", f"k{n}") == [present(5, 500), "unknown"]
        assert p.counts()["away"] == 0
    finally:
        s.stop()


LATE_MS, LATE_TIMEOUT_MS = 40, 100     # late is a tenth of the timeout, and five of them a second are enough


def test_g5_answers_that_come_late_each_time_are_away_before_they_fill_a_movers_time(room, server, probes):
    def serve(client):
        with socket.socket(socket.AF_UNIX) as up:
            up.connect(str(server.path))
            while question := client.recv(65536):
                up.sendall(question)
                answer = up.recv(65536)
                time.sleep(LATE_MS / 1000)      # this is what is late
                client.sendall(answer)

    fake = Listener(room / "late", serve)
    try:
        p = probes(fake.path, timeout_ms=LATE_TIMEOUT_MS)
        assert p.say("hurry") == "ok"
        until = time.monotonic() + 20
        while p.counts()["away"] == 0 and time.monotonic() < until:
            assert p.say(f"look {KEY}") == "unknown"
        assert p.counts()["away"] > 0
        said = "no"     # by chance one may take longer than the timeout
        while said == "no" and time.monotonic() < until:
            p.ask("sleep 1000")
            said = p.say(f"keep {KEY} 60 5 3")
        assert said == "ok", "it is asked again after a second"
    finally:
        fake.close()


def test_many_quick_answers_are_not_late(server, probes):
    p = probes(server.path)
    assert p.say("hurry") == "ok" and p.say(f"keep {KEY} 60 5 3") == "ok"
    for _ in range(2000):
        assert p.say(f"look {KEY}") == present(5, 3)


LIES = {
    "another key": b"VA 5 keo:o%s\r\nhello\r\n" % (b"0" * 40),
    "no key": b"VA 5\r\nhello\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "wrong length": b"VA 4 k%s\r\nhello\r\n",
    "endless value": b"VA 100000000 k%s\r\n" + b"7" * 65536,
    "endless line": b"VA 5 " + b"f" * 65536,
    "half a value": b"VA 8000 k%s\r\n" + b"7" * 100,
    "more than one": b"EN\r\nEN\r\n",
}


@pytest.mark.parametrize("name", LIES)
def test_g5_a_liar_is_a_miss_in_time(room, probes, name):
    def serve(c):
        while question := c.recv(65536):
            asked = question.split()[1]
            c.sendall(LIES[name].replace(b"%s", asked))

    fake = Listener(room / "g", serve)
    p = probes(fake.path, timeout_ms=TIMEOUT_MS)
    try:
        for line, want in ((f"look {KEY}", "unknown"), (f"take {KEY} a 10", "away"), (f"keep {KEY} 60 5 3", "no")):
            assert p.say(line) == want
            assert p.ms <= TIMEOUT_MS + SLACK_MS
            p.ask("sleep 1000")
        assert p.counts()["present"] == 0
    finally:
        fake.close()


def test_g5_a_value_that_trickles_in_is_a_miss_in_time(room, probes):
    def serve(c):
        asked = c.recv(65536).split()[1]
        for byte in b"VA 600 k" + asked + b"\r\n" + b"7" * 600 + b"\r\n":
            c.sendall(bytes([byte]))
            time.sleep(0.02)

    fake = Listener(room / "g", serve)
    p = probes(fake.path, timeout_ms=TIMEOUT_MS)
    try:
        assert p.look(KEY) == ["unknown"]
        assert p.ms <= TIMEOUT_MS + SLACK_MS
    finally:
        fake.close()
