"""An event stream's lines, put together again from the pieces in which a page sends them."""

from __future__ import annotations

import orjson

from heliograph.chat.models import Chunk
from heliograph.chat.turn import malformed

_MAX_LINE = 4 * 1024 * 1024

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
