"""The settings that may change while a replica runs, and what is in force of them now.

Whoever needs one reads it from :class:`Live` each time, or is told in ``on_change``. What is not
overridden is what the environment says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heliograph.errors import BadPayload
from heliograph.settings import Settings


class Overrides(BaseModel):
    """Other values than the environment's, by its names: seconds, but for the level.

    The bounds are those of the resource ``RealtimeGateway``, see ``docs/operator.md``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    WEBSOCKET_SERVER_PING_INTERVAL: float | None = Field(None, ge=1, le=300)
    WEBSOCKET_SERVER_PING_TIMEOUT: float | None = Field(None, ge=1, le=300)
    WEBSOCKET_REDIS_LOCK_TIMEOUT: float | None = Field(None, ge=1, le=600)
    WEBSOCKET_EVENT_CALLER_TIMEOUT: float | None = Field(None, ge=1, le=600)
    WEBSOCKET_HEARTBEAT_INTERVAL: float | None = Field(None, ge=5, le=600)
    LOG_LEVEL: Literal["debug", "info", "warning", "error"] | None = None


class Live:
    """What is in force.

    :ivar on_change: called after a change.
    """

    def __init__(self, settings: Settings) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._base = {name: getattr(settings, name.lower()) for name in Overrides.model_fields}
        self._now: dict[str, Any] = self._base

    def override(self, values: Mapping[str, Any]) -> None:
        """Put these in force, and what the environment says for all others.

        :raises BadPayload: one is unknown or out of bounds; nothing has changed then.
        """
        try:
            given = Overrides.model_validate(values).model_dump(exclude_none=True)
        except ValidationError as error:
            fault = error.errors()[0]
            name = ".".join(str(part) for part in fault["loc"]) or "settings"
            raise BadPayload(f"{name}: {fault['msg']} (got {fault['input']!r})") from None
        self._now = {**self._base, **given}
        for hook in self.on_change:
            hook()

    def as_dict(self) -> dict[str, Any]:
        """All of them, by name."""
        return dict(self._now)

    @property
    def ping_interval(self) -> float:
        """Engine.IO ping of new connections, s."""
        return float(self._now["WEBSOCKET_SERVER_PING_INTERVAL"])

    @property
    def ping_timeout(self) -> float:
        """Silence after a ping that ends a new connection, s."""
        return float(self._now["WEBSOCKET_SERVER_PING_TIMEOUT"])

    @property
    def lock_timeout(self) -> float:
        """Expiry of locks, s."""
        return float(self._now["WEBSOCKET_REDIS_LOCK_TIMEOUT"])

    @property
    def caller_timeout(self) -> float:
        """Deadline of a call into the browser, s."""
        return float(self._now["WEBSOCKET_EVENT_CALLER_TIMEOUT"])

    @property
    def heartbeat_interval(self) -> float:
        """Heartbeat asked of clients, s."""
        return float(self._now["WEBSOCKET_HEARTBEAT_INTERVAL"])

    @property
    def log_level(self) -> str:
        """Least level that is logged."""
        return str(self._now["LOG_LEVEL"])
