"""The pool of the reference services: a refused login is not tried again at every miss."""

import pymysql
import pytest

from app.mysql_pool import REFUSED_S, DatabaseUnavailableError, MySqlPool
from versioning.cli.sections import MySqlSection

ADDRESS = MySqlSection(url="mysql://toc:hunter2@127.0.0.1:1/shop").full_address()


class Server:
    def __init__(self, code: int) -> None:
        self.code = code
        self.logins = 0
        self.now_s = 0.0

    def refuse(self) -> None:
        self.logins += 1
        raise pymysql.err.OperationalError(self.code, "what it says")

    async def ask(self, pool: MySqlPool) -> None:
        with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1 as toc: .*what it says") as caught:
            await pool.select("SELECT 1", ())
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("code", "logins"), [(1045, 1), (2026, 1), (2003, 50)])
async def test_only_a_refused_login_is_held_back(monkeypatch: pytest.MonkeyPatch, code: int, logins: int) -> None:
    server = Server(code)
    pool = MySqlPool(ADDRESS, 1, clock=lambda: server.now_s)
    monkeypatch.setattr(pool, "_log_in", server.refuse)
    for _ in range(50):
        await server.ask(pool)
    assert server.logins == logins
    server.now_s = REFUSED_S
    await server.ask(pool)
    assert server.logins == logins + 1
    await pool.aclose()
