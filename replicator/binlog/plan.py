"""What a change of a table's rows means: its own key templates, and the namespaces its foreign keys reach.

Rows that InnoDB changes by ON DELETE / ON UPDATE CASCADE or SET NULL never come to the binlog: only the parent's change
does. So a parent is looked at even when nobody watches it: its change ages out the namespaces of every watched table
that an acting foreign key reaches from it, over any number of steps.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from replicator.binlog.events import RowImage, RowKind
from replicator.binlog.rows import has_changed
from replicator.tables import TableName, WatchedTables
from versioning.keys import KeyTemplate

Namespaces = frozenset[str]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    child: TableName
    parent: TableName
    parent_columns: tuple[str, ...]
    acts_on_delete: bool
    acts_on_update: bool
    parent_row_end: str = ""
    """The parent's column that says until when a row was there, if it is WITH SYSTEM VERSIONING.

    To delete a row of such a table is to set it: the binlog shows an update.
    """


@dataclass(frozen=True, slots=True)
class Cascade:
    on: RowKind
    columns: tuple[str, ...]
    namespaces: Namespaces

    def is_triggered(self, kind: RowKind, image: RowImage) -> bool:
        if kind is not self.on:
            return False
        return kind is RowKind.DELETE or has_changed(self.columns, image)


@dataclass(slots=True)
class TablePlan:
    templates: tuple[KeyTemplate, ...] = ()
    namespaces: Namespaces = frozenset()
    cascades: list[Cascade] = field(default_factory=list)

    @property
    def columns(self) -> frozenset[str]:
        """Every column this plan reads."""
        own = {column for template in self.templates for column in template.columns}
        return frozenset(own.union(*(cascade.columns for cascade in self.cascades)))

    def reached(self, kind: RowKind) -> Namespaces:
        """Everything a change of this kind may concern."""
        return self.namespaces.union(*(cascade.namespaces for cascade in self.cascades if cascade.on is kind))


TablePlans = dict[TableName, TablePlan]


def make_plans(tables: WatchedTables, foreign_keys: Iterable[ForeignKey]) -> TablePlans:
    keys = tuple(foreign_keys)
    plans = {spec.name: TablePlan(spec.templates, spec.namespaces) for spec in tables.specs}
    for key in keys:
        namespaces = _reached_from(key.child, tables, keys)
        if namespaces:
            plan = plans.setdefault(key.parent, TablePlan())
            if key.acts_on_delete:
                plan.cascades.append(Cascade(RowKind.DELETE, (), namespaces))
            if key.acts_on_delete and key.parent_row_end:
                plan.cascades.append(Cascade(RowKind.UPDATE, (key.parent_row_end,), namespaces))
            if key.acts_on_update:
                plan.cascades.append(Cascade(RowKind.UPDATE, key.parent_columns, namespaces))
    return plans


def _reached_from(child: TableName, tables: WatchedTables, keys: tuple[ForeignKey, ...]) -> Namespaces:
    reached, todo = {child}, [child]
    while todo:
        table = todo.pop()
        further = {key.child for key in keys if key.parent == table and (key.acts_on_delete or key.acts_on_update)}
        todo.extend(further - reached)
        reached |= further
    return tables.namespaces_of(tables.by_name[table] for table in reached if table in tables.by_name)
