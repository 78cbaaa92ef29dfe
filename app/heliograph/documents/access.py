"""Who may open and change a document, read from the database whenever it matters.

What is asked at every update is kept by the open document, together with what the log says
of the rights' age: see :meth:`~heliograph.documents.log.DocumentLog.append`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph.documents.log import gone
from heliograph.documents.repository import Grants, Permission, Rights
from heliograph.errors import BadPayload, Forbidden
from heliograph.principal import Principal

MAX_GRANTS = 1_000


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission for one user."""

    user_id: str
    permission: Permission


class Access:
    """The rights of documents."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    async def rights(self, document_id: str) -> Rights | None:
        """The rights of a document as they are now; ``None`` when there is no such document."""
        return await self._grants.rights(document_id)

    async def require_read(self, user: Principal, document_id: str) -> Rights:
        """Let pass who may see the document.

        :raises NotFound: it does not exist, or the user may not know of it.
        """
        return may_read(user, document_id, await self.rights(document_id))

    async def require_write(self, user: Principal, document_id: str) -> Rights:
        """Let pass who may change the document.

        :raises NotFound: as for reading.
        :raises Forbidden: ``read_only``.
        """
        return may_write(user, document_id, await self.rights(document_id))

    async def require_management(self, user: Principal, document_id: str) -> Rights:
        """Let pass its owner and administrators.

        :raises NotFound: as for reading.
        :raises Forbidden: it is another's.
        """
        rights = await self.require_read(user, document_id)
        if not rights.manages(user):
            raise Forbidden(f"only the owner of {document_id} may do this")
        return rights

    async def checked(self, grants: Sequence[Grant], owner_id: str) -> dict[str, Permission]:
        """The grants as permission by user; the stronger of two counts, the owner needs none.

        :raises BadPayload: too many, or for somebody who does not exist.
        """
        if len(grants) > MAX_GRANTS:
            raise BadPayload(f"at most {MAX_GRANTS} grants", path="access_grants")
        wanted: dict[str, Permission] = {}
        for grant in grants:
            if grant.user_id != owner_id and wanted.get(grant.user_id) != "write":
                wanted[grant.user_id] = grant.permission
        unknown = await self._grants.unknown_users(wanted)
        if unknown:
            raise BadPayload(f"no user {unknown[0]}", path="access_grants")
        return wanted

    async def replace(self, document_id: str, grants: Mapping[str, Permission]) -> set[str]:
        """Store new grants. Those who may no longer read."""
        lost = await self._grants.replace(document_id, grants) - grants.keys()
        return lost - await self._grants.admins(lost) if lost else set()


def may_read(user: Principal, document_id: str, rights: Rights | None) -> Rights:
    """Let pass who may see the document.

    :raises NotFound: it does not exist, or the user may not know of it.
    """
    if rights is None or not rights.may_read(user):
        raise gone(document_id)
    return rights


def may_write(user: Principal, document_id: str, rights: Rights | None) -> Rights:
    """Let pass who may change the document.

    :raises NotFound: as for reading.
    :raises Forbidden: ``read_only``.
    """
    rights = may_read(user, document_id, rights)
    if not rights.may_write(user):
        raise Forbidden(f"you may read {document_id}, not change it", code="read_only")
    return rights
