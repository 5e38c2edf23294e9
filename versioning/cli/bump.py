"""``stampline bump``: a forced bump, through a version service (audited there) or straight into the stream."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from versioning.backends.base import UnavailableError
from versioning.backends.tls import TlsFiles
from versioning.bump import Bump, RequestError
from versioning.cli.backends import open_stream
from versioning.cli.files import read_tokens
from versioning.cli.help import explained
from versioning.cli.options import CaOption, CertOption, ConfigOption, JsonOption, KeyOption
from versioning.cli.sections import StreamSection
from versioning.cli.service import IS_IT_ONE, ask
from versioning.cli.settings import Settings
from versioning.client.bumps import append_bump
from versioning.client.clock import unix_ms
from versioning.errors import ConfigError

REASON_HELP: Final = (
    "Why, in one line. With --url it goes into the service's audit log; that of a namespace is in the stream as well."
)
MAY_HAVE_BUMPED: Final = "it may have bumped; bumping again costs one load per key"


@explained(
    "stampline bump tracker_web:42 --reason 'row mended by hand' --config stampline.toml",
    "stampline bump --namespace tracker_web --spread-ms 60000 --reason 'new layout' \\",
    "    --url http://127.0.0.1:8700 --token-file token",
    exits={0: "bumped; the stamps are printed", 1: "failed: unreachable; the error says what may have happened"},
)
def bump(
    *,
    keys: Annotated[list[str] | None, typer.Argument(help="Keys, as tracker_web:42.", show_default=False)] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Age out a whole namespace instead.")] = "",
    reason: Annotated[str, typer.Option(help=REASON_HELP)] = "",
    spread_ms: Annotated[int | None, typer.Option(metavar="MS", help="Spread a namespace over this long.")] = None,
    url: Annotated[str, typer.Option(metavar="URL", help="Ask this version service; default: write to [stream].")] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bearer token for --url; a file as [serve] token_file: the first one in it."),
    ] = None,
    ssl_ca: CaOption = None,
    ssl_cert: CertOption = None,
    ssl_key: KeyOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make every cached copy of keys, or of a namespace, superseded: readers load them again."""
    wanted = Bump(reason, tuple(keys or ()), namespace, spread_ms)
    try:
        wanted.check()
    except RequestError as error:
        raise ConfigError(error.message, hint=error.hint) from None
    tls = TlsFiles.of(ssl_ca, ssl_cert, ssl_key)
    stamped = _through_service(wanted, url, token_file, tls) if url else asyncio.run(_through_stream(wanted, config))
    if wanted.keys and not url:
        # Entries of keys hold no reason, and nothing audits a bump that goes past the services.
        typer.echo(f"stampline: keys bumped: {len(wanted.keys)}; reason, kept nowhere else: {wanted.reason}", err=True)
    typer.echo(json.dumps({"stamps": stamped}) if as_json else "\n".join(stamped))


async def _through_stream(wanted: Bump, config: Path | None) -> list[str]:
    stream = open_stream(Settings.load(config).one(StreamSection), version_keys=True)
    try:
        return await append_bump(stream, wanted, now_ms=unix_ms(), unanswered=MAY_HAVE_BUMPED)
    finally:
        await stream.aclose()


def _token(file: Path) -> str:
    """Return the token of the first line that has one; it may stand behind a name, as in a service's own file."""
    found = next((words[-1] for words in read_tokens(file, key="--token-file") if words), "")
    if not found:
        raise ConfigError(f"--token-file: {file} holds no token", hint="put it in its first line")
    if not found.isascii():
        raise ConfigError(f"--token-file: the token in {file} is not ASCII", hint="make one: openssl rand -hex 24")
    return found


def _through_service(wanted: Bump, url: str, token_file: Path | None, tls: TlsFiles) -> list[str]:
    token = _token(token_file) if token_file else ""
    body: dict[str, Any] = {"reason": wanted.reason}
    body |= {"namespace": wanted.namespace} if wanted.namespace else {"keys": list(wanted.keys)}
    body |= {} if wanted.spread_ms is None else {"spread_ms": wanted.spread_ms}
    answer = ask(url, "/v1/bump", tls, body=body, token=token, unanswered=MAY_HAVE_BUMPED)
    try:
        return [str(stamp) for stamp in answer["stamps"]]
    except (KeyError, TypeError):
        raise UnavailableError(f"{url} answered without stamps", hint=IS_IT_ONE) from None
