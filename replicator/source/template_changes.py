"""The change of templates that a source has made: where a failover loses it, the source makes it again."""

from dataclasses import dataclass
from typing import Final

from versioning import stamp as stamps
from versioning.backends.base import StreamBackend, StreamState
from versioning.entries import Generation
from versioning.limits import FUTURE_MS

FIND_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Tried:
    """A change from one digest to another, by an entry of which it is not known whether it was written.

    With `wait_replicas` it is written for sure, and no replica need have it.
    """

    before: str
    after: str
    body: Generation


@dataclass(frozen=True, slots=True)
class Made:
    """One that was made, by this entry."""

    before: str
    after: str
    stamp: int
    nonce: str


class TemplateChanges:
    """Of one source: ``last`` is what it has made or tried last; None: nothing that still tells."""

    def __init__(self, stream: StreamBackend, window_ms: int) -> None:
        self.last: Tried | Made | None = None
        self._stream = stream
        self._window_ms = window_ms

    async def may_make_again(self, state: StreamState, digest: str) -> bool:
        """Whether the stream is back at the templates that this source has changed, having lost the entry that did so.

        ``digest``: of its own templates. Ask at each connection, for a change is forgotten that tells nothing any more:
        the entry is there and the old templates too, so somebody has changed them back since, which is the later word;
        or the entry is gone and the new templates are there, by another entry that they may change back. Where it may
        have been trimmed (that takes appends, so it shows in ``state``) nobody can tell. Raises BackendError.
        """
        last = self.last
        if last is None or last.after != digest or state.digest not in {last.before, last.after}:
            return False
        is_back = state.digest == last.before
        if isinstance(last, Tried):
            if not is_back:
                self.last = await self._find(last)
            return is_back
        if stamps.ms_of(state.last) > stamps.ms_of(last.stamp) + self._window_ms:
            return False
        found = await self._stream.read_one(last.stamp)
        is_there = found is not None and found.nonce == last.nonce
        if is_there == is_back:
            self.last = None
        return is_back and not is_there

    async def _find(self, tried: Tried) -> Made | None:
        """Return it as made; None: the stream has its templates by another entry."""
        before = None
        while page := await self._stream.read_before(before, count=FIND_ENTRIES):
            for entry in page:
                if entry.body == tried.body:
                    return Made(tried.before, tried.after, entry.stamp, entry.nonce)
            before = page[-1].stamp
            if stamps.ms_of(before) < tried.body.start_ms - FUTURE_MS:
                break
        return None
