"""Notes over HTTP, and access to documents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from heliograph.documents import Grant
from heliograph.edge.http.deps import CurrentUser, Limit, Skip, TheServices
from heliograph.edge.payloads import FreeForm, Id, Payload

router = APIRouter(prefix="/api/v1", tags=["notes"])

# Sizes of texts are the feature's to judge: it says `too_large`, not `bad_payload`.

DocumentId = Annotated[
    str, Path(max_length=200, description="`note:<note id>`, or the id of a free document.")
]


class GrantForm(Payload):
    """A permission for one user; of two for the same user the stronger counts."""

    principal_type: Literal["user"]
    principal_id: Id
    permission: Literal["read", "write"]


class AccessForm(Payload):
    """All grants there shall be."""

    access_grants: Annotated[list[GrantForm], Field(max_length=2_000)]


class Content(Payload):
    """Text as Markdown, at most 1,000,000 characters. HTML and JSON are derived from it."""

    md: str | None = None


class Data(Payload):
    """``{content: {md}}``."""

    content: Content | None = None


class NoteForm(Payload):
    """A new note."""

    title: str
    data: Data | None = None
    meta: dict[str, FreeForm] | None = None
    access_grants: Annotated[list[GrantForm], Field(max_length=2_000)] | None = None


class NoteUpdate(Payload):
    """What shall change. Text is merged with what others are typing."""

    title: str | None = None
    data: Data | None = None
    meta: dict[str, FreeForm] | None = None


class GrantAnswer(BaseModel):
    """A permission of one user."""

    principal_type: str
    principal_id: str
    permission: str


class Owner(BaseModel):
    """Whose note it is."""

    id: str
    name: str


class NoteAnswer(BaseModel):
    """A note as the caller sees it; times are nanoseconds since 1970.

    ``data.content`` is ``{md, html, json}``; in lists ``{md, cut}``, the beginning of the
    text and whether there is more.
    """

    id: str
    user_id: str
    title: str
    data: dict[str, Any]
    meta: dict[str, Any] | None
    access_grants: list[GrantAnswer]
    created_at: int
    updated_at: int
    user: Owner
    write_access: bool


def _markdown(data: Data | None) -> str | None:
    return data.content.md if data and data.content else None


def _grants(forms: list[GrantForm] | None) -> list[Grant]:
    return [Grant(form.principal_id, form.permission) for form in forms or ()]


@router.get("/notes/", response_model=list[NoteAnswer])
async def list_notes(
    user: CurrentUser, services: TheServices, skip: Skip = 0, limit: Limit = 60
) -> Any:
    """The caller's notes and those shared with them, the latest first."""
    return await services.notes.list(user, skip, limit)


@router.post("/notes/create", response_model=NoteAnswer)
async def create_note(body: NoteForm, user: CurrentUser, services: TheServices) -> Any:
    """Create a note."""
    return await services.notes.create(
        user, body.title, _markdown(body.data) or "", body.meta, _grants(body.access_grants)
    )


@router.get("/notes/{note_id}", response_model=NoteAnswer)
async def get_note(note_id: Id, user: CurrentUser, services: TheServices) -> Any:
    """One note, with everything that has been acknowledged to its editors."""
    return await services.notes.get(user, note_id)


@router.post("/notes/{note_id}/update", response_model=NoteAnswer)
async def update_note(
    note_id: Id, body: NoteUpdate, user: CurrentUser, services: TheServices
) -> Any:
    """Change a note; who has it open sees the change."""
    return await services.notes.update(
        user, note_id, title=body.title, markdown=_markdown(body.data), meta=body.meta
    )


@router.delete("/notes/{note_id}/delete")
async def delete_note(note_id: Id, user: CurrentUser, services: TheServices) -> bool:
    """Delete a note and close it for all. Owner and administrators only."""
    await services.notes.delete(user, note_id)
    return True


@router.post("/notes/{note_id}/access/update", response_model=NoteAnswer)
async def update_note_access(
    note_id: Id, body: AccessForm, user: CurrentUser, services: TheServices
) -> Any:
    """Replace a note's grants. Owner and administrators only."""
    return await services.notes.set_access(user, note_id, _grants(body.access_grants))


@router.post(
    "/documents/{document_id}/access/update",
    response_model=dict[str, str | list[GrantAnswer]],
    tags=["documents"],
)
async def update_document_access(
    document_id: DocumentId, body: AccessForm, user: CurrentUser, services: TheServices
) -> Any:
    """Replace a free document's grants. Owner and administrators only."""
    grants = await services.documents.set_access(user, document_id, _grants(body.access_grants))
    return {
        "document_id": document_id,
        "access_grants": [
            {
                "principal_type": "user",
                "principal_id": grant.user_id,
                "permission": grant.permission,
            }
            for grant in grants
        ],
    }
