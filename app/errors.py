"""Errors of the HTTP interfaces, one JSON shape: ``{"error": {"code", "message", "hint"}}``; programs read ``code``."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from versioning.bump import RequestError

CODES: Final = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "wrong_media_type",
}


WHERE_CHARS_MAX: Final = 80
"""A field that nobody asked for has whatever name the client gave it."""


class ErrorDetail(BaseModel):
    code: str = Field(description="For programs; never changes its meaning.")
    message: str
    hint: str = Field(description="What to do about it; may be empty.")


class ErrorAnswer(BaseModel):
    error: ErrorDetail


DOCUMENTED: Final[dict[str, Any]] = {"model": ErrorAnswer, "description": "Refused, or failed, with its reason."}


class ApiError(Exception):
    """An answer that is not the one asked for. Raised anywhere in a request."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint, self.headers = status, code, message, hint, headers


def error_answer(
    status: int, code: str, message: str, hint: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(
        {"error": {"code": code, "message": message, "hint": hint}}, status_code=status, headers=headers
    )


def install(app: FastAPI) -> None:
    app.exception_handler(ApiError)(_api_error)
    app.exception_handler(RequestError)(_request_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(Exception)(_own_error)


async def _api_error(_: Request, error: ApiError) -> JSONResponse:
    return error_answer(error.status, error.code, error.message, error.hint, error.headers)


async def _request_error(_: Request, error: RequestError) -> JSONResponse:
    return error_answer(422, error.code, error.message, error.hint)


async def _validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
    problems = error.errors()
    first = problems[0]
    if first["type"] == "json_invalid":
        return error_answer(400, "malformed_body", "the body is not JSON", f"at character {first['loc'][-1]}")
    if first["loc"] == ("body",) and isinstance(error.body, bytes):
        # Only what is declared as JSON is parsed.
        return error_answer(
            415, "wrong_media_type", "the body is not declared as JSON", "send Content-Type: application/json"
        )
    where = ".".join(str(part) for part in first["loc"])[:WHERE_CHARS_MAX]
    # The input itself is not repeated: it may be large, and it may be a secret in the wrong place.
    more = f"{len(problems) - 1} more problems follow" if len(problems) > 1 else "see /docs"
    return error_answer(422, "invalid_request", f"{where}: {first['msg']}", more)


async def _own_error(_: Request, __: Exception) -> JSONResponse:
    return error_answer(500, "internal", "a mistake of this service", "its log has the traceback")


async def _http_error(_: Request, error: HTTPException) -> JSONResponse:
    code = CODES.get(error.status_code, "http_error")
    return error_answer(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))
