"""Members whose room may lack events are given the document again.

When Redis loses the end of a room's log, nobody can tell what the room's sessions lack. The
document's own log can: its state, which a Yjs client takes without harm whatever it has.
One document after the other: after a failover there are many.
"""

from __future__ import annotations

import asyncio

from heliograph.delivery import Hub
from heliograph.documents.ids import document_of
from heliograph.documents.members import Members
from heliograph.documents.open import State
from heliograph.documents.shelf import Shelf
from heliograph.errors import HeliographError
from heliograph.telemetry import get_logger

log = get_logger(__name__)


class Resync:
    """Gives documents again to this replica's members."""

    def __init__(self, hub: Hub, members: Members, shelf: Shelf) -> None:
        self._members = members
        self._shelf = shelf
        self._waiting: dict[str, None] = {}
        self._worker: asyncio.Task[None] | None = None
        hub.on_room_reset.append(self._reset)

    def _reset(self, room: str) -> None:
        document_id = document_of(room)
        if document_id is None or not self._members.of(document_id):
            return
        self._waiting[document_id] = None
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                document_id = next(iter(self._waiting))
                del self._waiting[document_id]
                try:
                    await self._give(document_id)
                except HeliographError as error:
                    # Who builds on what they lack asks for it, or joins again.
                    log.warning(
                        "documents.not_resynced", document_id=document_id, error=error.message
                    )
        finally:
            self._worker = None

    async def _give(self, document_id: str) -> None:
        with self._shelf.use(document_id) as document:
            async with document.turn:
                state = await document.state(None)
                told = state_event(document_id, state, await self._members.sids(document_id))
                for member in self._members.of(document_id):
                    member.session.emit("ydoc:document:state", told)
        log.info("documents.resynced", document_id=document_id)

    async def stop(self) -> None:
        """Give nothing more."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)


def state_event(document_id: str, state: State, sids: list[str]) -> dict[str, object]:
    """The data of ``ydoc:document:state``."""
    return {
        "document_id": document_id,
        "state": state.update,
        "sessions": sids,
        "seq": state.seq,
    }
