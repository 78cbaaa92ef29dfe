"""What a check acts with: people, their clients and HTTP, and things to act on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from heliograph.delivery import user_room
from tests.clients.world import TRANSPORTS, Account, World
from tests.support.socket import Socket


class Someone:
    """HTTP as one person."""

    def __init__(self, world: World, account: Account) -> None:
        self._world = world
        self.account = account

    @property
    def id(self) -> str:
        """The person's id."""
        return self.account.id

    @property
    def name(self) -> str:
        """The person's name."""
        return self.account.name

    @property
    def token(self) -> str:
        """The person's token."""
        return self.account.token

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body, whatever the status."""
        answer = await self._world.ask(self.account, method, path, body)
        return answer.status_code, answer.json()

    async def require(self, method: str, path: str, body: Any = None) -> Any:
        """The body of a success."""
        status, answer = await self.ask(method, path, body)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer

    async def get(self, path: str) -> Any:
        """Read."""
        return await self.require("GET", path)

    async def post(self, path: str, body: Any = None) -> Any:
        """Change."""
        return await self.require("POST", path, body if body is not None else {})

    async def delete(self, path: str) -> Any:
        """Delete."""
        return await self.require("DELETE", path)


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat with a question and the answer ``message``, which begins with ``So``."""

    owner: Someone
    id: str
    message: str

    @property
    def path(self) -> str:
        """Its address."""
        return f"/api/v1/chats/{self.id}"

    async def emit(self, kind: str, data: Any) -> None:
        """The emitter, for the answer."""
        path = f"{self.path}/messages/{self.message}/event"
        await self.owner.post(path, {"type": kind, "data": data})

    async def call(self, kind: str, data: Any, session_id: str) -> tuple[int, Any]:
        """The caller, for the answer."""
        body = {"type": kind, "data": data, "session_id": session_id}
        return await self.owner.ask("POST", f"{self.path}/messages/{self.message}/call", body)

    async def stored(self, message: str | None = None) -> dict[str, Any]:
        """A message as it is stored, by default the answer."""
        found: dict[str, Any] = (await self.owner.get(self.path))["chat"]["history"]["messages"]
        answer: dict[str, Any] = found[message or self.message]
        return answer


@dataclass(frozen=True, slots=True)
class Thing:
    """A channel or a note."""

    id: str
    path: str

    @property
    def document(self) -> str:
        """A note's document."""
        return f"note:{self.id}"


class Scene:
    """The stage of one check; leaving it disconnects its clients."""

    def __init__(self, world: World, transport: str) -> None:
        self.world = world
        self.transport = transport
        self._sockets: list[Socket] = []

    async def __aenter__(self) -> Scene:
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in self._sockets:
            await socket.disconnect()

    # -- people ------------------------------------------------------------------------

    async def person(self, server: str = "main") -> Someone:
        """Somebody new."""
        return Someone(self.world, await self.world.person(server))

    @property
    def root(self) -> Someone:
        """The administrator."""
        return Someone(self.world, self.world.root)

    def client(
        self, auth: dict[str, Any] | None, server: str = "main", *, reconnection: bool = False
    ) -> Socket:
        """A client that has not connected yet."""
        url = self.world.servers[server].url
        socket = Socket(url, auth, TRANSPORTS[self.transport], reconnection)
        self._sockets.append(socket)
        return socket

    async def connect(
        self, person: Someone, server: str = "main", *, reconnection: bool = False, **auth: Any
    ) -> Socket:
        """A connected client of a person. It opts out of recovery, which it does not know."""
        whole = {"token": person.token, "recovery": False, **auth}
        socket = self.client(whole, server, reconnection=reconnection)
        await socket.connect()
        expected = "polling" if self.transport == "polling" else "websocket"
        assert socket.client.transport() == expected
        return socket

    async def joined(self, person: Someone, **auth: Any) -> Socket:
        """A connected client in the rooms of its channels."""
        socket = await self.connect(person, **auth)
        await socket.call("user-join", {"auth": {"token": person.token}})
        return socket

    async def publish(self, room: str, event: str, data: Any, server: str = "main") -> None:
        """Publish, as a feature of the server would."""
        await self.world.servers[server].services.hub.publish(room, event, data)

    async def settled(self, socket: Socket, person: Someone, server: str = "main") -> None:
        """All that was sent to the client's user before has reached the client."""
        mark = uuid.uuid4().hex
        await self.publish(user_room(person.id), "mark", mark, server)
        await socket.expect("mark", where=lambda data: data == mark)

    # -- things ------------------------------------------------------------------------

    async def chat(self, owner: Someone) -> Chat:
        """A chat with an answer."""
        question, message = str(uuid.uuid4()), str(uuid.uuid4())
        messages = {
            question: {"id": question, "role": "user", "content": "Well?"},
            message: {
                "id": message, "role": "assistant", "parentId": question, "content": "So",
                "done": True,
            },
        }  # fmt: skip
        chat = {"title": "A chat", "history": {"messages": messages, "currentId": message}}
        made = await owner.post("/api/v1/chats/new", {"chat": chat})
        return Chat(owner, made["id"], message)

    async def ask(self, chat: Chat, socket: Socket, content: str, **extra: Any) -> dict[str, Any]:
        """Ask the echo model; ``id`` is the new answer's."""
        message = str(uuid.uuid4())
        body = {
            "model": "echo",
            "stream": True,
            "session_id": socket.sid,
            "chat_id": chat.id,
            "id": message,
            "messages": [{"role": "user", "content": content}],
            **extra,
        }
        answer = await chat.owner.post("/api/chat/completions", body)
        return {**answer, "id": message}

    async def channel(self, owner: Someone, *others: Someone) -> Thing:
        """A private channel."""
        made = await owner.post("/api/v1/channels/create", {"name": "a-channel", "private": True})
        thing = Thing(made["id"], f"/api/v1/channels/{made['id']}")
        if others:
            user_ids = [other.id for other in others]
            await owner.post(f"{thing.path}/update/members/add", {"user_ids": user_ids})
        return thing

    async def note(self, owner: Someone, md: str, **grants: tuple[Someone, str]) -> Thing:
        """A note, shared as told: ``who=(person, "read")``."""
        body = {
            "title": "A note",
            "data": {"content": {"md": md}},
            "access_grants": access(*grants.values()),
        }
        made = await owner.post("/api/v1/notes/create", body)
        return Thing(made["id"], f"/api/v1/notes/{made['id']}")


def access(*grants: tuple[Someone, str]) -> list[dict[str, str]]:
    """``access_grants`` of people and permissions."""
    return [
        {"principal_type": "user", "principal_id": person.id, "permission": permission}
        for person, permission in grants
    ]


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Try again until the condition holds."""
    try:
        async with asyncio.timeout(15):
            while not await condition():
                await asyncio.sleep(0.025)
    except TimeoutError:
        raise AssertionError(f"{what}: not within 15 s") from None


def chat_type(kind: str, **fields: Any) -> Callable[[Any], bool]:
    """Whether an event is of a type, and has some fields: for ``expect(where=…)``."""
    return lambda event: (
        event["data"]["type"] == kind
        and all(event.get(name) == value for name, value in fields.items())
    )


def is_end(message: str) -> Callable[[Any], bool]:
    """Whether an event is the end of an answer."""
    return lambda event: (
        event["message_id"] == message
        and event["data"]["type"] == "chat:completion"
        and event["data"]["data"].get("done") is True
    )


def types(socket: Socket, event: str, kind: str) -> list[Any]:
    """The events of a type received so far."""
    return [data for data in socket.events(event) if data["data"]["type"] == kind]
