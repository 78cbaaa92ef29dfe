"""Reading Yjs bytes without trusting them: the part a native decoder must never see first.

Purpose: walk an untrusted Yjs v1 update, or a state vector, in plain Python before `pycrdt` gets
it. Measured with pycrdt 0.14.13: five bytes that claim 2**28 clients cost 0.9 s and 540 MB before
they are refused, and 28 kB of nested values, or a type nested 40,000 levels deep that is then
deleted, overflow the native stack: a SIGSEGV no `except` can catch.

Guarantee: whatever passes `scan` is well formed, claims no more entries than it has bytes for,
nests values at most `MAX_VALUE_DEPTH` deep and holds valid UTF-8. `nesting` says how deep shared
types are nested in each other. Nothing here allocates more than a small multiple of its input.

Limits: it does not say whether an update's dependencies are known or its parents fit;
`updates.UpdateGate` does.

Source: the encoding of Yjs v1, `yjs/src/utils/encoding.js`, `structs/*.js` (`read*` functions) and
lib0's `encoding.js`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph.documents.reader import MAX_CLOCK, Reader
from heliograph.documents.reader import BadUpdate as BadUpdate

Id = tuple[int, int]
"""(client, clock) of one item."""


@dataclass(slots=True)
class Facts:
    """What one update says about itself.

    `structs`: how many structs; `types`: how many of them are shared types, an upper bound of how
    much deeper the document can get; `deletes`: client -> the clock after the last one it deletes.
    """

    structs: int = 0
    types: int = 0
    deletes: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Links:
    """For `nesting`: the structs of one client, by the clock each starts at.

    A row is (is a shared type, the item it hangs on or None, whether it stands beside that item
    rather than inside it).
    """

    clocks: list[int] = field(default_factory=list)
    rows: list[tuple[bool, Id | None, bool]] = field(default_factory=list)


def scan(update: bytes) -> Facts:
    """Check the form of a Yjs v1 update and say what is in it.

    Raises:
        BadUpdate: `malformed` or `too_deep`; the text names the place.
    """
    return _walk(update, None)


def state_clocks(state_vector: bytes) -> dict[int, int]:
    """Decode a Yjs v1 state vector: client -> the next clock expected of it.

    Raises:
        BadUpdate: malformed.
    """
    reader = Reader(state_vector)
    clocks = {reader.uint(): reader.uint(MAX_CLOCK) for _ in range(reader.count(2))}
    reader.done()
    return clocks


def nesting(updates: Iterable[bytes]) -> int:
    """How many shared types stand inside each other at the deepest place, over all `updates` taken
    as one document.

    Deleted types count as long as the bytes name them. Linear in the size of the updates (about 0.3
    ms a kilobyte).

    Raises:
        BadUpdate: one of them is malformed.
    """
    links: dict[int, _Links] = {}
    for update in updates:
        _walk(update, links)
    for of_client in links.values():
        order = sorted(range(len(of_client.clocks)), key=of_client.clocks.__getitem__)
        of_client.clocks = [of_client.clocks[i] for i in order]
        of_client.rows = [of_client.rows[i] for i in order]
    depths: dict[Id, int] = {}  # (client, index) -> how many types it stands in, itself included

    def place(anchor: Id | None) -> Id | None:
        of_client = links.get(anchor[0]) if anchor else None
        if anchor is None or of_client is None:
            return None
        index = bisect_right(of_client.clocks, anchor[1]) - 1
        return (anchor[0], index) if index >= 0 else None

    for client, of_client in links.items():
        for index in range(len(of_client.rows)):
            chain: list[Id] = []
            at: Id | None = (client, index)
            while at is not None and at not in depths:
                depths[at] = 0  # where a circle ends
                chain.append(at)
                at = place(links[at[0]].rows[at[1]][1])
            for step in reversed(chain):
                is_type, anchor, beside = links[step[0]].rows[step[1]]
                above = place(anchor)
                depth = depths[above] if above else 0
                if above and beside:
                    depth -= links[above[0]].rows[above[1]][0]
                depths[step] = depth + is_type
    return max(depths.values(), default=0)


def _walk(update: bytes, links: dict[int, _Links] | None) -> Facts:
    reader = Reader(update)
    facts = Facts()
    for _ in range(reader.count(3)):
        structs = reader.count(2)
        client = reader.uint()
        clock = reader.uint(MAX_CLOCK)
        facts.structs += structs
        of_client = links.setdefault(client, _Links()) if links is not None else None
        for _ in range(structs):
            length, is_type, anchor, beside = _struct(reader)
            facts.types += is_type
            if of_client is not None:
                of_client.clocks.append(clock)
                of_client.rows.append((is_type, anchor, beside))
            clock += length
            if clock > MAX_CLOCK:
                raise BadUpdate("malformed", f"the clock of client {client} is out of range")
    for _ in range(reader.count(2)):
        client = reader.uint()
        last = facts.deletes.get(client, 0)
        for _ in range(reader.count(2)):
            last = max(last, reader.uint(MAX_CLOCK) + reader.length())
        facts.deletes[client] = last
    reader.done()
    return facts


def _struct(reader: Reader) -> tuple[int, bool, Id | None, bool]:
    """Step over one struct.

    Returns its length in clocks, whether it is a shared type, the item it hangs on, and whether it
    stands beside that item (as one of its siblings) rather than inside it.
    """
    info = reader.byte()
    if info in (0, 10):  # collected garbage, or a gap
        return reader.length(), False, None, False
    left: Id | None = None
    right: Id | None = None
    parent: Id | None = None
    if info & 0x80:
        left = (reader.uint(), reader.uint(MAX_CLOCK))
    if info & 0x40:
        right = (reader.uint(), reader.uint(MAX_CLOCK))
    if not info & 0xC0:
        named = reader.uint()
        if named == 1:
            reader.text()
        elif named == 0:
            parent = (reader.uint(), reader.uint(MAX_CLOCK))
        else:
            raise BadUpdate("malformed", f"unknown kind of parent {named} at byte {reader.pos - 1}")
        if info & 0x20:
            reader.text()
    return *_content(reader, info & 0x1F), left or right or parent, parent is None


def _content(reader: Reader, kind: int) -> tuple[int, bool]:
    """Step over the content of an item: its length in clocks, and whether it is a shared type."""
    if kind == 4:
        text = reader.text()
        if not text:
            raise BadUpdate("malformed", f"an empty text at byte {reader.pos}")
        return len(text.encode("utf-16-le")) // 2, False
    if kind == 7:
        shared = reader.uint()
        if shared in (3, 5):
            reader.text()
        elif shared > 6:
            raise BadUpdate("malformed", f"unknown shared type {shared} at byte {reader.pos - 1}")
        return 1, True
    if kind == 6:
        reader.text()
        reader.text()
        return 1, False
    if kind == 1:
        return reader.length(), False
    if kind in (2, 8):
        entries = reader.count()
        if entries == 0:
            raise BadUpdate("malformed", f"an empty list at byte {reader.pos}")
        for _ in range(entries):
            if kind == 2:
                reader.text()
            else:
                reader.value()
        return entries, False
    if kind == 3:
        reader.skip(reader.uint())
    elif kind == 5:
        reader.text()
    elif kind == 9:
        reader.text()
        reader.value()
    else:
        raise BadUpdate("malformed", f"unknown content {kind} at byte {reader.pos}")
    return 1, False
