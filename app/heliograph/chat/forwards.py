"""Lines on their way from the replica that a page is connected to, to the one that answers.

Guarantee: the lines of one channel arrive in order, and once; whoever asks hears whether
there is such a channel. What waits is bounded: a page that sends faster than its lines can
be forwarded fails its answer. Limit: what had come to a replica that died is lost with it.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from heliograph.cluster import PeerGone, Peers
from heliograph.errors import Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_SECONDS = 5.0
_TRIES = 3
_BATCH_CHARS = 1024 * 1024
_MOST_OF_A_SESSION = 32

Outcome = bool | Unavailable
"""Whether there is such a channel; or why nobody knows."""


@dataclass(eq=False, slots=True)
class _Forward:
    """The lines of one channel; ``number`` is that of the first one that waits."""

    replica_id: str
    channel: str
    sid: str
    ident: str = field(default_factory=lambda: uuid.uuid4().hex)
    waiting: list[Any] = field(default_factory=list)
    chars: int = 0
    number: int = 0
    overrun: bool = False
    ended: bool = False
    runner: asyncio.Task[Outcome] | None = None

    def put(self, piece: Any, most: int, most_chars: int) -> None:
        self.ended = self.ended or (isinstance(piece, dict) and piece.get("done") is True)
        self.chars += _chars(piece)
        self.waiting.append(piece)
        if len(self.waiting) > most or self.chars > most_chars:
            self.overrun = True
            self.waiting.clear()

    def batch(self) -> list[Any]:
        chars = 0
        for count, piece in enumerate(self.waiting, 1):
            chars += _chars(piece)
            if chars > _BATCH_CHARS:
                return self.waiting[:count]
        return list(self.waiting)

    def sent(self, batch: list[Any]) -> None:
        self.number += len(batch)
        del self.waiting[: len(batch)]
        self.chars -= sum(map(_chars, batch))


class Forwards:
    """What this replica forwards.

    :param op: the request that takes ``{channel, sid, forward, number, pieces, overrun}`` and
        answers whether there is such a channel; it may come twice.
    :param most: pieces of one channel that may wait.
    :param most_chars: their characters.
    """

    def __init__(self, peers: Peers, op: str, *, most: int, most_chars: int) -> None:
        self._peers = peers
        self._op = op
        self._most = most
        self._most_chars = most_chars
        self._forwards: dict[str, _Forward] = {}

    async def send(
        self, replica_id: str, channel: str, sid: str, piece: Any, *, confirmed: bool
    ) -> bool:
        """Forward a piece; whether there is such a channel, as far as that is known.

        :param confirmed: return when it was taken. The first of a channel always is.
        :raises Unavailable: the other replica does not answer.
        """
        forward = self._forwards.get(channel)
        if forward is None:
            confirmed = True
            self._make_room(sid)
            forward = self._forwards[channel] = _Forward(replica_id, channel, sid)
        forward.put(piece, self._most, self._most_chars)
        if forward.runner is None:
            forward.runner = asyncio.create_task(self._run(forward), name="forward lines")
        if not confirmed:
            return True
        outcome = await asyncio.shield(forward.runner)
        if isinstance(outcome, Unavailable):
            raise outcome
        return outcome

    def forget(self, sid: str) -> None:
        """A session that is here no more sends nothing."""
        for channel, forward in list(self._forwards.items()):
            if forward.sid == sid and forward.runner is None:
                del self._forwards[channel]

    async def stop(self) -> None:
        """Forward no more."""
        runners = [forward.runner for forward in self._forwards.values() if forward.runner]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    def _make_room(self, sid: str) -> None:
        # Answers that ended by themselves leave a forward behind.
        mine = [forward for forward in self._forwards.values() if forward.sid == sid]
        idle = [forward for forward in mine if forward.runner is None]
        if len(mine) >= _MOST_OF_A_SESSION and idle:
            del self._forwards[idle[0].channel]

    async def _run(self, forward: _Forward) -> Outcome:
        outcome: Outcome = True
        while outcome is True and (forward.waiting or forward.overrun):
            batch = forward.batch()
            outcome = await self._deliver(forward, batch)
            forward.sent(batch)
            if forward.overrun and not batch:
                break
        # A channel that is not there, or not any more, begins anew with what comes next.
        if outcome is not True or forward.ended or forward.overrun:
            self._forwards.pop(forward.channel, None)
        forward.runner = None
        return outcome

    async def _deliver(self, forward: _Forward, batch: list[Any]) -> Outcome:
        asked = {
            "channel": forward.channel,
            "sid": forward.sid,
            "forward": forward.ident,
            "number": forward.number,
            "pieces": batch,
            "overrun": forward.overrun and not batch,
        }
        for attempt in range(_TRIES):
            try:
                return bool(
                    await self._peers.request(forward.replica_id, self._op, asked, timeout=_SECONDS)
                )
            except PeerGone:
                return False
            except Unavailable as error:
                if attempt == _TRIES - 1:
                    log.warning("direct.not_forwarded", error=error.message)
                    return error
        raise AssertionError("unreachable")


def _chars(piece: Any) -> int:
    return len(piece) if isinstance(piece, str) else 0
