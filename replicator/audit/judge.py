"""What one look at one key says. Pure: the observer brings what it saw.

A value is wrong when a reader would serve it now and the row says otherwise. One that readers refuse, or that is not
there, is unserved: the next read loads it. That is no fault, and no proof of anything: the audit may look elsewhere.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from versioning.header import ValueHeader
from versioning.held import is_known
from versioning.reading import may_serve
from versioning.verdict import Verdict


class Result(StrEnum):
    CONSISTENT = "consistent"
    WRONG = "wrong"
    UNSERVED = "unserved"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Outcome:
    result: Result
    reason: str


MISSING = Outcome(Result.UNSERVED, "not in Redis: the next read loads it")
FOREIGN = Outcome(Result.UNSERVED, "a value without our header: readers take it as a miss")
SUPERSEDED = Outcome(Result.UNSERVED, "superseded, and readers refuse it")
TOO_OLD = Outcome(Result.UNSERVED, "UNKNOWN for too long to be served")
EQUAL = Outcome(Result.CONSISTENT, "equal to the row")
WRONG_FRESH = Outcome(Result.WRONG, "FRESH, and not what the row says")
WRONG_UNKNOWN = Outcome(Result.WRONG, "UNKNOWN and still served, and not what the row says")
UNREADABLE = Outcome(Result.INCONCLUSIVE, "the cached value is not JSON")
OVERTAKEN = Outcome(Result.INCONCLUSIVE, "a newer change was on its way")
OUTPACED = Outcome(Result.INCONCLUSIVE, "UNKNOWN, and lacks only what is newer than the change: the stamp is stuck")
LAGGING = Outcome(Result.INCONCLUSIVE, "the audit lags: readers that do not may serve it")
UNCHECKED = Outcome(Result.INCONCLUSIVE, "served, and no [[audit.check]] says what the row is")
BUSY = Outcome(Result.INCONCLUSIVE, "too many looks at one time: lower samples_per_s")


def is_served(
    judged: tuple[Verdict, int | None], key: str, header: ValueHeader, now_ms: int, degraded_ttl_ms: int
) -> bool:
    """Whether a reader that finds this value in Redis serves it (P6). ``judged``: what ``Index.judge`` says of it."""
    verdict, proven_ago_ms = judged
    age_ms = now_ms - header.fill_ms
    return may_serve(key, verdict, age_ms if is_known(age_ms) else None, proven_ago_ms, degraded_ttl_ms)


def no_answer(error: str) -> Outcome:
    return Outcome(Result.INCONCLUSIVE, error)


def refusal(verdict: Verdict, *, is_lagging: bool) -> Outcome:
    """What a value tells that a reader who knows as much as the audit refuses. Another reader may know more."""
    if verdict is Verdict.STALE:
        return SUPERSEDED
    return LAGGING if is_lagging else TOO_OLD


def difference(verdict: Verdict) -> Outcome:
    return WRONG_FRESH if verdict is Verdict.FRESH else WRONG_UNKNOWN


def of_change(stamp: int, outcome: Outcome, header: ValueHeader | None) -> Outcome:
    """What a look that was planned for the change of this stamp says of it."""
    # A fill stamp that is not below the change's says that the value has the change (P4). So it lacks a commit behind
    # that one, younger than the look's delay, whose stamp is still in the pipeline: in an outage such a value is served
    # UNKNOWN, rightly. I1 asks for the age of what a value lacks: the look after that commit's own stamp will judge it.
    # What is FRESH nothing excuses (I2).
    has_it = header is not None and header.fill_stamp >= stamp
    return OUTPACED if has_it and outcome is WRONG_UNKNOWN else outcome


def is_equal(cached: Any, row: Any) -> bool:
    """Whether they say the same, as far as the row goes: fields that the statement leaves out are not compared.

    An aggregate over no rows is NULL (JSON_ARRAYAGG), where a loader has an empty list.
    """
    if row is None:
        return cached is None or cached == []
    if isinstance(cached, dict) and isinstance(row, dict):
        return all(name in cached and is_equal(cached[name], value) for name, value in row.items())
    if isinstance(cached, list) and isinstance(row, list):
        return len(cached) == len(row) and all(is_equal(one, other) for one, other in zip(cached, row, strict=True))
    return bool(cached == row)
