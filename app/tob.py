"""The reference ToB: the back office of datacenter A. It knows nothing of caches: it writes rows, the binlog tells.

Every write answers the committed row and ``committed_ms``, read after COMMIT returned.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
import pymysql
from fastapi import APIRouter, FastAPI, Path
from pydantic import BaseModel, ConfigDict, Field
from pymysql.constants import ER
from pymysql.cursors import DictCursor

from app import probes, trackers
from app.errors import ApiError
from app.http import new_app
from app.mysql_pool import Connection, DatabaseUnavailableError, MySqlPool
from app.trackers import COLUMNS, ID_MAX, SELECT_ONE
from versioning.client.clock import unix_ms

Strict = ConfigDict(extra="forbid", frozen=True)
Id = Annotated[int, Path(ge=1, le=ID_MAX)]
Unsigned = Annotated[int, Field(ge=0, le=ID_MAX)]
Status = Literal["active", "paused", "archived"]
Result = TypeVar("Result")

REFUSED_BY_DATA: Final = {ER.DUP_ENTRY: (409, "duplicate"), ER.NO_REFERENCED_ROW_2: (409, "reference")}


class TrackerFields(BaseModel):
    """A whole tracker, as PUT and POST take it."""

    model_config = Strict

    tracker_id: str = Field(min_length=1, max_length=64)
    name: str = Field(default="", max_length=255)
    status: Status = "active"
    tenant_id: Unsigned
    extra: dict[str, Any] | None = None


class TrackerPatch(BaseModel):
    """Any of the fields; those left out stay."""

    model_config = Strict

    tracker_id: str | None = Field(default=None, min_length=1, max_length=64)
    name: str | None = Field(default=None, max_length=255)
    status: Status | None = None
    tenant_id: Unsigned | None = None
    extra: dict[str, Any] | None = None


class BulkUpdate(BaseModel):
    """One statement over all trackers of a tenant."""

    model_config = Strict

    tenant_id: Unsigned
    name: str | None = Field(default=None, max_length=255)
    status: Status | None = None


class Written(BaseModel):
    tracker: dict[str, Any] | None
    committed_ms: int


class BulkWritten(BaseModel):
    rows: int
    committed_ms: int


def create_app(pool: MySqlPool) -> FastAPI:
    """Build the service; it closes ``pool``."""

    async def lifespan() -> AsyncIterator[None]:
        yield
        await pool.aclose()

    app = new_app("reference ToB", "Trackers, written in datacenter A.", lifespan)
    app.include_router(_trackers(pool))
    app.include_router(probes.router(lambda _: None, None))
    return app


def _trackers(pool: MySqlPool) -> APIRouter:
    routes = APIRouter(prefix="/trackers", tags=["trackers"])

    @routes.post("", status_code=201)
    async def create(fields: TrackerFields) -> Written:
        """Create a tracker."""
        return await _write(pool, lambda cursor: _insert(cursor, fields))

    @routes.post("/bulk")
    async def bulk(update: BulkUpdate) -> BulkWritten:
        """Update all trackers of a tenant in one transaction."""
        changes = _columns(update.model_dump(exclude={"tenant_id"}, exclude_none=True))
        return await _transact(pool, lambda cursor: _update(cursor, changes, "tenant_id", update.tenant_id), _bulk)

    @routes.get("/{tracker_id}")
    async def read(tracker_id: Id) -> dict[str, Any]:
        """The row as it is in A now."""
        return _found((await _guarded(pool, lambda connection: _select(connection, tracker_id))), tracker_id)

    @routes.put("/{tracker_id}")
    async def replace(tracker_id: Id, fields: TrackerFields) -> Written:
        """Replace all fields."""
        return await _write(pool, lambda cursor: _change(cursor, tracker_id, _columns(fields.model_dump())))

    @routes.patch("/{tracker_id}")
    async def patch(tracker_id: Id, fields: TrackerPatch) -> Written:
        """Change the fields given."""
        changes = _columns(fields.model_dump(exclude_unset=True))
        return await _write(pool, lambda cursor: _change(cursor, tracker_id, changes))

    @routes.delete("/{tracker_id}")
    async def delete(tracker_id: Id) -> Written:
        """Delete a tracker."""
        return await _write(pool, lambda cursor: _delete(cursor, tracker_id))

    return routes


def _columns(changes: dict[str, Any]) -> dict[str, Any]:
    absent = next((name for name, value in changes.items() if value is None and name != "extra"), None)
    if absent is not None or not changes:
        message = f"{absent} cannot be null" if absent else "nothing to change"
        raise ApiError(422, "invalid_request", message, hint="leave out what stays, give at least one field")
    extra = changes.get("extra")
    return changes | ({"extra": orjson.dumps(extra).decode()} if extra is not None else {})


def _insert(cursor: DictCursor, fields: TrackerFields) -> dict[str, Any] | None:
    row = fields.model_dump()
    row["extra"] = None if fields.extra is None else orjson.dumps(fields.extra).decode()
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    cursor.execute(f"INSERT INTO tracker_web ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608 - our names
    return _row(cursor, int(cursor.lastrowid))


def _change(cursor: DictCursor, tracker_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    _found(_row(cursor, tracker_id, lock=True), tracker_id)
    _update(cursor, changes, "id", tracker_id)
    return _found(_row(cursor, tracker_id), tracker_id)


def _update(cursor: DictCursor, changes: dict[str, Any], column: str, value: int) -> int:
    places = ", ".join(f"{name} = %s" for name in changes)
    sql = f"UPDATE tracker_web SET {places} WHERE {column} = %s"  # noqa: S608 - names are fields of our models
    return cursor.execute(sql, (*changes.values(), value))


def _delete(cursor: DictCursor, tracker_id: int) -> None:
    if not cursor.execute("DELETE FROM tracker_web WHERE id = %s", (tracker_id,)):
        _found(None, tracker_id)


def _row(cursor: DictCursor, tracker_id: int, *, lock: bool = False) -> dict[str, Any] | None:
    cursor.execute(f"SELECT {COLUMNS} FROM tracker_web WHERE id = %s{' FOR UPDATE' if lock else ''}", (tracker_id,))  # noqa: S608
    return cursor.fetchone()


def _select(connection: Connection, tracker_id: int) -> dict[str, Any] | None:
    with connection.cursor() as cursor:
        cursor.execute(SELECT_ONE, (tracker_id,))
        row: dict[str, Any] | None = cursor.fetchone()
    return None if row is None else trackers.tracker(row)


def _found(row: dict[str, Any] | None, tracker_id: int) -> dict[str, Any]:
    if row is None:
        raise ApiError(404, "not_found", f"no tracker {tracker_id}")
    return row


async def _write(pool: MySqlPool, work: Callable[[DictCursor], dict[str, Any] | None]) -> Written:
    return await _transact(pool, work, _written)


def _written(row: dict[str, Any] | None, committed_ms: int) -> Written:
    return Written(tracker=None if row is None else trackers.tracker(row), committed_ms=committed_ms)


def _bulk(rows: int, committed_ms: int) -> BulkWritten:
    return BulkWritten(rows=rows, committed_ms=committed_ms)


Answer = TypeVar("Answer")


async def _transact(
    pool: MySqlPool, work: Callable[[DictCursor], Result], answer: Callable[[Result, int], Answer]
) -> Answer:
    def run(connection: Connection) -> Answer:
        connection.begin()
        try:
            with connection.cursor() as cursor:
                result = work(cursor)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return answer(result, unix_ms())

    return await _guarded(pool, run)


async def _guarded(pool: MySqlPool, work: Callable[[Connection], Result]) -> Result:
    try:
        return await pool.run(work)
    except DatabaseUnavailableError as error:
        raise ApiError(
            503, "database_unavailable", str(error), hint="a write may have happened: read it back"
        ) from None
    except pymysql.err.MySQLError as error:
        number = error.args[0] if error.args else 0
        status, code = REFUSED_BY_DATA.get(number, (422, "refused_by_database"))
        raise ApiError(status, code, str(error.args[-1])) from None
