"""A user's own model: the page asks it and sends its lines here, over a one-time channel.

The server calls ``request:chat:completion`` on the session, naming a channel; the page
then sends the model's SSE lines as events of that name and at last ``{done: true}``. Only
that session may send; a line may come split, or several in one event. A channel ends with
its answer, when its session ends, or after a silence.

The session may be at another replica than the answer: the channel's name says where its
lines belong, and they are forwarded there, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from heliograph.chat.caller import Caller
from heliograph.chat.forwards import Forwards
from heliograph.chat.info import RequestInfo
from heliograph.chat.lines import LineJoiner
from heliograph.chat.models import Chunk, UpstreamError
from heliograph.chat.turn import error_text, is_last, malformed
from heliograph.cluster import Peers, Replica
from heliograph.delivery import Session
from heliograph.errors import CallFailed, Unavailable

MAX_WAITING = 10_000
"""Pieces of one answer that may wait to be taken."""

MAX_WAITING_CHARS = 16 * 1024 * 1024
"""Their characters."""

_LINES = "chat.lines"
_LOOK_SECONDS = 5.0  # how often a silent page is looked for


class _Channel:
    """What one session sends of one answer."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.waiting: asyncio.Queue[Any] = asyncio.Queue(MAX_WAITING)
        self.size = 0
        self.failure: Exception | None = None
        self._next: dict[str, int] = {}  # by forward: the number of its next piece

    def put(self, piece: Any) -> None:
        self.size += len(piece) if isinstance(piece, str) else 0
        if self.waiting.full() or self.size > MAX_WAITING_CHARS:
            self.fail(UpstreamError("The page sent its model's answer faster than it is taken."))
        else:
            self.waiting.put_nowait(piece)

    def put_forwarded(self, forward: str, number: int, pieces: list[Any]) -> None:
        """Take pieces that came by way of another replica, maybe a second time."""
        known = self._next.get(forward, 0) - number
        for piece in pieces[max(known, 0) :]:
            self.put(piece)
        self._next[forward] = max(number + len(pieces), self._next.get(forward, 0))

    def fail(self, failure: Exception) -> None:
        self.failure = failure
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(None)

    async def get(self) -> Any:
        piece = await self.waiting.get()
        if self.failure is not None:
            raise self.failure
        self.size -= len(piece) if isinstance(piece, str) else 0
        return piece


class DirectChannels:
    """The channels that are open now, here; and the way to those of other replicas.

    :param silence: longest pause of a page in an answer, seconds.
    """

    def __init__(self, caller: Caller, silence: float, peers: Peers, replica: Replica) -> None:
        self._caller = caller
        self._silence = silence
        self._replica = replica
        self._channels: dict[str, _Channel] = {}
        self._forwards = Forwards(peers, _LINES, most=MAX_WAITING, most_chars=MAX_WAITING_CHARS)
        peers.serve(_LINES, self._take_forwarded)

    async def receive(
        self, session: Session, name: str, args: tuple[Any, ...], *, confirmed: bool = False
    ) -> bool:
        """An event of a name that nobody registered; whether it was one of ours.

        :param confirmed: return when the answer's replica has it, if that is another one.
        :raises Unavailable: that replica does not take it.
        """
        piece = args[0] if args else None
        channel = self._channels.get(name)
        if channel is not None:
            if channel.sid == session.sid:
                channel.put(piece)
            return channel.sid == session.sid
        replica_id = self._elsewhere(session, name)
        if replica_id is None:
            return False
        return await self._forwards.send(replica_id, name, session.sid, piece, confirmed=confirmed)

    def _elsewhere(self, session: Session, name: str) -> str | None:
        """The replica of a channel of the session, going by its name."""
        mine, _, rest = name.rpartition(":")
        replica_id, dot, ident = rest.partition(".")
        ours = mine == f"{session.user_id}:{session.sid}" and dot and len(ident) == 32
        if not ours or not replica_id.isalnum() or replica_id == self._replica.id:
            return None
        return replica_id

    async def _take_forwarded(self, asked: dict[str, Any]) -> bool:
        """Lines of a session that is at another replica; whether there is such a channel."""
        channel = self._channels.get(asked["channel"])
        if channel is None or channel.sid != asked["sid"]:
            return False
        if asked["overrun"]:
            channel.fail(UpstreamError("The page sent its model's answer faster than it is taken."))
        else:
            channel.put_forwarded(asked["forward"], asked["number"], asked["pieces"])
        return True

    def session_ended(self, session: Session) -> None:
        """A session that ended sends nothing any more."""
        for channel in self._channels.values():
            if channel.sid == session.sid:
                channel.fail(_ended(session.sid))
        self._forwards.forget(session.sid)

    def session_moved(self, session: Session) -> None:
        """A session that goes on at another replica sends there."""
        self._forwards.forget(session.sid)

    async def stop(self) -> None:
        """Forward no more."""
        await self._forwards.stop()

    def model(self, info: RequestInfo, item: dict[str, Any]) -> DirectModel:
        """The model of a user's page.

        :param item: the ``model_item`` of the request.
        """
        return DirectModel(self, info, item)

    async def chunks(
        self, info: RequestInfo, item: dict[str, Any], body: dict[str, Any]
    ) -> AsyncGenerator[Chunk, None]:
        """Ask the page and yield what its model answers.

        :raises UpstreamError: the model failed, or went silent.
        :raises CallFailed: the session is gone, or did not answer.
        """
        sid = info.session_id or ""
        name = f"{info.user_id}:{sid}:{self._replica.id}.{uuid.uuid4().hex}"
        channel = self._channels[name] = _Channel(sid)
        try:
            question = {"form_data": body, "model": item, "channel": name}
            answer = await self._caller.call(
                info,
                {"type": "request:chat:completion", "data": question},
            )
            if isinstance(answer, dict) and answer.get("choices"):
                yield answer
                return
            if not isinstance(answer, dict) or answer.get("status") is not True:
                reason = answer.get("error", answer) if isinstance(answer, dict) else answer
                raise UpstreamError(f"The page could not ask its model: {error_text(reason)}")
            async for chunk in self._stream(channel, info):
                yield chunk
        finally:
            del self._channels[name]

    async def _stream(self, channel: _Channel, info: RequestInfo) -> AsyncGenerator[Chunk, None]:
        lines = LineJoiner()
        complete = False
        while True:
            piece = await self._next(channel, info)
            if isinstance(piece, dict):
                if piece.get("done") is True and "choices" not in piece:
                    break
                pieces: list[Chunk | None] = [piece]
            elif isinstance(piece, str):
                pieces = lines.feed(piece)
            else:
                raise malformed("an event that is neither a line nor an object")
            for chunk in pieces:
                if chunk is None:
                    complete = True
                else:
                    complete = complete or is_last(chunk)
                    yield chunk
        lines.check_end()
        if not complete:
            raise UpstreamError(
                "The model's answer was cut off in mid-stream; what had arrived is kept.",
                code="upstream_cut",
            )

    async def _next(self, channel: _Channel, info: RequestInfo) -> Any:
        until = time.monotonic() + self._silence
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK_SECONDS)):
                    return await channel.get()
            # A session at another replica ends without telling this one.
            with contextlib.suppress(Unavailable):
                if not await self._caller.reaches(info):
                    raise _ended(channel.sid)
        raise UpstreamError(
            f"The page sent nothing of its model's answer for {self._silence:g} s.",
            code="upstream_silent",
            status=504,
        )


def _ended(sid: str) -> CallFailed:
    return CallFailed(f"session {sid} ended in mid-stream")


class DirectModel:
    """One page's model."""

    def __init__(self, channels: DirectChannels, info: RequestInfo, item: dict[str, Any]) -> None:
        self._channels = channels
        self._info = info
        self._item = item

    def chunks(self, body: dict[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The answer, piece by piece."""
        return self._channels.chunks(self._info, self._item, body)
