"""One python-socketio client that lives through failures as a page does."""

from __future__ import annotations

import asyncio
import collections
import functools
import logging
import math
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import socketio

from tests.clients.visitors.report import Report, now
from tests.clients.visitors.seen import Answers, Posts

TRANSPORTS = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}
ANSWER_SECONDS = 90
HEARTBEAT_SECONDS = 30


def _session() -> aiohttp.ClientSession:
    """As the library makes one for each connection; but cookies of a bare address, too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


class _Trace(logging.Handler):
    """What the library said last, for when its client does not come back."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: collections.deque[str] = collections.deque(maxlen=60)
        self.logger = logging.Logger("client")  # of its own: nobody else's handlers
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.created:.2f} {record.getMessage():.300}")


class Visitor:
    """One client."""

    def __init__(
        self, account: dict[str, Any], number: int, scene: dict[str, Any], report: Report
    ) -> None:
        self.name = f"python-{number}"
        self.number = number
        self.stopping = False
        self.opened = False
        self.lost_at = now()
        self.last_event_at: float | None = None
        self._account = account
        self._scene = scene
        self._report = report
        wrong = functools.partial(report.wrong, self.name)
        self._answers = Answers(wrong)
        self._posts = Posts(wrong)
        self._held: list[Callable[[], None]] | None = None
        self._anew = False
        self._reading = False
        self._gone = asyncio.Event()
        self._again: asyncio.Task[None]
        self._url: str = scene["urls"][number % len(scene["urls"])]
        self._trace = _Trace()
        self._client = socketio.AsyncClient(
            logger=self._trace.logger,
            engineio_logger=self._trace.logger,
            reconnection_delay=1,
            reconnection_delay_max=5,
            http_session=_session,
        )
        self._client.on("connect", self._connected)
        self._client.on("disconnect", self._disconnected)
        self._client.on("connect_error", self._refused)
        self._client.on("events", lambda event: self._hold(lambda: self._event(event)))
        self._client.on("events:channel", lambda event: self._hold(lambda: self._posts.take(event)))
        self._http = httpx.AsyncClient(
            base_url=self._url,
            timeout=20,
            headers={"Authorization": f"Bearer {account['token']}"},
        )

    @property
    def connected(self) -> bool:
        """Whether the server has let it in."""
        return bool(self._client.connected and "/" in self._client.namespaces)

    @property
    def settled(self) -> bool:
        """Connected, and it has read what it had to."""
        return self.opened and self.connected and self._held is None

    async def _connect(self) -> None:
        """Connect; tries again by itself from then on."""
        await self._client.connect(
            self._url,
            auth={"token": self._account["token"], "recovery": False},
            transports=TRANSPORTS[self._account.get("way", "websocket")],
            socketio_path="/ws/socket.io",
            wait_timeout=10,
            retry=True,
        )

    async def close(self) -> None:
        """Leave."""
        await self._client.disconnect()
        await self._http.aclose()

    async def _connected(self) -> None:
        if self.opened:
            self._report.back(self.name, self.lost_at)
        # A connection that the library gave up after a second is not told to be gone.
        before, self._gone = self._gone, asyncio.Event()
        before.set()
        self._held = []
        self._anew = True
        if not self._reading:
            await self._synchronise()

    async def _disconnected(self, reason: str) -> None:
        self._gone.set()
        self.lost_at = now()
        self._report.lost(self.name, reason)

    async def _refused(self, error: Any) -> None:
        why = error.get("message", error) if isinstance(error, dict) else error
        self._report.refused(f"connect: {why}")
        self._report.fact("refused", self.name, error=str(why))

    def _hold(self, take: Callable[[], None]) -> None:
        self._report.counts["events"] += 1
        if self._held is None:
            take()
        else:
            self._held.append(take)

    async def _synchronise(self) -> None:
        self._reading = True
        while self._anew:
            self._anew = False
            try:
                await self._read_all()
            except (socketio.exceptions.SocketIOError, httpx.HTTPError, RuntimeError) as error:
                self._report.refused(f"{type(error).__name__}: {error}"[:120])
                self._anew = True
                await asyncio.sleep(0.3)
                while not self.connected:
                    await asyncio.sleep(0.05)
        self._reading = False
        held, self._held = self._held or [], None
        for take in held:
            take()
        if self.opened:
            self._report.counts["resynced"] += 1
        else:
            self.last_event_at = now()
        self.opened = True

    async def _call(self, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        # The library waits for acknowledgements of connections that are gone.
        gone = asyncio.create_task(self._gone.wait())
        calling = asyncio.create_task(self._client.call(name, payload, timeout=15))
        await asyncio.wait((calling, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not calling.done():
            calling.cancel()
            raise RuntimeError(f"{name}: the connection broke")
        answer: dict[str, Any] = await calling
        if "error" in answer:
            raise RuntimeError(f"{name} {answer['error']['code']}")
        return answer

    async def _get(self, path: str) -> Any:
        answer = await self._http.get(path)
        answer.raise_for_status()
        return answer.json()

    async def _read_all(self) -> None:
        chat = self._account["chat"]
        await self._call("user-join", {"auth": {"token": self._account["token"]}})
        opened = await self._call("join-chat", {"chat_id": chat})
        self._answers.read(await self._messages(), opened["streams"])
        self._posts.read(await self._channel_ids())

    async def _messages(self) -> list[tuple[str, dict[str, Any]]]:
        chat = await self._get(f"/api/v1/chats/{self._account['chat']}")
        messages = chat["chat"]["history"]["messages"]
        return [(id, each) for id, each in messages.items() if each["role"] == "assistant"]

    async def _channel_ids(self) -> list[str]:
        ids: list[str] = []
        while True:
            path = f"/api/v1/channels/{self._scene['channel']}/messages?skip={len(ids)}&limit=100"
            page = await self._get(path)
            ids += [message["id"] for message in page]
            if len(page) < 100:
                return ids[::-1]  # newest first

    def _event(self, event: dict[str, Any]) -> None:
        if self.last_event_at is not None and not self.stopping:
            self._report.pause(self.name, self.last_event_at)
        self.last_event_at = now()
        if event["chat_id"] != self._account["chat"]:
            return
        self._report.counts["deltas"] += event["data"]["type"] == "message"
        what = self._answers.take(event)
        self._report.counts["interrupted"] += what == "interrupted"
        if what == "gap":
            self._held = []
            self._anew = True
            if not self._reading:
                self._again = asyncio.create_task(self._synchronise())

    async def live(self) -> None:
        """Connect, then ask again and again, until ``stopping``."""
        await self._connect()
        beat = asyncio.create_task(self._beat())
        watch = asyncio.create_task(self._come_back())
        share = random.uniform(0.25, 1)  # not all end, and ask again, in one moment
        while await self._may_ask():
            words = " ".join(f"w{n}" for n in range(math.ceil(self._scene["words"] * share)))
            id = str(uuid.uuid4())
            request = {
                "model": "echo",
                "chat_id": self._account["chat"],
                "id": id,
                "session_id": self._client.get_sid(),
                "stream": True,
                "messages": [{"role": "user", "content": words}],
            }
            try:
                answer = await self._http.post("/api/chat/completions", json=request)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                self._report.counts["asksRefused"] += 1
                self._report.refused(f"{type(error).__name__}: {error}"[:120])
                await asyncio.sleep(0.2)
                continue
            share = 1
            await self._ended(id)
        beat.cancel()
        watch.cancel()

    async def _may_ask(self) -> bool:
        """Once it is settled; false when there is nothing more to ask."""
        while not self.settled and not self.stopping:
            await asyncio.sleep(0.02)
        return not self.stopping

    async def _ended(self, id: str) -> None:
        until = time.monotonic() + ANSWER_SECONDS
        while not self._answers.done(id) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        self._report.counts["answers"] += 1
        if not self._answers.done(id):
            self._report.wrong(self.name, "wrongTexts", id=id, never="ended")
            if not self.connected:
                coming_back = repr(self._client._reconnect_task)
                self._report.fact("away", self.name, said=list(self._trace.lines), task=coming_back)

    async def _come_back(self) -> None:
        """Do what the library stopped doing: over polling it gives up when an answer breaks off
        (see ``docs/client-guide.md``). The time that this takes counts as any other."""
        while True:
            await asyncio.sleep(1)
            coming = self._client._reconnect_task
            if coming is None or not coming.done() or coming.cancelled():
                continue
            if coming.exception() is not None:
                self._report.fact("gave_up", self.name, error=repr(coming.exception()))
                self._client._reconnect_task = asyncio.create_task(self._client._handle_reconnect())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self.connected:
                await self._client.emit("heartbeat", {})

    async def compare(self) -> None:
        """With what the server has."""
        self._answers.compare(await self._messages())
        self._posts.compare(await self._channel_ids())
