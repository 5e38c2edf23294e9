"""Bumps over HTTP: only with a token, only what makes sense, audited before the answer."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.audit import AuditLog
from app.bumps import REFUSALS_PER_MIN
from app.errors import ApiError
from app.service import create_app
from app.settings import ServeSection
from app.tokens import Tokens
from tests.app.worlds import START_MS, TOKEN, code_of, service
from versioning import stamp as stamps
from versioning.backends.base import Append, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.cli.files import read_tokens
from versioning.entries import Change, Generation
from versioning.errors import ConfigError

OTHER = "token-of-bob-9876543210"


async def test_a_bump_of_keys_stamps_them() -> None:
    async with service() as world:
        [stamp] = (await world.bump(keys=["tracker_web:1"], reason="fixed by hand")).json()["stamps"]
        entry = await world.stream.read_one(stamps.parse(stamp))
        assert entry is not None
        assert entry.body == Change(("tracker_web:1",), committed_ms=START_MS)


async def test_many_keys_become_entries_of_a_bounded_size() -> None:
    async with service() as world:
        answer = await world.bump(keys=[f"tracker_web:{n}" for n in range(1_000)], reason="import")
        assert len(answer.json()["stamps"]) == 2


async def test_a_bump_of_a_namespace_is_a_generation_with_its_spread_and_reason() -> None:
    async with service() as world:
        [stamp] = (await world.bump(namespace="tracker_web", spread_ms=60_000, reason="new layout")).json()["stamps"]
        entry = await world.stream.read_one(stamps.parse(stamp))
        assert entry is not None
        assert entry.body == Generation(("tracker_web",), START_MS, 60_000, "new layout", committed_ms=START_MS)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"keys": ["a:1"]}, "reason_needed"),
        ({"keys": ["a:1"], "reason": "x" * 201}, "reason_needed"),
        ({"keys": ["a:1"], "reason": "one\ntwo"}, "reason_malformed"),
        ({"namespace": "a", "reason": "\x1b[2J"}, "reason_malformed"),
        ({"reason": "why"}, "keys_or_namespace"),
        ({"keys": ["a:1"], "namespace": "a", "reason": "why"}, "keys_or_namespace"),
        ({"keys": ["a:1"] * 1_001, "reason": "why"}, "too_many_keys"),
        ({"keys": ["a:" + "x" * 511], "reason": "why"}, "key_too_long"),
        ({"keys": ["a:1"], "spread_ms": 5, "reason": "why"}, "spread_needs_namespace"),
        ({"namespace": "a", "spread_ms": 240_001, "reason": "why"}, "spread_out_of_range"),
        ({"namespace": "a", "spread_ms": -1, "reason": "why"}, "spread_out_of_range"),
        ({"namespace": "a:b", "reason": "why"}, "namespace_malformed"),
        ({"namespace": "a b", "reason": "why"}, "key_malformed"),
        ({"namespace": "a", "spread_ms": "soon", "reason": "why"}, "invalid_request"),
        ({"namespace": "a", "reason": "why", "force": True}, "invalid_request"),
    ],
    ids=str,
)
async def test_a_bump_that_makes_no_sense_changes_nothing(body: dict[str, Any], code: str) -> None:
    async with service() as world:
        assert code_of(await world.bump(**body)) == (422, code)
        assert await world.stream.read_before(None, count=1) == []


@pytest.mark.parametrize(
    ("token", "status", "code"), [(None, 401, "token_missing"), ("wrong-token-0123456789", 403, "token_wrong")]
)
async def test_without_a_token_nobody_bumps(token: str | None, status: int, code: str) -> None:
    async with service() as world:
        assert code_of(await world.bump(token, keys=["a:1"], reason="why")) == (status, code)
        assert await world.stream.read_before(None, count=1) == []


async def test_another_scheme_is_no_token() -> None:
    async with service() as world:
        headers = {"Authorization": f"Basic {TOKEN}"}
        answer = await world.post("/v1/bump", {"keys": ["a:1"], "reason": "why"}, headers=headers)
        assert code_of(answer) == (401, "token_missing")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_service_without_tokens_takes_no_bumps() -> None:
    async with service(ServeSection()) as world:
        assert code_of(await world.bump(keys=["a:1"], reason="why")) == (403, "bumps_disabled")


async def test_a_service_that_only_reads_takes_no_bump_of_anybody() -> None:
    async with service(ServeSection.model_validate({"token": TOKEN, "read_only": True})) as world:
        assert code_of(await world.bump(keys=["a:1"], reason="why")) == (403, "read_only")
        assert await world.stream.read_before(None, count=1) == []
        assert (await world.get("/v1/versions/a:1"))["stamp"] is None


async def test_one_token_may_bump_so_often_and_all_together_so_often(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"alice {TOKEN}\nbob {OTHER}\n")
    section = ServeSection(token_file=tmp_path / "tokens", bumps_per_min=2, bumps_total_per_min=3)
    async with service(section) as world:

        async def bump(token: str) -> httpx2.Response:
            return await world.bump(token, keys=["a:1"], reason="why")

        assert [(await bump(TOKEN)).status_code for _ in range(2)] == [200, 200]
        limited = await bump(TOKEN)
        assert code_of(limited) == (429, "too_many_bumps")
        assert limited.headers["retry-after"] == "30"
        assert (await bump(OTHER)).status_code == 200
        assert (await bump(OTHER)).headers["retry-after"] == "20"  # three a minute for all
        world.clock.ms += 30_000
        assert (await bump(TOKEN)).status_code == 200


async def test_tokens_are_rotated_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"old {TOKEN}\n")
    async with service(ServeSection(token_file=file)) as world:

        async def status(token: str) -> int:
            return (await world.bump(token, keys=["a:1"], reason="why")).status_code

        assert (await status(TOKEN), await status(OTHER)) == (200, 403)
        file.write_text(f"old {TOKEN}\nnew {OTHER}\n")
        assert (await status(TOKEN), await status(OTHER)) == (200, 200)
        file.write_text(f"new {OTHER}\n")
        assert (await status(TOKEN), await status(OTHER)) == (403, 200)
        file.write_text("short\n")  # a mistake must lock nobody out
        assert (await status(TOKEN), await status(OTHER)) == (403, 200)
        file.unlink()
        assert (await status(TOKEN), await status(OTHER)) == (403, 200)


async def test_refused_bumps_are_audited_by_name_and_never_by_token(tmp_path: Path) -> None:
    audit, tokens = tmp_path / "audit.jsonl", tmp_path / "tokens"
    tokens.write_text(f"alice {TOKEN}\n")
    section = ServeSection(token_file=tokens, audit_log=audit, bumps_per_min=1)
    async with service(section) as world:
        await world.bump(None, keys=["a:1"], reason="why")
        await world.bump(OTHER, keys=["a:1"], reason="why")
        await world.bump(keys=["a:1"])
        await world.bump(keys=["a:1"], reason="why")
        await world.bump(keys=["a:1", "a:2"], reason="why")
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(record["who"], record.get("refused", "done")) for record in records] == [
        ("", "token_missing"),
        ("", "token_wrong"),
        ("alice", "reason_needed"),
        ("alice", "done"),
        ("alice", "too_many_bumps"),
    ]
    assert records[-1]["keys"] == 2
    assert TOKEN not in audit.read_text()
    assert OTHER not in audit.read_text()


async def test_who_has_no_token_cannot_fill_the_disk(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    async with service(ServeSection.model_validate({"token": TOKEN, "audit_log": audit})) as world:
        for _ in range(REFUSALS_PER_MIN + 7):
            await world.bump(None, keys=["a:1"], reason="why")
        assert len(audit.read_text().splitlines()) == REFUSALS_PER_MIN
        world.clock.ms += 60_000
        await world.bump(None, keys=["a:1"], reason="why")
        assert json.loads(audit.read_text().splitlines()[-1])["left_out"] == 7


async def test_no_page_of_the_service_shows_a_token() -> None:
    async with service() as world:
        for path in ("/docs", "/openapi.json", "/v1/status", "/metrics", "/"):
            answer = await world.client.get(path)
            assert answer.status_code == 200
            assert TOKEN not in answer.text


def test_every_token_is_compared_and_in_constant_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compared = 0

    def count(left: bytes, right: bytes) -> bool:
        nonlocal compared
        compared += 1
        assert len(left) == len(right) == 32
        return left == right

    (tmp_path / "tokens").write_text(f"alice {TOKEN}\nbob {OTHER}\n")
    tokens = Tokens(ServeSection(token_file=tmp_path / "tokens"))
    monkeypatch.setattr("app.tokens.hmac.compare_digest", count)
    assert tokens.owner(f"Bearer {TOKEN}") == "alice"
    assert compared == 2


def test_several_tokens_have_names_or_hashes_but_never_themselves(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"alice {TOKEN}\n\ntoken-without-a-name-01\n")
    tokens = Tokens(ServeSection(token_file=file))
    assert tokens.owner(f"Bearer {TOKEN}") == "alice"
    assert tokens.owner("bearer token-without-a-name-01").startswith("sha256:")
    assert TOKEN not in repr(tokens)


def test_a_file_that_we_are_let_read_only_after_it_was_replaced_ends_the_former_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(file: Path, *, key: str) -> list[list[str]]:
        # As for who is not root.
        if not file.stat().st_mode & 0o400:
            raise ConfigError("cannot read it", hint="check the path and its owner")
        return read_tokens(file, key=key)

    monkeypatch.setattr("app.settings.read_tokens", read)
    file, replacing = tmp_path / "tokens", tmp_path / "tokens.new"
    file.write_text(TOKEN)
    tokens = Tokens(ServeSection(token_file=file))
    replacing.write_text(OTHER)
    replacing.chmod(0)
    replacing.rename(file)
    assert tokens.owner(f"Bearer {TOKEN}")
    file.chmod(0o400)
    assert tokens.owner(f"Bearer {OTHER}")
    with pytest.raises(ApiError, match="may not bump"):
        tokens.owner(f"Bearer {TOKEN}")


def test_a_word_of_a_comment_is_no_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# made by\n  # rotated-on-2026-11-29\nalice of the shop\t{TOKEN}\n")
    tokens = Tokens(ServeSection(token_file=file))
    assert tokens.owner(f"Bearer {TOKEN}") == "alice of the shop"
    with pytest.raises(ApiError, match="may not bump"):
        tokens.owner("Bearer rotated-on-2026-11-29")


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="openssl rand"):
        Tokens(ServeSection.model_validate({"token": "secret"}))


def test_a_token_that_no_header_can_bring_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not ASCII"):
        Tokens(ServeSection.model_validate({"token": "schl\u00fcssel-von-alice-0123"}))


async def test_a_bump_is_in_the_audit_log_when_the_answer_comes(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    tokens = tmp_path / "tokens"
    tokens.write_text(f"alice {TOKEN}\n")
    async with service(ServeSection(token_file=tokens, audit_log=file)) as world:
        stamped = (await world.bump(namespace="tracker_web", reason="new layout")).json()["stamps"]
        await world.bump(keys=["tracker_web:1"], reason="mended by hand")
        line, of_keys = file.read_text().splitlines()
    record = json.loads(line)
    assert json.loads(of_keys)["reason"] == "mended by hand"
    assert record["who"] == "alice"
    assert record["stamps"] == stamped
    assert (record["namespace"], record["reason"], record["time_ms"]) == ("tracker_web", "new layout", START_MS)
    assert record["address"]
    assert TOKEN not in line


async def test_a_bump_that_failed_is_audited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(batch: Append) -> list[int]:
        raise UnavailableError("Redis a:1 is not available")

    file = tmp_path / "audit.jsonl"
    async with service(ServeSection.model_validate({"token": TOKEN, "audit_log": file})) as world:
        monkeypatch.setattr(world.stream, "append", down)
        assert code_of(await world.bump(keys=["a:1"], reason="why")) == (503, "stream_unavailable")
        assert json.loads(file.read_text())["error"]


@pytest.mark.parametrize("away", ["audit.jsonl.1", ""], ids=["renamed", "removed"])
async def test_an_audit_log_that_was_rotated_is_begun_anew(tmp_path: Path, away: str) -> None:
    file = tmp_path / "audit.jsonl"
    async with service(ServeSection.model_validate({"token": TOKEN, "audit_log": file})) as world:
        await world.bump(keys=["a:1"], reason="before")
        if away:
            file.rename(tmp_path / away)
        else:
            file.unlink()
        await asyncio.gather(*(world.bump(keys=["a:1"], reason="after") for _ in range(3)))
        assert [json.loads(line)["reason"] for line in file.read_text().splitlines()] == ["after"] * 3


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")


def _nearly_full(*_: object) -> int:
    return 10


@pytest.mark.parametrize("write", [_full, _nearly_full])
async def test_a_bump_that_cannot_be_audited_is_not_answered_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., int]
) -> None:
    section = ServeSection.model_validate({"token": TOKEN, "audit_log": tmp_path / "audit.jsonl"})
    async with service(section) as world:
        monkeypatch.setattr("app.audit.os.write", write)
        answer = await world.bump(keys=["a:1"], reason="why")
        monkeypatch.undo()
        assert code_of(answer) == (500, "audit_failed")


@pytest.mark.parametrize("is_same", [True, False], ids=["same process", "another one"])
async def test_a_line_of_which_the_disk_took_a_part_does_not_spoil_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_same: bool
) -> None:
    file, write = tmp_path / "audit.jsonl", os.write
    log, other = AuditLog(file), AuditLog(file)
    await log.write({"who": "alice"})
    monkeypatch.setattr("app.audit.os.write", lambda descriptor, line: write(descriptor, line[:10]))
    with pytest.raises(OSError, match="No space left"):
        await log.write({"who": "bob", "reason": "a long one"})
    monkeypatch.undo()
    for who in ("carol", "dave"):
        await (log if is_same else other).write({"who": who})
    log.close()
    other.close()
    assert file.read_text().splitlines() == ['{"who":"alice"}', '{"who":"bo', '{"who":"carol"}', '{"who":"dave"}']


def test_an_audit_log_that_cannot_be_opened_refuses_the_start(tmp_path: Path) -> None:
    section = ServeSection(audit_log=tmp_path / "nowhere" / "audit.jsonl")
    with pytest.raises(ConfigError, match="audit log"):
        create_app(section, MemoryStream(lambda: START_MS))
