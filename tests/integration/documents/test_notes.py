"""Notes over HTTP, also while others have them open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.documents import Grant
from heliograph.documents.notes import MAX_MARKDOWN, MAX_META_BYTES, MAX_TITLE
from heliograph.documents.notes_repository import PREVIEW
from heliograph.documents.worker import merge
from heliograph.store import Database
from tests.integration.documents.editors import (
    editor,
    fragment,
    grants,
    markdown,
    new_note,
    paragraph_update,
    share,
)
from tests.integration.documents.stage import Client, Shared, stage
from tests.support.server import RunningServer

TEXT = """# Plan

Some **bold** and *italic* text with `code` and a [link](https://example.org).

- one
- two

1. first
2. second

> quoted

```python
print("hi")
```

---

The end."""


@pytest.fixture
def database_url(home_url: str) -> str:
    return home_url


async def test_a_note_has_the_shape_of_open_webuis(server: RunningServer) -> None:
    ann = await server.signup("ann")
    body = {"title": "Plan", "data": {"content": {"md": "# Hi", "html": "<b>", "json": None}},
            "meta": {"tags": ["a"]}, "unknown": 1}  # fmt: skip
    note = (await ann.http.post("/api/v1/notes/create", json=body)).json()
    assert note == {
        "id": note["id"],
        "user_id": ann.id,
        "title": "Plan",
        "data": {
            "content": {
                "md": "# Hi",
                "html": "<h1>Hi</h1>",
                "json": {
                    "type": "doc",
                    "content": [
                        {
                            "type": "heading",
                            "attrs": {"level": 1},
                            "content": [{"type": "text", "text": "Hi"}],
                        }
                    ],
                },
            }
        },
        "meta": {"tags": ["a"]},
        "access_grants": [],
        "created_at": note["created_at"],
        "updated_at": note["created_at"],
        "user": {"id": ann.id, "name": "ann"},
        "write_access": True,
    }
    assert note["created_at"] > 1_700_000_000 * 10**9
    assert (await ann.http.get(f"/api/v1/notes/{note['id']}")).json() == note


async def test_markdown_goes_in_and_comes_out(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann, TEXT)
    assert await markdown(ann, note_id) == TEXT


async def test_a_note_needs_no_text(server: RunningServer) -> None:
    ann = await server.signup("ann")
    empty: list[Any] = [None, {}, {"content": {}}, {"content": None}, {"content": {"md": ""}}]
    for data in empty:
        answer = await ann.http.post("/api/v1/notes/create", json={"title": "", "data": data})
        assert answer.status_code == 200, data
        document = await editor(ann, f"note:{answer.json()['id']}")
        assert document.socket.events("ydoc:document:state")[0]["state"] == b"\x00\x00"
        await document.socket.disconnect()


async def test_lists_show_own_and_shared_notes_a_page_at_a_time(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann, ben = await one.user("ann"), await one.user("ben")
        ids = [await one.note(ann, f"text {number}") for number in range(5)]
        foreign = await one.note(ben, "ben's own")
        await one.notes.set_access(ben, foreign, [Grant("ann", "read")])
        await one.note(ben, "secret")

        async def page(skip: int, limit: int) -> list[str]:
            return [note["id"] for note in await one.notes.list(ann, skip, limit)]

        assert await page(0, 10) == [foreign, *reversed(ids)]
        assert await page(1, 2) == [ids[4], ids[3]]
        assert await page(6, 10) == []
        listed = (await one.notes.list(ann, 0, 1))[0]
        assert listed["data"] == {"content": {"md": "ben's own", "cut": False}}
        assert (listed["write_access"], listed["user"]) == (False, {"id": "ben", "name": "Ben"})
        assert [g["principal_id"] for g in listed["access_grants"]] == ["ann"]


async def test_lists_show_the_beginning_of_a_long_note(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "word " * 5_000)
        content = (await one.notes.list(ann, 0, 1))[0]["data"]["content"]
        assert (len(content["md"]), content["cut"]) == (PREVIEW, True)
        assert len(await one.markdown(ann, note_id)) == 24_999


async def test_what_is_too_large_or_malformed_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann, "text")
    for body, status in (
        ({"title": "x" * (MAX_TITLE + 1)}, 413),
        ({"title": "t", "data": {"content": {"md": "x" * (MAX_MARKDOWN + 1)}}}, 413),
        ({"title": "t", "meta": {"x": "y" * MAX_META_BYTES}}, 413),
        ({"title": "nul \x00"}, 422),
        ({"title": 5}, 422),
        ({"title": ["x"]}, 422),
        ({"title": "t", "data": "x"}, 422),
        ({"title": "t", "data": {"content": {"md": 5}}}, 422),
        ({"title": "t", "meta": [1]}, 422),
    ):
        for path in ("create", f"{note_id}/update"):
            answer = await ann.http.post(f"/api/v1/notes/{path}", json=body)
            assert answer.status_code == status, (path, str(body)[:80])
            assert answer.json()["code"] in ("too_large", "bad_payload")
    assert (await ann.http.post("/api/v1/notes/create", json={})).status_code == 422
    listed = (await ann.http.get("/api/v1/notes/")).json()
    assert [(note["title"], note["data"]["content"]["md"]) for note in listed] == [
        ("a note", "text")
    ]


async def test_unknown_notes_are_not_found(server: RunningServer) -> None:
    ann = await server.signup("ann")
    for note_id in ("nothing", "note_x"):
        assert (await ann.http.get(f"/api/v1/notes/{note_id}")).status_code == 404
    assert (await ann.http.get("/api/v1/notes/a%20b")).status_code == 422
    assert (await ann.http.get("/api/v1/notes/x?limit=0")).status_code == 404
    assert (await ann.http.get("/api/v1/notes/?limit=0")).status_code == 422


async def test_an_update_by_http_reaches_editors_and_viewers(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann, "first")
    await share(ann, note_id, **{ben.id: "read"})
    one = await editor(ann, f"note:{note_id}")
    viewer = await ben.connect()
    assert await viewer.call("join-note", {"note_id": note_id}) == {"ok": True}
    body = {"title": "new title", "data": {"content": {"md": "first\n\nsecond"}}}
    note = (await ann.http.post(f"/api/v1/notes/{note_id}/update", json=body)).json()
    assert (note["title"], note["data"]["content"]["md"]) == ("new title", "first\n\nsecond")
    await one.catch_up(1)
    assert one.text == "first\nsecond"
    told = await viewer.expect("note-events")
    assert told == {key: value for key, value in note.items() if key != "write_access"}

    await ann.http.post(f"/api/v1/notes/{note_id}/update", json={"title": "only the title"})
    told = await viewer.expect("note-events")
    assert (told["title"], told["data"]) == ("only the title", note["data"])
    assert len(one.socket.events("ydoc:document:update")) == 1

    again = await ann.http.post(f"/api/v1/notes/{note_id}/update", json=body)
    assert again.json()["data"] == note["data"]
    assert len(one.socket.events("ydoc:document:update")) == 1


async def test_an_update_of_a_note_that_nobody_has_open(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first\n\nsecond")
        note = await one.notes.update(ann, note_id, markdown="first\n\nthird")
        assert note["data"]["content"]["md"] == "first\n\nthird"
        note = await one.notes.update(ann, note_id, markdown="")
        assert note["data"]["content"]["md"] == ""
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        assert await client.text() == ""


async def test_an_update_by_http_is_merged_while_two_type(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first\n\nmiddle\n\nlast")
        document_id = f"note:{note_id}"
        clients = [await one.client(ann) for _ in range(2)]
        for client in clients:
            await client.join(document_id)

        async def type_into(client: Client, block: int) -> None:
            for letter in "abcdefghij":
                await client.text()
                before = client.doc.get_state()
                text: Any = fragment(client.doc).children[block].children[0]  # type: ignore[union-attr]
                text += letter
                await client.send(document_id, client.doc.get_update(before))

        async def edit() -> None:
            for number in range(5):
                now = await one.markdown(ann, note_id)
                changed = now.replace("middle", f"middle {number}")
                await one.notes.update(ann, note_id, markdown=changed)

        await asyncio.gather(type_into(clients[0], 0), type_into(clients[1], 2), edit())
        first, middle, last = (await clients[0].text()).split("\n")
        assert await clients[1].text() == "\n".join((first, middle, last))
        # An edit of the whole text takes back what was typed after its writer read it; the
        # rest stays, in its place.
        for typed, word in ((first, "first"), (last, "last")):
            assert typed.startswith(word)
            rest = typed.removeprefix(word)
            assert list(rest) == sorted(set(rest))
        assert middle == "middle 4 3 2 1 0"
        assert await one.markdown(ann, note_id) == "\n\n".join((first, middle, last))


async def test_what_is_typed_while_an_edit_is_being_made_stays(
    database: Database, shared: Shared | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "first\n\nlast")
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        run = one.documents.worker.run

        async def slow(size: int, work: Any, *args: Any) -> Any:
            result = await run(size, work, *args)
            if work is merge:
                before = client.doc.get_state()
                text: Any = fragment(client.doc).children[1].children[0]  # type: ignore[union-attr]
                text += " typed meanwhile"
                await client.send(f"note:{note_id}", client.doc.get_update(before))
            return result

        monkeypatch.setattr(one.documents.worker, "run", slow)
        note = await one.notes.update(ann, note_id, markdown="first, edited\n\nlast")
        assert note["data"]["content"]["md"] == "first, edited\n\nlast typed meanwhile"
        assert await client.text() == "first, edited\nlast typed meanwhile"


async def test_edits_of_the_whole_text_wait_for_each_other(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, "start")
        texts = [f"version {number}" for number in range(6)]
        await asyncio.gather(*(one.notes.update(ann, note_id, markdown=text) for text in texts))
        assert await one.markdown(ann, note_id) in texts


async def test_a_deleted_note_is_closed_for_all(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann, "text")
    await share(ann, note_id, **{ben.id: "write"})
    one = await editor(ben, f"note:{note_id}")
    viewer = await ben.connect()
    await viewer.call("join-note", {"note_id": note_id})
    assert (await ann.http.delete(f"/api/v1/notes/{note_id}/delete")).json() is True
    assert await viewer.expect("note-events") == {"id": note_id, "deleted": True}
    told = await one.socket.expect("error")
    assert (told["code"], told["document_id"]) == ("document_deleted", f"note:{note_id}")
    ack = await one.send(b"\x00\x00")
    assert ack["error"]["code"] == "not_joined"
    again = await one.socket.call("ydoc:document:join", {"document_id": f"note:{note_id}"})
    assert again["error"]["code"] == "not_found"
    for person in (ann, ben, server.root):
        assert (await person.http.get(f"/api/v1/notes/{note_id}")).status_code == 404
    assert (await ben.http.get("/api/v1/notes/")).json() == []
    assert (await ann.http.delete(f"/api/v1/notes/{note_id}/delete")).status_code == 404
    for room in (f"doc_note:{note_id}", f"note:{note_id}"):
        assert room not in server.services.hub._rooms


async def test_a_note_and_its_grants_go_with_their_owner(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann, "text", **grants(**{ben.id: "write"}))
    two = await editor(ben, f"note:{note_id}")
    answer = await server.root.http.delete(f"/api/v1/users/{ann.id}")
    assert answer.status_code == 200
    assert (await ben.http.get(f"/api/v1/notes/{note_id}")).status_code == 404
    assert (await two.socket.expect("error"))["code"] == "document_deleted"
    ack = await two.send(paragraph_update("too late"))
    assert ack["error"]["code"] == "not_joined"
    socket = await ben.connect()
    again = await socket.call("ydoc:document:join", {"document_id": f"note:{note_id}"})
    assert again["error"]["code"] == "not_found"


@pytest.mark.parametrize("text", ["a\x00b", "\ufffe", "😀" * 10, "<script>alert(1)</script>"])
async def test_odd_text_is_stored_on_every_database(
    database: Database, shared: Shared | None, text: str
) -> None:
    async with stage(database, shared, quiet=0.005) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann, text)
        client = await one.client(ann)
        await client.join(f"note:{note_id}")
        await client.write(f"note:{note_id}", text)
        settled = await one.documents.settler.settle(f"note:{note_id}")
        assert settled is not None
        note = await one.notes.get(ann, note_id)
        assert "<script>" not in note["data"]["content"]["html"]
        assert len(note["data"]["content"]["md"].split("\n\n")) == 2
