"""An OpenAI-compatible upstream for tests: a real HTTP server whose answers are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

Script = Callable[["Reply"], Any]


@dataclass
class Reply:
    """One request, and the way to answer it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def json(self, status: int, value: Any) -> None:
        """Answer with JSON."""
        await self.raw(status, "application/json", json.dumps(value))

    async def raw(self, status: int, content_type: str, text: str) -> None:
        """Answer with a body of any type."""
        data = text.encode()
        head = (
            f"HTTP/1.1 {status} Scripted\r\ncontent-type: {content_type}\r\n"
            f"content-length: {len(data)}\r\nconnection: close\r\n\r\n"
        )
        self.writer.write(head.encode() + data)
        await self.writer.drain()

    async def begin(self) -> None:
        """Begin a stream of server-sent events."""
        self.writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        await self.writer.drain()

    async def line(self, text: str) -> None:
        """One event's ``data``, as it is."""
        await self.bytes(f"data: {text}\n\n".encode())

    async def bytes(self, data: bytes) -> None:
        """Bytes of the stream."""
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()

    async def delta(self, content: str) -> None:
        """A token."""
        await self.line(json.dumps(chunk({"content": content})))

    async def finish(self, reason: str = "stop", **more: Any) -> None:
        """The end of a good stream."""
        await self.line(json.dumps({**chunk({}, reason), **more}))
        await self.line("[DONE]")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def cut(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """A chunk in OpenAI's shape."""
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


# -- scripts -----------------------------------------------------------------------------


def tokens(*words: str, usage: dict[str, int] | None = None) -> Script:
    """Stream these words."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for word in words:
            await reply.delta(word)
        more: dict[str, Any] = {"usage": usage} if usage else {}
        await reply.finish(**more)

    return script


def many_tokens(number: int, *, pause_every: int = 20, pause: float = 0.001) -> Script:
    """Stream ``number`` numbered tokens."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for index in range(number):
            await reply.delta(f"{index} ")
            if index % pause_every == 0:
                await asyncio.sleep(pause)
        await reply.finish()

    return script


def held(*words: str, gate: asyncio.Event, then: tuple[str, ...] = ()) -> Script:
    """Stream ``words``, wait for ``gate``, stream ``then``."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for word in words:
            await reply.delta(word)
        await gate.wait()
        for word in then:
            await reply.delta(word)
        await reply.finish()

    return script


def calls(*functions: tuple[str, str], text: str = "") -> Script:
    """Call tools: ``(name, arguments)`` each, the arguments in two pieces."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        if text:
            await reply.delta(text)
        for index, (name, arguments) in enumerate(functions):
            half = len(arguments) // 2
            first = {"name": name, "arguments": arguments[:half]}
            part = {"index": index, "id": f"call_{index}", "type": "function", "function": first}
            await reply.line(json.dumps(chunk({"tool_calls": [part]})))
            rest = {"index": index, "function": {"arguments": arguments[half:]}}
            await reply.line(json.dumps(chunk({"tool_calls": [rest]})))
        await reply.finish("tool_calls")

    return script


def refuses(status: int, message: str = "scripted") -> Script:
    """An error answer."""

    async def script(reply: Reply) -> None:
        await reply.json(status, {"error": {"message": message, "type": "scripted"}})

    return script


def breaks_after(*words: str) -> Script:
    """Cut the connection in mid-stream."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for word in words:
            await reply.delta(word)
        await asyncio.sleep(0.05)  # what was written before an abort may be lost with it
        reply.cut()

    return script


def ends_early(*words: str) -> Script:
    """End the stream properly, but without a reason and without ``[DONE]``."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for word in words:
            await reply.delta(word)
        reply.writer.write(b"0\r\n\r\n")
        await reply.writer.drain()

    return script


def lines(*texts: str) -> Script:
    """Stream these data lines as they are, then end."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for text in texts:
            await reply.line(text)
        await reply.finish()

    return script


def silent_after(*words: str) -> Script:
    """Send nothing more, and keep the connection."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        for word in words:
            await reply.delta(word)
        await reply.gone.wait()

    return script


def whole(content: str) -> Script:
    """One JSON completion instead of a stream."""

    async def script(reply: Reply) -> None:
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"total_tokens": 7}
        await reply.json(
            200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    return script


class Upstream:
    """The server. Requests are kept in :attr:`requests`; scripts are used one after another,
    the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[Reply] = []
        self.models: Any = {"data": [{"id": "m1"}, {"id": "m2", "name": "Second"}]}
        self.models_asked = 0
        self.url = ""
        self._scripts: deque[Script] = deque([tokens("hello", " ", "world")])
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def script(self, *scripts: Script) -> None:
        """What the next requests get."""
        self._scripts = deque(scripts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *rest = head.split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in rest if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        path = request.split(" ")[1]
        reply = Reply(path, headers, json.loads(raw) if raw else {}, writer)
        if path.endswith("/models"):
            self.models_asked += 1
            status = 200 if isinstance(self.models, dict) else int(self.models)
            await reply.json(status, self.models if status == 200 else {"error": "no list"})
            return
        self.requests.append(reply)
        script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        watcher = asyncio.create_task(self._watch(reader, reply))
        try:
            await script(reply)
        except ConnectionError:
            reply.gone.set()
        finally:
            watcher.cancel()

    async def _watch(self, reader: asyncio.StreamReader, reply: Reply) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        reply.gone.set()  # the client closed its side

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    """A running upstream."""
    upstream = Upstream()
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
