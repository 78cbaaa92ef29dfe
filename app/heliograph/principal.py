"""Who acts: the server's own record of an authenticated user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated user.

    :ivar role: ``admin``, ``user`` or ``pending``.
    :ivar expires_at: when the token ends, seconds since 1970; ``None`` for an API key.
    """

    id: str
    name: str
    role: str
    email: str = ""
    expires_at: float | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the user administers the installation."""
        return self.role == "admin"

    def public(self) -> dict[str, str]:
        """What other users may see: ``{id, name, role}``."""
        return {"id": self.id, "name": self.name, "role": self.role}
