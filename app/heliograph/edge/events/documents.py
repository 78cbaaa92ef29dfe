"""Events of shared documents (``ydoc:*``) and of notes that are shown."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from heliograph.delivery import Session
from heliograph.edge.events.session import reverify
from heliograph.edge.gateway import Gateway
from heliograph.edge.payloads import Id, Payload, WithAuth
from heliograph.edge.services import Services
from heliograph.errors import BadPayload

DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class InDocument(Payload):
    """``{document_id}``. Who the sender is, the server knows."""

    document_id: DocumentId


class Join(InDocument):
    """Binary values are bytes or lists of integers; the feature checks them."""

    user_color: Any = None
    state_vector: Any = None


class State(InDocument):
    """``state_vector`` as in :class:`Join`."""

    state_vector: Any = None


class Update(InDocument):
    """``update``; old clients may send ``data`` alone, which is not trusted."""

    update: Any = None
    data: Any = None


class Awareness(InDocument):
    """An awareness update of y-protocols, or Open WebUI's JSON."""

    update: Any = None


class JoinNote(WithAuth):
    """``{auth: {token}, note_id}``."""

    note_id: Id


def register(gateway: Gateway, services: Services) -> None:
    """Add this module's events."""
    documents = services.documents

    @gateway.on("ydoc:document:join", model=Join)
    async def join(session: Session, payload: Join) -> dict[str, Any]:
        return await documents.join(
            session,
            payload.document_id,
            color=payload.user_color,
            state_vector=payload.state_vector,
        )

    @gateway.on("ydoc:document:state", model=State)
    async def state(session: Session, payload: State) -> dict[str, Any]:
        return await documents.state(session, payload.document_id, payload.state_vector)

    @gateway.on("ydoc:document:update", model=Update)
    async def update(session: Session, payload: Update) -> dict[str, Any]:
        if payload.update is None and payload.data is None:
            raise BadPayload("update: missing", path="update")
        return await documents.update(session, payload.document_id, payload.update)

    @gateway.on("ydoc:document:leave", model=InDocument)
    async def leave(session: Session, payload: InDocument) -> dict[str, Any]:
        return await documents.leave(session, payload.document_id)

    @gateway.on("ydoc:awareness:update", model=Awareness)
    async def awareness(session: Session, payload: Awareness) -> None:
        await documents.show(session, payload.document_id, payload.update)

    @gateway.on("join-note", model=JoinNote)
    async def join_note(session: Session, payload: JoinNote) -> dict[str, bool]:
        await reverify(services, session, payload.auth.token)
        await services.notes.enter(session, payload.note_id)
        return {"ok": True}
