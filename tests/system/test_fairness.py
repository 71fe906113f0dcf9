# SPDX-License-Identifier: Apache-2.0
"""Turns at a provider: slots of the host, a queue that goes round the users, and its end."""

import json
import os
import threading
import urllib.parse

from conftest import wait_until

SLOTS, MODEST, EACH, GREEDY = 4, 9, 12, 120


def queued(stack):
    with_gauges = json.loads(stack.get("/data/-/status").body)
    text = json.dumps(with_gauges)
    gauges = with_gauges.get("gauges", with_gauges)
    assert "queued" in text
    return gauges["queued"] if "queued" in gauges else sum(s.get("queued", 0) for s in with_gauges["processes"])


def people(stack, names):
    with open(os.path.join(stack.dir, "htpasswd"), "a", encoding="ascii") as f:
        f.writelines("%s:{PLAIN}%s\n" % (n, n) for n in names)


def ask(stack, threads, asset, user):
    thread = threading.Thread(target=lambda: stack.get(asset.path, user="%s:%s" % (user, user)))
    thread.start()
    threads.append(thread)


def test_one_greedy_user_leaves_nine_modest_ones_their_tenths(make_stack):
    """
    All slots are held while everybody queues up, the greedy one first; then the
    order in which the provider is asked is the order of the turns.
    """
    stack = make_stack({"backends": {"*": {"slots": SLOTS, "queue": 1000}},
                        "rules": [{"name": "operators", "users": ["alice"], "routes": ["-/status"], "allow": True},
                                  {"name": "all", "who": "authenticated", "allow": True}]})
    modest = ["modest%d" % i for i in range(MODEST)]
    people(stack, ["holder", "greedy"] + modest)
    threads = []
    for i in range(SLOTS):
        ask(stack, threads, stack.add(os.urandom(4000), backend="loop_open", case="gate-fair%d-1000" % i), "holder")
    wait_until(lambda: len(stack.upstream()) >= SLOTS or stack.provider("/-/log", "GET")["open"] > SLOTS, "the slots are taken")
    mine = {}
    for user, n in [("greedy", GREEDY)] + [(m, EACH) for m in modest]:
        for _ in range(n):
            asset = stack.add(b"x" * 100, backend="loop_open")
            mine[asset.upstream_path] = user
            ask(stack, threads, asset, user)
    wait_until(lambda: queued(stack) == GREEDY + MODEST * EACH, "everybody waits")
    for i in range(SLOTS):
        stack.provider("/-/open?gate=fair%d" % i)
    for thread in threads:
        thread.join()
    order = [user for line in stack.upstream() for path, user in mine.items() if urllib.parse.unquote(line[1]).endswith(path)]
    assert len(order) == GREEDY + MODEST * EACH
    first = order[:(MODEST + 1) * EACH]
    shares = {user: first.count(user) for user in ["greedy"] + modest}
    assert all(n >= 0.8 * EACH for n in shares.values()), shares


def test_a_full_queue_is_503_with_retry_after(make_stack):
    stack = make_stack({"backends": {"*": {"slots": 1, "queue": 1}}})
    threads = []
    holder = stack.add(os.urandom(4000), backend="loop_open", case="gate-full-1000")
    ask(stack, threads, holder, "alice")
    wait_until(lambda: stack.provider("/-/log", "GET")["open"] > 1, "the slot is taken")
    ask(stack, threads, stack.add(backend="loop_open"), "alice")
    wait_until(lambda: queued(stack) == 1, "one waits")
    answer = stack.get(stack.add(backend="loop_open").path)
    assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1, answer
    assert stack.get(stack.add(backend="loop_header").path).status == 200
    stack.provider("/-/open?gate=full")
    for thread in threads:
        thread.join()
