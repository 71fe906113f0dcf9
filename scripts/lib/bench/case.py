# SPDX-License-Identifier: Apache-2.0
"""How a case registers itself."""

import importlib
import pathlib

CASES = {}      # name -> Case, in the order in which they run


class Case:
    def __init__(self, name, place, about, run):
        self.name, self.place, self.about, self.run = name, place, about, run


def case(name, place, about):
    """
    Makes the function that follows a case: function(bench).

    place   a number: cases run from the lowest to the highest
    about   what --help says of it: what is measured beside what
    """
    def register(function):
        if name in CASES:
            raise ValueError("two cases are named '%s'" % name)
        CASES[name] = Case(name, place, about, function)
        return function
    return register


def load():
    """All cases, in their order."""
    for path in sorted(pathlib.Path(__file__).parent.glob("case_*.py")):
        importlib.import_module("bench." + path.stem)
    ordered = sorted(CASES.values(), key=lambda c: c.place)
    CASES.clear()
    CASES.update((c.name, c) for c in ordered)
    return CASES
