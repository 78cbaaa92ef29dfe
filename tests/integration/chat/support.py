"""What chat tests share: a person with a chat, and the feature without a server."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import insert, select

from heliograph.chat import Chat
from heliograph.delivery import (
    Calls,
    Hub,
    Lifecycle,
    MemoryBroker,
    MemorySessionRecords,
    Position,
)
from heliograph.principal import Principal
from heliograph.settings import Settings
from heliograph.store import Database
from heliograph.store.models import Chat as ChatRow
from heliograph.store.models import Message, MessageItem, User
from heliograph.tasks import Tasks
from tests.support.server import Person, RunningServer
from tests.support.socket import Socket

END_TYPES = ("chat:completion", "chat:tasks:cancel", "chat:message:error")


@dataclass
class Talk:
    """A person, connected, with a chat."""

    server: RunningServer
    person: Person
    socket: Socket
    chat_id: str

    async def ask(self, content: str = "Hi", **more: Any) -> httpx.Response:
        """Ask for an answer; ``id`` is a fresh one unless given."""
        body = {
            "model": "m1",
            "messages": [{"role": "user", "content": content}],
            "chat_id": self.chat_id,
            "session_id": self.socket.sid,
            "id": f"a-{uuid.uuid4().hex}",
            **more,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return await self.person.http.post("/api/chat/completions", json=body)

    async def begin(self, content: str = "Hi", **more: Any) -> Begun:
        """Ask, and be sure that the answer begins."""
        response = await self.ask(content, **more)
        assert response.status_code == 200, response.text
        said = response.json()
        return Begun(self, said["message_id"], said["task_ids"][0])

    async def chat(self) -> dict[str, Any]:
        """The chat as the person sees it."""
        return await get_chat(self.person, self.chat_id)

    async def message(self, message_id: str) -> dict[str, Any]:
        """One message of it."""
        found: dict[str, Any] = messages_of(await self.chat())[message_id]
        return found


@dataclass
class Begun:
    """An answer in flight."""

    talk: Talk
    message_id: str
    task_id: str

    async def delta(self, *, containing: str = "", timeout: float = 10) -> dict[str, Any]:
        """The next delta."""

        def fits(data: dict[str, Any]) -> bool:
            inner = data["data"]
            return (
                data["message_id"] == self.message_id
                and inner["type"] == "message"
                and containing in inner["data"]["content"]
            )

        found: dict[str, Any] = await self.talk.socket.expect("events", where=fits, timeout=timeout)
        return found

    async def event(self, kind: str, *, timeout: float = 10) -> Any:
        """The data of the next event of a type."""
        found = await self.talk.socket.expect(
            "events",
            where=lambda data: (
                data["message_id"] == self.message_id and data["data"]["type"] == kind
            ),
            timeout=timeout,
        )
        return found["data"]["data"]

    async def end(self, *, timeout: float = 20) -> tuple[str, Any]:
        """How it ended: the type and data of the event that says so, when all is over."""
        found = await self.talk.socket.expect(
            "events",
            where=lambda data: (
                data["message_id"] == self.message_id and data["data"]["type"] in END_TYPES
            ),
            timeout=timeout,
        )
        return found["data"]["type"], found["data"]["data"]

    async def stop(self) -> httpx.Response:
        """Stop it."""
        return await self.talk.person.http.post(f"/api/tasks/stop/{self.task_id}")

    async def stored(self) -> dict[str, Any]:
        """The message as the chat shows it."""
        return await self.talk.message(self.message_id)

    def deltas(self) -> list[dict[str, Any]]:
        """Every delta and replacement received so far."""
        return deltas_of(self.talk.socket, self.message_id)


def deltas_of(socket: Socket, message_id: str) -> list[dict[str, Any]]:
    """Every event with a ``seq`` of a message, as it was received."""
    return [
        event
        for event in socket.events("events")
        if event["message_id"] == message_id and "seq" in event
    ]


def text_of(deltas: list[dict[str, Any]]) -> str:
    """The text that deltas make; fails when their sequence has gaps or doubles."""
    assert [event["seq"] for event in deltas] == list(range(1, len(deltas) + 1))
    text = ""
    for event in deltas:
        content = event["data"]["data"]["content"]
        text = content if event["data"]["type"] == "replace" else text + content
    return text


def messages_of(chat: dict[str, Any]) -> dict[str, Any]:
    """The messages by id."""
    found: dict[str, Any] = chat["chat"]["history"]["messages"]
    return found


async def get_chat(person: Person, chat_id: str) -> dict[str, Any]:
    """A chat as a person sees it."""
    response = await person.http.get(f"/api/v1/chats/{chat_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def new_chat(person: Person, **chat: Any) -> str:
    """Create a chat; its id."""
    response = await person.http.post("/api/v1/chats/new", json={"chat": chat})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def begin_talk(server: RunningServer, name: str) -> Talk:
    """Sign a person up, connect, create a chat."""
    person = await server.signup(name)
    return Talk(server, person, await person.connect(), await new_chat(person))


# -- without a server --------------------------------------------------------------------


class RecordingHub(Hub):
    """A hub that remembers what was published."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker(60))
        self.published: list[tuple[str, Any]] = []

    async def publish(self, room: str, event: str, data: Any, **options: Any) -> Position:
        self.published.append((room, data))
        return await super().publish(room, event, data, **options)

    def types(self) -> list[str]:
        """The types published so far."""
        return [data["data"]["type"] for _, data in self.published]


@dataclass
class Feature:
    """The chat feature on a database, with the chat ``c1`` of ``ann`` and its message ``m1``."""

    database: Database
    hub: RecordingHub
    lifecycle: Lifecycle
    tasks: Tasks
    chat: Chat
    ann: Principal = field(default_factory=lambda: Principal("ann", "Ann", "user"))

    @property
    def info(self) -> dict[str, Any]:
        """``request_info`` of the message."""
        return {"user_id": "ann", "chat_id": "c1", "message_id": "m1", "session_id": "s1"}

    async def row(self, message_id: str = "m1") -> Message:
        """The message as stored."""
        async with self.database.read() as session:
            row = await session.get(Message, ("c1", message_id))
            assert row is not None
            return row

    async def items(self, kind: str) -> list[Any]:
        """The payloads of its items of a kind, in order."""
        async with self.database.read() as session:
            return list(
                await session.scalars(
                    select(MessageItem.payload)
                    .where(MessageItem.message_id == "m1", MessageItem.kind == kind)
                    .order_by(MessageItem.id)
                )
            )


@contextlib.asynccontextmanager
async def running_feature(database: Database) -> AsyncIterator[Feature]:
    """Put the feature together and run it."""
    hub = RecordingHub()
    lifecycle = Lifecycle(hub, MemorySessionRecords(), 60)
    tasks = Tasks()
    settings = Settings.model_validate({"echo_delay_ms": 0})
    chat = Chat(settings, database, hub, lifecycle, Calls(hub, lifecycle), tasks)
    for name in ("ann", "bob"):
        await add_user(database, name)
    async with database.write() as session:
        await session.execute(
            insert(ChatRow).values(
                id="c1",
                user_id="ann",
                title="New Chat",
                models=[],
                tags=[],
                extra={},
                current_id=None,
                created_at=1,
                updated_at=1,
                last_read_at=1,
            )
        )
        await session.execute(
            insert(Message).values(
                chat_id="c1",
                id="m1",
                parent_id=None,
                role="assistant",
                content="",
                model="echo",
                state="finished",
                error=None,
                extra={},
                created_at=1,
                position=1,
            )
        )
    await hub.start()
    async with chat:
        yield Feature(database, hub, lifecycle, tasks, chat)
        await tasks.shutdown()
    await hub.stop()


async def add_user(database: Database, name: str) -> None:
    """Insert a user whose id is its name."""
    async with database.write() as session:
        await session.execute(
            insert(User).values(
                id=name,
                name=name.title(),
                email=f"{name}@example.org",
                role="user",
                password_hash=None,
                created_at=1,
                updated_at=1,
                last_active_at=1,
            )
        )
