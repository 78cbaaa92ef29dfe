"""Tools for the tests, by ``HELIOGRAPH_TOOLS``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[[dict[str, Any]], Awaitable[Any]]
Emit = Callable[[dict[str, Any]], Awaitable[None]]


async def secret(call: Call) -> str:
    """Ask for a password and tell only its length."""
    data = {"title": "Vault", "message": "The password?", "type": "password"}
    answer = await call({"type": "input", "data": data})
    return f"{len(answer)} characters" if isinstance(answer, str) else "nothing"


async def everything(emit: Emit) -> str:
    """Emit one of each."""
    await emit({"type": "status", "data": {"description": "Searching", "done": False}})
    await emit({"type": "files", "data": {"files": [{"name": "plan.pdf"}]}})
    source = {"name": "A book", "url": "https://example.org/b"}
    await emit({"type": "source", "data": {"source": source, "document": ["…"], "metadata": [{}]}})
    await emit({"type": "notification", "data": {"type": "info", "content": "By the way"}})
    await emit({"type": "replace", "data": {"content": "All of it. "}})
    return "done"


gates: dict[str, asyncio.Event] = {}
"""By name; a test makes one, and sets it to let :func:`gated` go on."""


async def gated(emit: Emit, gate: str) -> str:
    """Answer a half, wait for the gate, answer the rest: in flight for as long as needed."""
    await emit({"type": "message", "data": {"content": "first half, "}})
    await gates[gate].wait()
    await emit({"type": "message", "data": {"content": "second half, "}})
    return "end"


ALL = [secret, everything, gated]
