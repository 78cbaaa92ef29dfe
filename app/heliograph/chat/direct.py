"""A user's own model: the page asks it and sends its lines here, over a one-time channel.

The server calls ``request:chat:completion`` on the session, naming a channel; the page
then sends the model's SSE lines as events of that name and at last ``{done: true}``. Only
that session may send; a line may come split, or several in one event. A channel ends with
its answer, when its session ends, or after a silence.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from heliograph.chat.caller import Caller
from heliograph.chat.info import RequestInfo
from heliograph.chat.models import Chunk, UpstreamError
from heliograph.chat.turn import error_text, is_last, malformed
from heliograph.delivery import Session
from heliograph.errors import CallFailed

_MAX_WAITING = 10_000
_MAX_LINE = 4 * 1024 * 1024
_MAX_WAITING_CHARS = 16 * 1024 * 1024


class _Channel:
    """What one session sends of one answer."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.waiting: asyncio.Queue[Any] = asyncio.Queue(_MAX_WAITING)
        self.size = 0
        self.failure: Exception | None = None

    def put(self, piece: Any) -> None:
        self.size += len(piece) if isinstance(piece, str) else 0
        if self.waiting.full() or self.size > _MAX_WAITING_CHARS:
            self.fail(UpstreamError("The page sent its model's answer faster than it is taken."))
        else:
            self.waiting.put_nowait(piece)

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


_IGNORED = ("event:", "id:", "retry:", ":")
_FIELDS = ("data:", *_IGNORED)


class LineJoiner:
    """Puts an event stream's lines together again.

    Pages cut what they read at arbitrary places and drop the line ends. So a line ends
    where a line end came, or else where what follows ``data:`` is whole.
    """

    def __init__(self) -> None:
        self._line = ""

    def feed(self, text: str) -> list[Chunk | None]:
        """The chunks that are complete now; ``None`` stands for ``[DONE]``.

        :raises UpstreamError: a line ended that is not a chunk.
        """
        found: list[Chunk | None] = []
        pieces = text.replace("\r", "").split("\n")
        for number, piece in enumerate(pieces):
            if self._begins_another(piece):
                self.check_end()
                self._line = ""
            self._line += piece
            if self._line.startswith(_IGNORED) and (at := self._line.find("data:")) > 0:
                self._line = self._line[at:]  # its beginning came apart from its end
            if len(self._line) > _MAX_LINE:
                raise malformed("a line longer than 4 MiB")
            self._take(found)
            if number < len(pieces) - 1:
                self.check_end()
                self._line = ""
        return found

    def _begins_another(self, piece: str) -> bool:
        # A piece of a text may begin like a line, but is not a whole one.
        return bool(self._line) and piece.startswith("data:") and _parsed(piece) is not None

    def _take(self, found: list[Chunk | None]) -> None:
        chunk = _parsed(self._line)
        if chunk is not None:
            found.append(chunk if chunk is not _DONE_CHUNK else None)
            self._line = ""
        elif not any(self._line.startswith(x) or x.startswith(self._line) for x in _FIELDS):
            raise malformed("a line that does not begin with data:")

    def check_end(self) -> None:
        """Nothing may be left half.

        :raises UpstreamError: something is.
        """
        if self._line.strip() not in ("", "data:") and not self._line.startswith(_IGNORED):
            raise malformed("a line that is not whole")


_DONE_CHUNK: Chunk = {}


def _parsed(line: str) -> Chunk | None:
    """The chunk of a whole ``data:`` line, :data:`_DONE_CHUNK`, or ``None``.

    :raises UpstreamError: it is whole, but not an object.
    """
    data = line[5:].strip() if line.startswith("data:") else ""
    if data == "[DONE]":
        return _DONE_CHUNK
    if not data.endswith(("}", "]")):  # it cannot be whole, and need not be parsed
        return None
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(chunk, dict):
        raise malformed("a line that is not a JSON object")
    return chunk


class DirectChannels:
    """The channels that are open now.

    :param silence: longest pause of a page in an answer, seconds.
    """

    def __init__(self, caller: Caller, silence: float) -> None:
        self._caller = caller
        self._silence = silence
        self._channels: dict[str, _Channel] = {}

    def receive(self, session: Session, name: str, args: tuple[Any, ...]) -> bool:
        """An event of a name that nobody registered; whether it was one of ours."""
        channel = self._channels.get(name)
        if channel is None or channel.sid != session.sid:
            return False
        channel.put(args[0] if args else None)
        return True

    def session_ended(self, session: Session) -> None:
        """A session that ended sends nothing any more."""
        for channel in self._channels.values():
            if channel.sid == session.sid:
                channel.fail(CallFailed(f"session {session.sid} ended in mid-stream"))

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
        name = f"{info.user_id}:{sid}:{uuid.uuid4().hex}"
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
            async for chunk in self._stream(channel):
                yield chunk
        finally:
            del self._channels[name]

    async def _stream(self, channel: _Channel) -> AsyncGenerator[Chunk, None]:
        lines = LineJoiner()
        complete = False
        while True:
            piece = await self._next(channel)
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

    async def _next(self, channel: _Channel) -> Any:
        try:
            async with asyncio.timeout(self._silence):
                return await channel.get()
        except TimeoutError:
            raise UpstreamError(
                f"The page sent nothing of its model's answer for {self._silence:g} s.",
                code="upstream_silent",
                status=504,
            ) from None


class DirectModel:
    """One page's model."""

    def __init__(self, channels: DirectChannels, info: RequestInfo, item: dict[str, Any]) -> None:
        self._channels = channels
        self._info = info
        self._item = item

    def chunks(self, body: dict[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The answer, piece by piece."""
        return self._channels.chunks(self._info, self._item, body)
