"""The table ``tracker_web`` as JSON: one row, or the rows of a tenant."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

COLUMNS: Final = "id, tracker_id, name, status, tenant_id, extra, created_at, updated_at"
SELECT_ONE: Final = f"SELECT {COLUMNS} FROM tracker_web WHERE id = %s"  # noqa: S608 - constants only
SELECT_TENANT: Final = f"SELECT {COLUMNS} FROM tracker_web WHERE tenant_id = %s ORDER BY id LIMIT %s"  # noqa: S608

LIST_ROWS_MAX: Final = 1_000
ID_MAX: Final = 2**64 - 1


def tracker(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as plain JSON types; equal in ToC and ToB for the same row."""
    return {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: Any) -> Any:
    if name == "extra" and value is not None:
        # MariaDB's JSON is text with a check; what does not parse cannot be in there.
        return orjson.loads(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
