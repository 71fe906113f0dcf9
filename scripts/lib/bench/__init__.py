# SPDX-License-Identifier: Apache-2.0
"""
The rooms of scripts/bench.

    system.py     the system under test, its anchors and its provider
    table.py      what was measured, beside its anchor and its target
    case.py       how a case registers itself
    case_*.py     the cases: every file of that name is loaded

A case is a function under @case.  It gets the bench: options, table, a system
to ask (bench.system, shared by the cases) or systems of its own (bench.another).
"""
