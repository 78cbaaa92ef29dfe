"""Clients that live through failures, as processes, and what they tell meanwhile.

A process (``history.js`` or ``visitors``) is given a scene and writes facts, its status twice a
second, and in the end a report, as ``lib/report.js`` says. Facts carry the time, in milliseconds
of the system's clock, so that those of several processes are one history.

Limits: a process that ends before it is told to makes :meth:`Watchers.stop` fail with its status;
what it wrote to standard error is on ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE = ("node", str(HERE / "history.js"))
PYTHON = (sys.executable, "-m", "tests.clients.visitors")
_MAX_LINE = 1 << 26

FAILINGS = (
    "gaps", "doubles", "disorder", "offsetsBack", "wrongTexts", "channelLost",
    "channelDoubles", "channelDisorder",
)  # fmt: skip


class Watchers:
    """The clients of one process.

    :ivar facts: what happened to single clients, in the order told.
    :ivar status: how things are, at most half a second old; empty before the first.
    """

    def __init__(self, scene: dict[str, Any], command: Sequence[str] = NODE) -> None:
        self._scene = scene
        self._command = command
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]
        self._stopped = asyncio.Event()
        self.facts: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self._report: dict[str, Any] = {}

    async def start(self) -> None:
        """Start them; returns at once."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, limit=_MAX_LINE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        await self._say(json.dumps(self._scene))

    async def stop(self, timeout: float) -> dict[str, Any]:
        """Let them finish and compare; their report."""
        await self.settle(timeout)
        return await self.compare(timeout)

    async def settle(self, timeout: float) -> None:
        """End the asking, and wait until what is in flight has ended.

        :raises TimeoutError: it did not. :raises RuntimeError: the process has ended.
        """
        await self._say("stop")
        async with asyncio.timeout(timeout):
            await self._stopped.wait()
        if self._reading.done():
            raise RuntimeError(f"{self._command[0]} ended with {await self._process.wait()}")

    async def compare(self, timeout: float) -> dict[str, Any]:
        """Compare what they saw with what the server has; their report, and they end.

        :raises TimeoutError: it took too long. :raises RuntimeError: the process failed.
        """
        await self._say("compare")
        async with asyncio.timeout(timeout):
            await self._reading
        status = await self._process.wait()
        if status or not self._report:
            raise RuntimeError(f"{self._command[0]} ended with {status}, without a report")
        return self._report

    async def kill(self) -> None:
        """End them now, when they run."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._reading

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # told by who waits
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said: dict[str, Any] = json.loads(line)
            if "fact" in said:
                self.facts.append(said)
            elif "status" in said:
                self.status = said["status"]
            elif "report" in said:
                self._report = said["report"]
            else:
                self._stopped.set()
        self._stopped.set()


async def sign_up(url: str, people: int) -> list[dict[str, Any]]:
    """Accounts; ``{id, token}`` of each. Slow: passwords are hashed."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def one(number: int) -> dict[str, Any]:
            name = f"p{number}"
            body = {"name": name, "email": f"{name}@example.org", "password": "pass word"}
            account = (await http.post("/api/v1/auths/signup", json=body)).raise_for_status().json()
            return {"id": account["id"], "token": account["token"]}

        first = await one(0)  # the administrator
        return [first, *await asyncio.gather(*(one(number) for number in range(1, people)))]


async def prepare(
    url: str, accounts: list[dict[str, Any]], *, words: int, posters: int
) -> dict[str, Any]:
    """A chat for each account, and a channel of all: a scene for clients by websocket.

    :param words: of an answer. :param posters: every how many-th person posts to the channel.
    """
    at_once = asyncio.Semaphore(20)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def make(account: dict[str, Any], path: str, body: Any) -> str:
            headers = {"Authorization": f"Bearer {account['token']}"}
            async with at_once:
                answer = await http.post(path, json=body, headers=headers)
            made: str = answer.raise_for_status().json()["id"]
            return made

        chats = await asyncio.gather(*(make(each, "/api/v1/chats/new", {}) for each in accounts))
        channel = await make(accounts[0], "/api/v1/channels/create", {"name": "all"})
    people = [{**each, "chat": chat} for each, chat in zip(accounts, chats, strict=True)]
    return {
        "urls": [url], "people": people, "channel": channel, "words": words, "posters": posters,
    }  # fmt: skip


def failings(report: dict[str, Any]) -> dict[str, int]:
    """What went wrong, by kind."""
    return {name: len(report[name]) for name in FAILINGS if report[name]}
