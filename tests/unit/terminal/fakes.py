"""A server that is a script, and a screen that is a string."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from typing import Any

from heliograph.terminal.api import Api
from heliograph.terminal.conversation import Conversation
from heliograph.terminal.events import ChatEvent
from heliograph.terminal.failures import ClientError, ConnectionGone
from heliograph.terminal.render import Screen

CHAT = "chat-1"


async def turn_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition()``; for things that take turns, not time."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


class Tty(io.StringIO):
    """Text that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


class FakeApi(Api):
    """Answers from :attr:`stored`, and records what was asked.

    :ivar on_complete: called when an answer is asked for, with the request's body.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.on_complete: Callable[[dict[str, Any]], None] = lambda body: None
        self.stop_status = "stopped"

    async def new_chat(self, model: str) -> str:
        return CHAT

    async def chat(self, chat_id: str) -> dict[str, Any]:
        return self.stored

    async def complete(self, body: dict[str, Any]) -> list[str]:
        self.asked.append(body)
        self.on_complete(body)
        return ["task-1"]

    async def chat_tasks(self, chat_id: str) -> list[str]:
        return ["task-1"]

    async def stop_task(self, task_id: str) -> dict[str, Any]:
        self.stopped.append(task_id)
        return {"status": self.stop_status, "message": "it had ended"}


class FakeWire:
    """Answers ``join-chat`` with :attr:`streams`; ``None`` means the connection is away.

    :ivar refusal: words that it refuses with instead.
    """

    def __init__(self) -> None:
        self.streams: list[dict[str, Any]] | None = []
        self.refusal = ""
        self.joins: list[Mapping[str, Any]] = []

    @property
    def session_id(self) -> str:
        return "session-1"

    async def present(self) -> None:
        pass

    async def call(self, event: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        assert event == "join-chat"
        self.joins.append(payload)
        if self.streams is None:
            raise ConnectionGone("away")
        if self.refusal:
            raise ClientError(self.refusal)
        return {"chat_id": payload["chat_id"], "streams": self.streams}

    async def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        pass


class Stage:
    """A conversation between the two, with what the person sees."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.screen = Screen(self.out, self.err, plain=True)
        self.api, self.wire = FakeApi(), FakeWire()
        self.conversation = Conversation(self.api, self.wire, self.screen, "echo")

    @property
    def shown(self) -> str:
        """The text of answers so far."""
        return self.out.getvalue()

    @property
    def said(self) -> str:
        """Everything else so far."""
        return self.err.getvalue()

    @property
    def message_id(self) -> str:
        """Of the answer in flight."""
        assert self.conversation.answer is not None
        return self.conversation.answer.message_id

    async def streaming(self) -> None:
        """Let the loop turn until an answer is in flight."""
        await turn_until(lambda: self.conversation.streaming)

    def event(self, kind: str, seq: int | None = None, **data: Any) -> None:
        """The server sends an event of the answer in flight."""
        self.conversation.on_event(ChatEvent(CHAT, self.message_id, kind, data, seq))

    def delta(self, seq: int, content: str) -> None:
        """The server sends a delta."""
        self.event("message", seq, content=content)

    def done(self) -> None:
        """The server ends the answer."""
        self.event("chat:completion", done=True)

    def stream(self, seq: int, content: str, from_seq: int = 0) -> None:
        """What ``join-chat`` will tell of the answer in flight."""
        self.wire.streams = [
            {
                "message_id": self.message_id,
                "seq": seq,
                "from_seq": from_seq,
                "content": content,
            }
        ]

    def store(self, content: str, **fields: Any) -> None:
        """What the chat will hold of the answer in flight."""
        message = {"id": self.message_id, "role": "assistant", "content": content, **fields}
        self.api.stored = {
            "id": CHAT,
            "title": "A chat",
            "chat": {"history": {"messages": {self.message_id: message}}},
        }
