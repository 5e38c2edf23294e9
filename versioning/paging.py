"""How many entries to ask for at once, where a slow link must carry the page within a timeout.

Entries may be 30 KiB each. A page that did not come in time is thrown away, and the same one would fail for ever: so
the next one is a quarter of it. From there the size grows slowly, and only by what has come, since a short page says
nothing of a long one.
"""


class PageSize:
    def __init__(self, most: int) -> None:
        self._most = most
        self.entries = most
        """To be asked for next, or fewer."""

    def missed(self, asked: int) -> None:
        """Take in that a page of so many entries did not come."""
        self.entries = max(asked // 4, 1)

    def came(self, entries: int) -> None:
        """Take in that so many entries came in time."""
        self.entries = max(self.entries, min(entries * 9 // 8 + 1, self._most))
