"""For whom and what an event or a call is: the ``request_info`` of the public API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from heliograph.errors import BadPayload

_MADE_BY_CLIENTS = ("chat_id", "message_id")
_ID = re.compile(r"(local:)?[A-Za-z0-9_.\-]{1,64}")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A message of a user's chat, and the session that asked for it."""

    user_id: str
    chat_id: str
    message_id: str
    session_id: str | None = None

    @classmethod
    def of(cls, info: Mapping[str, Any], *, needs_session: bool = False) -> RequestInfo:
        """Read ``{user_id, chat_id, message_id, session_id?}``.

        :raises BadPayload: naming what is missing.
        """
        names = ["user_id", "chat_id", "message_id", *(["session_id"] if needs_session else [])]
        for name in names:
            value: Any = info.get(name)
            given = isinstance(value, str) and value != ""
            if not given or (name in _MADE_BY_CLIENTS and not _ID.fullmatch(value)):
                raise BadPayload(f"request_info.{name}: an id is needed, got {value!r}", path=name)
        session_id = info.get("session_id")
        return cls(
            info["user_id"],
            info["chat_id"],
            info["message_id"],
            session_id if isinstance(session_id, str) else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """``{user_id, chat_id, message_id, session_id}``."""
        return asdict(self)
