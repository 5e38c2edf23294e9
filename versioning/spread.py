"""u(key): a place in [0, 1) for every key, the same in every process and language: CRC-32 of its UTF-8 bytes / 2^32."""

from typing import Final
from zlib import crc32

SCALE_BITS: Final = 32


def moment_ms(key: str, start_ms: int, spread_ms: int) -> int:
    """When ``key``'s turn comes in an interval: start + floor(spread * u(key)), in integers so that languages agree."""
    return start_ms + (spread_ms * crc32(key.encode()) >> SCALE_BITS)


def scaled(key: str, limit: int, least: float) -> int:
    """Shorten ``limit`` by a per-key factor in [least, 1]."""
    floor = int(limit * least)
    return moment_ms(key, floor, limit - floor)
