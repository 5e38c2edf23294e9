"""Asking a version service, and having it bump: what it answers, and every way that it does not, as one line."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from versioning.backends.base import UnavailableError
from versioning.cli import program
from versioning.cli.service import ask
from versioning.errors import ConfigError


@contextmanager
def served(
    status: int,
    body: bytes,
    *,
    is_http: bool = True,
    asked: list[tuple[str, str | None, bytes]] | None = None,
    location: str = "",
) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"] or 0))
            if asked is not None:
                asked.append((f"{self.command} {self.path}", self.headers["authorization"], sent))
            if is_http:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                if location:
                    self.send_header("location", location)
                self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_its_json_is_returned() -> None:
    with served(200, b'{"state": "ok"}') as url:
        assert ask(url, "/v1/site") == {"state": "ok"}


@pytest.mark.parametrize(
    ("status", "body", "is_http", "kind", "words"),
    [
        (200, b"<html>", True, UnavailableError, "did not answer"),
        (200, b"[1]", True, UnavailableError, "something else"),
        (404, b"nothing", True, UnavailableError, "404.*a version service, and a current one"),
        (503, b'{"error": {"message": "not ready", "hint": "wait"}}', True, UnavailableError, "503: not ready .wait"),
        (401, b'{"error": {"message": "no token", "hint": "send one"}}', True, ConfigError, "401: no token"),
        (200, b"SSH-2.0-OpenSSH\r\n", False, UnavailableError, "did not answer"),
        (200, b"", False, UnavailableError, "did not answer"),
    ],
    ids=["no JSON", "no object", "other server", "not ready", "refused", "no HTTP", "hangs up"],
)
def test_whatever_else_it_answers_is_one_error(
    *, status: int, body: bytes, is_http: bool, kind: type[Exception], words: str
) -> None:
    with served(status, body, is_http=is_http) as url, pytest.raises(kind, match=words):
        ask(url, "/v1/site")


@pytest.mark.parametrize(
    "url", ["", "foo", "ftp://a", "http://", "http://a:b", "http://a:99999", "http://[::1", "http://a b", "http://a\n"]
)
def test_what_is_no_address_is_bad_use(url: str) -> None:
    with pytest.raises(ConfigError, match="no HTTP address"):
        ask(url, "/v1/site")


def test_a_name_that_is_not_known_is_unreachable() -> None:
    with pytest.raises(UnavailableError, match="did not answer"):
        ask("http://nowhere.invalid", "/v1/site")


def bumped(url: str, tmp_path: Path, tokens: str = "secret") -> int:
    (tmp_path / "token").write_text(tokens)
    token = ["--token-file", str(tmp_path / "token")]
    return program.run(["bump", "a:1", "--reason", "by hand", "--url", url, *token])


def test_a_bump_posts_what_is_wanted_and_prints_its_stamps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, str | None, bytes]] = []
    with served(200, b'{"stamps": ["7-0"]}', asked=asked) as url:
        assert bumped(url, tmp_path) == 0
    assert capsys.readouterr().out == "7-0\n"
    assert asked == [("POST /v1/bump", "Bearer secret", b'{"reason": "by hand", "keys": ["a:1"]}')]


def test_a_token_does_not_go_on_to_where_the_answer_points(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None, bytes]] = []
    with served(200, b"<html>", asked=asked) as login, served(302, b"", location=f"{login}login") as url:
        assert bumped(url, tmp_path) == 1
    assert asked == [("GET /login", None, b"")]


@pytest.mark.parametrize(
    "text",
    ["alice secret\nbob other\n", "# of alice\n\n  alice   secret\n", "secret\n"],
    ids=["named", "comment", "bare"],
)
def test_a_token_file_may_be_that_of_a_service(tmp_path: Path, text: str) -> None:
    asked: list[tuple[str, str | None, bytes]] = []
    with served(200, b'{"stamps": ["7-0"]}', asked=asked) as url:
        assert bumped(url, tmp_path, text) == 0
    assert asked[0][1] == "Bearer secret"


def test_a_token_file_without_a_token_is_bad_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bumped("http://127.0.0.1:1", tmp_path, "# none yet\n") == 2
    assert "holds no token" in capsys.readouterr().err


def test_a_token_that_no_header_can_bring_is_bad_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bumped("http://127.0.0.1:1", tmp_path, "schl\u00fcssel-von-alice-0123\n") == 2
    assert "is not ASCII" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_a_bump_that_never_left_has_bumped_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert bumped(url, tmp_path) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "may have bumped" not in line
    assert "is a version service running there?" in line


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (401, b'{"error": {"message": "no token", "hint": "send one"}}', 2, "401: no token (send one)"),
        (404, b"nothing", 1, "is this a version service, and a current one?"),
        (429, b'{"error": {"message": "too many", "hint": "wait"}}', 1, "429: too many (wait)"),
        (503, b'{"error": {"message": "no Redis", "hint": "it may have been written"}}', 1, "may have been written"),
        (200, b"", 1, "it may have bumped"),
        (200, b"{}", 1, "answered without stamps"),
    ],
    ids=["refused", "other server", "too many", "not done", "no answer", "no stamps"],
)
def test_a_bump_that_a_service_does_not_do_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, body: bytes, code: int, words: str
) -> None:
    with served(status, body) as url:
        assert bumped(url, tmp_path) == code
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    "url", ["http://me:secret@127.0.0.1:1", "http://127.0.0.1:1/#x", "http://127.0.0.1:1?x=@secret"]
)
def test_a_url_with_more_than_an_address_is_refused_and_no_login_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="--url") as caught:
        ask(url, "/v1/site")
    assert "secret" not in str(caught.value)
