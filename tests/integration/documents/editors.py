"""Editors for these tests: Yjs clients of a document over a real connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pycrdt

from tests.support.server import Person
from tests.support.socket import Socket

Doc = pycrdt.Doc[Any]


class Editor:
    """A Yjs client that has joined a document.

    :meth:`edit` changes the local copy and sends the change; :meth:`catch_up` applies what
    has come from others.
    """

    def __init__(self, socket: Socket, document_id: str) -> None:
        self.socket = socket
        self.document_id = document_id
        self.doc: Doc = pycrdt.Doc()
        self.seq = 0
        self._applied = 0

    async def join(self, **extra: Any) -> dict[str, Any]:
        """Join and take over the state; the acknowledgement."""
        payload = {"document_id": self.document_id, **extra}
        ack: dict[str, Any] = await self.socket.call("ydoc:document:join", payload)
        assert ack.get("ok") is True, ack
        state = await self.socket.expect("ydoc:document:state")
        self.doc.apply_update(state["state"])
        self.seq = state["seq"]
        return ack

    def change(self, change: Callable[[Doc], None]) -> bytes:
        """Change the local copy; the update."""
        before = self.doc.get_state()
        change(self.doc)
        return self.doc.get_update(before)

    async def send(self, update: object, **extra: Any) -> dict[str, Any]:
        """Send an update; the acknowledgement."""
        payload = {"document_id": self.document_id, "update": update, **extra}
        ack: dict[str, Any] = await self.socket.call("ydoc:document:update", payload)
        return ack

    async def edit(self, change: Callable[[Doc], None]) -> int:
        """Change the local copy and send the change; its sequence."""
        ack = await self.send(self.change(change))
        assert ack.get("ok") is True, ack
        return int(ack["seq"])

    async def write(self, text: str) -> int:
        """Append a paragraph."""
        return await self.edit(lambda doc: paragraph(doc, text))

    async def catch_up(self, seq: int) -> None:
        """Apply what has come from others, once it includes ``seq``."""
        await self.socket.expect("ydoc:document:update", where=lambda data: data["seq"] >= seq)
        self.apply_received()

    def apply_received(self) -> None:
        """Apply all updates received so far."""
        received = self.socket.events("ydoc:document:update")
        for data in received[self._applied :]:
            self.doc.apply_update(data["update"])
        self._applied = len(received)

    @property
    def text(self) -> str:
        """What the local copy says, a line per paragraph."""
        return text_of(self.doc)


async def editor(person: Person, document_id: str, **extra: Any) -> Editor:
    """Connect and join."""
    joined = Editor(await person.connect(), document_id)
    await joined.join(**extra)
    return joined


def fragment(doc: Doc) -> pycrdt.XmlFragment:
    """A note's root."""
    root: pycrdt.XmlFragment = doc.get("prosemirror", type=pycrdt.XmlFragment)
    return root


def paragraph(doc: Doc, text: str) -> None:
    """Append a paragraph."""
    element = pycrdt.XmlElement("paragraph", {}, [pycrdt.XmlText(text)])
    fragment(doc).children.append(element)


def text_of(doc: Doc) -> str:
    """A line per paragraph."""
    lines = []
    for block in fragment(doc).children:
        assert isinstance(block, pycrdt.XmlElement)
        lines.append("".join(str(child) for child in block.children))
    return "\n".join(lines)


def paragraph_update(text: str) -> bytes:
    """The update of a fresh client that writes one paragraph."""
    doc: Doc = pycrdt.Doc()
    paragraph(doc, text)
    return doc.get_update()


async def new_note(person: Person, markdown: str = "", **extra: Any) -> str:
    """Create a note over HTTP; its id."""
    body = {"title": "a note", "data": {"content": {"md": markdown}}, **extra}
    answer = await person.http.post("/api/v1/notes/create", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def share(owner: Person, note_id: str, **permissions: str) -> None:
    """Grant ``{user id: permission}`` on a note, instead of what was granted before."""
    answer = await owner.http.post(
        f"/api/v1/notes/{note_id}/access/update", json=grants(**permissions)
    )
    assert answer.status_code == 200, answer.text


def grants(**permissions: str) -> dict[str, Any]:
    """The body of an access update, by user id."""
    return {
        "access_grants": [
            {"principal_type": "user", "principal_id": user_id, "permission": permission}
            for user_id, permission in permissions.items()
        ]
    }


async def markdown(person: Person, note_id: str) -> str:
    """A note's text as HTTP gives it."""
    answer = await person.http.get(f"/api/v1/notes/{note_id}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["content"]["md"])
