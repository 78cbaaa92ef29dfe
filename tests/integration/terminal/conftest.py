"""Clients of the running server, whose screens are strings."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from heliograph.terminal import ChatOptions
from heliograph.terminal.client import Client
from heliograph.terminal.dialogs import ScriptedDialogs
from heliograph.terminal.render import Screen
from tests.integration.terminal.tools import gates
from tests.support.server import Person, RunningServer


@dataclass
class Seat:
    """A connected client and what it shows."""

    client: Client
    out: io.StringIO
    err: io.StringIO

    @property
    def shown(self) -> str:
        """The text of answers so far."""
        return self.out.getvalue()

    @property
    def said(self) -> str:
        """Everything else so far."""
        return self.err.getvalue()


async def eventually(condition: Callable[[], bool], timeout: float = 20) -> None:
    """Wait until ``condition()``.

    :raises TimeoutError: it did not become true within ``timeout`` seconds.
    """
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


Sit = Callable[..., Awaitable[Seat]]


@pytest.fixture
async def gate() -> AsyncIterator[asyncio.Event]:
    """What the tool ``gated`` waits for when it is told the gate ``test``."""
    gates["test"] = asyncio.Event()
    yield gates["test"]
    gates.pop("test").set()


@pytest.fixture
async def sit(server: RunningServer) -> AsyncIterator[Sit]:
    """Connect a client of a person: ``await sit(person, **options)``."""
    async with AsyncExitStack() as stack:

        async def connect(person: Person, **options: object) -> Seat:
            out, err = io.StringIO(), io.StringIO()
            screen = Screen(out, err, plain=True)
            chosen = replace(ChatOptions(url=server.url, token=person.token), **options)  # type: ignore[arg-type]
            dialogs = ScriptedDialogs(screen, chosen.answers)
            client = Client(chosen, person.token, screen, dialogs)
            await stack.enter_async_context(client)
            return Seat(client, out, err)

        yield connect
