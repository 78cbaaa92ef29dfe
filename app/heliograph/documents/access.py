"""Who may open and change a document, asked at every update and answered from memory.

The rights of a document are kept until somebody changes them; what was being read while
they changed is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph.documents.log import gone
from heliograph.documents.repository import Grants, Permission, Rights
from heliograph.errors import BadPayload, Forbidden
from heliograph.principal import Principal

MAX_GRANTS = 1_000

_MAX_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission for one user."""

    user_id: str
    permission: Permission


class Access:
    """The rights of documents."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._known: dict[str, Rights] = {}
        self._changes = 0

    async def rights(self, document_id: str) -> Rights | None:
        """The rights of a document; ``None`` when there is no such document."""
        known = self._known.get(document_id)
        if known is not None:
            return known
        before = self._changes
        rights = await self._grants.rights(document_id)
        if rights is not None and self._changes == before:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[document_id] = rights
        return rights

    def forget(self, document_id: str) -> None:
        """They changed, or nobody needs them."""
        self._changes += 1
        self._known.pop(document_id, None)

    async def require_read(self, user: Principal, document_id: str) -> Rights:
        """Let pass who may see the document.

        :raises NotFound: it does not exist, or the user may not know of it.
        """
        rights = await self.rights(document_id)
        if rights is None or not rights.may_read(user):
            raise gone(document_id)
        return rights

    async def require_write(self, user: Principal, document_id: str) -> Rights:
        """Let pass who may change the document.

        :raises NotFound: as for reading.
        :raises Forbidden: ``read_only``.
        """
        rights = await self.require_read(user, document_id)
        if not rights.may_write(user):
            raise Forbidden(f"you may read {document_id}, not change it", code="read_only")
        return rights

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
        """Store new grants; from here on they count. Those who may no longer read."""
        before = await self._grants.rights(document_id)
        await self._grants.replace(document_id, grants)
        self.forget(document_id)
        lost = (before.grants.keys() if before else set()) - grants.keys()
        return lost - await self._grants.admins(lost) if lost else set()
