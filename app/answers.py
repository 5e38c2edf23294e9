"""Answers as JSON text, made from memory: what ``versions`` says in models, without making any.

Law: the same fields in the same order as the models, or None, and then the caller asks ``versions``. Keys are taken
only where they are plain, so that they stand in JSON as they are; whatever else is text is encoded by orjson.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from app.knowledge import DETAILS_MAX, Detail, Knowledge
from app.versions import horizon_text
from versioning import stamp as stamps
from versioning.bump import KEYS_MAX
from versioning.errors import StampFormatError
from versioning.index import Index
from versioning.limits import KEY_BYTES_MAX

DOUBTS_MAX: Final = 100
"""A doubt about lag names the ms: there is no end of them."""

_UNCHANGED: Final = '"stamp":null,"time_ms":null,"committed_ms":null,"origin_gtid":null'


def is_plain(text: str) -> bool:
    """Whether this is printable ASCII that JSON need not escape and a key may hold."""
    return (
        text.isascii()
        and text.isprintable()
        and not (" " in text or '"' in text or "\\" in text or "{" in text or "}" in text)
    )


def are_plain_keys(keys: Sequence[Any]) -> bool:
    """Whether these are well-formed keys, plain, and not too many."""
    try:
        text = "".join(keys)
    except TypeError:
        return False
    return (
        0 < len(keys) <= KEYS_MAX
        and is_plain(text)
        and max(map(len, keys)) <= KEY_BYTES_MAX
        and all([key.find(":") > 0 for key in keys])  # noqa: C419 - a list is made in half the time
    )


class Lookups:
    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._changes: dict[int, str] = {}
        """By stamp: the fields that its entry alone decides."""
        self._doubts: dict[str | None, str] = {}
        """By doubt: the fields that it and the horizon decide."""
        self._horizon = stamps.ZERO

    def answer(self, key: str) -> str | None:
        """Return the ``VersionAnswer`` of a key."""
        if not (is_plain(key) and key.find(":") > 0 and len(key) <= KEY_BYTES_MAX):
            return None
        knowledge, index = self._knowledge, self._knowledge.index
        last = index.last_stamp(key)
        change = self._changes.get(last) or self._change(last)
        if change is None:
            return None
        load = _load(index, key, index.is_pending)
        doubt = knowledge.doubt_about(last, knowledge.clock())
        fields = self._doubts_at(index.horizon).get(doubt) or self._doubt(doubt)
        return f'{{"key":"{key}",{change},{load},{fields}'

    def answers(self, keys: Sequence[Any]) -> list[str] | None:
        """Return the ``VersionAnswer`` of each key: as above, with everything that is the same for all taken once."""
        if not are_plain_keys(keys):
            return None
        knowledge, index, changes = self._knowledge, self._knowledge.index, self._changes
        now, horizon, plain_load = knowledge.clock(), index.horizon, _plain_load(index)
        doubts, doubt = self._doubts_at(horizon), knowledge.doubt(now)
        lasts = index.last_stamps(keys)
        silent = knowledge.doubt_about(stamps.ZERO, now) if stamps.ZERO in lasts else None
        found = []
        for key, last in zip(keys, lasts, strict=True):
            change = changes.get(last) or self._change(last)
            if change is None:
                return None
            load = plain_load or _load(index, key, index.is_pending)
            # Below the horizon there may be a doubt about this key alone.
            about = doubt if last >= horizon else knowledge.doubt_about(last, now) if last else silent
            fields = doubts.get(about) or self._doubt(about)
            found.append(f'{{"key":"{key}",{change},{load},{fields}')
        return found

    def _doubts_at(self, horizon: int) -> dict[str | None, str]:
        if horizon != self._horizon or len(self._doubts) >= DOUBTS_MAX:
            self._horizon = horizon
            self._doubts.clear()
        return self._doubts

    def _doubt(self, doubt: str | None) -> str:
        vouches = "true" if doubt is None else "false"
        text = f'"since":{_json(horizon_text(self._knowledge))},"vouches":{vouches},"reason":{_json(doubt)}}}'
        self._doubts[doubt] = text
        return text

    def _change(self, stamp: int) -> str | None:
        detail = self._knowledge.remembered(stamp)
        if stamp and detail is None:
            return None
        if len(self._changes) >= DETAILS_MAX:
            self._changes.clear()
        text = self._changes[stamp] = _change_fields(stamp, detail) if detail else _UNCHANGED
        return text


def _change_fields(stamp: int, detail: Detail) -> str:
    committed_ms, gtid = _json(detail.committed_ms or None), _json(detail.gtid or None)
    return (
        f'"stamp":"{stamps.text(stamp)}","time_ms":{stamps.ms_of(stamp)},'
        f'"committed_ms":{committed_ms},"origin_gtid":{gtid}'
    )


class Checks:
    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def answer(self, request: Any) -> str | None:
        """Return the ``CheckAnswer`` for a parsed ``CheckRequest``."""
        try:
            items = request["items"]
            keys = [item["key"] for item in items]
            fills = [stamps.parse(item["fill_stamp"]) for item in items]
        except (TypeError, KeyError, AttributeError, StampFormatError):
            return None
        if len(request) != 1 or any(len(item) != 2 for item in items) or not are_plain_keys(keys):
            return None
        knowledge, index = self._knowledge, self._knowledge.index
        now, plain_load = knowledge.clock(), _plain_load(index)
        verdicts = []
        for key, fill, last in zip(keys, fills, index.last_stamps(keys), strict=True):
            verdict, ago_ms = index.judge(key, fill, now)
            stamp, ago = f'"{stamps.text(last)}"' if last else "null", "null" if ago_ms is None else ago_ms
            stale_at = _json(index.generations.stale_at_ms(key, fill)) if index.generations else "null"
            load = plain_load or _load(index, key, index.is_key_pending)
            verdicts.append(
                f'{{"key":"{key}","verdict":"{verdict.value}","stamp":{stamp},"proven_ago_ms":{ago},'
                f'"stale_at_ms":{stale_at},{load}}}'
            )
        watermark, reason = stamps.text(index.watermark), _json(knowledge.doubt_of_values(now))
        return f'{{"verdicts":[{",".join(verdicts)}],"watermark":"{watermark}","reason":{reason}}}'


def _plain_load(index: Index) -> str | None:
    """Return what ``_load`` says of every key; None where it may differ."""
    return None if index.may_be_pending else f'"is_pending":false,"fill_stamp":"{stamps.text(index.watermark)}"'


def _load(index: Index, key: str, is_pending: Callable[[str], bool]) -> str:
    """The fields for who loads the key next."""
    fill_stamp = stamps.text(index.fill_stamp(key))
    return f'"is_pending":{"true" if is_pending(key) else "false"},"fill_stamp":"{fill_stamp}"'


def _json(value: str | int | None) -> str:
    return orjson.dumps(value).decode()
