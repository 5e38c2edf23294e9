"""Every error the library raises on purpose. Each says what happened, where, and what to do about it."""

from typing import Any, Final

IS_IT_UP: Final = "is it up, and does a firewall let us through?"
"""The hint of every error with ``is_unreached``."""


class StamplineError(Exception):
    """Base of all: catch this to catch everything stampline raises by itself."""

    def __init__(self, message: str, *, hint: str = "", is_unreached: bool = False) -> None:
        hint = IS_IT_UP if is_unreached else hint
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        """What happened, without the hint."""
        self.hint = hint
        self.is_unreached = is_unreached
        """The server did not answer at all: there may be none at this address."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pools of processes hand it on: else a copy is made by ``__init__``, which may take something else."""
        return _copy_of, (type(self), self.args), self.__dict__


class FormatError(StamplineError, ValueError):
    """Bytes or text that do not follow PROTOCOL.md. The sender is at fault, never the reader."""


class StampFormatError(FormatError):
    def __init__(self, found: str) -> None:
        super().__init__(f"not a stamp: {found!r}", hint="a stamp is a Redis stream ID, <ms>-<seq>, seq below 2^20")


class EntryFormatError(FormatError):
    """A stream entry that cannot be read. It counts as a gap: what it named is unknown."""


class HeaderFormatError(FormatError):
    """A cached value without a readable header. It counts as a miss."""


class CheckpointFormatError(FormatError):
    """A checkpoint that says no position of its writer. It counts as lost."""


class LoadBudgetError(StamplineError):
    """The process used up its load budget and has no old value young enough to serve instead."""


class LoadFailedError(StamplineError):
    """The load this reader waited for was abandoned (cancelled, interrupted), or waits for itself: its loader reads the
    very key that it is to load.
    """


class SerializeError(StamplineError):
    """A loaded value that the serializer cannot write, or not read back. Nothing was cached."""

    def __init__(self, key: str, error: Exception) -> None:
        super().__init__(
            f"the value loaded for {key!r} cannot be serialised: {error}",
            hint="return what the serializer takes (by default what JSON knows), or give the cache another serializer",
        )


class ConfigError(StamplineError):
    """Settings that cannot work. One line, and it names the fix."""


def _copy_of(kind: type[StamplineError], args: tuple[Any, ...]) -> StamplineError:
    return kind.__new__(kind, *args)
