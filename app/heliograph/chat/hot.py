"""What all replicas know of the answers in flight: their logs, and who writes them.

Purpose: an answer that streams on one replica is read, refused a second time and, should
that replica die, settled on any other. Guarantees: what a session was sent of an answer is
in its log; a log has one writer, and one that lost it (frozen, declared dead, come back)
neither appends nor publishes. :class:`MemoryHotLog` is the counterpart of a single process,
which has no others to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from heliograph.chat.rows import Ending
from heliograph.chat.settling import Parts
from heliograph.delivery import Hub, user_room
from heliograph.errors import Conflict


@dataclass(frozen=True, slots=True)
class StreamRef:
    """One writing of an answer.

    :ivar user_id: the owner of the chat.
    :ivar run: names this writing; another one of the same message has another.
    :ivar replica: who writes it.
    """

    user_id: str
    chat_id: str
    message_id: str
    run: str
    replica: str


class InFlight(Conflict):
    """The message is being answered already.

    :ivar by: by whom, if that is known.
    """

    code = "in_flight"

    def __init__(self, message_id: str, by: StreamRef | None = None) -> None:
        super().__init__(f"message {message_id} is being answered")
        self.by = by


@dataclass(frozen=True, slots=True)
class Resume:
    """Content that covers ``(from_seq, seq]``; the whole when ``from_seq`` is 0."""

    message_id: str
    seq: int
    from_seq: int
    content: str


class Snapshot:
    """An answer that streams elsewhere, as it was a moment ago."""

    ending: Ending | None = None  # one that has ended is in the database

    def __init__(self, ref: StreamRef, parts: Parts) -> None:
        self.ref = ref
        self._parts = parts

    @property
    def seq(self) -> int:
        """The sequence of the last delta; 0 before the first."""
        return self._parts.last_seq

    @property
    def content(self) -> str:
        """What has been published, up to :attr:`seq`."""
        return self._parts.text()

    @property
    def only_grew(self) -> bool:
        """Whether nothing of it was ever replaced."""
        return self._parts.origin == 0

    def since(self, last_seq: int | None) -> Resume:
        """See :func:`resume`."""
        return resume(self.ref.message_id, self._parts, last_seq)


class Hot(Protocol):
    """An answer in flight, here or elsewhere, as it is read."""

    @property
    def seq(self) -> int:
        """The sequence of the last delta; 0 before the first."""

    @property
    def content(self) -> str:
        """What has been published, up to :attr:`seq`."""

    @property
    def ending(self) -> Ending | None:
        """How it ended, when that is not in the database yet."""

    def since(self, last_seq: int | None) -> Resume:
        """What a client that has everything up to ``last_seq`` lacks."""


def resume(message_id: str, parts: Parts, last_seq: int | None) -> Resume:
    """What a client that has everything up to ``last_seq`` lacks; all, when that cannot be
    told as a delta (unknown, from the future, or replaced since)."""
    # Parts of a first generation build on nothing, those of later ones on a whole.
    first = parts.origin + 1
    if last_seq is None or not first <= last_seq <= parts.last_seq:
        return Resume(message_id, parts.last_seq, 0, parts.text())
    lacking = parts.text(last_seq - parts.origin)
    return Resume(message_id, parts.last_seq, last_seq, lacking)


class Verdict(Enum):
    """What became of a delta."""

    DONE = "done"
    """It is in the log and published."""
    LOST = "lost"
    """Neither: the log is not as its writer left it, since Redis lost some of it."""
    TAKEN = "taken"
    """Neither: the answer was ended by others, or is written by others now."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A part of an answer, or with ``whole`` all of it anew."""

    seq: int
    text: str
    whole: bool


class HotLog(Protocol):
    """The logs of the answers in flight. Every method may raise ``Unavailable``.

    :ivar grace: seconds for which a replica must have been missing before what it wrote may
        be ended in its name; a fleet whose Redis lost its memory needs a moment.
    """

    grace: float

    async def begin(self, ref: StreamRef) -> None:
        """Claim the answer.

        :raises InFlight: it is claimed.
        """

    async def append(self, ref: StreamRef, delta: Delta, event: dict[str, Any]) -> Verdict:
        """Append to the log and publish ``event`` to the user's room, in one step."""

    async def restore(self, ref: StreamRef, seq: int, text: str, *, sure: bool) -> Verdict:
        """Have the log say that the content is ``text`` up to ``seq``, and who writes it.

        :param sure: that the answer is the writer's is known from elsewhere. Else only a log
            that is gone, or still the writer's, is written.
        """

    async def end(self, ref: StreamRef, *, dead: bool = False) -> None:
        """Remove the log, if it is of this writing.

        :param dead: in the name of a dead replica; should it live, it is refused.
        """

    async def of_user(self, user_id: str) -> list[StreamRef]:
        """The answers of a user's chats that other replicas may write, ours included."""

    async def find(self, user_id: str, chat_id: str, message_id: str) -> StreamRef | None:
        """One of them."""

    async def read(self, ref: StreamRef) -> Snapshot | None:
        """An answer as far as it has come; ``None`` when it is not in flight any more."""

    async def of_replica(self, replica_id: str) -> list[StreamRef]:
        """What a replica writes."""

    async def let_go(self, ref: StreamRef) -> None:
        """The replica has nothing to do with that answer any more."""


class MemoryHotLog:
    """The log of a single process: its own memory is all there is."""

    grace = 0.0

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def begin(self, ref: StreamRef) -> None:
        """Nobody else could have claimed it."""

    async def append(self, ref: StreamRef, delta: Delta, event: dict[str, Any]) -> Verdict:
        """Publish ``event`` to the user's room."""
        await self._hub.publish(user_room(ref.user_id), "events", event)
        return Verdict.DONE

    async def restore(self, ref: StreamRef, seq: int, text: str, *, sure: bool) -> Verdict:
        """Nothing gets lost."""
        return Verdict.DONE

    async def end(self, ref: StreamRef, *, dead: bool = False) -> None:
        """Nothing is left."""

    async def of_user(self, user_id: str) -> list[StreamRef]:
        """Others write nothing."""
        return []

    async def find(self, user_id: str, chat_id: str, message_id: str) -> StreamRef | None:
        """Others write nothing."""
        return None

    async def read(self, ref: StreamRef) -> Snapshot | None:
        """Others write nothing."""
        return None

    async def of_replica(self, replica_id: str) -> list[StreamRef]:
        """Others write nothing."""
        return []

    async def let_go(self, ref: StreamRef) -> None:
        """Nothing is kept."""
