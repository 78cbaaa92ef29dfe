"""What the tests of channels say often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from heliograph.delivery import user_room
from tests.support.server import Person, RunningServer
from tests.support.socket import Socket

API = "/api/v1/channels"


def good(answer: httpx.Response) -> Any:
    """The body of an answer that must be 200."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """The answer must be this refusal, in the contract's shape."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert body["detail"]


async def create(person: Person, name: str = "general", **body: Any) -> dict[str, Any]:
    """A new channel."""
    view: dict[str, Any] = good(
        await person.http.post(f"{API}/create", json={"name": name, **body})
    )
    return view


async def create_private(person: Person, *members: Person) -> dict[str, Any]:
    """A new private channel with members."""
    channel = await create(person, "secret", private=True)
    if members:
        await add(person, channel, *members)
    return channel


async def add(person: Person, channel: dict[str, Any], *members: Person) -> None:
    """Add members."""
    body = {"user_ids": [member.id for member in members]}
    good(await person.http.post(f"{API}/{channel['id']}/update/members/add", json=body))


async def remove(person: Person, channel: dict[str, Any], *members: Person) -> None:
    """Remove members."""
    body = {"user_ids": [member.id for member in members]}
    good(await person.http.post(f"{API}/{channel['id']}/update/members/remove", json=body))


async def post(
    person: Person, channel: dict[str, Any], content: str = "hello", **body: Any
) -> dict[str, Any]:
    """Post a message."""
    path = f"{API}/{channel['id']}/messages/post"
    view: dict[str, Any] = good(await person.http.post(path, json={"content": content, **body}))
    return view


async def messages(person: Person, channel: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """A page of messages."""
    answer = await person.http.get(f"{API}/{channel['id']}/messages", params=query)
    page: list[dict[str, Any]] = good(answer)
    return page


async def joined(person: Person) -> Socket:
    """A connection in all rooms of the person's channels."""
    socket = await person.connect()
    assert await socket.call("user-join", {"auth": {"token": person.token}}) == {
        "id": person.id,
        "name": person.name,
    }
    return socket


def of_type(kind: str) -> Callable[[Any], bool]:
    """Fits channel events of one type."""
    return lambda event: event["data"]["type"] == kind


def kinds(socket: Socket) -> list[str]:
    """The types of all channel events received."""
    return [event["data"]["type"] for event in socket.events("events:channel")]


def contents(socket: Socket) -> list[str]:
    """The contents of all ``message`` events received."""
    return [
        event["data"]["data"]["content"]
        for event in socket.events("events:channel")
        if event["data"]["type"] == "message"
    ]


async def settled(server: RunningServer, socket: Socket, person: Person) -> None:
    """All that was published before this has reached the socket."""
    await server.services.hub.publish(user_room(person.id), "marker", {})
    await socket.expect("marker")
