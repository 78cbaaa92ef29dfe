"""Who may read and change documents, and what happens when that changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph.documents import Grant
from heliograph.errors import Forbidden, HeliographError, NotFound
from heliograph.store import Database
from tests.integration.documents.editors import (
    Editor,
    editor,
    grants,
    markdown,
    new_note,
    paragraph_update,
    share,
)
from tests.integration.documents.stage import Shared, stage
from tests.support.server import RunningServer


@pytest.fixture
def database_url(home_url: str) -> str:
    return home_url


async def code_of(answering: Any) -> str:
    ack = await answering
    assert set(ack) == {"error"}, ack
    return str(ack["error"]["code"])


async def test_a_stranger_learns_nothing_of_a_note(server: RunningServer) -> None:
    ann, eve = await server.signup("ann"), await server.signup("eve")
    note_id = await new_note(ann, "secret")
    one = await editor(ann, f"note:{note_id}")
    socket = await eve.connect()
    joining = [
        socket.call("ydoc:document:join", {"document_id": document_id})
        for document_id in (f"note:{note_id}", f"note_{note_id}", "note:no-such-note")
    ]
    assert [await code_of(each) for each in joining] == ["not_found"] * 3
    assert await code_of(socket.call("join-note", {"note_id": note_id})) == "not_found"
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/update", {"title": "x"}),
        ("DELETE", "/delete", None),
        ("POST", "/access/update", grants(**{eve.id: "write"})),
    ):
        answer = await eve.http.request(method, f"/api/v1/notes/{note_id}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await eve.http.get("/api/v1/notes/")).json() == []
    await one.write("still here")
    assert socket.events("ydoc:document:update") == []
    assert one.socket.events("ydoc:user:joined") == []


async def test_a_reader_follows_but_changes_nothing(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann, "text")
    await share(ann, note_id, **{ben.id: "read"})
    one, two = await editor(ann, f"note:{note_id}"), await editor(ben, f"note:{note_id}")
    assert two.text == "text"
    assert await code_of(two.send(paragraph_update("x"))) == "read_only"
    seq = await one.write("more")
    await two.catch_up(seq)
    assert two.text == "text\nmore"
    assert one.socket.events("ydoc:document:update") == []
    update = await ben.http.post(f"/api/v1/notes/{note_id}/update", json={"title": "x"})
    assert (update.status_code, update.json()["code"]) == (403, "read_only")
    for path in ("delete", "access/update"):
        method = "DELETE" if path == "delete" else "POST"
        answer = await ben.http.request(method, f"/api/v1/notes/{note_id}/{path}", json=grants())
        assert answer.status_code == 403
    note = (await ben.http.get(f"/api/v1/notes/{note_id}")).json()
    assert note["write_access"] is False


async def test_a_writer_writes_but_does_not_manage(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    await share(ann, note_id, **{ben.id: "write"})
    two = await editor(ben, f"note:{note_id}")
    assert await two.write("by ben") == 1
    update = await ben.http.post(f"/api/v1/notes/{note_id}/update", json={"title": "new"})
    assert (update.status_code, update.json()["write_access"]) == (200, True)
    for method, path in (("DELETE", "delete"), ("POST", "access/update")):
        answer = await ben.http.request(method, f"/api/v1/notes/{note_id}/{path}", json=grants())
        assert answer.status_code == 403


async def test_an_administrator_opens_every_note(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann, "text")
    root = await editor(server.root, f"note:{note_id}")
    await root.write("by root")
    assert await markdown(ann, note_id) == "text\n\nby root"


async def test_a_writer_who_becomes_a_reader_is_refused_at_once(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    await share(ann, note_id, **{ben.id: "write"})
    one, two = await editor(ann, f"note:{note_id}"), await editor(ben, f"note:{note_id}")
    await two.write("allowed")
    await share(ann, note_id, **{ben.id: "read"})
    assert await code_of(two.send(b"\x00\x00")) == "read_only"
    assert await code_of(two.send(paragraph_update("x"))) == "read_only"
    seq = await one.write("still shown")
    await two.catch_up(seq)
    await share(ann, note_id, **{ben.id: "write"})
    assert await two.write("again") == 3


async def test_who_loses_access_is_out_of_the_rooms_at_once(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    await share(ann, note_id, **{ben.id: "write"})
    one, two = await editor(ann, f"note:{note_id}"), await editor(ben, f"note:{note_id}")
    assert await two.socket.call("join-note", {"note_id": note_id}) == {"ok": True}
    await share(ann, note_id)
    told = await two.socket.expect("error")
    assert told["code"] == "access_revoked"
    left = await one.socket.expect("ydoc:user:left")
    assert left["user_id"] == ben.id
    await one.write("private")
    await ann.http.post(f"/api/v1/notes/{note_id}/update", json={"title": "private"})
    assert await code_of(two.send(paragraph_update("x"))) == "not_joined"
    join = two.socket.call("ydoc:document:join", {"document_id": f"note:{note_id}"})
    assert await code_of(join) == "not_found"
    assert two.socket.events("ydoc:document:update") == []
    assert two.socket.events("note-events") == []


async def test_a_revocation_while_somebody_types_lets_nothing_more_in(
    database: Database,
    shared: Shared | None,
) -> None:
    async with stage(database, shared) as one:
        ann, ben = await one.user("ann"), await one.user("ben")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        await one.documents.set_access(ann, document_id, [Grant("ben", "write")])
        writer, watcher = await one.client(ben), await one.client(ann)
        await writer.join(document_id)
        await watcher.join(document_id)
        refused: list[str] = []

        async def type_on() -> None:
            while not refused:
                try:
                    await writer.send(document_id, paragraph_update("x"))
                except HeliographError as error:
                    refused.append(error.code)

        typing = asyncio.gather(*(type_on() for _ in range(5)))
        await watcher.expect("ydoc:document:update", count=10)
        await one.documents.set_access(ann, document_id, [])
        seen = len(watcher.events("ydoc:document:update"))
        await typing
        assert len(watcher.events("ydoc:document:update")) == seen
        logged = await one.documents.log.load(document_id)
        assert logged is not None
        assert logged.seq == seen
        assert set(refused) <= {"not_found", "not_joined"}


async def test_who_was_away_when_access_ended_is_out_on_return(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one:
        ann, ben = await one.user("ann"), await one.user("ben")
        note_id = await one.note(ann)
        document_id = f"note:{note_id}"
        await one.documents.set_access(ann, document_id, [Grant("ben", "read")])
        reader, writer = await one.client(ben), await one.client(ann)
        await reader.join(document_id)
        await writer.join(document_id)
        reader.break_off()
        await one.documents.set_access(ann, document_id, [])
        await writer.write(document_id, "private")
        await reader.come_back()
        assert reader.events("ydoc:document:update") == []
        with pytest.raises(Forbidden):
            await reader.send(document_id, paragraph_update("x"))


async def test_a_note_may_be_shared_on_creation(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann, "text", **grants(**{ben.id: "read"}))
    note = (await ben.http.get(f"/api/v1/notes/{note_id}")).json()
    assert note["access_grants"] == grants(**{ben.id: "read"})["access_grants"]


async def test_of_two_grants_the_stronger_counts(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    both = [*grants(**{ben.id: "write"})["access_grants"],
            *grants(**{ben.id: "read"})["access_grants"],
            *grants(**{ann.id: "read"})["access_grants"]]  # fmt: skip
    answer = await ann.http.post(
        f"/api/v1/notes/{note_id}/access/update", json={"access_grants": both}
    )
    assert answer.json()["access_grants"] == grants(**{ben.id: "write"})["access_grants"]


async def test_grants_that_are_none_change_nothing(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann, **grants(**{ben.id: "read"}))
    for bad in (
        {"principal_type": "user", "principal_id": "nobody", "permission": "read"},
        {"principal_type": "group", "principal_id": "x", "permission": "read"},
        {"principal_type": "user", "principal_id": "x", "permission": "own"},
        {"principal_type": "user", "permission": "read"},
        {"principal_type": "user", "principal_id": 5, "permission": "read"},
        "x",
        None,
    ):
        answer = await ann.http.post(
            f"/api/v1/notes/{note_id}/access/update", json={"access_grants": [bad]}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_payload"), bad
    assert (await ben.http.get(f"/api/v1/notes/{note_id}")).status_code == 200


# -- free documents --------------------------------------------------------------------


async def test_the_first_who_joins_a_free_document_owns_it(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    one = await editor(ann, "board:1")
    await one.write("mine")
    socket = await ben.connect()
    assert await code_of(socket.call("ydoc:document:join", {"document_id": "board:1"})) == (
        "not_found"
    )
    url = "/api/v1/documents/board:1/access/update"
    assert (await ben.http.post(url, json=grants(**{ben.id: "write"}))).status_code == 404
    answer = await ann.http.post(url, json=grants(**{ben.id: "write"}))
    assert answer.json() == {"document_id": "board:1", **grants(**{ben.id: "write"})}
    two = Editor(socket, "board:1")
    await two.join()
    assert two.text == "mine"
    assert await two.write("ours") == 2
    assert (await ben.http.post(url, json=grants())).status_code == 403
    assert (await ann.http.post(url, json=grants())).status_code == 200
    assert (await socket.expect("error"))["code"] == "access_revoked"


async def test_of_two_who_make_a_free_document_at_once_one_owns_it(
    database: Database, shared: Shared | None
) -> None:
    async with stage(database, shared) as one, stage(database, shared) as two:
        ann, ben = await one.user("ann"), await one.user("ben")
        clients = await one.client(ann), await two.client(ben)
        results = await asyncio.gather(
            *(client.join("contested") for client in clients), return_exceptions=True
        )
        assert sorted(isinstance(each, NotFound) for each in results) == [False, True]


async def test_granting_on_a_document_that_does_not_exist_is_not_found(
    server: RunningServer,
) -> None:
    answer = await server.root.http.post("/api/v1/documents/nothing/access/update", json=grants())
    assert answer.status_code == 404
    answer = await server.root.http.post(
        "/api/v1/documents/note:nothing/access/update", json=grants()
    )
    assert answer.status_code == 404


# -- the room of a note ----------------------------------------------------------------


async def test_join_note_takes_only_the_sessions_own_token(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    socket = await ann.connect()

    def join(token: object) -> Any:
        return socket.call("join-note", {"auth": {"token": token}, "note_id": note_id})

    assert await join(ann.token) == {"ok": True}
    assert await code_of(join(ben.token)) == "user_mismatch"
    assert await code_of(join("nonsense")) == "token_invalid"
    assert await code_of(join(5)) == "bad_payload"
    for bad in (None, 5, "", "a/b", "x" * 65):
        assert await code_of(socket.call("join-note", {"note_id": bad})) == "bad_payload"
