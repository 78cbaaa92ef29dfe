"""Every ``ydoc:*`` event over a real socket, also with what hostile clients send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pycrdt

from heliograph.documents.awareness import AwarenessState, decode_awareness, encode_awareness
from heliograph.documents.service import MAX_UPDATE_BYTES
from tests.integration.documents.editors import (
    Editor,
    editor,
    fragment,
    markdown,
    new_note,
    paragraph,
    paragraph_update,
    share,
    text_of,
)
from tests.support.server import RunningServer


async def refusal(answering: Any) -> tuple[str, str]:
    ack = await answering
    assert set(ack) == {"error"}, ack
    return ack["error"]["code"], ack["error"]["message"]


# -- join and state --------------------------------------------------------------------


async def test_an_empty_document_is_two_zero_bytes(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    ack = await socket.call("ydoc:document:join", {"document_id": "free"})
    assert ack == {"ok": True, "sessions": [socket.sid]}
    assert await socket.expect("ydoc:document:state") == {
        "document_id": "free",
        "state": b"\x00\x00",
        "sessions": [socket.sid],
        "seq": 0,
    }


async def test_ids_and_names_sent_by_a_client_are_ignored(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    await share(ann, note_id, **{ben.id: "write"})
    here = await editor(ann, f"note:{note_id}")
    forged = {"user_id": ann.id, "user_name": ["x"], "session_id": here.socket.sid}
    coming = await editor(ben, f"note:{note_id}", **forged, user_color="#123456")
    joined = await here.socket.expect("ydoc:user:joined")
    assert (joined["user_id"], joined["user_name"]) == (ben.id, ben.name)
    assert joined["user_color"] == "#123456"
    await coming.send(paragraph_update("x"), user_id=ann.id, socket_id="x")
    assert (await here.socket.expect("ydoc:document:update"))["user_id"] == ben.id


async def test_a_state_vector_brings_the_difference_alone(server: RunningServer) -> None:
    ann = await server.signup("ann")
    document_id = f"note:{await new_note(ann, 'a long beginning ' * 50)}"
    first = await editor(ann, document_id)
    old: pycrdt.Doc[Any] = pycrdt.Doc()
    old.apply_update(first.doc.get_update())
    await first.write("the news")
    forms: list[Callable[[bytes], object]] = [bytes, list]
    for form in forms:
        second = Editor(await ann.connect(), document_id)
        second.doc.apply_update(old.get_update())
        vector = form(old.get_state())
        await second.join(state_vector=vector)
        state = second.socket.events("ydoc:document:state")[0]
        assert len(state["state"]) < 200
        assert second.text == first.text

        again = await second.socket.call(
            "ydoc:document:state", {"document_id": document_id, "state_vector": vector}
        )
        assert again == state
        assert await second.socket.expect("ydoc:document:state") == again


async def test_the_state_is_given_again_to_members(server: RunningServer) -> None:
    ann = await server.signup("ann")
    document = await editor(ann, "free")
    await document.write("text")
    again = await document.socket.call("ydoc:document:state", {"document_id": "free"})
    copy: pycrdt.Doc[Any] = pycrdt.Doc()
    copy.apply_update(again["state"])
    assert (text_of(copy), again["seq"]) == ("text", 1)


async def test_both_spellings_of_a_notes_document_are_one(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann)
    one = await editor(ann, f"note:{note_id}")
    two = Editor(await ann.connect(), f"note_{note_id}")
    await two.join()
    seq = await two.write("hello")
    update = await one.socket.expect("ydoc:document:update")
    assert (update["document_id"], update["seq"]) == (f"note:{note_id}", seq)
    assert await two.socket.call("ydoc:document:leave", {"document_id": f"note_{note_id}"}) == {
        "ok": True
    }
    await one.socket.expect("ydoc:user:left")


BAD_IDS = ["", "note:", "note", "Note:x", "NOTE_x", "note-x", "notes:x", "note:a/b", "note:a:b",
           "a b", "../x", ":x", "_x", "é", "x" * 129, "note:" + "x" * 65, 5, None, ["x"],
           {"a": 1}, b"x", "a\x00b", "a\n"]  # fmt: skip


async def test_ids_that_are_none_are_refused_everywhere(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    for event in ("ydoc:document:join", "ydoc:document:state", "ydoc:document:update",
                  "ydoc:document:leave", "ydoc:awareness:update"):  # fmt: skip
        for bad in BAD_IDS:
            code, _ = await refusal(socket.call(event, {"document_id": bad, "update": b"\0\0"}))
            assert code == "bad_payload", (event, bad)
        no_objects: list[object] = [None, [], "x", 5, b"x", {}]
        for payload in no_objects:
            code, _ = await refusal(socket.call(event, payload))
            assert code == "bad_payload", (event, payload)
    assert socket.events("ydoc:document:state") == []


async def test_a_state_vector_that_is_none_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    socket = await ann.connect()
    for bad in ("x", 5, {"a": 1}, [300], [-1], [True], b"\xff", [1], b"\x02\x01"):
        payload = {"document_id": "free", "state_vector": bad}
        code, _ = await refusal(socket.call("ydoc:document:join", payload))
        assert code == "bad_payload", bad
    assert socket.events("ydoc:document:state") == []


# -- updates ---------------------------------------------------------------------------


async def test_an_update_is_acknowledged_and_relayed_to_the_others(
    server: RunningServer,
) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann)
    one, two = [await editor(ann, f"note:{note_id}") for _ in range(2)]
    forms: list[Callable[[bytes], object]] = [bytes, list, bytearray]
    for seq, form in enumerate(forms, 1):
        update = one.change(lambda doc: paragraph(doc, "hello"))
        assert await one.send(form(update)) == {"ok": True, "seq": seq}
        assert await two.socket.expect("ydoc:document:update") == {
            "document_id": f"note:{note_id}",
            "user_id": ann.id,
            "update": update,
            "seq": seq,
        }
    assert one.socket.events("ydoc:document:update") == []
    assert await markdown(ann, note_id) == "hello\n\nhello\n\nhello"


async def test_an_update_sent_twice_counts_once(server: RunningServer) -> None:
    ann = await server.signup("ann")
    one, two = [await editor(ann, "free") for _ in range(2)]
    update = one.change(lambda doc: paragraph(doc, "hello"))
    assert await one.send(update) == {"ok": True, "seq": 1}
    assert await one.send(update) == {"ok": True, "seq": 1}
    assert await one.write("next") == 2
    await two.catch_up(2)
    assert [each["seq"] for each in two.socket.events("ydoc:document:update")] == [1, 2]


async def test_a_deletion_alone_is_a_change(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann, "one\n\ntwo")
    one, two = [await editor(ann, f"note:{note_id}") for _ in range(2)]

    def delete(doc: pycrdt.Doc[Any]) -> None:
        del fragment(doc).children[0]

    seq = await one.edit(delete)
    await two.catch_up(seq)
    assert two.text == "two"
    assert await markdown(ann, note_id) == "two"


async def test_text_sent_along_is_not_believed(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann, "the text")
    one = await editor(ann, f"note:{note_id}")
    lie = {"content": {"md": "a lie", "html": "<script>", "json": {}}}
    assert await one.send(None, data=lie) == {"ok": True, "seq": 0}
    update = one.change(lambda doc: paragraph(doc, "more"))
    assert await one.send(update, data=lie) == {"ok": True, "seq": 1}
    assert await one.send(None, data=lie) == {"ok": True, "seq": 1}
    assert await markdown(ann, note_id) == "the text\n\nmore"


BAD_UPDATES: dict[str, object] = {
    "text": "hello",
    "number": 5,
    "object": {"0": 1},
    "empty": b"",
    "empty list": [],
    "integers out of range": [0, 256],
    "negative": [-1, 0],
    "floats": [0.5, 1],
    "booleans": [True, False],
    "nested": [[0, 0]],
    "many clients": b"\xff\xff\xff\xff\x0f",
    "29 bytes that crashed pycrdt": bytes.fromhex(
        "0101d3e2f0bf0c00270103666f6f0362617201ffffffffffffffffff01"
    ),
    "truncated": paragraph_update("hello")[:-7],
    "trailing": paragraph_update("hello") + b"\x00",
    "noise": bytes(range(256)),
}


async def test_updates_that_are_none_change_nothing(server: RunningServer) -> None:
    ann = await server.signup("ann")
    one, two = [await editor(ann, "free") for _ in range(2)]
    for name, bad in BAD_UPDATES.items():
        code, message = await refusal(one.send(bad))
        assert code == "bad_update", name
        assert message
    code, _ = await refusal(one.socket.call("ydoc:document:update", {"document_id": "free"}))
    assert code == "bad_payload"
    assert await one.write("still here") == 1
    await two.catch_up(1)
    assert two.text == "still here"


async def test_an_update_over_the_limit_is_too_large(server: RunningServer) -> None:
    ann = await server.signup("ann")
    one = await editor(ann, "free")
    code, _ = await refusal(one.send(bytes(MAX_UPDATE_BYTES + 1)))
    assert code == "too_large"
    assert await one.write("still here") == 1


async def test_an_update_that_builds_on_unknown_changes_is_sent_in_full_instead(
    server: RunningServer,
) -> None:
    ann = await server.signup("ann")
    one, two = [await editor(ann, "free") for _ in range(2)]
    one.change(lambda doc: paragraph(doc, "never sent"))
    later = one.change(lambda doc: paragraph(doc, "builds on it"))
    code, _ = await refusal(one.send(later))
    assert code == "missing_dependencies"
    assert two.socket.events("ydoc:document:update") == []
    # What a client then does: everything the server lacks.
    state = await one.socket.call("ydoc:document:state", {"document_id": "free"})
    server_copy: pycrdt.Doc[Any] = pycrdt.Doc()
    server_copy.apply_update(state["state"])
    ack = await one.send(one.doc.get_update(server_copy.get_state()))
    assert ack == {"ok": True, "seq": 1}
    await two.catch_up(1)
    assert two.text == "never sent\nbuilds on it"


async def test_a_refusal_without_an_ack_comes_as_an_error_event(server: RunningServer) -> None:
    ann = await server.signup("ann")
    one = await editor(ann, "free")
    await one.socket.emit("ydoc:document:update", {"document_id": "free", "update": b"\xff"})
    told = await one.socket.expect("error")
    assert (told["event"], told["code"]) == ("ydoc:document:update", "bad_update")


async def test_who_has_not_joined_gets_nothing_and_changes_nothing(server: RunningServer) -> None:
    ann = await server.signup("ann")
    note_id = await new_note(ann, "secret")
    other = await ann.connect()
    for event in ("ydoc:document:state", "ydoc:document:update", "ydoc:awareness:update"):
        payload = {"document_id": f"note:{note_id}", "update": paragraph_update("x")}
        code, _ = await refusal(other.call(event, payload))
        assert code == "not_joined", event
    one = await editor(ann, f"note:{note_id}")
    await one.socket.call("ydoc:document:leave", {"document_id": f"note:{note_id}"})
    code, _ = await refusal(one.send(paragraph_update("x")))
    assert code == "not_joined"
    assert await markdown(ann, note_id) == "secret"


# -- awareness -------------------------------------------------------------------------


async def test_awareness_is_relayed_with_the_servers_record_of_the_user(
    server: RunningServer,
) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    note_id = await new_note(ann)
    await share(ann, note_id, **{ben.id: "read"})
    one, two = await editor(ann, f"note:{note_id}"), await editor(ben, f"note:{note_id}")
    state = {"user": {"name": "Somebody else", "id": ann.id}, "cursor": {"anchor": 1}}
    update = encode_awareness([AwarenessState(two.doc.client_id, 1, state)])
    for form in (update, list(update)):
        await two.socket.emit(
            "ydoc:awareness:update",
            {"document_id": f"note:{note_id}", "update": form, "user_id": ann.id},
        )
        relayed = await one.socket.expect("ydoc:awareness:update")
        assert relayed["user_id"] == ben.id
        (shown,) = decode_awareness(relayed["update"])
        assert shown.state is not None
        assert shown.state["user"]["name"] == ben.name
        assert shown.state["user"]["id"] == ben.id
        assert shown.state["cursor"] == {"anchor": 1}
    assert two.socket.events("ydoc:awareness:update") == []


async def test_awareness_that_is_none_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    one, two = [await editor(ann, "free") for _ in range(2)]
    huge = encode_awareness([AwarenessState(1, 1, {"x": "y" * 70_000})])
    for bad in (None, "x", 5, b"\xff\xff", [1], huge):
        await one.socket.emit("ydoc:awareness:update", {"document_id": "free", "update": bad})
        told = await one.socket.expect("error")
        assert told["event"] == "ydoc:awareness:update"
    assert two.socket.events("ydoc:awareness:update") == []


async def test_a_closed_page_takes_its_cursor_with_it(server: RunningServer) -> None:
    ann = await server.signup("ann")
    one, two = [await editor(ann, "free") for _ in range(2)]
    update = encode_awareness([AwarenessState(7, 1, {"cursor": 1})])
    await two.socket.emit("ydoc:awareness:update", {"document_id": "free", "update": update})
    await one.socket.expect("ydoc:awareness:update")
    await two.socket.disconnect()
    removal = await one.socket.expect("ydoc:awareness:update")
    assert [each.state for each in decode_awareness(removal["update"])] == [None]
