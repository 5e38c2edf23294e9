"""From the bytes of a value to the value a SELECT gives, so that `versioning.keys` makes the same key of both.

Law: a value that is not surely what SELECT would show is UNSURE, and then the row's namespace is aged out instead.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from replicator.binlog import columns as c
from replicator.binlog.rowdata import numbers, text, times

Decode = Callable[[bytes], object]

_INTEGERS: Final = frozenset({c.TINY, c.SHORT, c.INT24, c.LONG, c.LONGLONG})
_PLAIN: Final[Mapping[int, Decode]] = {
    c.FLOAT: numbers.single, c.DOUBLE: numbers.double, c.BIT: text.bits, c.DATE: times.day,
    c.NEWDATE: times.day, c.TIME: times.old_clock, c.DATETIME: times.old_moment, c.TIMESTAMP: times.old_timestamp,
}  # fmt: skip
_BY_SIZE: Final[Mapping[int, Callable[[int], Decode]]] = {
    c.TIME2: times.clock,
    c.DATETIME2: times.moment,
    c.TIMESTAMP2: times.timestamp,
    c.DECIMAL: lambda size: numbers.decimal(*divmod(size, 256)),
    c.YEAR: lambda size: numbers.short_year if size == 2 else numbers.year,
}


def decoder(facts: c.ColumnFacts) -> Decode:
    """A function from the bytes of a value, without a length in front, to SELECT's value, c.Opaque or c.UNSURE."""
    kind = facts.kind
    if not facts.is_sure or (kind in c.OLD_TEMPORAL and facts.size):  # with a fraction they are another number
        return _unsure
    if facts.decimals is not None:
        return partial(numbers.rounded, decimals=facts.decimals)
    if kind in _INTEGERS:
        return numbers.unsigned if facts.is_unsigned else numbers.signed
    if kind in c.TEXTUAL:
        return text.string(facts.charset, facts.size if kind == c.STRING else 0) if facts.is_key_type else c.Opaque
    if kind in {c.ENUM, c.SET}:
        return text.enum(facts.members) if kind == c.ENUM else text.flags(facts.members)
    # c.JSON, spatial types: no key may use them.
    return _BY_SIZE[kind](facts.size) if kind in _BY_SIZE else _PLAIN.get(kind, _unsure)


def _unsure(_: bytes) -> object:
    return c.UNSURE
