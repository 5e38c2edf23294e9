"""Table maps of one connection: which table a number stands for, and how to read its rows.

A server repeats the map of a table, byte for byte, before every statement, so a map is read once and found again by
its bytes. Forgotten at DDL, with every file, and when there are too many (a server with a small table cache numbers its
tables anew all the time). A table that was altered has a new number, even where no DDL tells of it (sql_log_bin = 0):
so its columns are asked for with every map that is read, and kept no longer than what was made of them.
"""

from collections.abc import Callable
from typing import Final

from replicator.binlog.columns import JSON, UNSURE, ColumnFacts
from replicator.binlog.plan import TablePlans
from replicator.binlog.rowdata.extent import extent
from replicator.binlog.rowdata.images import RowsDecoder
from replicator.binlog.rowdata.layout import RowColumn
from replicator.binlog.rowdata.mapping import CharsetName, read_columns, table_of
from replicator.binlog.rowdata.values import decoder
from replicator.binlog.schema import Column
from replicator.binlog.tablemap import MapMismatchError, resolve
from replicator.tables import TableName

MAPS_MAX: Final = 10_000
_DUMMY_IDS: Final = frozenset({0xFF_FFFF, 0xFFFF_FFFF_FFFF})
"""MySQL ends a statement whose last rows event is missing with one of no table and no rows."""


class MapMissingError(Exception):
    """Rows of a table that was not described before."""


class Tables:
    def __init__(
        self,
        plans: TablePlans,
        columns_of: Callable[[TableName], tuple[Column, ...]],
        charset_name: CharsetName,
        *,
        is_mariadb: bool,
        own_id: int | None,
    ) -> None:
        """``own_id``: see `ServerFacts`."""
        self.plans = plans
        self._columns_of = columns_of
        self.charset_name = charset_name
        self._is_mariadb = is_mariadb
        self._own_id = own_id
        self._by_map: dict[tuple[bytes, bool], RowsDecoder | None] = {}
        """By the map and whether it is of rows that the server applied for another one."""
        self._by_id: dict[int, RowsDecoder | None] = {}

    def take(self, body: bytes, head_bytes: int, server_id: int) -> None:
        """A table map, and who wrote its rows at first; None is kept for a table without a plan."""
        key = body, server_id != self._own_id
        table_id = int.from_bytes(body[:6], "little")
        self._by_id.pop(table_id, None)  # so that the first ones are those not used for longest
        try:
            self._by_id[table_id] = self._by_map[key]
        except KeyError:
            self._make_room()
            self._by_map[key] = self._by_id[table_id] = self._read(body, head_bytes, is_applied=key[1])

    def _make_room(self) -> None:
        if len(self._by_map) >= MAPS_MAX:
            self._by_map.clear()
        while len(self._by_id) >= MAPS_MAX:  # never one that the statement at hand has described
            del self._by_id[next(iter(self._by_id))]

    def decoder(self, table_id: int) -> RowsDecoder | None:
        """None: nobody needs these rows. Raises MapMissingError."""
        try:
            return self._by_id[table_id]
        except KeyError:
            if table_id in _DUMMY_IDS:
                return None
            raise MapMissingError(f"rows of table number {table_id} came before its description") from None

    def forget(self) -> None:
        self._by_map.clear()
        self._by_id.clear()

    def _read(self, body: bytes, at: int, *, is_applied: bool) -> RowsDecoder | None:
        table, at = table_of(body, at)
        plan = self.plans.get(table)
        if plan is None:
            return None
        try:
            raw = read_columns(body, at, self.charset_name, is_mariadb=self._is_mariadb)
            columns = self._columns_of(table)
            facts = resolve(raw, [column.applied() for column in columns] if is_applied else columns)
            return RowsDecoder(table, [_row_column(one, plan.columns) for one in facts])
        except (MapMismatchError, LookupError, ValueError) as error:
            return RowsDecoder(table, problem=f"rows of {table} cannot be decoded: {error}")


def _row_column(facts: ColumnFacts, needed: frozenset[str]) -> RowColumn:
    found = extent(facts.kind, facts.size)
    if found is None:
        raise MapMismatchError(f"it has a column of unknown type {facts.kind}")
    is_needed = facts.name in needed
    return RowColumn(
        found,
        facts.name,
        decoder(facts) if is_needed else None,
        is_json=facts.kind == JSON,
        null=None if facts.is_null_sure else UNSURE,
    )
