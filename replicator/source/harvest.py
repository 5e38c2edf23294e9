"""Collects what one transaction concerns: keys in order, each once; above a limit only namespaces, rows undecoded."""

from dataclasses import dataclass, field

from replicator.binlog.events import RowImage, RowsChanged, RowsUndecodableError
from replicator.binlog.plan import TablePlan
from replicator.binlog.rows import TooLong, Underivable, key_of, versions
from replicator.source.stats import SourceStats

Namespaces = frozenset[str]


@dataclass(slots=True)
class Harvest:
    keys_max: int
    stats: SourceStats
    keys: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Namespace to age out: why."""
    _touched: set[str] = field(default_factory=set)
    """Namespaces that `keys` may be of."""
    _is_full: bool = False

    @property
    def is_untouched(self) -> bool:
        return not (self.keys or self.reasons or self._touched or self._is_full)

    def take(self, event: RowsChanged, plan: TablePlan) -> None:
        if self._is_full:
            self.age_out(plan.reached(event.kind), self._too_big())
            return
        self._touched |= plan.namespaces
        try:
            for image in event.images:
                self._take_row(event, plan, image)
                if len(self.keys) > self.keys_max:
                    self._overflow(plan.reached(event.kind))
                    return
        except RowsUndecodableError as error:
            self.stats.rows_undecodable += 1
            self.age_out(plan.reached(event.kind), str(error))

    def age_out(self, namespaces: Namespaces, reason: str) -> None:
        for namespace in sorted(namespaces):
            self.reasons.setdefault(namespace, reason)

    def generations(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Pairs of a reason and the namespaces it ages out."""
        by_reason: dict[str, list[str]] = {}
        for namespace, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(namespace)
        return tuple((reason, tuple(namespaces)) for reason, namespaces in by_reason.items())

    def _take_row(self, event: RowsChanged, plan: TablePlan, image: RowImage) -> None:
        if plan.templates:
            self.stats.rows += 1
        for values in versions(image):
            for template in plan.templates:
                key = key_of(template, values)
                if isinstance(key, str):
                    self.keys[key] = None
                else:
                    self._miss(event, key)
        for cascade in plan.cascades:
            if cascade.is_triggered(event.kind, image):
                self.age_out(cascade.namespaces, f"foreign key cascade from {event.table}")

    def _miss(self, event: RowsChanged, key: Underivable | TooLong) -> None:
        if isinstance(key, Underivable):
            self.stats.keys_underivable += 1
            self.age_out(frozenset({key.namespace}), f"row of {event.table} does not tell a key column")
        else:
            self.stats.keys_too_long += 1

    def _overflow(self, reached: Namespaces) -> None:
        self._is_full = True
        self.keys.clear()
        self.age_out(frozenset(self._touched) | reached, self._too_big())

    def _too_big(self) -> str:
        return f"transaction with more than {self.keys_max} keys"
