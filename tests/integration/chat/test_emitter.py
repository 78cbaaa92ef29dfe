"""The emitter: each type with its database action, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.chat import get_event_emitter
from heliograph.errors import BadPayload, HeliographError, NotFound, TooLarge, Unavailable
from tests.integration.chat.support import Feature

pytestmark = pytest.mark.usefixtures("feature")


def event(kind: str, data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data}


@pytest.mark.parametrize("kind", ["message", "chat:message:delta"])
async def test_a_message_is_appended(feature: Feature, kind: str) -> None:
    emit = get_event_emitter(feature.info)
    await emit(event(kind, {"content": "one "}))
    await emit(event(kind, {"content": "two"}))
    assert (await feature.row()).content == "one two"
    assert feature.hub.published[-1] == (
        "user:ann",
        {"chat_id": "c1", "message_id": "m1", "data": event(kind, {"content": "two"})},
    )


@pytest.mark.parametrize("kind", ["replace", "chat:message"])
async def test_a_replacement_replaces(feature: Feature, kind: str) -> None:
    emit = get_event_emitter(feature.info)
    await emit(event("message", {"content": "old"}))
    await emit(event(kind, {"content": "new"}))
    assert (await feature.row()).content == "new"


async def test_statuses_are_appended(feature: Feature) -> None:
    emit = get_event_emitter(feature.info)
    first = {"description": "looking", "done": False, "urls": ["x"]}
    await emit(event("status", first))
    await emit(event("status", {"description": "looked", "done": True, "hidden": True}))
    stored = await feature.items("status")
    assert stored == [first, {"description": "looked", "done": True, "hidden": True}]


@pytest.mark.parametrize("kind", ["files", "chat:message:files"])
async def test_files_are_extended(feature: Feature, kind: str) -> None:
    emit = get_event_emitter(feature.info)
    await emit(event(kind, {"files": [{"id": 1}, {"id": 2}]}))
    await emit(event(kind, {"files": [{"id": 3}]}))
    assert await feature.items("file") == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize("kind", ["embeds", "chat:message:embeds"])
async def test_embeds_are_extended_or_replaced(feature: Feature, kind: str) -> None:
    emit = get_event_emitter(feature.info)
    await emit(event(kind, {"embeds": ["<p>1</p>"]}))
    await emit(event(kind, {"embeds": ["<p>2</p>"]}))
    assert await feature.items("embed") == ["<p>1</p>", "<p>2</p>"]
    await emit(event(kind, {"embeds": ["<p>3</p>"], "replace": True}))
    assert await feature.items("embed") == ["<p>3</p>"]


@pytest.mark.parametrize("kind", ["source", "citation"])
async def test_sources_are_appended_unless_they_have_a_type(feature: Feature, kind: str) -> None:
    emit = get_event_emitter(feature.info)
    source = {"source": {"name": "a"}, "document": ["text"], "metadata": [{"page": 1}]}
    await emit(event(kind, source))
    await emit(event(kind, {"type": "code_execution", "id": "x"}))
    assert await feature.items("source") == [source]
    assert feature.hub.types() == [kind, kind]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("chat:completion", {"done": True, "content": "x"}),
        ("chat:title", "A title"),
        ("chat:tags", ["a"]),
        ("chat:tasks:cancel", None),
        ("chat:active", {"active": True}),
        ("chat:list", {"chat_id": "c1"}),
        ("chat:message:error", {"error": {"content": "no"}}),
        ("chat:message:follow_ups", {"follow_ups": ["And?"]}),
        ("notification", {"type": "info", "content": "hey"}),
    ],
)
async def test_other_types_are_published_and_not_stored(
    feature: Feature, kind: str, data: Any
) -> None:
    await get_event_emitter(feature.info)(event(kind, data))
    assert feature.hub.published[-1][1]["data"] == event(kind, data)
    assert (await feature.row()).content == ""


@pytest.mark.parametrize(
    ("kind", "data", "path"),
    [
        ("message", {}, "data.content"),
        ("message", {"content": 5}, "data.content"),
        ("message", None, "data"),
        ("replace", {"content": None}, "data.content"),
        ("status", {"done": True}, "data.description"),
        ("status", {"description": "x", "done": "yes"}, "data.done"),
        ("files", {"files": "x"}, "data.files"),
        ("embeds", {"embeds": {}}, "data.embeds"),
        ("source", {"document": []}, "data.source"),
        ("chat:message:error", {}, "data.error"),
        ("chat:title", {"title": "x"}, "data"),
        ("notification", {"type": "info"}, "data.content"),
        ("no:such", {}, "type"),
        ("confirmation", {}, "type"),
        (None, {}, "type"),
    ],
)
async def test_wrong_shapes_are_refused_with_their_place(
    feature: Feature, kind: Any, data: Any, path: str
) -> None:
    with pytest.raises(BadPayload) as refused:
        await get_event_emitter(feature.info)(event(kind, data))
    assert refused.value.path == path
    assert feature.hub.published == []


async def test_an_unknown_type_has_its_code(feature: Feature) -> None:
    with pytest.raises(HeliographError, match="no:such") as refused:
        await get_event_emitter(feature.info)(event("no:such", {}))
    assert refused.value.code == "unknown_type"


async def test_what_is_not_json_is_refused(feature: Feature) -> None:
    emit = get_event_emitter(feature.info)
    with pytest.raises(BadPayload, match="no JSON form"):
        await emit(event("status", {"description": "x", "value": {1, 2}}))
    with pytest.raises(TooLarge):
        await emit(event("files", {"files": ["x" * (5 * 1024 * 1024)]}))
    await emit(event("status", {"description": "nul\x00 half\ud800", "n": 10**30}))
    assert (await feature.items("status"))[0]["description"] == "nul\x00 half\ufffd"


async def test_without_update_db_nothing_is_stored(feature: Feature) -> None:
    emit = get_event_emitter(feature.info, update_db=False)
    await emit(event("message", {"content": "x"}))
    await emit(event("status", {"description": "x"}))
    assert feature.hub.types() == ["message", "status"]
    assert (await feature.row()).content == ""
    assert await feature.items("status") == []


async def test_another_users_chat_does_not_exist(feature: Feature) -> None:
    for change in ({"user_id": "bob"}, {"chat_id": "c2"}, {"message_id": "m2"}):
        emit = get_event_emitter({**feature.info, **change})
        for sent in (event("message", {"content": "x"}), event("status", {"description": "x"})):
            with pytest.raises(NotFound):
                await emit(sent)
    assert feature.hub.published == []


async def test_a_request_info_must_be_whole(feature: Feature) -> None:
    for name in ("user_id", "chat_id", "message_id"):
        for bad in (None, "", 5):
            with pytest.raises(BadPayload, match=name):
                get_event_emitter({**feature.info, name: bad})


async def test_temporary_chats_are_published_only(feature: Feature) -> None:
    emit = get_event_emitter({**feature.info, "chat_id": "local:x"})
    await emit(event("message", {"content": "x"}))
    await emit(event("status", {"description": "x"}))
    assert feature.hub.types() == ["message", "status"]


async def test_tools_that_append_at_once_lose_nothing(feature: Feature) -> None:
    async def tool(name: str) -> None:
        emit = get_event_emitter(feature.info)
        for number in range(20):
            await emit(event("message", {"content": f"<{name}{number}>"}))
            await emit(event("status", {"description": f"{name}{number}"}))
            await emit(event("files", {"files": [f"{name}{number}"]}))

    await asyncio.gather(*(tool(name) for name in "abc"))
    content = (await feature.row()).content
    expected = {f"{name}{number}" for name in "abc" for number in range(20)}
    assert sorted(content[1:-1].split("><")) == sorted(expected)
    for kind in ("status", "file"):
        stored = await feature.items(kind)
        names = {item["description"] if kind == "status" else item for item in stored}
        assert names == expected
        assert len(stored) == 60


async def test_there_is_no_emitter_without_an_application() -> None:
    # The feature of the fixture is running; in another process nothing would be.
    from heliograph.chat import api

    running, api._running[:] = api._running[:], []
    try:
        with pytest.raises(Unavailable):
            get_event_emitter({"user_id": "u", "chat_id": "c", "message_id": "m"})
    finally:
        api._running[:] = running
