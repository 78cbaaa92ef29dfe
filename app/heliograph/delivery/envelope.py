"""Frames as they travel between replicas and lie in Redis.

An entry of a room's log is ``epoch seq at number id envelope``: five words of text, put
in front by the function that gave out the sequence, and a byte string made here: a version
byte and msgpack. ``number`` is ``-`` unless the function had a number to give.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from heliograph.delivery.broker import Logged, Position
from heliograph.delivery.frames import Frame

_VERSION = b"\x01"


class _Wire(msgspec.Struct, array_like=True, omit_defaults=True):
    body: str = ""
    attachments: tuple[bytes, ...] = ()
    skip_sid: str | None = None
    skip_user: str | None = None
    control: dict[str, Any] | None = None
    tail: str | None = None
    blob: str | None = None  # the key under which the real envelope is to be fetched


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)


class UnknownVersion(ValueError):
    """The entry was written by another version of this program."""


class Entry(NamedTuple):
    """An entry of a room's log.

    :ivar at: seconds since 1970, by the clock of Redis.
    :ivar id: of the publish that brought it in.
    :ivar frame: ``None`` when it is elsewhere: under the key ``blob``.
    """

    epoch: str
    seq: int
    at: float
    number: int | None
    id: bytes
    frame: Frame | None
    blob: str | None

    @property
    def position(self) -> Position:
        """Its place in the log."""
        return Position(self.epoch, self.seq)

    def logged(self) -> Logged:
        """The entry for the rest of delivery; its frame must be there."""
        assert self.frame is not None
        return Logged(self.seq, self.at, self.frame)

    def with_envelope(self, envelope: bytes) -> Entry:
        """The entry with the frame that was elsewhere."""
        return self._replace(frame=_frame(_wire(envelope), self.number), blob=None)


def encode_frame(frame: Frame) -> bytes:
    """The envelope of a frame."""
    wire = _Wire(
        frame.body, frame.attachments, frame.skip_sid, frame.skip_user, frame.control, frame.tail
    )
    return _VERSION + _encoder.encode(wire)


def encode_claim(key: str) -> bytes:
    """An envelope that says where the real one is."""
    return _VERSION + _encoder.encode(_Wire(blob=key))


def decode_frame(envelope: bytes) -> Frame:
    """A frame from its envelope alone.

    :raises UnknownVersion: another version wrote it.
    """
    return _frame(_wire(envelope), None)


def decode_entry(data: bytes) -> Entry:
    """An entry of a log.

    :raises UnknownVersion: another version wrote it.
    """
    epoch, seq, at, number, ident, envelope = data.split(b" ", 5)
    wire = _wire(envelope)
    given = None if number == b"-" else int(number)
    frame = None if wire.blob is not None else _frame(wire, given)
    return Entry(epoch.decode(), int(seq), int(at) / 1000, given, ident, frame, wire.blob)


def _wire(envelope: bytes) -> _Wire:
    if envelope[:1] != _VERSION:
        raise UnknownVersion(f"an envelope of version {envelope[:1].hex() or 'nothing'}")
    return _decoder.decode(envelope[1:])


def _frame(wire: _Wire, number: int | None) -> Frame:
    frame = Frame(
        wire.body, wire.attachments, wire.skip_sid, wire.skip_user, wire.control, wire.tail
    )
    return frame if number is None else frame.with_number(number)
