"""The HTTP application: routes, the page behind them, the shape of errors, limits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heliograph import __version__
from heliograph.edge.http import (
    accounts,
    channels,
    chats,
    completions,
    models,
    notes,
    system,
    tasks,
)
from heliograph.edge.http.accounts import AttemptLimiter
from heliograph.edge.page import Page
from heliograph.edge.services import Services
from heliograph.errors import HeliographError, TooLarge
from heliograph.telemetry import get_logger

log = get_logger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

MAX_BODY = 16 * 1024 * 1024
"""Largest HTTP body, bytes."""

_CODES = {404: "not_found", 405: "method_not_allowed"}


def create_api(services: Services, lifespan: Lifespan, page: Page | None = None) -> FastAPI:
    """The FastAPI application over the features.

    :param page: answers what no route does; left out: the page that ``make web`` built.
    """
    api = FastAPIOffline(
        static_url="/docs/static",
        title="Heliograph",
        version=__version__,
        summary="The real-time layer for AI chat and collaborative apps.",
        lifespan=lifespan,
    )
    api.state.services = services
    api.state.attempts = AttemptLimiter(services.settings.auth_attempts_per_minute)
    for router in (
        accounts.auths, accounts.users, models.router, completions.router, tasks.router,
        chats.router, channels.router, notes.router, system.router,
    ):  # fmt: skip
        api.include_router(router)
    # Not a mounted route: that would take paths of the API whose method is wrong (405).
    api.router.default = page or Page()
    api.add_exception_handler(HeliographError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(Exception, _failed)
    api.add_middleware(BodyLimit)
    origins = services.settings.cors_allow_origin
    if origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["*"],
            allow_headers=["*"],
        )
    return api


class BodyLimit:
    """Refuses bodies over :data:`MAX_BODY`, also those that do not say their length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0
        refused = False

        async def counted() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                refused = True
                raise TooLarge(f"the body is larger than {MAX_BODY} bytes")
            return message

        async def answer(message: Message) -> None:
            # The framework takes a body it could not read for a malformed one.
            if not refused:
                await send(message)

        await self._app(scope, counted, answer)
        if refused:
            await _TOO_LARGE(scope, receive, send)


_TOO_LARGE = JSONResponse(
    {"detail": f"the body is larger than {MAX_BODY} bytes", "code": TooLarge.code},
    status_code=TooLarge.status,
    headers={"connection": "close"},
)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HeliographError)
    body = {"detail": error.message, "code": error.code}
    if error.path is not None:
        body["path"] = error.path
    return JSONResponse(body, status_code=error.status)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    path = ".".join(str(part) for part in fault["loc"] if part != "body")
    body = {"detail": f"{path or 'body'}: {fault['msg']}", "code": "bad_payload", "path": path}
    return JSONResponse(body, status_code=422)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    return JSONResponse(
        {"detail": str(error.detail), "code": code},
        status_code=error.status_code,
        headers=dict(error.headers or {}),
    )


async def _failed(request: Request, error: Exception) -> JSONResponse:
    log.error("http.failed", path=request.url.path, exc_info=error)
    return JSONResponse(
        {"detail": "the server failed; the log says why", "code": "internal"}, status_code=500
    )
