"""How a client in another language judges by one MGET (PROTOCOL.md, "Without following"): from text alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

LAG_MAX_MS = 15_000
FUTURE_MS = 60_000


def names_for(key: str) -> list[str]:
    namespace = key.partition(":")[0]
    return [f"{{stampline}}:{name}" for name in (f"v:{key}", f"g:{namespace}", "since", "beat", "last")]


@dataclass(frozen=True)
class Answer:
    key: str
    version: str | None
    generations: str | None
    since: str | None
    beat: str | None
    last: str | None

    @classmethod
    def of(cls, key: str, replies: Sequence[Any]) -> "Answer":
        return cls(key, *replies)

    def verdict(self, fill_stamp: str, now_ms: int) -> str:
        fill, beat_ms = _integer(fill_stamp), int(self.beat or 0)
        if fill < _integer((self.version or "0-0").partition(" ")[0]):
            return "stale"
        word = ""
        for generation in filter(None, (self.generations or "").split(";")):
            stamp, start_ms, spread_ms, *words = generation.split(" ")
            moment_ms = int(start_ms) + (int(spread_ms) * crc32(self.key.encode()) >> 32)
            if fill < _integer(stamp) and max(now_ms, beat_ms) >= moment_ms:
                return "stale"
            if words and fill >= _integer(stamp):
                [word] = words
        if self.since is None or fill < _integer(self.since) or word == "pending":
            return "unknown"
        is_far = fill > _integer(self.last or "0-0") + (FUTURE_MS << 20)
        return "unknown" if is_far or self.beat is None or now_ms - beat_ms > LAG_MAX_MS else "fresh"

    @property
    def load(self) -> tuple[str, bool]:
        """The fill stamp of a value whose load begins now, and whether it is provisional."""
        return self.last or "0-0", (self.version or "").endswith(" pending")


def _integer(stamp: str) -> int:
    ms, _, sequence = stamp.partition("-")
    return int(ms) << 20 | int(sequence)
