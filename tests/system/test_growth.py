# SPDX-License-Identifier: Apache-2.0
"""
F7: what a descriptor, a child or memory that is not given back would show over
5,000 requests of every kind and 5 reloads.  scripts/bench soak does the same with
100,000 and 50, and prints the figures.
"""

import os

from faults import is_sanitized
from soak import Soak, settled

# For all processes of a role, after the warm-up: 13 bytes for each request.  Python's
# own memory is seen in pages.
MEMORY_MAX_KIB = {"broker": 256, "resolver": 512}
MEMORY_MAX_ELSE_KIB = 64
# So that each request is reserved, by workers and movers, and settled in counters.
COUNTED = {
    "memcached_timeout": "2s",  # one that is late would have its connections closed, and made again after the count
    "quotas": {"all": {"requests": ["1000000 per day"], "misses": ["1000000 per day"],
                       "bytes": ["1000 TB per day"], "upstream_bytes": ["1000 TB per day"]}},
    "rules": [{"name": "operators", "users": ["alice"], "routes": ["-/status", "-/metrics"], "allow": True},
              {"name": "users", "groups": ["s2-users"], "allow": True, "quotas": ["all"]}]}


def test_f7_nothing_grows_over_5000_requests_and_5_reloads(make_stack):
    stack = make_stack(COUNTED, "--token-life", "4")       # so that resolvers are asked again and again
    soak = Soak(stack)
    soak.peak()
    soak.run(500, reloads=2)
    soak.run(1000)              # workers are replaced by reloads: these have as much behind them as those at the end
    before = settled(stack)
    soak.run(1000, reloads=5)
    soak.run(4000)
    after = settled(stack, before)
    assert after.more_than(before) == {}
    if not is_sanitized():      # its quarantine keeps what is freed
        grown = {role: n for role, n in after.grown_kib(before).items() if n > MEMORY_MAX_KIB.get(role, MEMORY_MAX_ELSE_KIB)}
        assert not grown, "KiB more than before: %s" % grown
        assert min(after.heap_bytes.values()) > 100000, "it was looked at"
    counters = stack.status()["counters"]
    assert counters["requests_total"] >= 6500 and counters["restarts_total"] == 0 and counters["log_dropped_total"] == 0
    assert before.processes["resolver"] == 3 and counters["resolves_total"] > 30, "they were used"
    if os.geteuid() == 0:
        assert sum(after.descriptors.values()) > 60, "they were looked at"
