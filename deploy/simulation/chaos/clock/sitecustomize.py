"""Python imports this at its start when this folder is in PYTHONPATH: the wall clock is then off by what a file says.

Monotonic time stays true, as it does when an operator or NTP sets a machine's clock.
"""

import os
import time
from collections.abc import Callable

REREAD_S = 0.1

_file = os.environ["STAMPLINE_CHAOS_CLOCK"]
_true_ns: Callable[[], int] = time.time_ns
_offset_ns = 0
_read_at_s = 0.0


def _offset() -> int:
    global _offset_ns, _read_at_s
    if time.monotonic() - _read_at_s > REREAD_S:
        _read_at_s = time.monotonic()
        with open(_file, encoding="ascii") as file:  # noqa: PTH123  imports as little as it can
            _offset_ns = int(float(file.read() or 0) * 1e9)
    return _offset_ns


def time_ns() -> int:
    return _true_ns() + _offset()


def time_s() -> float:
    return time_ns() / 1e9


time.time_ns = time_ns
time.time = time_s
