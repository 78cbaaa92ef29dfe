"""CONTRACT sections 3 and 4: shared documents, notes on display, the end of a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pycrdt

from tests.clients.python_checks.registry import check
from tests.clients.python_checks.scene import Scene, Someone, Thing, access
from tests.support.socket import Socket

Doc = pycrdt.Doc[Any]


def _fragment(doc: Doc) -> pycrdt.XmlFragment:
    fragment: pycrdt.XmlFragment = doc.get("prosemirror", type=pycrdt.XmlFragment)
    return fragment


def _write(doc: Doc, text: str) -> bytes:
    """Add a paragraph as the note's editor would; the update that does it."""
    before = doc.get_state()
    paragraph = pycrdt.XmlElement("paragraph", contents=[pycrdt.XmlText(text)])
    _fragment(doc).children.append(paragraph)
    return doc.get_update(before)


def _text(doc: Doc) -> str:
    blocks = cast("list[pycrdt.XmlElement]", list(_fragment(doc).children))
    return "\n".join("".join(map(str, block.children)) for block in blocks)


def _doc_of(state: bytes) -> Doc:
    doc: Doc = pycrdt.Doc()
    doc.apply_update(state)
    return doc


async def _join(socket: Socket, document_id: str, **extra: Any) -> tuple[Any, Any, Doc]:
    ack = await socket.call("ydoc:document:join", {"document_id": document_id, **extra})
    assert ack.get("ok") is True, ack
    state = await socket.expect("ydoc:document:state")
    return ack, state, _doc_of(state["state"])


async def _update(socket: Socket, document_id: str, update: Any, **extra: Any) -> Any:
    payload = {"document_id": document_id, "update": update, **extra}
    return await socket.call("ydoc:document:update", payload)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A note that bob may write and cora may read; each has joined."""

    ann: Someone
    bob: Someone
    cora: Someone
    note: Thing
    sockets: list[Socket]
    docs: list[Doc]


async def _stage(scene: Scene) -> _Stage:
    ann, bob, cora = [await scene.person() for _ in range(3)]
    note = await scene.note(ann, "Hello", bob=(bob, "write"), cora=(cora, "read"))
    sockets = [await scene.connect(person) for person in (ann, bob, cora)]
    docs = [(await _join(socket, note.document))[2] for socket in sockets]
    return _Stage(ann, bob, cora, note, sockets, docs)


@check("3 ydoc:document:join", "4 ydoc:document:state", "4 ydoc:user:joined", "3 ids of clients")
async def the_joiner_gets_the_state_and_the_others_who_has_joined(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    note = await scene.note(ann, "Hello", bob=(bob, "read"))
    mine, other = await scene.connect(ann), await scene.connect(bob)
    await _join(mine, note.document)
    forged = {"user_id": ann.id, "user_name": "Somebody else", "user_color": "#123456"}
    ack, state, doc = await _join(other, note.document, **forged)
    assert sorted(ack["sessions"]) == sorted(state["sessions"]) == sorted([mine.sid, other.sid])
    assert state["document_id"] == note.document
    assert isinstance(state["seq"], int)
    assert _text(doc) == "Hello"
    joined = await mine.expect("ydoc:user:joined")
    assert joined["document_id"] == note.document
    assert (joined["user_id"], joined["user_name"]) == (bob.id, bob.name)
    assert joined["user_color"] == "#123456"
    await scene.settled(other, bob)
    assert other.events("ydoc:user:joined") == []


@check("3 ydoc:document:join")
async def with_a_state_vector_only_what_is_missing_comes(scene: Scene) -> None:
    ann = await scene.person()
    note = await scene.note(ann, "A sentence of some length. " * 40)
    socket, writer = await scene.connect(ann), await scene.connect(ann)
    _, state, doc = await _join(socket, note.document)
    _, _, other = await _join(writer, note.document)
    assert (await _update(writer, note.document, _write(other, "New")))["ok"] is True
    vector = doc.get_state()
    for form in (vector, list(vector)):
        _, diff, _ = await _join(socket, note.document, state_vector=form)
        assert len(diff["state"]) < len(state["state"]) / 4
        doc.apply_update(diff["state"])
        assert _text(doc) == _text(other)
    payload = {"document_id": note.document, "state_vector": "AA"}
    assert (await socket.call("ydoc:document:join", payload))["error"]["code"] == "bad_payload"


@check("3 ydoc:document:join", "4 error")
async def who_may_not_read_is_refused_by_either_name(scene: Scene) -> None:
    note = await scene.note(await scene.person(), "Private")
    socket = await scene.connect(await scene.person())
    for document_id in (note.document, f"note_{note.id}"):
        payload = {"document_id": document_id}
        ack = await socket.call("ydoc:document:join", payload)
        assert ack["error"]["code"] == "not_found"
        await socket.emit("ydoc:document:join", payload)
        error = await socket.expect("error")
        assert (error["event"], error["code"]) == ("ydoc:document:join", "not_found")
    assert socket.events("ydoc:document:state") == []


@check("3 ydoc:document:state")
async def members_get_the_state_again_and_others_an_error(scene: Scene) -> None:
    stage = await _stage(scene)
    await _update(stage.sockets[1], stage.note.document, _write(stage.docs[1], "More"))
    payload: dict[str, Any] = {"document_id": stage.note.document}
    whole = await stage.sockets[0].call("ydoc:document:state", payload)
    assert whole["document_id"] == stage.note.document
    event = await stage.sockets[0].expect("ydoc:document:state")
    assert _text(_doc_of(whole["state"])) == _text(_doc_of(event["state"])) == "Hello\nMore"
    vector = stage.docs[0].get_state()
    diff = await stage.sockets[0].call("ydoc:document:state", {**payload, "state_vector": vector})
    stage.docs[0].apply_update(diff["state"])
    assert _text(stage.docs[0]) == "Hello\nMore"

    outsider = await scene.connect(await scene.person())
    ack = await outsider.call("ydoc:document:state", payload)
    assert ack["error"]["code"] == "not_joined"
    await outsider.emit("ydoc:document:state", payload)
    assert (await outsider.expect("error"))["event"] == "ydoc:document:state"


async def _update_is_relayed(scene: Scene, encode: Callable[[bytes], Any]) -> None:
    stage = await _stage(scene)
    data = {"content": {"md": "forged", "html": "<p>forged</p>"}}
    update = encode(_write(stage.docs[1], "From Bob"))
    bob = stage.sockets[1]
    ack = await _update(bob, stage.note.document, update, user_id=stage.ann.id, data=data)
    assert ack == {"ok": True, "seq": ack["seq"]}
    for index in (0, 2):
        event = await stage.sockets[index].expect("ydoc:document:update")
        assert event["document_id"] == stage.note.document
        assert (event["user_id"], event["seq"]) == (stage.bob.id, ack["seq"])
        stage.docs[index].apply_update(event["update"])
        assert _text(stage.docs[index]) == "Hello\nFrom Bob"
    await scene.settled(bob, stage.bob)
    assert bob.events("ydoc:document:update") == []
    stored = await stage.ann.get(stage.note.path)
    assert stored["data"]["content"]["md"].strip() == "Hello\n\nFrom Bob"


@check("3 ydoc:document:update", "4 ydoc:document:update", "3 ids of clients")
async def an_update_as_bytes_is_acknowledged_and_relayed(scene: Scene) -> None:
    await _update_is_relayed(scene, bytes)


@check("3 ydoc:document:update", "4 ydoc:document:update", "3 ids of clients")
async def an_update_as_integers_is_acknowledged_and_relayed(scene: Scene) -> None:
    await _update_is_relayed(scene, list)


@check("3 ydoc:document:update", "4 error")
async def readers_outsiders_and_nonsense_change_nothing(scene: Scene) -> None:
    stage = await _stage(scene)
    ann, cora = stage.sockets[0], stage.sockets[2]
    document_id = stage.note.document
    stranger = await scene.connect(await scene.person())
    good = _write(stage.docs[2], "Not mine to write")
    assert (await _update(cora, document_id, good))["error"]["code"] == "read_only"
    assert (await _update(stranger, document_id, good))["error"]["code"] == "not_joined"
    for nonsense in (b"\x01\x02\x03", [300], [-1], "text", [], b"", {"0": 1}):
        error = (await _update(ann, document_id, nonsense))["error"]
        assert error["code"] in ("bad_update", "bad_payload"), nonsense
    await cora.emit("ydoc:document:update", {"document_id": document_id, "update": good})
    told = await cora.expect("error")
    assert (told["event"], told["code"]) == ("ydoc:document:update", "read_only")
    await scene.settled(ann, stage.ann)
    assert ann.events("ydoc:document:update") == []

    # Access is looked up at the moment of writing.
    grants = {"access_grants": access((stage.cora, "write"))}
    await stage.ann.post(f"{stage.note.path}/access/update", grants)
    assert (await _update(cora, document_id, good))["ok"] is True


@check("3 ydoc:document:leave", "4 ydoc:user:left")
async def who_leaves_is_announced_and_hears_nothing_more(scene: Scene) -> None:
    stage = await _stage(scene)
    ann, bob, _ = stage.sockets
    payload = {"document_id": stage.note.document}
    assert await bob.call("ydoc:document:leave", payload) == {"ok": True}
    left = await ann.expect("ydoc:user:left")
    assert (left["document_id"], left["user_id"]) == (stage.note.document, stage.bob.id)
    assert (await _update(ann, stage.note.document, _write(stage.docs[0], "Alone")))["ok"] is True
    await scene.settled(bob, stage.bob)
    assert bob.events("ydoc:document:update") == []
    late = await _update(bob, stage.note.document, _write(stage.docs[1], "Too late"))
    assert late["error"]["code"] == "not_joined"


@check("4 ydoc:user:left")
async def a_session_that_ends_has_left(scene: Scene) -> None:
    stage = await _stage(scene)
    await stage.sockets[1].disconnect()
    left = await stage.sockets[0].expect("ydoc:user:left")
    assert left["user_id"] == stage.bob.id


@check("3 ydoc:awareness:update", "4 ydoc:awareness:update", "3 ids of clients")
async def awareness_is_relayed_under_the_servers_name_and_goes_with_its_session(
    scene: Scene,
) -> None:
    stage = await _stage(scene)
    ann, bob, _ = stage.sockets
    theirs = pycrdt.Awareness(stage.docs[1])
    mine = pycrdt.Awareness(stage.docs[0])
    theirs.set_local_state({"user": {"id": "forged", "name": "Forged"}, "cursor": 7})
    client_id = theirs.client_id
    payload = {
        "document_id": stage.note.document,
        "user_id": "forged",
        "update": theirs.encode_awareness_update([client_id]),
    }
    await bob.emit("ydoc:awareness:update", payload)
    event = await ann.expect("ydoc:awareness:update")
    assert (event["document_id"], event["user_id"]) == (stage.note.document, stage.bob.id)
    mine.apply_awareness_update(event["update"], "remote")
    shown = mine.states[client_id]
    assert (shown["user"]["id"], shown["user"]["name"]) == (stage.bob.id, stage.bob.name)
    assert shown["cursor"] == 7
    await scene.settled(bob, stage.bob)
    assert bob.events("ydoc:awareness:update") == []

    await bob.disconnect()
    mine.apply_awareness_update((await ann.expect("ydoc:awareness:update"))["update"], "remote")
    assert client_id not in mine.states


@check("3 ydoc:awareness:update")
async def the_form_of_open_webui_is_relayed_as_well(scene: Scene) -> None:
    stage = await _stage(scene)
    ann, bob, _ = stage.sockets
    states = {"4711": {"user": {"name": "Forged"}, "cursor": {"anchor": 1}}}
    update = list(json.dumps(states).encode())
    payload = {"document_id": stage.note.document, "update": update}
    await bob.emit("ydoc:awareness:update", payload)
    state = json.loads((await ann.expect("ydoc:awareness:update"))["update"])["4711"]
    assert state["user"]["name"] == stage.bob.name
    assert state["cursor"] == {"anchor": 1}


@check("3 ydoc:awareness:update", "4 error")
async def awareness_of_outsiders_and_nonsense_is_refused(scene: Scene) -> None:
    stage = await _stage(scene)
    outsider = await scene.connect(await scene.person())
    payload = {"document_id": stage.note.document, "update": b"\x09\x09\x09"}
    for socket, code in ((outsider, "not_joined"), (stage.sockets[0], "bad_update")):
        await socket.emit("ydoc:awareness:update", payload)
        error = await socket.expect("error")
        assert (error["event"], error["code"]) == ("ydoc:awareness:update", code)


@check("3 join-note", "4 note-events")
async def who_shows_a_note_is_told_of_its_changes(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    note = await scene.note(ann, "Hello", bob=(bob, "read"))
    socket = await scene.connect(bob)
    payload = {"auth": {"token": bob.token}, "note_id": note.id}
    assert await socket.call("join-note", payload) == {"ok": True}
    await ann.post(f"{note.path}/update", {"title": "A new title"})
    shown = await socket.expect("note-events", where=lambda data: data["title"] == "A new title")
    assert shown["id"] == note.id


@check("3 join-note", "4 error")
async def who_may_not_read_a_note_is_refused(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    note = await scene.note(ann, "Private")
    socket = await scene.connect(bob)
    payload = {"auth": {"token": bob.token}, "note_id": note.id}
    assert (await socket.call("join-note", payload))["error"]["code"] == "not_found"
    expired = {**payload, "auth": {"token": (await scene.world.bad_tokens())["expired"]}}
    assert (await socket.call("join-note", expired))["error"]["code"] == "token_expired"
    await socket.emit("join-note", payload)
    error = await socket.expect("error")
    assert (error["event"], error["code"]) == ("join-note", "not_found")
    await ann.post(f"{note.path}/update", {"title": "Still private"})
    await scene.settled(socket, bob)
    assert socket.events("note-events") == []


@check("4 server:draining")
async def a_server_that_stops_says_when_to_come_back_and_cuts_afterwards(scene: Scene) -> None:
    ann = await scene.person("draining")
    socket = await scene.connect(ann, "draining")
    for replica in scene.world.servers["draining"].replicas:
        await replica.application.drain()
    assert (await socket.expect("server:draining"))["reconnect_in_ms"] >= 0
    await socket.disconnected.wait()
