"""A tool server as people have them: an HTTP API that describes itself with OpenAPI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI, Header
from fastapi.middleware.cors import CORSMiddleware

from tests.support.upstream import free_port


@dataclass
class ToolServer:
    """Where it is, and the keys it was called with."""

    url: str
    keys: list[str | None] = field(default_factory=list)


def _application(server: ToolServer) -> FastAPI:
    app = FastAPI(title="Weather")
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"]
    )

    @app.get("/forecast/{town}", operation_id="forecast")
    async def forecast(
        town: str, days: int = 1, authorization: str | None = Header(default=None)
    ) -> dict[str, object]:
        """What the weather will be."""
        server.keys.append(authorization)
        return {"town": town, "days": days, "sky": "<b>clear</b>"}

    return app


@contextlib.asynccontextmanager
async def running_tool_server() -> AsyncIterator[ToolServer]:
    """A running tool server with one tool, ``forecast``."""
    port = free_port()
    found = ToolServer(f"http://127.0.0.1:{port}")
    config = uvicorn.Config(_application(found), port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
        yield found
    finally:
        server.should_exit = True
        await task
