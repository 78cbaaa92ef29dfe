"""A session: one client's connection as the server knows it, across broken transports.

A session is *attached* while a transport carries it and *detached* while its client may
still come back and recover it. It ends when the client leaves, is put out, or does not
return in time. Where replicas share their sessions it may also move to another one.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from heliograph.delivery.frames import Frame, ack_packets
from heliograph.delivery.positions import Positions
from heliograph.principal import Principal


class Link(Protocol):
    """The transport below a session."""

    def push(self, packets: Any) -> None:
        """Queue Engine.IO packets, in order, as one unit; never blocks."""

    def deliver(
        self, frame: Frame, *, offset: str | None = None, ack_id: int | None = None
    ) -> None:
        """Write an event, in order with what was pushed; never blocks."""

    def end(self, code: int, reason: str) -> None:
        """Close the transport itself, so that the client reconnects."""

    async def drained(self) -> None:
        """Wait until the queue is nearly empty, or the transport is gone."""


@dataclass(eq=False, slots=True)
class Session:
    """One session.

    :ivar sid: its public id, also the name clients address calls to.
    :ivar pid: the secret with which its client may recover it; ``None`` when it opted out, and
        when it cannot be recovered any more.
    :ivar user: who it is; ``None`` only with ``ALWAYS_CONNECT`` before ``user-join``.
    :ivar link: the transport; ``None`` while detached.
    :ivar live: frames are written as they come; else they wait in the rooms' logs.
    :ivar ended: it is over, or goes on at another replica.
    """

    user: Principal | None
    link: Link | None
    sid: str = field(default_factory=lambda: secrets.token_urlsafe(15))
    pid: str | None = None
    legacy_names: bool = False
    positions: Positions = field(default_factory=Positions)
    live: bool = False
    ended: bool = False
    connected_at: float = field(default_factory=time.time)
    last_seen_at: float = field(default_factory=time.time)

    @property
    def attached(self) -> bool:
        """Whether a transport carries it now."""
        return self.link is not None

    @property
    def user_id(self) -> str | None:
        """The user's id, if it has a user."""
        return self.user.id if self.user else None

    def wants(self, frame: Frame) -> bool:
        """Whether a frame of one of its rooms is meant for it."""
        return frame.skip_sid != self.sid and (
            frame.skip_user is None or frame.skip_user != self.user_id
        )

    def deliver(self, room: str, seq: int | None, frame: Frame) -> None:
        """Write a frame of ``room``, with the offset a recovery needs."""
        offset = None
        if seq is not None:
            said = self.positions.advance(room, seq)
            if said is None:
                return  # a replay brought it already
            offset = said if self.pid is not None else None
        if self.link is not None and self.wants(frame):
            shown = frame.legacy() if self.legacy_names else frame
            self.link.deliver(shown, offset=offset)

    def send(self, frame: Frame, *, ack_id: int | None = None) -> None:
        """Write an event to this session alone; lost when it is detached."""
        if self.link is not None:
            shown = frame.legacy() if self.legacy_names else frame
            self.link.deliver(shown, ack_id=ack_id)

    def emit(self, name: str, data: Any) -> None:
        """Encode and :meth:`send`."""
        self.send(Frame.event(name, data))

    def acknowledge(self, ack_id: int, result: Any) -> None:
        """Answer one of the client's events."""
        if self.link is not None:
            self.link.push(ack_packets(ack_id, result))
