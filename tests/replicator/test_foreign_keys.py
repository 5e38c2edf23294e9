"""Which foreign keys a server is asked for again, and for which of them nobody has to wait."""

from typing import Any, cast

from replicator.binlog.foreign_keys import ForeignKeys
from replicator.tables import TableName

ITEM, SHELF, ROOM = (TableName("shop", name) for name in ("item", "shelf", "room"))
PARENTS = {ITEM: SHELF, SHELF: ROOM}
ASKS_FOR_KEYS, ASKS_FOR_COLUMNS = "key_column_usage", "information_schema.columns"


class Server:
    """Each table but the last has a foreign key to the next one, whose column it spells in its own way."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, TableName]] = []

    def query(self, sql: str, table: TableName) -> list[tuple[Any, ...]]:
        if ASKS_FOR_KEYS in sql:
            self.asked.append((ASKS_FOR_KEYS, table))
            return [("fk", *PARENTS[table], "ID")] if table in PARENTS else []
        if "referential_constraints" in sql:
            return [("fk", "CASCADE", "RESTRICT")]
        if ASKS_FOR_COLUMNS in sql:
            self.asked.append((ASKS_FOR_COLUMNS, table))
            return [(1, "id", "int", "int(11)", None, None, "")]
        return []

    def take_asked(self) -> list[tuple[str, TableName]]:
        asked, self.asked = self.asked, []
        return asked


def test_what_the_server_has_said_is_asked_again_only_where_ddl_names_it() -> None:
    server = Server()
    keys = ForeignKeys(cast("Any", server))
    first = keys.reaching([ITEM])
    assert [(key.child, key.parent, key.parent_columns) for key in first] == [
        (ITEM, SHELF, ("id",)),
        (SHELF, ROOM, ("id",)),
    ]
    server.take_asked()

    def asked_after(names: frozenset[str] | None) -> list[tuple[str, TableName]]:
        keys.forget(names)
        assert keys.reaching([ITEM]) == first
        return server.take_asked()

    assert asked_after(frozenset({"other", "id"})) == []
    assert asked_after(frozenset({"item"})) == [(ASKS_FOR_KEYS, ITEM)]
    assert asked_after(frozenset({"room"})) == [
        (ASKS_FOR_KEYS, SHELF),
        (ASKS_FOR_KEYS, ROOM),
        (ASKS_FOR_COLUMNS, ROOM),
    ]
    assert len(asked_after(None)) == 5
