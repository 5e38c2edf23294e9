"""Asking a version service: what it answers, and every way that it does not, as one line."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from versioning.backends.base import UnavailableError
from versioning.cli.service import get_json
from versioning.errors import ConfigError


@contextmanager
def served(status: int, body: bytes, *, is_http: bool = True) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if is_http:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
            self.wfile.write(body)

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
        assert get_json(url, "/v1/site") == {"state": "ok"}


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
        get_json(url, "/v1/site")


@pytest.mark.parametrize(
    "url", ["", "foo", "ftp://a", "http://", "http://a:b", "http://a:99999", "http://[::1", "http://a b", "http://a\n"]
)
def test_what_is_no_address_is_bad_use(url: str) -> None:
    with pytest.raises(ConfigError, match="no HTTP address"):
        get_json(url, "/v1/site")


def test_a_name_that_is_not_known_is_unreachable() -> None:
    with pytest.raises(UnavailableError, match="did not answer"):
        get_json("http://nowhere.invalid", "/v1/site")
