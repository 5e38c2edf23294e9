"""Why a source stops or starts its binlog connection anew. Each kind has one answer, and `source.run` gives it."""

from versioning.errors import ConfigError, StamplineError


class SourceError(StamplineError):
    """The binlog cannot be read any further on this connection."""


class MySqlUnavailableError(SourceError):
    """Not reached, cut off or silent: connect again, with backoff."""


class StatementUnknownError(SourceError):
    """The server cannot parse a statement of ours: its version has other words for it."""


class MySqlAuthenticationError(SourceError):
    """Wrong password, user or rights: a person must act, so tries are rare."""


class PositionLostError(SourceError):
    """The server does not have the position we hold (purged, rewound, rebuilt): replay one window (P3)."""

    def __init__(self, message: str, *, damaged_file: str = "") -> None:
        super().__init__(message)
        self.damaged_file = damaged_file
        """The binlog file that nobody can read to its end; empty where none is known."""


class ServerBehindError(SourceError):
    """The server has not come to where another source is by now: a replica that lags, most likely. Connect again."""


class UnsupportedEventError(SourceError):
    """The binlog holds what this version cannot read. It stops: going on would skip changes in silence."""


class OtherWriterError(SourceError):
    """A mirror, or a source of another MySQL, writes to this stream: it would vouch for our keys too."""


class ReaderFailedError(SourceError):
    """A mistake of our own while reading, logged with its traceback: connect again, another connection may pass."""


class ChecksumError(SourceError):
    """An event arrived damaged: read it again over a new connection."""


class UnreachedError(StamplineError):
    """Told to stop before its servers had answered for the first time: it has done nothing."""


class PreflightError(ConfigError):
    """The server or a watched table is not fit for a source; one line that names the fix."""
