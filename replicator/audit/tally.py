"""Counts of looks, and what they amount to: the fraction consistent, as nines, by namespace and delay."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from replicator.audit.judge import Outcome, Result


@dataclass(frozen=True, slots=True)
class Row:
    namespace: str
    after_s: float
    consistent: int
    wrong: int
    unserved: int
    inconclusive: int

    @property
    def compared(self) -> int:
        """Looks that found a value which readers are served, and the row."""
        return self.consistent + self.wrong

    @property
    def fraction(self) -> float | None:
        """None: nothing was compared."""
        return self.consistent / self.compared if self.compared else None

    @property
    def nines(self) -> str:
        """As ``3.0`` for 99.9 %; without a wrong value only what so many looks can prove, as ``>2.4``."""
        if not self.compared:
            return "-"
        return _nines(self.compared / self.wrong) if self.wrong else f">{_nines(self.compared)}"


def _nines(looks_per_wrong: float) -> str:
    """Cut off, not rounded: 99.98 % is no ``4.0``."""
    return f"{math.floor(math.log10(looks_per_wrong) * 10) / 10:.1f}"


@dataclass(slots=True)
class Tally:
    counts: Counter[tuple[str, float, Result]] = field(default_factory=Counter)

    def add(self, namespace: str, after_s: float, outcome: Outcome) -> None:
        self.counts[namespace, after_s, outcome.result] += 1

    @property
    def wrong(self) -> int:
        return sum(count for (_, _, result), count in self.counts.items() if result is Result.WRONG)

    def rows(self) -> Iterator[Row]:
        for namespace, after_s in sorted({(namespace, after_s) for namespace, after_s, _ in self.counts}):
            yield Row(namespace, after_s, *(self.counts[namespace, after_s, result] for result in Result))

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "namespace": row.namespace,
                "after_s": row.after_s,
                "consistent": row.consistent,
                "wrong": row.wrong,
                "unserved": row.unserved,
                "inconclusive": row.inconclusive,
                "fraction": row.fraction,
                "nines": row.nines,
            }
            for row in self.rows()
        ]
        return {"wrong": self.wrong, "rows": rows}

    def lines(self) -> list[str]:
        rows = list(self.rows())
        width = max([9, *(len(row.namespace) for row in rows)])
        head = f"{'namespace':<{width}}    after  compared   wrong  unserved  unsure  nines"
        return [
            head,
            *(
                f"{row.namespace:<{width}}  {f'{row.after_s:g} s':>7}  {row.compared:>8}  {row.wrong:>6}  "
                f"{row.unserved:>8}  {row.inconclusive:>6}  {row.nines}"
                for row in rows
            ),
        ]
