"""Types of binlog events: numbered as the servers number them, and each with one fate."""

from itertools import combinations
from typing import Any, cast

from pymysqlreplication.constants import BINLOG

from replicator.binlog import kinds
from replicator.binlog.decoder import EventDecoder
from replicator.binlog.rowdata.images import ROW_KINDS

NAMED = {name: number for name, number in vars(kinds).items() if isinstance(number, int)}
SPELLED_OTHERWISE = {"MARIADB_GTID_LIST": "MARIADB_GTID_GTID_LIST"}
UNKNOWN_TO_THE_LIBRARY = {"TRANSACTION_CONTEXT", "VIEW_CHANGE", "TRANSACTION_PAYLOAD"}


def test_every_type_has_the_number_that_the_library_knows() -> None:
    known: dict[str, int] = {}
    for name, number in vars(BINLOG).items():
        known[name.replace("_LOG_EVENT", "").replace("_EVENT", "")] = number
    for name, number in NAMED.items():
        if name not in UNKNOWN_TO_THE_LIBRARY and "COMPRESSED" not in name:
            assert known[SPELLED_OTHERWISE.get(name, name)] == number, name


def test_every_type_has_one_fate() -> None:
    fates = [kinds.DECODED, kinds.IRRELEVANT, frozenset(kinds.COMPRESSED), {kinds.TRANSACTION_PAYLOAD}]
    assert all(not (one & other) for one, other in combinations(fates, 2))
    assert set(NAMED.values()) == set().union(*fates)
    assert len(NAMED) == len(set(NAMED.values()))


def test_what_passes_is_what_is_decoded() -> None:
    decoder = EventDecoder(cast("Any", None), drained_ms=lambda: 0)
    assert decoder._decoders.keys() == kinds.DECODED
    assert ROW_KINDS.keys() == kinds.ROWS
    assert set(kinds.COMPRESSED.values()) <= kinds.DECODED
