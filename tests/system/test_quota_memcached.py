# SPDX-License-Identifier: Apache-2.0
"""The counters of lib/quota on a real memcached, and on things that only look like one.

Needs memcached and tests/system/store_probe from the build directory: $EODATA_BUILD,
the one that $EODATA_PREFIX is in, build/ or the top of the tree.
"""

import hashlib
import os
import pathlib
import signal
import struct
import tempfile
import threading
import time

import pytest

from memcacheds import MEMCACHED, Listener, Probe, Server, probe_program, relay

PROGRAM = probe_program("store_probe")
TIMEOUT_MS = 1500   # of which a busy machine cannot make two
SLACK_MS = 1400
NONSENSE = 2**64 - 1

pytestmark = [
    pytest.mark.skipif(MEMCACHED is None, reason="memcached is not installed"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="store_probe is not built: make"),
]


@pytest.fixture
def room():
    """A directory with a short name: socket paths have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="eoq") as name:
        yield pathlib.Path(name)


def put(server, probe, key, value):
    """key as the probe names it, in its epoch."""
    wire = key.replace("eo:", "eo%x:" % probe.look()["epoch"])
    assert server.say(f"set {wire} 0 100 {len(value)}\r\n{value}") == "STORED\r\n"


@pytest.fixture
def server(room):
    s = Server(room / "m").start()
    yield s
    s.stop()


class Counters(Probe):
    def __init__(self, *servers, timeout_ms=TIMEOUT_MS):
        super().__init__(PROGRAM, timeout_ms, *servers)

    def run(self, *ops, ttl=60):
        """(values or None, milliseconds)"""
        words = self.ask(f"run {ttl} " + " ".join(ops))
        values = None if words[0] == "away" else [int(w) for w in words[1:-1]]
        return values, float(words[-1].removeprefix("ms="))

    def post(self, *ops, ttl=60):
        return self.ask(f"post {ttl} " + " ".join(ops))[0]

    def epoch(self):
        """As an accountant begins one: until then all is away."""
        words = self.ask("epoch")
        assert words[0] == "epoch", words
        assert self.run("eo:nobody=")[0] == [0]
        return self

    def look(self):
        """What the servers hold, by name; None when they are away."""
        words = self.ask("look")
        return None if words == ["away"] else dict(zip(words[::2], (int(w, 16) for w in words[1::2])))

    def pass_time(self, ms):
        assert self.ask(f"sleep {ms}") == ["ok"]


@pytest.fixture
def probe(server):
    p = Counters(server.path).epoch()
    yield p
    p.end()


@pytest.fixture
def patient(server):
    """Not about time: waits longer than a busy machine needs for 64 processes at once."""
    p = Counters(server.path, timeout_ms=10000).epoch()
    yield p
    p.end()


# -- what counters mean ---------------------------------------------------------------


def test_values_hold_our_own_addition_and_come_in_order(probe):
    assert probe.run("eo:a+1", "eo:b+20", "eo:c=")[0] == [1, 20, 0]
    assert probe.run("eo:b+1", "eo:a+1")[0] == [21, 2]
    assert probe.run("eo:a=", "eo:b=", "eo:c=")[0] == [2, 21, 0]


def test_g3_subtracting_stops_at_nothing(probe):
    assert probe.run("eo:a+10")[0] == [10]
    assert probe.run("eo:a-1")[0] == [9]        # memcached now keeps "9 "
    assert probe.run("eo:a+1")[0] == [10]
    assert probe.run("eo:a-11")[0] == [0]
    assert probe.run("eo:none-5")[0] == [0]
    assert probe.run("eo:none=", "eo:none2=")[0] == [0, 0]


def test_answers_to_what_was_posted_are_nobody_else_s(server, probe):
    put(server, probe, "eo:bad", "abc")
    for i in range(1, 5001):
        assert probe.post("eo:a+1", "eo:none-1", "eo:bad+1") == "ok"
    assert probe.run("eo:a=", "eo:none=", "eo:b+3")[0] == [5000, 0, 3]


def test_a_posted_operation_is_there_for_the_next_reader(probe):
    probe.run("eo:a+5")
    assert probe.post("eo:a-2", "eo:b+7") == "ok"
    assert probe.run("eo:a=", "eo:b=")[0] == [3, 7]


def test_a_counter_ends_with_its_ttl_and_one_of_a_month_does_not_end_at_once(probe):
    probe.run("eo:short+1", ttl=1)
    probe.run("eo:month+1", ttl=32 * 86400)     # more than memcached takes as relative
    until = time.monotonic() + 5
    while probe.run("eo:short=")[0] != [0] and time.monotonic() < until:
        time.sleep(0.1)
    assert probe.run("eo:short=", "eo:month=")[0] == [0, 1]


def test_an_addition_keeps_the_ttl_that_the_counter_was_made_with(probe):
    probe.run("eo:short+1", ttl=1)
    until = time.monotonic() + 5
    while probe.run("eo:short+1", ttl=1000)[0] != [1] and time.monotonic() < until:
        time.sleep(0.1)
    assert time.monotonic() < until


@pytest.mark.parametrize("value", ["abc", "5x", "-5", "0x10", "9" * 30, str(2**63), "x" * 3000])
def test_g3_nonsense_in_one_counter_is_never_free_and_spares_the_others(server, probe, value):
    probe.run("eo:good+1")
    put(server, probe, "eo:bad", value)
    for i in range(3):
        assert probe.run("eo:good+1", "eo:bad+1", "eo:other+1")[0] == [i + 2, NONSENSE, i + 1]
        assert probe.run("eo:bad=")[0] == [NONSENSE]
    assert probe.run("eo:good=", "eo:other=")[0] == [4, 3]


@pytest.mark.parametrize("value", ["41", "41      ", "+41", " 41", "41 7"])
def test_g3_what_memcached_takes_for_a_number_goes_on_from_there(server, probe, value):
    put(server, probe, "eo:a", value)       # spaces behind a number are its own, after a subtraction
    assert probe.run("eo:a+1")[0] == [42]


@pytest.mark.parametrize("value", ["+41", " 41", "41 7", "41\t", ""])
def test_g3_a_value_that_is_only_read_must_be_a_plain_number(server, probe, value):
    put(server, probe, "eo:a", value)
    assert probe.run("eo:a=")[0] == [NONSENSE]


def test_g3_the_largest_number_does_not_wrap_to_free(server, probe):
    put(server, probe, "eo:a", str(2**64 - 1))
    for _ in range(4):
        assert probe.run("eo:a+1")[0] == [NONSENSE]
    put(server, probe, "eo:a", str(2**64 - 5))
    assert probe.run("eo:a+3")[0] == [NONSENSE]
    assert probe.run("eo:a+3")[0] == [NONSENSE]
    assert probe.run("eo:a+3")[0] == [NONSENSE]


# -- counters that are lost (G4): none of what is left counts, until an epoch begins ---------


def is_lost(probe, *ops):
    """At once and each time, and there is no breaker: the first decision in a new epoch counts."""
    for _ in range(3):
        values, ms = probe.run(*ops)
        assert values is None and ms < SLACK_MS


def test_g4_an_emptied_store_is_noticed(server, probe):
    assert probe.run("eo:a+5")[0] == [5]
    assert server.say("flush_all") == "OK\r\n"
    is_lost(probe, "eo:a+1", "eo:b=")
    assert probe.look() == {"epoch": 0, "newest": 0, "taken": 0, "evicted": 0}
    assert probe.epoch().run("eo:a+1")[0] == [1], "nothing of what was counted meanwhile"


def test_g4_a_restart_is_noticed_though_nobody_asked_meanwhile(server, probe):
    assert probe.run("eo:a+1", "eo:b+1")[0] == [1, 1]
    server.stop()
    server.start()
    is_lost(probe, "eo:a+1", "eo:b+1", "eo:c=")
    assert probe.epoch().run("eo:a+1", "eo:b+1")[0] == [1, 1]


def test_g4_a_mark_that_is_gone_or_another_is_noticed(server, probe):
    assert probe.run("eo:a+5")[0] == [5]
    mark = "eo:m" + hashlib.sha256(f"{server.path}\n{server.path}".encode()).hexdigest()[:32]
    assert server.say(f"get {mark}").startswith("VALUE")
    epoch = probe.look()["epoch"]
    for value in ("1", "abc", "f%d" % epoch, str(2**64 - 1), ""):
        assert server.say(f"set {mark} 0 0 {len(value)}\r\n{value}") == "STORED\r\n"
        if value == "1":            # an epoch of somebody else's: its counters, not ours
            assert probe.run("eo:a+1")[0] == [1]
        else:
            is_lost(probe, "eo:a+1")
    assert server.say(f"delete {mark}") == "DELETED\r\n"
    is_lost(probe, "eo:a+1")


@pytest.fixture
def two(room):
    servers = [Server(room / "m0").start(), Server(room / "m1").start()]
    yield servers
    for s in servers:
        s.stop()


OPS = [f"eo:{i}+1" for i in range(40)]


def test_g4_the_order_of_the_list_does_not_matter(two):
    for turn, paths in enumerate(((two[0].path, two[1].path), (two[1].path, two[0].path))):
        p = Counters(*paths)
        if turn == 0:
            p.epoch()
        assert p.run(*OPS)[0] == [turn + 1] * len(OPS)
        p.end()


def test_g4_servers_in_each_others_place_are_noticed(room, two):
    p = Counters(two[0].path, two[1].path).epoch()
    assert p.run(*OPS)[0] == [1] * len(OPS)
    os.rename(two[0].path, room / "aside")
    os.rename(two[1].path, two[0].path)
    os.rename(room / "aside", two[1].path)
    later = Counters(two[0].path, two[1].path)
    is_lost(later, *OPS)
    assert later.look()["epoch"] == 0
    assert later.epoch().run(*OPS)[0] == [1] * len(OPS)
    later.end()
    p.end()


def test_g4_another_list_of_servers_is_another_epoch(two):
    p = Counters(two[0].path, two[1].path).epoch()
    assert p.run(*OPS)[0] == [1] * len(OPS)
    one = Counters(two[0].path)
    is_lost(one, *OPS)
    assert one.epoch().run(*OPS)[0] == [1] * len(OPS)
    assert p.run(*OPS)[0] == [2] * len(OPS), "and the other goes on: who uses it again knows that it is older"
    assert p.look()["epoch"] < one.look()["epoch"]
    p.end()
    one.end()


def test_g4_one_of_two_that_is_lost_is_noticed_by_whoever_needs_it(two):
    p = Counters(two[0].path, two[1].path).epoch()
    assert p.run(*OPS)[0] == [1] * len(OPS)
    two[1].say("flush_all")
    alone = [p.run(op)[0] for op in OPS]
    assert None in alone and all(v in (None, [2]) for v in alone), alone
    is_lost(p, *OPS)
    assert p.epoch().run(*OPS)[0] == [1] * len(OPS), "and then all of them are new"
    p.end()


def test_g4_of_many_that_begin_one_wins_on_every_server(two):
    """Or none does, where one took it from another in between: then it is tried again, and nothing counts meanwhile."""
    probes, won = [Counters(two[0].path, two[1].path, timeout_ms=5000) for _ in range(8)], 0
    for _ in range(5):
        said = []
        threads = [threading.Thread(target=lambda p=p: said.append(p.ask("epoch"))) for p in probes]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        begun = [int(words[1], 16) for words in said if words[0] == "epoch"]
        look = probes[0].look()
        assert {words[0] for words in said} <= {"epoch", "others"}
        assert look["epoch"] == 0 or look["epoch"] in begun, (look, said)
        assert (probes[0].run("eo:a+1")[0] is None) == (look["epoch"] == 0)
        won += len(begun)
    assert won > 0
    assert probes[0].epoch().run("eo:a+1")[0] == [1]
    for p in probes:
        p.end()


def test_g4_a_server_that_throws_nothing_out_is_away_when_it_is_full(room):
    """memcached -M, as the example has it: then no counter is lost, and nobody is let in uncounted but by when_unavailable."""
    s = Server(room / "m").start("-M", "-m", "2")
    p = Counters(s.path, timeout_ms=2000).epoch()
    assert p.run("eo:first+7")[0] == [7]
    n = 0
    while n < 2000 and p.run(*[f"eo:{n}.{i}+1" for i in range(100)])[0] is not None:
        n += 1
    assert 0 < n < 2000, "it is full"
    p.pass_time(1000)
    assert p.run("eo:first+1")[0] == [8], "what it has it keeps"
    assert p.look()["evicted"] == 0
    p.end()
    s.stop()


# -- the overshoot bound ------------------------------------------------------------------


@pytest.mark.parametrize("kind,add,limit", [("requests", 1, 1000), ("bytes", 10**9, 10**12)])
def test_g2_64_processes_at_the_last_unit_get_one_at_most(patient, kind, add, limit):
    none = 0
    for _ in range(10):
        words = patient.ask(f"race 64 {kind} {add} {limit}")
        tally = dict(zip(words[::2], map(int, words[1::2])))
        assert tally["away"] == tally["failed"] == 0
        assert tally["admitted"] <= 1
        # whatever happened, nothing was lost: the unit is taken, or it can be had now
        assert tally["free"] == 1 - tally["admitted"]
        none += tally["admitted"] == 0
    print(f"{kind}: nobody got the last unit in {none} of 10 races")


# -- one connection for each process (G6) ---------------------------------------------------


def connections(server):
    return int(server.say("stats").split("STAT total_connections ")[1].split()[0])


def test_g6_a_child_cannot_use_its_parents_connection(server, probe):
    assert probe.run("eo:a+1")[0] == [1]
    before = connections(server)
    assert probe.ask("fork") == ["ended", "by", str(int(signal.SIGABRT))]
    assert connections(server) == before + 1, "this question's"
    assert probe.run("eo:a+1", "eo:child=")[0] == [2, 0]    # nothing of the child's, and no answer is mixed up


def test_g6_each_process_makes_a_connection_of_its_own(server, patient):
    before = connections(server)
    patient.ask("race 64 requests 1 1000")
    assert connections(server) >= before + 64


# -- round trips -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 20, 160])
def test_n_counters_cost_one_wait(room, server, n):
    turns = []
    proxy = Listener(room / "p", relay(server, turns))
    p = Counters(proxy.path, timeout_ms=2000).epoch()
    ops = [f"eo:{i}+1" for i in range(n)]
    try:
        for i in range(1, 6):
            turns.clear()
            assert p.run(*ops)[0] == [i] * n
            # an answer of many counters may come in pieces, but nothing is asked in between
            assert len(turns) == 1
    finally:
        p.end()
        proxy.close()


def test_two_servers_share_the_counters(room):
    servers = [Server(room / "m0").start(), Server(room / "m1").start()]
    p = Counters(servers[0].path, servers[1].path).epoch()
    try:
        ops = [f"eo:{i}+{i + 1}" for i in range(100)]
        assert p.run(*ops)[0] == list(range(1, 101))
        assert p.run(*ops)[0] == list(range(2, 202, 2))
        for s in servers:
            items = int(s.say("stats").split("STAT curr_items ")[1].split()[0])
            assert 20 <= items <= 80
    finally:
        p.end()
        for s in servers:
            s.stop()


# -- servers that fail (G5) ------------------------------------------------------------------------


def test_g5_a_stopped_server_costs_one_timeout_and_then_nothing_for_a_second(server, probe):
    assert probe.run("eo:a+1")[0] == [1]
    server.hang()
    values, ms = probe.run("eo:a+1", "eo:b+1")
    print(f"stopped: away after {ms} ms (timeout {TIMEOUT_MS} ms)")
    assert values is None and TIMEOUT_MS - 5 <= ms <= TIMEOUT_MS + SLACK_MS
    for _ in range(5):
        values, ms = probe.run("eo:a+1")
        assert values is None and ms < TIMEOUT_MS / 2
        assert probe.post("eo:a+1") == "away"
    server.process.send_signal(signal.SIGCONT)
    assert probe.run("eo:a+1")[0] is None           # the breaker holds
    probe.pass_time(1000)
    assert probe.run("eo:c+1", "eo:d=")[0] == [1, 0]    # and no late answer is mixed up
    assert probe.run("eo:a=")[0] in ([1], [2])          # what was sent may have counted: never below the truth


def test_g5_a_stopped_server_met_while_connecting_costs_one_timeout(server):
    server.hang()
    p = Counters(server.path)
    values, ms = p.run("eo:a+1", "eo:b+1")
    p.end()
    assert values is None and ms <= TIMEOUT_MS + SLACK_MS


def test_a_killed_server_is_away_at_once_and_back_after_a_second(server, probe):
    assert probe.run("eo:a+1")[0] == [1]
    server.stop()
    values, ms = probe.run("eo:a+1")
    print(f"killed: away after {ms} ms")
    assert values is None and ms < SLACK_MS
    server.start()
    probe.pass_time(1000)
    assert probe.run("eo:a+1")[0] is None, "what it had is lost"
    assert probe.epoch().run("eo:a+1")[0] == [1]


def test_no_server_at_all_is_away(room):
    p = Counters(room / "nobody")
    values, ms = p.run("eo:a+1")
    assert values is None and ms < SLACK_MS
    p.end()


def binary(opcode, status=0, keylen=0, extlen=0, bodylen=0):
    return struct.pack(">BBHBBHIIQ", 0x81, opcode, keylen, extlen, 0, status, bodylen, 0, 0)


# The last three overran the stack of libmemcached 1.1.4 when it read answers for us.
GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "unknown words": b"ERROR\r\n" * 20,
    "no memory": b"SERVER_ERROR out of memory storing object\r\n" * 2,
    "zeros": bytes(4096),
    "high bytes": b"\xff" * 4096,
    "random": os.urandom(65536),
    "only a newline": b"\n",
    "bare newlines": b"HD\nHD\n",
    "half a line": b"VA 1",
    "half a value": b"VA 10\r\n123",
    "endless line": b"VA 1 " + b"f" * 65536,
    "negative length": b"VA -1\r\n1\r\n" * 2,
    "length past 64 bits": b"VA 99999999999999999999999\r\n1\r\n" * 2,
    "length of 2 GiB": b"VA 2147483648\r\n" + b"7" * 65536,
    "value longer than said": b"VA 1\r\n12345\r\n" * 2,
    "value that never ends": b"VA 100000000\r\n" + b"7" * 65536,
    "nul in a word": b"H\0D\r\n" * 2,
    "one answer of two": b"VA 1\r\n1\r\n",
    "binary version": binary(0x0B, bodylen=4096) + b"1" * 4096,
    "binary key": binary(0x0D, keylen=60000, extlen=4, bodylen=60010) + b"k" * 60010,
    "binary stat": binary(0x10, keylen=60000, bodylen=100) + b"k" * 60000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_g5_garbage_is_away_in_time(room, name):
    def serve(c):
        c.recv(65536)
        c.sendall(GARBAGE[name])

    fake = Listener(room / "g", serve)
    p = Counters(fake.path)
    try:
        values, ms = p.run("eo:a+1", "eo:b+1")
        print(f"{name}: {values} after {ms} ms")
        assert values is None
        assert ms <= TIMEOUT_MS + SLACK_MS
        p.end()
    finally:
        fake.close()


def test_g5_answers_that_trickle_in_are_away_in_time(room):
    def serve(c):
        c.recv(65536)
        for byte in b"VA 1" + b" " * 400 + b"\r\n":
            c.sendall(bytes([byte]))
            time.sleep(0.02)

    fake = Listener(room / "g", serve)
    p = Counters(fake.path)
    try:
        values, ms = p.run("eo:a+1")
        print(f"trickle: away after {ms} ms")
        assert values is None and ms <= TIMEOUT_MS + SLACK_MS
        p.end()
    finally:
        fake.close()


def test_more_answers_than_questions_are_not_taken_for_later_ones(room):
    def serve(c):
        while c.recv(65536):
            c.sendall(b"VA 1\r\n1\r\nVA 1\r\n1\r\n")

    fake = Listener(room / "g", serve)
    p = Counters(fake.path)
    try:
        assert p.run("eo:a+1")[0] is None
        p.end()
    finally:
        fake.close()


@pytest.mark.parametrize("what", ["closes at once", "closes after the question", "says nothing"])
def test_g5_a_server_that_only_accepts_is_away_in_time(room, what):
    def serve(c):
        if what == "closes after the question":
            c.recv(65536)
        if what != "says nothing":
            c.close()

    fake = Listener(room / "g", serve)
    p = Counters(fake.path)
    try:
        values, ms = p.run("eo:a+1")
        assert values is None and ms <= TIMEOUT_MS + SLACK_MS
        p.end()
    finally:
        fake.close()


def test_a_connection_that_got_garbage_is_not_used_again(room, server):
    garbage = [True]

    def serve(c):
        if garbage[0]:
            c.recv(65536)
            c.sendall(GARBAGE["http"])
        else:
            relay(server, [])(c)

    fake = Listener(room / "g", serve)
    p = Counters(fake.path)
    try:
        assert p.run("eo:a+1")[0] is None
        garbage[0] = False
        p.pass_time(1000)
        p.epoch()
        assert p.run("eo:a+1", "eo:b+2")[0] == [1, 2]
        p.end()
    finally:
        fake.close()
