"""Checks of the Python suite and the loop that runs them, as ``lib/harness.js`` for Node."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.clients.node import Result, Run
from tests.clients.python_checks.scene import Scene
from tests.clients.world import World

_CHECK_SECONDS = 45
_AT_ONCE = 6  # most checks wait most of the time

Body = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one row or several; it passes by returning."""

    rows: tuple[str, ...]
    name: str
    body: Body


CHECKS: list[Check] = []


def check(*rows: str, name: str | None = None) -> Callable[[Body], Body]:
    """Register a coroutine function; its name, as a sentence, is the check's unless given."""

    def register(body: Body) -> Body:
        sentence = name or getattr(body, "__name__", "").replace("_", " ")
        CHECKS.append(Check(rows, sentence, body))
        return body

    return register


async def run_checks(world: World, transport: str) -> Run:
    """Run every check over a transport, some at a time."""
    run = Run()
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(check: Check) -> None:
        async with turn:
            run.results.append(await _run(check, world, transport))

    await asyncio.gather(*map(one, CHECKS))
    return run


async def _run(check: Check, world: World, transport: str) -> Result:
    began = time.monotonic()
    error = None
    try:
        async with asyncio.timeout(_CHECK_SECONDS), Scene(world, transport) as scene:
            await check.body(scene)
    except (Exception, pytest.fail.Exception):  # the latter is no Exception
        error = traceback.format_exc()
    ms = round(1000 * (time.monotonic() - began))
    return Result(check.name, list(check.rows), error is None, error, ms)
