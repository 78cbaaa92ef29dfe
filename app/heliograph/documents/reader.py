"""A cursor over bytes of a client, which believes none of them.

Purpose: numbers, texts and values as lib0 encodes them, for `wire` and `awareness`. Everything that
cannot be right raises `BadUpdate`, before anything is allocated for it.

Source: lib0's `encoding.js` and `decoding.js`, version 1 of the encoding.
"""

from __future__ import annotations

MAX_VALUE_DEPTH = 64
"""How deep arrays and objects may nest inside one plain value (not shared types)."""

MAX_CLOCK = 2**31
"""Clocks and lengths stay below this; the native library keeps them in 32 bits."""

MAX_INTEGER = 2**53
"""Ids are at most what a JavaScript number holds exactly."""


class BadUpdate(ValueError):
    """Bytes of a client that are refused; nothing was changed.

    `code` is one of `too_large`, `malformed`, `too_deep`, `missing` (it builds on changes this
    document does not have: the client has to synchronise by state vector) and `refused` (the native
    library would not integrate it). The text says why.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)  # both, so that it can be pickled
        self.code = code

    def __str__(self) -> str:
        return str(self.args[1])


class Reader:
    """A cursor over bytes that raises `BadUpdate("malformed")` at the first thing amiss."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.end = len(data)

    def byte(self) -> int:
        pos = self.pos
        if pos >= self.end:
            raise BadUpdate("malformed", f"ends after {pos} bytes, where more are announced")
        self.pos = pos + 1
        return self.data[pos]

    def uint(self, limit: int = MAX_INTEGER) -> int:
        """An unsigned integer, 7 bits a byte, lowest first; at most `limit`."""
        data, pos, end = self.data, self.pos, self.end
        value = shift = 0
        while True:
            if pos >= end:
                raise BadUpdate("malformed", f"ends after {pos} bytes, inside a number")
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 56:
                raise BadUpdate("malformed", f"a number at byte {self.pos} has no end")
        if value > limit:
            raise BadUpdate("malformed", f"{value} at byte {self.pos} is out of range")
        self.pos = pos
        return value

    def count(self, least: int = 1) -> int:
        """A number of entries of at least `least` bytes each; never more than there is room for."""
        value = self.uint()
        if value * least > self.end - self.pos:
            raise BadUpdate(
                "malformed", f"{value} entries are announced in {self.end - self.pos} bytes"
            )
        return value

    def length(self) -> int:
        """How many clocks a struct covers: 1 or more."""
        value = self.uint(MAX_CLOCK)
        if value == 0:
            raise BadUpdate("malformed", f"an empty struct at byte {self.pos}")
        return value

    def skip(self, size: int) -> None:
        if size > self.end - self.pos:
            raise BadUpdate(
                "malformed", f"{size} bytes are announced, {self.end - self.pos} are left"
            )
        self.pos += size

    def text(self) -> str:
        """A length in bytes and that much UTF-8."""
        size = self.uint()
        start = self.pos
        self.skip(size)
        try:
            return self.data[start : self.pos].decode()
        except UnicodeDecodeError:
            raise BadUpdate("malformed", f"the text at byte {start} is not UTF-8") from None

    def value(self) -> None:
        """Step over one plain value (lib0's `any`), without recursion."""
        open_: list[list[int]] = []  # [entries left, 1 if they have keys]
        while True:
            kind = self.byte()
            if kind in (118, 117):
                keyed = int(kind == 118)
                open_.append([self.count(1 + keyed), keyed])
                if len(open_) > MAX_VALUE_DEPTH:
                    raise BadUpdate(
                        "too_deep", f"a value nested deeper than {MAX_VALUE_DEPTH} levels"
                    )
            elif kind == 125:
                while self.byte() >= 0x80:
                    pass
            elif kind == 124:
                self.skip(4)
            elif kind in (123, 122):
                self.skip(8)
            elif kind == 119:
                self.text()
            elif kind == 116:
                self.skip(self.uint())
            elif kind not in (127, 126, 121, 120):
                raise BadUpdate("malformed", f"unknown kind of value {kind} at byte {self.pos - 1}")
            while open_ and open_[-1][0] == 0:
                open_.pop()
            if not open_:
                return
            open_[-1][0] -= 1
            if open_[-1][1]:
                self.text()

    def done(self) -> None:
        if self.pos != self.end:
            raise BadUpdate("malformed", f"{self.end - self.pos} bytes follow the end")
