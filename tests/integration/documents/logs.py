"""What tests of the log need: entries whose order shows, and snapshots that are their list."""

from __future__ import annotations

from heliograph.delivery import Frame
from heliograph.documents import DocumentLog
from heliograph.documents.log import Entry, Logged
from heliograph.store import Database
from heliograph.store.models import User


async def add_owner(database: Database) -> str:
    """A user who may own documents; its id."""
    user = User(
        id="ann", name="Ann", email="ann@example.org", role="user", password_hash=None,
        created_at=0, updated_at=0, last_active_at=0,
    )  # fmt: skip
    async with database.write() as session:
        session.add(user)
    return "ann"


def entries(*updates: bytes) -> list[Entry]:
    """Entries with frames."""
    frame = Frame.numbered("update", {}, "seq")
    return [Entry("ann", update, frame) for update in updates]


async def loaded(log: DocumentLog, document_id: str = "d") -> Logged:
    """The document, which is there."""
    logged = await log.load(document_id)
    assert logged is not None
    return logged


async def append(log: DocumentLog, document_id: str, *updates: bytes) -> int:
    """Append as somebody who knows the whole log; the first sequence."""
    now = await loaded(log, document_id)
    appended = await log.append(document_id, now.place, now.rights, entries(*updates))
    return appended.first_seq


def whole(logged: Logged) -> list[bytes]:
    """Every update of a document, once: words that end with a comma each. As in Yjs, one
    that comes twice counts once."""
    text = (logged.snapshot or b"") + b"".join(logged.updates)
    return list(dict.fromkeys(text.split(b",")[:-1]))


async def compact(log: DocumentLog, logged: Logged, document_id: str = "d") -> bool:
    """Compact what was read."""
    snapshot = b"".join(word + b"," for word in whole(logged))
    return await log.compact(document_id, logged, snapshot)
