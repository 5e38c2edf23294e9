"""The foreign keys that act by themselves, as information_schema shows them.

What it said is kept until DDL names the child or the parent. A question is a burden, and more: MariaDB opens every
table it must look at, and waits for one that is locked, be it for the hours of an ALTER. So after a DDL only the tables
that it names are asked for, and none that is locked meanwhile holds up the changes of the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from replicator.binlog.plan import ForeignKey, make_plans
from replicator.binlog.schema import Schema
from replicator.mysql import MySqlClient
from replicator.tables import TableName, WatchedTables

_ACTS = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})

# One table at a time and no join: opening all of a server for one question (views of `sys` included) has crashed a
# MariaDB 10.11.
_REFERENCES = """
SELECT constraint_name, referenced_table_schema, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage
WHERE table_schema = %s AND table_name = %s AND referenced_table_name IS NOT NULL
ORDER BY constraint_name, ordinal_position
"""
_RULES = """
SELECT constraint_name, delete_rule, update_rule
FROM information_schema.referential_constraints WHERE constraint_schema = %s AND table_name = %s
"""


@dataclass(frozen=True, slots=True)
class _Parent:
    spelled: dict[str, str]
    """Columns in lower case, and as the binlog calls them: a key older than its parent may spell them otherwise."""
    row_end: str


class ForeignKeys:
    def __init__(self, client: MySqlClient) -> None:
        self._client = client
        self._schema = Schema(client)
        self._by_child: dict[TableName, list[ForeignKey]] = {}
        self._hiding: set[TableName] = set()
        """Children with a key that acts and of which we may not see the columns."""
        self._parents: dict[TableName, _Parent] = {}

    def reaching(self, tables: Iterable[TableName]) -> list[ForeignKey]:
        """Those with an action (CASCADE, SET NULL) by which others change these tables, over any number of steps."""
        found: list[ForeignKey] = []
        todo = list(tables)
        for table in todo:  # grows while it is walked
            if table not in self._by_child:
                self._by_child[table] = self._ask(table)
            found += self._by_child[table]
            todo += sorted({key.parent for key in found} - set(todo))
        return [self._completed(key) for key in found]

    def unseen(self, tables: WatchedTables) -> list[TableName]:
        """Watched tables, and those whose changes reach them by themselves, whose foreign keys we may not all see.

        Of a watched one without any constraint that we see, ``Schema.shows_constraints`` tells.
        """
        plans = make_plans(tables, self.reaching(tables.by_name))
        parents = {table for table in plans if table not in tables.by_name}
        return sorted({table for table in parents if not self._schema.shows_constraints(table)} | self._hiding)

    def forget(self, names: frozenset[str] | None) -> None:
        """Ask again for tables of these names (lower case), and for their children; None: for all."""
        for child, keys in list(self._by_child.items()):
            if names is None or any(table.table.lower() in names for table in (child, *(key.parent for key in keys))):
                del self._by_child[child]
        for parent in list(self._parents):
            if names is None or parent.table.lower() in names:
                del self._parents[parent]

    def _ask(self, child: TableName) -> list[ForeignKey]:
        grouped: dict[tuple[str, ...], list[str]] = {}
        for *head, column in self._client.query(_REFERENCES, child):
            grouped.setdefault(tuple(str(part) for part in head), []).append(str(column))
        rules = {str(name): (on_delete in _ACTS, on_update in _ACTS)
                 for name, on_delete, on_update in self._client.query(_RULES, child)}  # fmt: skip
        self._hiding.discard(child)
        # With rights on single columns MariaDB shows a key's rule, and its columns only if we may see all of them.
        if {name for name, acts in rules.items() if any(acts)} - {name for name, *_ in grouped}:
            self._hiding.add(child)
        keys = []
        for (name, *parent), columns in grouped.items():
            acts = rules.get(name, (True, True))  # dropped between the two questions: on doubt it acts
            keys.append(ForeignKey(name, child, TableName(*parent), tuple(columns), *acts))
        return [key for key in keys if key.acts_on_delete or key.acts_on_update]

    def _completed(self, key: ForeignKey) -> ForeignKey:
        parent = self._parents.get(key.parent)
        if parent is None:
            spelled = {column.name.lower(): column.name for column in self._schema.columns(key.parent)}
            parent = self._parents[key.parent] = _Parent(spelled, self._schema.row_end(key.parent))
        columns = tuple(parent.spelled.get(name.lower(), name) for name in key.parent_columns)
        return replace(key, parent_columns=columns, parent_row_end=parent.row_end)
