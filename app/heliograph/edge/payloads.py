"""Types that payload models share: ids with one canonical form, bounded text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
"""An id of a chat, message, channel, note, user or session."""

ShortText = Annotated[str, StringConstraints(max_length=500)]


class Payload(BaseModel):
    """Base of all inbound payloads: unknown fields are ignored, types are not guessed."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Empty(Payload):
    """Nothing is expected."""


class TokenHolder(Payload):
    """``{token}``."""

    token: Annotated[str, StringConstraints(max_length=16_384)] | None = None


class WithAuth(Payload):
    """``{auth: {token}}``."""

    auth: TokenHolder = TokenHolder()


def _shallow(value: Any) -> Any:
    """Refuse what is nested deeper than any client of ours needs.

    :raises ValueError: deeper than 64.
    """
    level = [value]
    for _ in range(64):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return value
    raise ValueError("nested deeper than 64")


FreeForm = Annotated[Any, AfterValidator(_shallow)]
"""JSON whose shape is its sender's business, bounded in depth."""
