"""From rows to keys: the keys of the image before a change and of the image after it.

A row that left a key and one that came to it both count. An image that lacks a column (MINIMAL, NOBLOB) is completed
from the other one where that is right: what an update does not name, it did not change. A key that still cannot be
derived is never guessed: its namespace is. A value that is there and UNSURE is not an absent one: it may have changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from replicator.binlog.columns import UNSURE
from replicator.binlog.events import RowImage
from versioning.keys import KeyFormatError, KeyTemplate, KeyTooLongError

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Underivable:
    """A column is absent, or of a kind no key takes: which key changed is unknown, only its namespace is known."""

    namespace: str


@dataclass(frozen=True, slots=True)
class TooLong:
    """No reader can hold such a key, so nobody needs its stamp."""


def key_of(template: KeyTemplate, values: Values) -> str | Underivable | TooLong:
    try:
        key = template.render(values)
    except KeyTooLongError:
        return TooLong()
    except KeyFormatError:
        return Underivable(template.namespace)
    return Underivable(template.namespace) if key is None else key


def has_changed(columns: tuple[str, ...], image: RowImage) -> bool:
    """Whether any of these columns may differ after an update; one that is not in the after image did not change."""
    before, after = image.before or {}, image.after or {}
    return any(
        column in after and (after[column] is UNSURE or before.get(column, UNSURE) != after[column])
        for column in columns
    )


def versions(image: RowImage) -> tuple[Values, ...]:
    """What the row was, then what it is, where that differs in what is known."""
    before, after = image
    if before is None or after is None:
        # An inserted row has no before image, and its absent columns have their defaults: unknown here.
        return tuple(values for values in image if values is not None)
    now = {**before, **after}
    return (before,) if now == before else (before, now)
