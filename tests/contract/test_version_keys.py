"""Whoever asks for the version keys and follows nothing judges as a follower does: a real Redis, the real script."""

import random
import secrets

import pytest

from tests.eventually import now_ms
from tests.versioning.version_keys import Answer, names_for
from versioning import stamp as stamps
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Body, Change, Gap, Generation, Heartbeat, NewEntry, Replayed
from versioning.follow import Follow
from versioning.index import Index
from versioning.liveness import Now

KEYS = ("t:1", "t:2", "u:1")
HISTORIES = 60


def any_body(chance: random.Random) -> Body:
    at_ms, gtid = now_ms(), chance.choice(["", "0-1-5", "0-1-6"])
    is_pending = chance.random() < 0.3
    is_settled = not is_pending and chance.random() < 0.3
    keys = tuple(chance.sample(KEYS, chance.randint(1, 2)))
    start_ms, spread_ms = at_ms + chance.randint(-2_000, 2_000), chance.choice([0, 100, 5_000])
    bodies: list[Body] = [
        *[Change(keys, gtid, pending=is_pending, settled=is_settled)] * 3,
        *[Generation((chance.choice("tu"),), start_ms, spread_ms, "ddl", gtid, 0, is_pending, is_settled)] * 2,
        Gap("lost", gtid, is_pending),
        Replayed(at_ms - chance.choice([100_000, 1_000_000]), gtid, is_settled),
        Heartbeat(at_ms),
    ]
    return chance.choice(bodies)


async def followed(backend: RedisStream, now: Now) -> Index:
    follow = Follow(Index())
    follow.begin([], now)
    follow.take(await backend.read_after(stamps.ZERO, count=100), now)
    return follow.index


@pytest.mark.integration
async def test_a_client_of_the_version_keys_judges_as_a_follower_does(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    for number in range(HISTORIES):
        redis_b.flush()
        chance = random.Random(number)
        bodies = [Gap("start", "0-1-1"), *(any_body(chance) for _ in range(chance.randint(1, 12))), Heartbeat(now_ms())]
        entries = tuple(NewEntry(secrets.token_hex(8), body) for body in bodies)
        appended = await backend.append(Append(entries, now_ms()))
        now = Now(now_ms(), 0)
        index = await followed(backend, now)
        with redis_b.client(decode_responses=True) as client:
            answers = [Answer.of(key, client.mget(names_for(key))) for key in KEYS]
        for answer in answers:
            fills = [*(stamp + beside for stamp in appended for beside in (-1, 0)), stamps.make(now.ms - 500_000)]
            for fill in fills:
                verdict, wanted = answer.verdict(stamps.text(fill), now.ms), index.verdict(answer.key, fill, now).value
                # A gap that is pending spares what a replay has vouched for below it: to followers alone.
                assert verdict == wanted or (verdict, answer.since) == ("unknown", None), (number, answer, fill)
            assert answer.load == (stamps.text(index.fill_stamp(answer.key)), index.is_key_pending(answer.key)), number
    await backend.aclose()
