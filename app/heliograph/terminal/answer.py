"""One message in flight: what of it has been shown, and how it ended.

Guarantee: fed with deltas in any mixture of live events and catching up, it hands out
each token once. Limit: within one connection deltas must come in order, as they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from heliograph.terminal.events import text


class Ending(StrEnum):
    """How an answer ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to show next.

    :ivar rewritten: it replaces what was shown before instead of following it.
    """

    text: str
    rewritten: bool = False


_NOTHING = Piece("")


@dataclass(slots=True)
class Answer:
    """The assistant's message ``message_id``.

    :ivar seq: number of the last delta that is part of ``content``.
    :ivar ended: becomes done with the ending; ``reason`` then has the words for a failure.
    """

    message_id: str
    content: str = ""
    seq: int = 0
    reason: str = ""
    ended: asyncio.Future[Ending] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def running(self) -> bool:
        """Whether more may come."""
        return not self.ended.done()

    def append(self, seq: int | None, more: str) -> Piece:
        """A delta; one that was seen already gives nothing."""
        if not self._is_new(seq):
            return _NOTHING
        self.content += more
        return Piece(more)

    def replace(self, seq: int | None, content: str) -> Piece:
        """The whole content anew."""
        return self._become(content) if self._is_new(seq) else _NOTHING

    def catch_up(self, stream: Mapping[str, Any]) -> Piece | None:
        """A stream of ``join-chat``, ``{seq, from_seq?, content}``.

        :returns: what was missed, or ``None`` when the stream begins after a gap and the
            whole content is needed.
        """
        seq, since = stream.get("seq"), stream.get("from_seq", 0)
        content = text(stream.get("content"))
        if not isinstance(seq, int) or not isinstance(since, int):
            return None
        if since not in (0, self.seq):
            return None
        if seq < self.seq:
            return _NOTHING
        if since == 0:
            piece = self._become(content)
        else:
            self.content += content
            piece = Piece(content)
        self.seq = seq
        return piece

    def settle(self, content: str) -> Piece:
        """The content as it is stored, after the end. A server that died may have kept less
        than it had sent: that is not a rewriting."""
        if self.content.startswith(content):
            self.content = content
            return _NOTHING
        return self._become(content)

    def end(self, ending: Ending, reason: str = "") -> None:
        """Note how it ended; only the first ending counts."""
        if not self.ended.done():
            self.reason = reason
            self.ended.set_result(ending)

    def _is_new(self, seq: int | None) -> bool:
        if seq is None:
            return True
        if seq <= self.seq:
            return False
        self.seq = seq
        return True

    def _become(self, content: str) -> Piece:
        shown, self.content = self.content, content
        if content.startswith(shown):
            return Piece(content[len(shown) :])
        return Piece(content, rewritten=True)
