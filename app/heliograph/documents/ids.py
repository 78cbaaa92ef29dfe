"""Ids of documents: one canonical form each, so that no document has two doors.

A note's document is ``note:{note_id}``; ``note_{note_id}`` is accepted for the same. Any
other id is a free document's.
"""

from __future__ import annotations

import re

from heliograph.errors import BadPayload

_NOTE = re.compile(r"note[:_]([A-Za-z0-9_.\-]{1,64})")
_FREE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-:]{0,127}")
# What somebody could take for a note's id in another spelling is no free document's id.
_ALMOST_NOTE = re.compile(r"notes?(?![A-Za-z0-9])", re.IGNORECASE)


def canonical(document_id: str) -> str:
    """The one form of an id.

    :raises BadPayload: it is neither a note's nor a free document's.
    """
    note = _NOTE.fullmatch(document_id)
    if note is not None:
        return note_document(note.group(1))
    if _FREE.fullmatch(document_id) is None or _ALMOST_NOTE.match(document_id):
        raise BadPayload(
            f"{document_id[:80]!r} is no document id: note:<note id>, or up to 128 letters, "
            "digits, - _ . : that do not begin with note",
            path="document_id",
        )
    return document_id


def note_document(note_id: str) -> str:
    """The document of a note."""
    return f"note:{note_id}"


def note_of(document_id: str) -> str | None:
    """The note a canonical id belongs to; ``None`` for a free document."""
    return document_id.removeprefix("note:") if document_id.startswith("note:") else None


def document_room(document_id: str) -> str:
    """The room of a document's editors."""
    return f"doc_{document_id}"


def document_of(room: str) -> str | None:
    """The document whose editors' room it is; ``None`` for any other room."""
    return room.removeprefix("doc_") if room.startswith("doc_") else None


def note_room(note_id: str) -> str:
    """The room of the sessions that show a note."""
    return f"note:{note_id}"


def rooms_of(document_id: str) -> list[str]:
    """Every room in which something of the document is said."""
    note_id = note_of(document_id)
    return [document_room(document_id), *([note_room(note_id)] if note_id else [])]
