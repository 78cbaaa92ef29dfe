"""CONTRACT sections 4 and 5: every type the emitter takes, as events and in the database."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Scene, chat_type, types


def _source(name: str) -> dict[str, Any]:
    return {
        "source": {"name": name, "url": f"https://{name}.example"},
        "document": ["a passage"],
        "metadata": [{"source": name}],
    }


# Every chat type with data that fits it.
_TYPES: dict[str, Any] = {
    "status": {"description": "Looking around", "done": False},
    "message": {"content": " far"},
    "chat:message:delta": {"content": " good"},
    "replace": {"content": "Anew"},
    "chat:message": {"content": "Anew again"},
    "files": {"files": [{"type": "image", "url": "/a.png"}]},
    "chat:message:files": {"files": [{"type": "image", "url": "/b.png"}]},
    "embeds": {"embeds": ["<p>one</p>"]},
    "chat:message:embeds": {"embeds": ["<p>two</p>"]},
    "source": _source("first"),
    "citation": _source("second"),
    "chat:completion": {"content": "partial", "done": False},
    "chat:title": "A better title",
    "chat:tags": ["one", "two"],
    "chat:tasks:cancel": None,
    "chat:active": {"active": False},
    "chat:list": {"chat_id": "x"},
    "chat:message:error": {"error": {"content": "It failed."}},
    "chat:message:follow_ups": {"follow_ups": ["And then?"]},
    "notification": {"type": "success", "content": "Done."},
}


@check("4 events", *(f"4 events {kind}" for kind in _TYPES))
async def every_type_arrives_as_it_was_emitted(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann)
    chat = await scene.chat(ann)
    for kind, data in _TYPES.items():
        await chat.emit(kind, data)
        event = await socket.expect("events")
        assert (event["chat_id"], event["message_id"]) == (chat.id, chat.message)
        assert event["data"] == {"type": kind, "data": data}


async def _emit_all(scene: Scene, *events: tuple[str, Any]) -> dict[str, Any]:
    """Emit in order, see each arrive, and read the message back."""
    ann = await scene.person()
    socket = await scene.connect(ann)
    chat = await scene.chat(ann)
    for kind, data in events:
        await chat.emit(kind, data)
        event = await socket.expect("events", where=chat_type(kind))
        assert event["data"]["data"] == data
    return await chat.stored()


@check("5 status")
async def status_is_appended_to_the_history(scene: Scene) -> None:
    first = {"description": "one", "done": False}
    second = {"description": "two", "done": True, "hidden": True}
    stored = await _emit_all(scene, ("status", first), ("status", second))
    assert stored["statusHistory"] == [first, second]


@check("5 message")
async def message_is_appended_to_the_content(scene: Scene) -> None:
    stored = await _emit_all(
        scene,
        ("message", {"content": " far,"}),
        ("chat:message:delta", {"content": " so good 👍"}),
    )
    assert stored["content"] == "So far, so good 👍"


@check("5 replace")
async def replace_replaces_the_content(scene: Scene) -> None:
    stored = await _emit_all(
        scene,
        ("message", {"content": " what"}),
        ("replace", {"content": "Anew"}),
        ("message", {"content": "!"}),
    )
    assert stored["content"] == "Anew!"
    again = await _emit_all(scene, ("chat:message", {"content": "The old name"}))
    assert again["content"] == "The old name"


@check("5 embeds")
async def embeds_are_extended_or_replaced(scene: Scene) -> None:
    extended = await _emit_all(
        scene,
        ("embeds", {"embeds": ["<p>1</p>"]}),
        ("chat:message:embeds", {"embeds": ["<p>2</p>", "<p>3</p>"]}),
    )
    assert sorted(extended["embeds"]) == ["<p>1</p>", "<p>2</p>", "<p>3</p>"]
    replaced = await _emit_all(
        scene,
        ("embeds", {"embeds": ["<p>1</p>"]}),
        ("embeds", {"embeds": ["<p>2</p>"], "replace": True}),
    )
    assert replaced["embeds"] == ["<p>2</p>"]


@check("5 files")
async def files_are_extended(scene: Scene) -> None:
    stored = await _emit_all(
        scene,
        ("files", {"files": [{"type": "file", "name": "a"}]}),
        ("chat:message:files", {"files": [{"type": "file", "name": "b"}]}),
    )
    assert sorted(file["name"] for file in stored["files"]) == ["a", "b"]


@check("5 source")
async def sources_are_appended_unless_they_have_a_type(scene: Scene) -> None:
    stored = await _emit_all(
        scene,
        ("source", _source("first")),
        ("citation", _source("second")),
        ("source", {"type": "code_execution", "id": "x", "name": "run", "code": "1"}),
    )
    assert stored["sources"] == [_source("first"), _source("second")]


@check("5 concurrent tools")
async def several_tools_at_once_lose_nothing(scene: Scene) -> None:
    ann = await scene.person()
    socket = await scene.connect(ann)
    chat = await scene.chat(ann)
    numbers = list(range(20))
    emits = []
    for number in numbers:
        emits += [
            chat.emit("message", {"content": f"[{number}]"}),
            chat.emit("status", {"description": f"status {number}", "done": True}),
            chat.emit("source", _source(f"source-{number}")),
            chat.emit("files", {"files": [{"name": f"file {number}"}]}),
        ]
    await asyncio.gather(*emits)
    await scene.settled(socket, ann)
    for kind in ("message", "status", "source", "files"):
        assert len(types(socket, "events", kind)) == len(numbers)
    stored = await chat.stored()
    assert sorted(map(int, re.findall(r"\[(\d+)\]", stored["content"]))) == numbers
    statuses = [int(each["description"].split()[1]) for each in stored["statusHistory"]]
    assert sorted(statuses) == numbers
    sources = [int(each["source"]["name"].split("-")[1]) for each in stored["sources"]]
    assert sorted(sources) == numbers
    assert sorted(int(each["name"].split()[1]) for each in stored["files"]) == numbers


@check("5 status")
async def events_that_do_not_fit_or_of_others_are_refused(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    chat = await scene.chat(ann)
    path = f"{chat.path}/messages/{chat.message}/event"
    good = {"type": "status", "data": {"description": "x", "done": True}}
    for who, body, status, code in [
        (ann, {"type": "coffee", "data": {}}, 422, "unknown_type"),
        (ann, {"type": "status", "data": {"done": True}}, 422, "bad_payload"),
        (bob, good, 404, "not_found"),
    ]:
        answer = await who.ask("POST", path, body)
        assert (answer[0], answer[1]["code"]) == (status, code), answer
        assert isinstance(answer[1]["detail"], str)
    assert "statusHistory" not in await chat.stored()
