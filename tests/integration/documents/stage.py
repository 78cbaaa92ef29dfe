"""The documents of one replica without sockets: sessions whose transport is a list."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pycrdt
from engineio.packet import Packet as EnginePacket
from socketio.packet import Packet

from heliograph.backplane import Backplane
from heliograph.cluster import Cluster
from heliograph.delivery import (
    Frame,
    Hub,
    Lifecycle,
    MemoryBroker,
    MemorySessionRecords,
    RedisBroker,
    RedisSessionRecords,
    Session,
    SessionRecords,
)
from heliograph.documents import DocumentLog, Documents, Notes, SqlDocumentLog, Timing
from heliograph.documents.redis_log import RedisDocumentLog
from heliograph.documents.redis_roster import RedisRoster
from heliograph.documents.roster import MemoryRoster, Roster
from heliograph.principal import Principal
from heliograph.store import Database, now_s
from heliograph.store.models import User
from tests.integration.documents.editors import Doc, paragraph, text_of
from tests.support.backplane import open_backplane
from tests.support.bare import until
from tests.support.redis import RedisServers

LEASE = 1.0
"""Seconds after which a killed replica is dead."""


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

    def deliver(
        self, frame: Frame, *, offset: str | None = None, ack_id: int | None = None
    ) -> None:
        self.push(frame.packets(offset=offset, ack_id=ack_id))

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
        self.document_id = ""
        self.written = 0

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
        self.document_id = document_id
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
        self.written = max(self.written, ack["seq"])
        return int(ack["seq"])

    @property
    def seq(self) -> int:
        """How much of the document it has got, or sent."""
        told = [*self.events("ydoc:document:state"), *self.events("ydoc:document:update")]
        return max([self.written, *(int(data["seq"]) for data in told)])

    async def caught_up(self) -> None:
        """Wait until it has got what is in the log of the document it joined last."""
        heads = await self.stage.documents.log.heads([self.document_id])
        await until(lambda: self.seq >= heads[self.document_id].seq)

    async def text(self) -> str:
        """What the local copy says, with all that is in the log."""
        await self.caught_up()
        for data in self.events("ydoc:document:update"):
            self.doc.apply_update(data["update"])
        return text_of(self.doc)

    def break_off(self) -> None:
        """The connection breaks."""
        self.stage.lifecycle.detach(self.session, self.line)

    async def come_back(self, elsewhere: Stage | None = None) -> None:
        """The connection is recovered, with what was missed; perhaps at another replica."""
        assert self.session.pid is not None
        assert self.session.user is not None
        line = Line()
        stage = elsewhere or self.stage
        found = await stage.lifecycle.recover(self.session.pid, None, self.session.user, line)
        assert found is not None
        assert (found is self.session) == (stage is self.stage)
        self.stage, self.session, self.line = stage, found, line
        for hook in stage.lifecycle.on_recovered:
            hook(found)
        stage.lifecycle.go_live(found)
        await until(lambda: found.live)


Around = Callable[[DocumentLog], DocumentLog]


@dataclass(frozen=True, slots=True)
class Shared:
    """A Redis, and the prefix of the replicas that share it."""

    servers: RedisServers
    prefix: str
    settings: dict[str, object] = field(default_factory=dict)


class Stage:
    """Documents and notes on a database, as one process has them.

    :param backplane: it is one of many replicas, which share it.
    :param around: what to put around the log.
    """

    def __init__(
        self,
        database: Database,
        backplane: Backplane | None,
        around: Around | None,
        **timing: Any,
    ) -> None:
        self.database = database
        self.backplane = backplane
        self.hub = Hub(RedisBroker(backplane, 60) if backplane else MemoryBroker(60))
        self.cluster = Cluster.over(self.hub, backplane, lease_seconds=LEASE)
        records: SessionRecords = MemorySessionRecords()
        if backplane is not None:
            records = RedisSessionRecords(backplane, self.cluster.replica, self.cluster.peers, 60)
        self.lifecycle = Lifecycle(self.hub, records, 60)
        broker = self.hub.broker
        log: DocumentLog = SqlDocumentLog(database, broker)
        roster: Roster = MemoryRoster(self.hub)
        if backplane is not None:
            assert isinstance(broker, RedisBroker)
            log = RedisDocumentLog(database, backplane, broker, self.cluster.replica)
            roster = RedisRoster(backplane, broker, self.cluster.replica)
        self.documents = Documents(
            database,
            self.hub,
            self.lifecycle,
            cluster=self.cluster,
            store=around(log) if around else log,
            roster=roster,
            timing=Timing(**timing),
        )
        self.notes = Notes(database, self.hub, self.documents)

    async def die(self) -> None:
        """What a kill would end with the process, and nothing else: no goodbye to anybody."""
        keeper = self.cluster.replica._keeper
        assert keeper is not None
        keeper.cancel()
        if self.backplane is not None:
            await self.backplane.stop()
        await self.documents.worker.stop()
        await self.cluster.peers.stop()
        await self.lifecycle.stop()
        await self.hub.stop()

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


async def _start(
    stack: contextlib.AsyncExitStack,
    database: Database,
    shared: Shared | None,
    around: Around | None,
    timing: dict[str, Any],
) -> Stage:
    backplane = None
    if shared is not None:
        opened = open_backplane(shared.servers, shared.prefix, **shared.settings)
        backplane = await stack.enter_async_context(opened)
    running = Stage(database, backplane, around, **timing)
    await running.hub.start()
    stack.push_async_callback(running.hub.stop)
    await stack.enter_async_context(running.cluster)
    await running.lifecycle.start()
    stack.push_async_callback(running.lifecycle.stop)
    return running


@contextlib.asynccontextmanager
async def stage(
    database: Database,
    shared: Shared | None = None,
    *,
    around: Around | None = None,
    reaps: bool = False,
    **timing: Any,
) -> AsyncIterator[Stage]:
    """Run the documents of a process; it stops well.

    :param reaps: it cleans up after dead ones.
    """
    async with contextlib.AsyncExitStack() as stack:
        running = await _start(stack, database, shared, around, timing)
        await stack.enter_async_context(running.documents)
        if reaps:
            await stack.enter_async_context(running.cluster.reaper)
        yield running


@contextlib.asynccontextmanager
async def killed(
    database: Database, shared: Shared | None = None, **timing: Any
) -> AsyncIterator[Stage]:
    """The same for a process that is killed at the end of the block: nothing is tidied up."""
    timing = {"quiet": 3600, "oldest": 3600, **timing}
    stack = contextlib.AsyncExitStack()
    running = await _start(stack, database, shared, None, timing)
    try:
        yield running
    finally:
        await running.die()
        stack.pop_all()
