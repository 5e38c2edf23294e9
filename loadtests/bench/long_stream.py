"""A stream of any length, made inside Redis: what the mirror would have written over half an hour.

Made by a script, since a million appends one by one take longer than what is measured. Only the entries are there, not
the state beside them: followers read no more.
"""

from typing import Final

import redis

SPAN_MS: Final = 30 * 60_000
"""Within the window, so that all of it must be read."""

PART: Final = 50_000
"""Entries per call: Redis answers nobody else meanwhile."""

_FILL: Final = """
for i = ARGV[1], ARGV[2] - 1 do
  local id = string.format('%.0f-%d', ARGV[3] + math.floor(i * ARGV[4]), i % 1000000)
  local body = string.format(
    '{"keys":["tracker_web:%08d"],"gtid":"0-1-%d","committed_ms":%.0f,"origin":{"dc":"a","id":"%s","nonce":"%016x"}}',
    i, i, ARGV[3] + math.floor(i * ARGV[4]), id, i + 7)
  redis.call('XADD', KEYS[1], id, 't', 'change', 'n', string.format('%016x', i + 1),
             'p', i == 0 and '' or string.format('%016x', i), 'b', body)
end
"""
STREAM: Final = "{stampline}:stream"


def key(number: int) -> str:
    return f"tracker_web:{number:08d}"


def fill(client: redis.Redis, entries: int, now_ms: int) -> None:
    """Write ``entries`` changes of as many keys, evenly over ``SPAN_MS``."""
    script = client.register_script(_FILL)
    for start in range(0, entries, PART):
        until = min(start + PART, entries)
        script(keys=[STREAM], args=[start, until, now_ms - SPAN_MS, SPAN_MS / entries])
