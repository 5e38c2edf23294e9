"""Whatever befalls MySQL, its sources and their Redis, in whatever order: what heartbeats vouch for is stamped."""

from typing import Final

import pytest

from replicator.position import Flavor
from replicator.source import appender as source_appender
from tests.replicator.mysql_twin import Kind
from tests.replicator.source_schedules import World

KINDS: Final = {
    "mariadb": Kind(Flavor.MARIADB),
    "mariadb of two domains": Kind(Flavor.MARIADB, domains=2),
    "mysql": Kind(Flavor.MYSQL),
    "file": Kind(Flavor.FILE),
}
STEPS: Final = 250


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_appender, "STAND_BACK_S", 0)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_what_is_vouched_for_is_stamped_or_hidden_by_a_gap(kind: Kind) -> None:
    for seed in range(50):
        try:
            await World(seed, kind).run(STEPS)
        except AssertionError as error:
            pytest.fail(f"World({seed}, {kind}).run({STEPS}): {error}")


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        # A stopped source appended what the failover had lost, and the others took it for what the new primary wrote:
        ("mysql", 982),
        ("file", 20),
        ("mariadb", 1312),
        ("mariadb of two domains", 472),
        # of one domain, and the promoted replica had later ones of the other:
        ("mariadb of two domains", 495),
        ("mariadb of two domains", 844),
    ],
)
async def test_schedules_that_have_failed(name: str, seed: int) -> None:
    await World(seed, KINDS[name]).run(STEPS)
