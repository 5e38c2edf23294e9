"""Positions, events of the wire, statements and probes on anything at all: an answer or a named error, and no hang."""

import asyncio
from contextlib import suppress
from typing import cast

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from replicator.binlog.wire import PacketRewriter
from replicator.mirror.position import MirrorPosition
from replicator.position import Flavor, Position, PositionFormatError, parse
from replicator.probes import REQUEST_BYTES_MAX, Probes
from replicator.source.statements import Effect, classify
from versioning.errors import FormatError, StamplineError

FUZZ = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
TEXT = st.text(max_size=60) | st.from_regex(r"[0-9,:/.\-a-f ]{0,60}", fullmatch=True)
HUGE = "9" * 5_000
FLAVORS = st.sampled_from(list(Flavor))


@FUZZ
@given(TEXT, FLAVORS)
@example(HUGE, Flavor.MARIADB)
@example(f"{UUID}:{HUGE}", Flavor.MYSQL)
@example(f"1:binlog.{HUGE}/4", Flavor.FILE)
@example(f"1:binlog.000001/{HUGE}", Flavor.FILE)
@example("٣-٣-٣", Flavor.MARIADB)
def test_a_position_is_read_or_refused_and_says_itself_again(text: str, flavor: Flavor) -> None:
    try:
        position = parse(text, flavor)
    except PositionFormatError:
        return
    assert parse(str(position), flavor) == position
    assert position.covers(position)


POSITIONS: dict[Flavor, Position] = {
    Flavor.MARIADB: parse("0-1-5,1-2-7", Flavor.MARIADB),
    Flavor.MYSQL: parse(f"{UUID}:1-5:8", Flavor.MYSQL),
    Flavor.FILE: parse("1:binlog.000002/500", Flavor.FILE),
}


@FUZZ
@given(TEXT, FLAVORS)
@example(f"binlog.{HUGE}/4", Flavor.FILE)
@example(f"{UUID}:{HUGE}", Flavor.MYSQL)
def test_a_foreign_gtid_is_refused_and_included_in_nothing(gtid: str, flavor: Flavor) -> None:
    with suppress(PositionFormatError):
        assert POSITIONS[flavor].includes(gtid) in {True, False}


@FUZZ
@given(TEXT | st.from_regex(r"\d{1,20}-\d{1,9}/\S{0,9}( replay=\d{1,16}\.\.\d{1,20}-\d{1,9})?", fullmatch=True))
def test_a_mirrors_position_is_read_or_refused(text: str) -> None:
    try:
        position = MirrorPosition.decode(text)
    except FormatError:
        return
    assert MirrorPosition.decode(position.encode()) == position


SQL_PARTS = [
    "CREATE", "TABLE", "DROP", "/*!50003", "*/", "/*", "--", "\n", "`a``b`", "'", '"', "XA", "COMMIT", "X'61',X'',1",
    "SET", "STATEMENT", "FOR", "(", "#", "RENAME", "TO", "t.t", "\\xff", "BEGIN", "é",
]  # fmt: skip
KINDS = st.sampled_from([2, 15, 19, 23, 31, 33, 40, 165, 166, 170]) | st.integers(0, 255)
EVENTS = st.builds(
    lambda kind, head, rest: bytes([0]) + head[:4] + bytes([kind]) + head[4:] + rest,
    KINDS,
    st.binary(min_size=18, max_size=18),
    st.binary(max_size=80),
)


@settings(FUZZ, max_examples=400)
@given(st.lists(EVENTS | st.binary(max_size=60), max_size=4))
def test_packets_of_the_binlog_are_events_or_a_named_error(packets: list[bytes]) -> None:
    rewriter = PacketRewriter()
    with suppress(StamplineError):
        for packet in packets:
            assert all(isinstance(event, bytes) for event in rewriter.rewrite(packet))


@FUZZ
@given(st.text(max_size=80) | st.lists(st.sampled_from(SQL_PARTS), max_size=12).map(" ".join))
@example("/*" * 20_000)
@example("`" * 20_001)
@example("SET STATEMENT " + "a " * 20_000)
@example("(" * 20_000 + "CREATE TABLE t")
@example("ALTER /* " + "x" * 100_000)
@example("ALTER " + "/* x */" * 20_000 + "TABLE t")
@example("DROP TABLE " + "`" * 50_001)
@example("DROP TABLE " + "'" * 50_001)
@example("/*M!" * 20_000)
def test_a_statement_is_always_classified_and_in_linear_time(sql: str) -> None:
    assert isinstance(classify(sql).effect, Effect)


class _Answer:
    """The writer's side of a connection."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


PATHS = st.sampled_from([b"GET /metrics", b"GET /livez HTTP/1.1", b"GET /readyz?x=%ff", b"POST /livez", b"GET", b" "])


@FUZZ
@given(st.binary(max_size=80) | st.builds(lambda head, tail: head + tail, PATHS, st.binary(max_size=60)), st.booleans())
@example(b"x" * (2 * REQUEST_BYTES_MAX), False)
def test_whoever_asks_a_probe_is_answered_or_let_go(request: bytes, is_ended: bool) -> None:  # noqa: FBT001
    async def ask() -> _Answer:
        reader, writer = asyncio.StreamReader(limit=REQUEST_BYTES_MAX), _Answer()
        reader.feed_data(request + (b"\r\n\r\n" if is_ended else b""))
        reader.feed_eof()
        await Probes(CollectorRegistry(), lambda: None, dict)._answer(reader, cast("asyncio.StreamWriter", writer))
        return writer

    answer = asyncio.run(ask())
    assert answer.is_closed
    assert not answer.sent or answer.sent.startswith(b"HTTP/1.1 ")
    assert answer.sent or not is_ended or len(request) > REQUEST_BYTES_MAX
