"""``stampline bump``: a forced bump, through a version service (audited there) or straight into the stream."""

import asyncio
import http.client
import json
import secrets
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from versioning import stamp as stamps
from versioning.backends.base import Append, StreamBackend
from versioning.backends.tls import TlsFiles, client_context
from versioning.bump import Bump, RequestError
from versioning.cli.backends import open_stream
from versioning.cli.help import explained
from versioning.cli.options import CaOption, CertOption, ConfigOption, JsonOption, KeyOption
from versioning.cli.sections import StreamSection, read_secret
from versioning.cli.service import check_url, tls_refusal
from versioning.cli.settings import Settings
from versioning.entries import NONCE_CHARS
from versioning.errors import ConfigError, StamplineError

HTTP_TIMEOUT_S = 10.0


class BumpFailedError(StamplineError):
    """The service did not do it; whether the stream has it is said in the message."""


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
    reason: Annotated[str, typer.Option(help="Why; goes into the stream and the audit log.")] = "",
    spread_ms: Annotated[int | None, typer.Option(metavar="MS", help="Spread a namespace over this long.")] = None,
    url: Annotated[str, typer.Option(metavar="URL", help="Ask this version service; default: write to [stream].")] = "",
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Bearer token for --url.")] = None,
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
    typer.echo(json.dumps({"stamps": stamped}) if as_json else "\n".join(stamped))


async def _through_stream(wanted: Bump, config: Path | None) -> list[str]:
    stream = open_stream(Settings.load(config).one(StreamSection), version_keys=True)
    try:
        return await append(stream, wanted, now_ms=time.time_ns() // 1_000_000)
    finally:
        await stream.aclose()


async def append(stream: StreamBackend, wanted: Bump, *, now_ms: int, above: int = stamps.ZERO) -> list[str]:
    """Append a checked bump; returns its stamps as text. Raises BackendError."""
    nonces = [secrets.token_hex(NONCE_CHARS // 2) for _ in range(wanted.entry_count)]
    batch = Append(wanted.entries(now_ms, nonces), clock_ms=now_ms, above=above)
    return [stamps.text(stamp) for stamp in await stream.append(batch)]


def _through_service(wanted: Bump, url: str, token_file: Path | None, tls: TlsFiles) -> list[str]:
    check_url(url)
    token = read_secret(token_file, key="--token-file") if token_file else ""
    body: dict[str, Any] = {"reason": wanted.reason}
    body |= {"namespace": wanted.namespace} if wanted.namespace else {"keys": list(wanted.keys)}
    body |= {} if wanted.spread_ms is None else {"spread_ms": wanted.spread_ms}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    context = client_context(tls) if url.startswith("https://") else None
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        f"{url.rstrip('/')}/v1/bump", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S, context=context) as answer:  # noqa: S310
            return [str(stamp) for stamp in json.load(answer)["stamps"]]
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        refusal = tls_refusal(error)
        if refusal:
            raise ConfigError(
                f"no TLS with {url}: {refusal}", hint="check --ssl-ca, and the certificate there"
            ) from None
        raise BumpFailedError(
            f"{url} did not answer: {error}", hint="it may have bumped; bumping again costs one load per key"
        ) from None


def _refusal(url: str, error: urllib.error.HTTPError) -> StamplineError:
    try:
        problem = json.load(error)["error"]
        message, hint = str(problem["message"]), str(problem["hint"])
    except (ValueError, KeyError, TypeError):
        message, hint = error.reason, "is this a version service?"
    kind = ConfigError if error.code < 500 else BumpFailedError
    return kind(f"{url} refused the bump ({error.code}): {message}", hint=hint)
