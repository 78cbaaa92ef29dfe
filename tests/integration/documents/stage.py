"""The documents of one replica without sockets: sessions whose transport is a list."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pycrdt
from engineio.packet import Packet as EnginePacket
from socketio.packet import Packet

from heliograph.delivery import Hub, Lifecycle, MemoryBroker, MemorySessionRecords, Session
from heliograph.documents import DocumentLog, Documents, Notes, Timing
from heliograph.principal import Principal
from heliograph.store import Database, now_s
from heliograph.store.models import User
from tests.integration.documents.editors import Doc, paragraph, text_of
from tests.support.bare import until


class Line:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self._partial: Packet | None = None

    def push(self, packets: Iterable[EnginePacket]) -> None:
        """Decode what is sent."""
        for each in packets:
            if self._partial is None:
                packet = Packet(encoded_packet=each.data)
                if packet.attachment_count:
                    self._partial = packet
                    continue
            else:
                packet = self._partial
                if not packet.add_attachment(each.data):
                    continue
                self._partial = None
            name, *args = packet.data
            self.events.append((name, args[0] if args else None))

    def end(self, code: int, reason: str) -> None:
        """Nothing to close."""

    async def drained(self) -> None:
        """Never full."""


class Client:
    """One session of a user."""

    def __init__(self, stage: Stage, session: Session, line: Line) -> None:
        self.stage = stage
        self.session = session
        self.line = line
        self.doc: Doc = pycrdt.Doc()

    def events(self, name: str) -> list[Any]:
        """The data of every ``name`` received so far."""
        return [data for event, data in self.line.events if event == name]

    async def expect(self, name: str, count: int = 1) -> Any:
        """The latest ``name`` once ``count`` of them have come."""
        await until(lambda: len(self.events(name)) >= count)
        return self.events(name)[-1]

    async def join(self, document_id: str, **extra: Any) -> dict[str, Any]:
        """Join, and apply the state."""
        ack = await self.stage.documents.join(
            self.session,
            document_id,
            color=extra.get("color"),
            state_vector=extra.get("state_vector"),
        )
        self.doc.apply_update(self.events("ydoc:document:state")[-1]["state"])
        return ack

    async def write(self, document_id: str, text: str) -> int:
        """Append a paragraph; its sequence."""
        before = self.doc.get_state()
        paragraph(self.doc, text)
        return await self.send(document_id, self.doc.get_update(before))

    async def send(self, document_id: str, update: object) -> int:
        """Send an update; its sequence."""
        ack = await self.stage.documents.update(self.session, document_id, update)
        return int(ack["seq"])

    async def text(self) -> str:
        """What the local copy says with all that has come."""
        for data in self.events("ydoc:document:update"):
            self.doc.apply_update(data["update"])
        return text_of(self.doc)

    def break_off(self) -> None:
        """The connection breaks."""
        self.stage.lifecycle.detach(self.session, self.line)

    async def come_back(self) -> None:
        """The connection is recovered, with what was missed."""
        assert self.session.pid is not None
        assert self.session.user is not None
        line = Line()
        found = await self.stage.lifecycle.recover(self.session.pid, None, self.session.user, line)
        assert found is self.session
        self.line = line
        for hook in self.stage.lifecycle.on_recovered:
            hook(self.session)
        self.stage.lifecycle.go_live(self.session)
        await until(lambda: self.session.live)


class Stage:
    """Documents and notes on a database, as one process has them."""

    def __init__(self, database: Database, store: DocumentLog | None = None, **timing: Any) -> None:
        self.database = database
        self.hub = Hub(MemoryBroker(60))
        self.lifecycle = Lifecycle(self.hub, MemorySessionRecords(), 60)
        self.documents = Documents(
            database, self.hub, self.lifecycle, store=store, timing=Timing(**timing)
        )
        self.notes = Notes(database, self.hub, self.documents)

    async def user(self, name: str, role: str = "user") -> Principal:
        """A user with an account."""
        row = User(
            id=name, name=name.title(), email=f"{name}@example.org", role=role,
            password_hash=None, created_at=now_s(), updated_at=now_s(), last_active_at=0,
        )  # fmt: skip
        async with self.database.write() as session:
            session.add(row)
        return Principal(name, name.title(), role)

    async def client(self, user: Principal) -> Client:
        """A connected session."""
        line = Line()
        session = await self.lifecycle.begin(user, line, recoverable=True)
        self.lifecycle.go_live(session)
        await until(lambda: session.live)
        return Client(self, session, line)

    async def note(self, user: Principal, markdown: str = "") -> str:
        """A note; its id."""
        note = await self.notes.create(user, "a note", markdown, None, ())
        return str(note["id"])

    async def markdown(self, user: Principal, note_id: str) -> str:
        """A note's text."""
        note = await self.notes.get(user, note_id)
        return str(note["data"]["content"]["md"])


@contextlib.asynccontextmanager
async def stage(
    database: Database, store: DocumentLog | None = None, **timing: Any
) -> AsyncIterator[Stage]:
    """Run the documents of a process; it stops well."""
    running = Stage(database, store, **timing)
    await running.hub.start()
    try:
        async with running.documents:
            yield running
    finally:
        await running.lifecycle.stop()
        await running.hub.stop()


@contextlib.asynccontextmanager
async def killed(
    database: Database, store: DocumentLog | None = None, **timing: Any
) -> AsyncIterator[Stage]:
    """The same for a process that is killed at the end of the block: nothing is tidied up."""
    running = Stage(database, store, **{"quiet": 3600, "oldest": 3600, **timing})
    await running.hub.start()
    try:
        yield running
    finally:
        # What a kill would end with the process, and nothing else.
        await running.documents.worker.stop()
        await running.lifecycle.stop()
        await running.hub.stop()
