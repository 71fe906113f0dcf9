# SPDX-License-Identifier: Apache-2.0
"""
What was measured: a row for each side of a case, told when it is known, and all
of them once more at the end.
"""

import os
import statistics
import sys

COLUMNS = ("case", "what", "min", "median", "max", "unit", "ratio", "target", "")


class Row:
    def __init__(self, case, what, values, unit, ratio=None, target=None, reached=None):
        self.case, self.what, self.values, self.unit = case, what, list(values), unit
        self.ratio, self.target, self.reached = ratio, target, reached

    def cells(self):
        v = self.values
        figures = ["%.4g" % f if f % 1 and abs(f) < 1000 else "%d" % f for f in (min(v), statistics.median(v), max(v))]
        verdict = "" if self.reached is None else "reached" if self.reached else "MISSED"
        return [self.case, self.what, *figures, self.unit, "" if self.ratio is None else "%.2f" % self.ratio,
                self.target or "", verdict]


class Table:
    def __init__(self, runs):
        self.runs = runs
        self.rows = []
        self.load = os.getloadavg()[0]

    def alternate(self, sides):
        """[(name, function that gives a figure)], all in turn as often as --runs says: {name: figures}."""
        values = {name: [] for name, _ in sides}
        for _ in range(self.runs):
            for name, measure in sides:
                values[name].append(measure())
        return values

    def compare(self, case, unit, sides, higher_is_better, targets=None):
        """
        Ours, the first side, with its anchors, all others: how much better it is than each.

        targets   {anchor: the ratio of the medians to reach, greater is better}
        """
        values = self.alternate(sides)
        ours = values[sides[0][0]]
        self.report(case, sides[0][0], ours, unit)
        for name, _ in sides[1:]:
            ratio = statistics.median(ours) / statistics.median(values[name])
            self.ratio(case, name, values[name], unit, ratio if higher_is_better else 1 / ratio, (targets or {}).get(name))

    def ratio(self, case, what, values, unit, ratio, target=None):
        """Figures, and a ratio that came of them."""
        self.add(Row(case, what, values, unit, ratio, None if target is None else ">= %.2f" % target,
                     None if target is None else ratio >= target))

    def report(self, case, what, values, unit):
        self.add(Row(case, what, values, unit))

    def limit(self, case, what, values, unit, at_most, of=statistics.median):
        """Figures of which the median (or the largest: of=max) must stay within a bound."""
        self.add(Row(case, what, values, unit, None, "<= %g" % at_most, of(values) <= at_most))

    def exactly(self, case, what, values, unit, wanted):
        """Figures that must all be the one that is wanted."""
        self.add(Row(case, what, values, unit, None, "= %g" % wanted, all(v == wanted for v in values)))

    def add(self, row):
        self.rows.append(row)
        print("%-10s %-28s %10s %10s %10s %-6s %6s %9s %s" % tuple(row.cells()), flush=True)

    def head(self):
        print("%-10s %-28s %10s %10s %10s %-6s %6s %9s %s" % COLUMNS, flush=True)

    def missed(self):
        return [row for row in self.rows if row.reached is False]

    def print_whole(self, out=sys.stdout):
        """All rows in one piece, in Markdown, and what else the machine had to do."""
        lines = [COLUMNS] + [row.cells() for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
        lines.insert(1, ["-" * max(w, 3) for w in widths])
        out.write("\n" + "".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |\n" for line in lines))
        out.write("\n%d processors; load average when it began %.1f, when it ended %.1f\n" %
                  (os.cpu_count(), self.load, os.getloadavg()[0]))
        out.flush()
