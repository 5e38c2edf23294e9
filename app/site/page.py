"""The dashboard's own files."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from app.pages import HEADERS, STATIC


class _Files(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers.update(HEADERS)
        return answer


def install(app: FastAPI) -> None:
    app.mount("/static", _Files(directory=STATIC))

    @app.get("/", include_in_schema=False)
    async def dashboard() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=HEADERS)
