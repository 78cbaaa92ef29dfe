"""An event, encoded once.

The publisher encodes; a receiver only adds what differs per connection (the ack id,
the recovery offset) and writes. Wire form: Socket.IO protocol v5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket

_EVENT, _ACK, _BINARY_EVENT, _BINARY_ACK = "2", "3", "5", "6"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# Names that clients of the old contract listen to instead.
_LEGACY_NAMES = {"events": "chat-events", "events:channel": "channel-events"}


def encode(value: Any) -> tuple[str, tuple[bytes, ...]]:
    """JSON text and the binary attachments its placeholders stand for, in order.

    :raises TypeError: something in ``value`` has no JSON form.
    """
    attachments: list[bytes] = []

    def attach(item: Any) -> Any:
        if isinstance(item, bytes | bytearray | memoryview):
            attachments.append(bytes(item))
            return {"_placeholder": True, "num": len(attachments) - 1}
        raise TypeError(f"cannot encode a {type(item).__name__}")

    return orjson.dumps(value, default=attach).decode(), tuple(attachments)


class JsonCodec:
    """The ``json`` module that python-socketio is given: orjson, strict and bounded in depth."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Encode; the keyword arguments of the standard library's function are ignored."""
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Decode; half a surrogate pair, which browsers may send, becomes U+FFFD.

        :raises ValueError: not JSON, or nested deeper than 1,024.
        """
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            if not isinstance(text, str) or not _SURROGATE.search(text):
                raise
        try:
            mended = json.dumps(json.loads(text), ensure_ascii=False)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        whole = mended.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return orjson.loads(whole)


@dataclass(frozen=True, slots=True)
class Frame:
    """One event on its way to a room.

    :ivar body: JSON text of ``[name, *args]`` without its closing bracket.
    :ivar attachments: binary arguments, in the order of their placeholders.
    :ivar skip_sid: a session that must not get it (the sender).
    :ivar skip_user: a user whose sessions must not get it.
    :ivar control: an instruction to the replicas instead of an event, see ``hub``.
    :ivar tail: what follows ``body`` and the number that the broker gives to a frame made
        with :meth:`numbered`; ``None`` for all others.
    """

    body: str
    attachments: tuple[bytes, ...] = ()
    skip_sid: str | None = None
    skip_user: str | None = None
    control: dict[str, Any] | None = None
    tail: str | None = None
    _head: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def event(
        cls, name: str, *args: Any, skip_sid: str | None = None, skip_user: str | None = None
    ) -> Frame:
        """Encode an event."""
        text, attachments = encode([name, *args])
        return cls(text[:-1], attachments, skip_sid, skip_user)

    @classmethod
    def numbered(
        cls, name: str, data: dict[str, Any], field: str, *, skip_sid: str | None = None
    ) -> Frame:
        """Encode an event whose ``data[field]`` is a number that is not known yet."""
        text, attachments = encode([name, {**data, field: 0}])
        return cls(text[:-3], attachments, skip_sid, tail="}")

    def with_number(self, number: int) -> Frame:
        """The event with its number."""
        if self.tail is None:
            return self
        body = f"{self.body}{number}{self.tail}"
        return Frame(body, self.attachments, self.skip_sid, self.skip_user)

    @classmethod
    def instruction(cls, **control: Any) -> Frame:
        """A control frame for the replicas that have members in the room."""
        return cls("", control=control)

    @property
    def size(self) -> int:
        """Bytes it holds, about."""
        return len(self.body) + sum(map(len, self.attachments)) + 64

    def legacy(self) -> Frame:
        """The same event under the name of the old contract, if it has one."""
        for name, old in _LEGACY_NAMES.items():
            if self.body.startswith(f'["{name}"'):
                body = f'["{old}"' + self.body[len(name) + 3 :]
                return Frame(body, self.attachments, self.skip_sid, self.skip_user)
        return self

    def packets(
        self, *, offset: str | None = None, ack_id: int | None = None
    ) -> Iterator[EnginePacket]:
        """The Engine.IO packets of this event, for one connection."""
        tail = f',"{offset}"]' if offset is not None else "]"
        yield from _packets(_EVENT, _BINARY_EVENT, self.body + tail, self.attachments, ack_id)

    def websocket(self, *, offset: str | None = None, ack_id: int | None = None) -> bytes:
        """The same as :meth:`packets`, as websocket frames ready to be written.

        What does not differ between connections is encoded once.
        """
        head = self._head
        if head is None:
            head = self.body.encode()
            object.__setattr__(self, "_head", head)
        number = "" if ack_id is None else str(ack_id)
        kind = f"45{len(self.attachments)}-{number}" if self.attachments else f"42{number}"
        tail = f',"{offset}"]' if offset is not None else "]"
        frames = _websocket_frame(0x81, kind.encode() + head + tail.encode())
        for attachment in self.attachments:
            frames += _websocket_frame(0x82, attachment)
        return frames


def _websocket_frame(kind: int, payload: bytes) -> bytes:
    """One unmasked, unfragmented frame. Source: RFC 6455, section 5.2."""
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 65_536:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((kind, 127)) + size.to_bytes(8, "big") + payload


def ack_packets(ack_id: int, result: Any) -> Iterator[EnginePacket]:
    """The Engine.IO packets of an acknowledgement with one argument."""
    text, attachments = encode([result])
    return _packets(_ACK, _BINARY_ACK, text, attachments, ack_id)


def _packets(
    plain: str, binary: str, text: str, attachments: tuple[bytes, ...], ack_id: int | None
) -> Iterator[EnginePacket]:
    number = "" if ack_id is None else str(ack_id)
    head = f"{binary}{len(attachments)}-{number}" if attachments else f"{plain}{number}"
    yield EnginePacket(MESSAGE, head + text)
    for attachment in attachments:
        yield EnginePacket(MESSAGE, attachment)
