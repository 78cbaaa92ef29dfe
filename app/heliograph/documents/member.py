"""One session in one document, and what is said of it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from heliograph.delivery import Session
from heliograph.documents.cursors import COLOR
from heliograph.documents.roster import Record

_PALETTE = (
    "#c0392b", "#d35400", "#b7950b", "#1e8449", "#148f77", "#2471a3",
    "#2e4bc6", "#7d3c98", "#c2185b", "#6d4c41", "#546e7a", "#00796b",
)  # fmt: skip


def color_of(user_id: str, wanted: object = None) -> str:
    """The colour a user asked for when it is ``#rrggbb``, else one of their own."""
    if isinstance(wanted, str) and COLOR.fullmatch(wanted):
        return wanted
    return _PALETTE[hashlib.sha256(user_id.encode()).digest()[0] % len(_PALETTE)]


@dataclass(eq=False, slots=True)
class Member:
    """One session in one document.

    :ivar away: set while its connection is broken.
    :ivar present: it is in the roster: others were told that it is here.
    :ivar at: when it came, seconds since 1970.
    """

    document_id: str
    session: Session
    color: str
    present: bool = True
    away: asyncio.TimerHandle | None = None
    at: float = field(default_factory=time.time)

    @property
    def user(self) -> dict[str, str]:
        """``{id, name, color}``, by the server's own record."""
        assert self.session.user is not None
        return {
            "id": self.session.user.id,
            "name": self.session.user.name,
            "color": self.color,
        }

    def record(self, replica_id: str, clients: tuple[int, ...]) -> Record:
        """What the roster has of it."""
        user = self.user
        return Record(
            self.session.sid, replica_id, user["id"], user["name"], user["color"], self.at, clients
        )

    def joined(self) -> dict[str, str]:
        """The data of ``ydoc:user:joined``."""
        user = self.user
        return {
            "document_id": self.document_id,
            "user_id": user["id"],
            "user_name": user["name"],
            "user_color": user["color"],
            "session_id": self.session.sid,
        }


def left(document_id: str, record: Record) -> dict[str, str]:
    """The data of ``ydoc:user:left``."""
    return {"document_id": document_id, "user_id": record.user_id, "session_id": record.sid}


def awareness(document_id: str, user_id: str, update: bytes) -> dict[str, Any]:
    """The data of ``ydoc:awareness:update``."""
    return {"document_id": document_id, "user_id": user_id, "update": update}
