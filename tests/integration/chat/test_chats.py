"""Chats over HTTP: create, list, read, merge, share, delete; and the read mark."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.chat.support import Talk, begin_talk, get_chat, messages_of, new_chat
from tests.support.server import RunningServer
from tests.support.upstream import Upstream, held

MESSAGES = {
    "q1": {"id": "q1", "role": "user", "content": "Hi", "parentId": None, "timestamp": 1700000000},
    "a1": {
        "id": "a1",
        "role": "assistant",
        "content": "Hello",
        "parentId": "q1",
        "model": "m1",
        "done": True,
        "modelName": "Model One",
        "timestamp": 1700000000123,
    },
}


async def update(talk: Talk, **chat: Any) -> Any:
    return await talk.person.http.post(f"/api/v1/chats/{talk.chat_id}", json={"chat": chat})


async def test_a_new_chat_is_empty(talk: Talk) -> None:
    chat = await talk.chat()
    assert (chat["title"], chat["user_id"], chat["tags"]) == ("New Chat", talk.person.id, [])
    assert chat["chat"]["history"] == {"messages": {}, "currentId": None}
    assert chat["access_grants"] == []


async def test_a_new_chat_may_bring_its_messages(talk: Talk) -> None:
    chat_id = await new_chat(
        talk.person,
        title="Imported",
        models=["m1"],
        tags=["old"],
        params={"x": 1},
        history={"messages": MESSAGES, "currentId": "a1"},
    )
    chat = await get_chat(talk.person, chat_id)
    assert (chat["title"], chat["tags"]) == ("Imported", ["old"])
    assert chat["chat"]["models"] == ["m1"]
    assert chat["chat"]["params"] == {"x": 1}
    messages = messages_of(chat)
    assert messages["q1"]["childrenIds"] == ["a1"]
    assert messages["a1"] == {
        "id": "a1",
        "role": "assistant",
        "content": "Hello",
        "parentId": "q1",
        "childrenIds": [],
        "model": "m1",
        "modelName": "Model One",
        "timestamp": 1700000000,
        "done": True,
        "state": "finished",
    }
    assert chat["chat"]["history"]["currentId"] == "a1"


async def test_a_copy_is_merged(talk: Talk) -> None:
    await update(talk, history={"messages": MESSAGES, "currentId": "a1"}, folder="f")
    edited = {
        "q1": {"role": "user", "content": "Hi, edited"},
        "a1": {"role": "assistant", "content": "Edited", "done": True, "rating": 5, "error": "x"},
        "q2": {"role": "user", "content": "More", "parentId": "a1"},
    }
    answer = await update(
        talk, title=" New title ", tags=["a"], history={"messages": edited, "currentId": "none"}
    )
    chat = answer.json()
    messages = messages_of(chat)
    assert (chat["title"], chat["tags"], chat["chat"]["folder"]) == ("New title", ["a"], "f")
    assert messages["q1"]["content"] == "Hi, edited"
    assert (messages["a1"]["content"], messages["a1"]["rating"]) == ("Edited", 5)
    assert "error" not in messages["a1"]
    assert messages["a1"]["modelName"] == "Model One"
    assert (messages["q2"]["parentId"], messages["a1"]["childrenIds"]) == ("a1", ["q2"])
    assert chat["chat"]["history"]["currentId"] == "a1"


async def test_other_pages_are_told_of_title_and_tags(talk: Talk) -> None:
    await update(talk, title="T", tags=["x"])
    seen = [await talk.socket.expect("events") for _ in range(2)]
    assert [event["data"] for event in seen] == [
        {"type": "chat:title", "data": "T"},
        {"type": "chat:tags", "data": ["x"]},
    ]


async def test_circles_of_parents_harm_nothing(talk: Talk, upstream: Upstream) -> None:
    circle = {
        "a": {"role": "user", "content": "A", "parentId": "b"},
        "b": {"role": "assistant", "content": "B", "parentId": "a"},
    }
    await update(talk, history={"messages": circle, "currentId": "b"})
    begun = await talk.begin(messages=None, user_message={"id": "q", "content": "?"})
    await begun.end()
    said = [m["content"] for m in upstream.requests[-1].body["messages"]]
    assert said == ["A", "B", "?"]


async def test_bad_copies_are_refused_and_change_nothing(talk: Talk) -> None:
    for chat in (
        {"title": 5},
        {"title": "x" * 1001},
        {"tags": "x"},
        {"history": {"messages": {"q1": {"content": "no role"}}}},
        {"history": {"messages": {"q1": {"role": "boss", "content": "x"}}}},
        {"history": {"messages": {"q1": {"role": "user", "content": 5}}}},
        {"history": {"messages": {"a b": {"role": "user", "content": "x"}}}},
        {"history": {"messages": {"x" * 65: {"role": "user", "content": "x"}}}},
        {"history": {"messages": {f"m{n}": {"role": "user"} for n in range(2001)}}},
    ):
        answer = await update(talk, **{"title": "Changed", **chat})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload"), chat
    chat_now = await talk.chat()
    assert (chat_now["title"], messages_of(chat_now)) == ("New Chat", {})


async def test_chats_are_listed_last_changed_first_and_paged(talk: Talk) -> None:
    ids = [await new_chat(talk.person, title=f"c{n}") for n in range(3)]
    listed = (await talk.person.http.get("/api/v1/chats/")).json()
    assert {entry["id"] for entry in listed} == {talk.chat_id, *ids}
    stamps = [(entry["updated_at"], entry["created_at"]) for entry in listed]
    assert stamps == sorted(stamps, reverse=True)
    pages = [
        (await talk.person.http.get("/api/v1/chats/", params={"skip": n, "limit": 1})).json()
        for n in range(5)
    ]
    assert [page[0]["id"] for page in pages[:4]] == [entry["id"] for entry in listed]
    assert pages[4] == []


async def test_the_list_is_searched_over_http(talk: Talk) -> None:
    fruit = await new_chat(talk.person, title="Fruit", history={"messages": MESSAGES})
    for query, ids in (("fruit", [fruit]), ("hELLO", [fruit]), ("nothing of it", []), ("\0", [])):
        answer = await talk.person.http.get("/api/v1/chats/", params={"query": query})
        assert [chat["id"] for chat in answer.json()] == ids, query
    refused = await talk.person.http.get("/api/v1/chats/", params={"query": "x" * 201})
    assert (refused.status_code, refused.json()["path"]) == (422, "query.query")


async def test_a_foreign_chat_does_not_exist(server: RunningServer, talk: Talk) -> None:
    bob = (await begin_talk(server, "bob")).person
    url = f"/api/v1/chats/{talk.chat_id}"
    for answer in (
        await bob.http.get(url),
        await bob.http.post(url, json={"chat": {"title": "x"}}),
        await bob.http.delete(url),
        await bob.http.post(f"{url}/access/update", json={"access_grants": []}),
        await bob.http.get(f"/api/tasks/chat/{talk.chat_id}"),
        await bob.http.post(f"/api/tasks/chat/{talk.chat_id}/stop"),
        await bob.http.get("/api/v1/chats/nowhere"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await bob.http.get("/api/v1/chats/a%00b")).status_code == 422
    assert (await talk.chat())["title"] == "New Chat"


async def test_a_deleted_chat_is_gone_and_said_so(talk: Talk) -> None:
    await (await talk.begin()).end()
    await talk.socket.call("join-chat", {"chat_id": talk.chat_id})
    assert (await talk.person.http.delete(f"/api/v1/chats/{talk.chat_id}")).json() is True
    event = await talk.socket.expect(
        "events", where=lambda data: data["data"]["type"] == "chat:list"
    )
    assert event["data"]["data"] == {"chat_id": talk.chat_id, "deleted": True}
    answer = await talk.socket.call("join-chat", {"chat_id": talk.chat_id})
    assert answer["error"]["code"] == "not_found"
    assert (await talk.person.http.get("/api/v1/chats/")).json() == []


async def test_the_read_mark_moves_and_other_sessions_hear_of_it(talk: Talk) -> None:
    other = await talk.person.connect()
    message = {"chat_id": talk.chat_id, "data": {"type": "last_read_at"}}
    await talk.socket.emit("events:chat", message)
    event = await other.expect("events")
    told = event["data"]["data"]
    assert event["data"]["type"] == "chat:list"
    assert told == {"chat_id": talk.chat_id, "last_read_at": (await talk.chat())["last_read_at"]}
    for bad, code in (
        ({**message, "chat_id": "nowhere"}, "not_found"),
        ({**message, "data": {"type": "other"}}, "unknown_type"),
        ({**message, "data": 5}, "bad_payload"),
    ):
        assert (await talk.socket.call("events:chat", bad))["error"]["code"] == code


# -- sharing -----------------------------------------------------------------------------


async def share(talk: Talk, *readers: str) -> Any:
    grants = [
        {"principal_type": "user", "principal_id": reader, "permission": "read"}
        for reader in readers
    ]
    return await talk.person.http.post(
        f"/api/v1/chats/{talk.chat_id}/access/update", json={"access_grants": grants}
    )


async def test_a_reader_sees_the_answer_live_until_the_grant_goes(
    server: RunningServer, talk: Talk, upstream: Upstream
) -> None:
    bob = await begin_talk(server, "bob")
    carol = await begin_talk(server, "carol")  # remains a reader
    gates = [asyncio.Event(), asyncio.Event()]

    async def script(reply: Any) -> None:
        await reply.begin()
        await reply.delta("one ")
        for gate, word in zip(gates, ("two ", "three "), strict=True):
            await gate.wait()
            await reply.delta(word)
        await reply.finish()

    upstream.script(script)
    begun = await talk.begin()  # shared only when it streams already
    await begun.delta(containing="one")
    granted = (await share(talk, bob.person.id, carol.person.id)).json()["access_grants"]
    assert {
        "principal_type": "user",
        "principal_id": bob.person.id,
        "permission": "read",
    } in granted
    await carol.socket.call("join-chat", {"chat_id": talk.chat_id})
    joined = await bob.socket.call("join-chat", {"chat_id": talk.chat_id})
    assert [stream["content"] for stream in joined["streams"]] == ["one "]
    seen = await get_chat(bob.person, talk.chat_id)
    assert messages_of(seen)[begun.message_id]["content"] == "one "
    assert "access_grants" not in seen
    gates[0].set()
    event = await bob.socket.expect("events")
    assert (event["data"]["data"]["content"], event["seq"]) == ("two ", 2)

    for answer in (
        await bob.person.http.post(f"/api/v1/chats/{talk.chat_id}", json={"chat": {}}),
        await bob.person.http.delete(f"/api/v1/chats/{talk.chat_id}"),
        await bob.ask(chat_id=talk.chat_id),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    await share(talk, carol.person.id)
    gates[1].set()
    await carol.socket.expect("events", where=lambda e: e["data"]["type"] == "chat:completion")
    assert (await bob.person.http.get(f"/api/v1/chats/{talk.chat_id}")).status_code == 404
    answer = await bob.socket.call("join-chat", {"chat_id": talk.chat_id})
    assert answer["error"]["code"] == "not_found"
    contents = [e["data"]["data"].get("content") for e in bob.socket.events("events")]
    assert contents == ["two "]


async def test_the_owner_of_a_shared_chat_gets_each_event_once(
    server: RunningServer, talk: Talk
) -> None:
    bob = await begin_talk(server, "bob")
    await share(talk, bob.person.id)
    for socket in (talk.socket, bob.socket):
        await socket.call("join-chat", {"chat_id": talk.chat_id})
    begun = await talk.begin()
    await begun.end()
    await begun.event("chat:active")
    await begun.event("chat:active")
    await bob.socket.expect(
        "events",
        where=lambda e: (
            e["data"] == {**e["data"], "type": "chat:active"} and not e["data"]["data"]["active"]
        ),
    )
    assert bob.socket.events("events") == talk.socket.events("events")
    types = [event["data"]["type"] for event in talk.socket.events("events")]
    assert types.count("chat:completion") == 1


@pytest.mark.parametrize(
    "grant",
    [
        {"principal_type": "group", "principal_id": "x", "permission": "read"},
        {"principal_type": "user", "principal_id": "x", "permission": "write"},
        {"principal_type": "user", "principal_id": "nobody", "permission": "read"},
        {},
    ],
)
async def test_bad_grants_are_refused(talk: Talk, grant: dict[str, str]) -> None:
    answer = await talk.person.http.post(
        f"/api/v1/chats/{talk.chat_id}/access/update", json={"access_grants": [grant]}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload")


async def test_emitted_content_in_mid_stream_has_a_sequence(talk: Talk, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("one ", gate=gate, then=("three",)))
    begun = await talk.begin()
    await begun.delta()
    url = f"/api/v1/chats/{talk.chat_id}/messages/{begun.message_id}/event"
    for kind, content in (("message", "lost "), ("chat:message", "two ")):
        body = {"type": kind, "data": {"content": content}}
        assert (await talk.person.http.post(url, json=body)).json() is True
    gate.set()
    assert (await begun.end())[1]["content"] == "two three"
    assert (await begun.stored())["content"] == "two three"
    assert [event["seq"] for event in begun.deltas()] == list(range(1, len(begun.deltas()) + 1))
    assert "replace" in [event["data"]["type"] for event in begun.deltas()]
