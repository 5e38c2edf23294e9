"""The database that cached values are compared with: one connection, in a thread of its own."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from replicator.audit.check import Check
from replicator.errors import SourceError
from replicator.mysql import MySqlClient
from versioning.backends.mysql_address import MySqlAddress
from versioning.errors import ConfigError


class Rows:
    def __init__(self, address: MySqlAddress) -> None:
        self._client = MySqlClient(address)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit-rows")

    async def reach(self) -> None:
        """Raises SourceError where the server does not answer, or refuses us."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._client.query, "SELECT 1")

    async def value(self, check: Check, arguments: tuple[object, ...]) -> Any:
        """Return what the row says, None where there is none. Raises SourceError, ConfigError."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._client.query, check.sql, arguments)
        text = found[0][0] if found else None
        try:
            return None if text is None else json.loads(text)
        except (TypeError, ValueError):
            hint = "select JSON_OBJECT(...) or JSON_ARRAYAGG(...) in the first column"
            raise ConfigError(f"audit of {check.template.text}: its sql gives no JSON", hint=hint) from None

    async def try_out(self, check: Check) -> None:
        """Run the statement once, for a key that is not there: what is wrong with it shows at the start.

        Raises SourceError where the server does not answer, ConfigError for what it says of the statement.
        """
        try:
            await self.value(check, (None,) * len(check.columns))
        except SourceError as error:
            if error.is_unreached:
                raise
            said = error.__cause__.args[-1] if error.__cause__ else error.message
            hint = f"MySQL {self._client.address} says so: correct its sql, or grant SELECT on what it reads"
            raise ConfigError(f"audit of {check.template.text}: {said}", hint=hint) from None

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._client.close)
        self._thread.shutdown(wait=False)
