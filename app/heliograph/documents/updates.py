"""The one door through which other people's Yjs updates enter a document.

Purpose: `coerce_update` turns what arrived in an event into bytes; `UpdateGate` applies such bytes
to a live `pycrdt.Doc`.

Guarantee: an update that is refused (`BadUpdate`) has changed nothing, cannot end the process, and
leaves nothing waiting inside the document. An update that is accepted is integrated in full:
nothing of it waits for changes that nobody has, so it may be acknowledged, logged and relayed.

Why a twin: a failed `Doc.apply_update` may leave the document half changed (pycrdt 0.14.13: an item
whose parent is no shared type raises after its siblings are in), and an update with missing
dependencies is accepted in silence and kept aside, in no state vector and no `get_update`. Both are
found out on a second copy; when one happens the copy is thrown away, not the document.

Limits: one gate per document, used from the document's own thread. The copy doubles the memory of
an open document. A check costs about 30 microseconds for a keystroke; making the copy anew costs as
much as loading the document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pycrdt

from heliograph.documents.reader import BadUpdate as BadUpdate
from heliograph.documents.wire import Facts, nesting, scan, state_clocks

T = TypeVar("T")

MAX_UPDATE_BYTES = 1024 * 1024
"""Largest update taken from a client by default: 1 MiB, about 20,000 paragraphs typed at once."""

_CHEAP_BYTES = 16 * 1024  # reading more takes longer than anybody should wait

MAX_NESTING = 2_000
"""How deep shared types may stand inside each other.

Deleting 40,000 levels overflows a native stack of 8 MiB.
"""


def coerce_update(value: object, max_bytes: int = MAX_UPDATE_BYTES) -> bytes:
    """The bytes of an update as clients send them: binary, or a list of integers 0 to 255 (clients
    of Open WebUI).

    The size is checked before anything is converted.

    Raises:
        BadUpdate: `too_large` above `max_bytes`; `malformed` when it is neither, or empty.
    """
    if not isinstance(value, (bytes, bytearray, memoryview, list, tuple)):
        raise BadUpdate("malformed", f"an update is bytes, not {type(value).__name__}")
    size = value.nbytes if isinstance(value, memoryview) else len(value)
    if size > max_bytes:
        raise BadUpdate("too_large", f"{size} bytes, and at most {max_bytes} are taken")
    if size == 0:
        raise BadUpdate("malformed", "an empty update")
    if not isinstance(value, (list, tuple)):
        return bytes(value)
    # `bytes([True])` would pass; a JSON `true` is not a number.
    if any(type(item) is not int for item in value):
        raise BadUpdate("malformed", "a list of integers 0 to 255 is expected")
    try:
        return bytes(value)
    except ValueError:
        raise BadUpdate("malformed", "a list of integers 0 to 255 is expected") from None


def guarded(call: Callable[..., T], *args: Any) -> T:
    """Call into the native library; its errors and panics (`BaseException`s) come out as
    `BadUpdate("refused")`.

    Cancellation and the interpreter's own exits pass through.
    """
    try:
        return call(*args)
    except (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise BadUpdate("refused", f"cannot be integrated: {str(error)[:200]}") from error


def integrated(update: bytes, state_vector: bytes, facts: Facts | None = None) -> bool:
    """Whether a document with `state_vector` has taken in all of `update`, and nothing of it waits
    for other changes.

    Args:
        update: a Yjs v1 update that passed `scan`.
        state_vector: the document's, after the update was applied.
        facts: of `scan(update)`, when it is at hand.

    Raises:
        BadUpdate: malformed.
    """
    facts = facts or scan(update)
    if facts.deletes:
        clocks = state_clocks(state_vector)
        if any(last > clocks.get(client, 0) for client, last in facts.deletes.items()):
            return False
    # What the update has beyond that state; its first number counts the clients with structs.
    return not facts.structs or guarded(pycrdt.get_update, update, state_vector)[0] == 0


class UpdateGate:
    """Guards one live document; see the module for what it guarantees.

    What is checked is let in by `accept` or, when it cannot be stored after all, dropped by
    `discard`. Changes the server makes to `doc` itself need not pass: the gate notices them by the
    state vector.
    """

    def __init__(self, doc: pycrdt.Doc[Any], *, max_nesting: int = MAX_NESTING) -> None:
        self._doc = doc
        self._twin: pycrdt.Doc[Any] | None = None
        self._checked: list[bytes] = []
        self._max_nesting = max_nesting
        # An upper bound of the nesting: exact when measured, then raised by each update's number of
        # types, which costs nothing; None while never measured.
        self._nesting: int | None = None
        # The twin holds its observer: that one must not hold the gate.
        self._changes = [0]
        self._watching: object = None

    @property
    def checked(self) -> Sequence[bytes]:
        """What was checked and is not let in yet."""
        return self._checked

    def must_measure(self, facts: Facts) -> bool:
        """Whether checking an update with these facts takes measuring the whole document, some 0.3
        ms a kilobyte; `check` does it, unless it is told the `depth`."""
        return bool(facts.types) and (
            self._nesting is None or self._nesting + facts.types > self._max_nesting
        )

    def check(self, update: bytes, facts: Facts | None = None, depth: int | None = None) -> bool:
        """Refuse an update that could not be applied in full; the document is left as it is either
        way. What was checked before counts as applied.

        Args:
            update: a Yjs v1 update, its size already checked (`coerce_update`).
            facts: of `scan(update)`, when it is at hand.
            depth: `nesting` of the document with the update, when `must_measure` asked for it.

        Returns:
            Whether it says anything new.

        Raises:
            BadUpdate: `malformed`, `too_deep`, `missing` or `refused`.
        """
        facts = facts or scan(update)
        bound = self._bound(update, facts, depth)
        twin = self._copy()
        before = self._changes[0]
        try:
            guarded(twin.apply_update, update)
            if not integrated(update, twin.get_state(), facts):
                raise BadUpdate("missing", "it builds on changes that this document does not have")
        except BadUpdate:
            self._twin = None
            raise
        self._nesting = bound
        if self._changes[0] == before:
            return False
        self._checked.append(update)
        return True

    def accept(self) -> None:
        """Apply to the document what was checked."""
        checked, self._checked = self._checked, []
        for update in checked:
            guarded(self._doc.apply_update, update)

    def discard(self) -> None:
        """Forget what was checked."""
        if self._checked:
            self._checked.clear()
            self._twin = None

    def apply(self, update: bytes, facts: Facts | None = None, depth: int | None = None) -> bool:
        """Check an update and apply it to the document; whether it said anything new.

        Raises:
            BadUpdate: as `check`; the document is unchanged.
        """
        changed = self.check(update, facts, depth)
        self.accept()
        return changed

    def take(self, update: bytes) -> None:
        """Apply an update that another gate has let in.

        Raises:
            BadUpdate: it cannot be integrated: the document is not the one of that gate.
        """
        guarded(self._doc.apply_update, update)
        if self._twin is not None and self._checked:
            guarded(self._twin.apply_update, update)
        if len(update) > _CHEAP_BYTES:
            self._nesting = None
        elif self._nesting is not None:
            self._nesting += scan(update).types

    def _bound(self, update: bytes, facts: Facts, depth: int | None) -> int | None:
        if not self.must_measure(facts):
            return self._nesting + facts.types if self._nesting is not None else None
        if depth is None:
            depth = nesting((self._doc.get_update(), *self._checked, update))
        if depth > self._max_nesting:
            raise BadUpdate(
                "too_deep",
                f"types nested {depth} levels deep, and at most {self._max_nesting} are taken",
            )
        return depth

    def _copy(self) -> pycrdt.Doc[Any]:
        if self._twin is None:
            self._twin = pycrdt.Doc()
            self._twin.apply_update(self._doc.get_update())
            for update in self._checked:
                self._twin.apply_update(update)
            changes = self._changes
            self._watching = self._twin.observe(lambda _: _count(changes))
        elif not self._checked and self._twin.get_state() != self._doc.get_state():
            self._twin.apply_update(self._doc.get_update(self._twin.get_state()))
        return self._twin


def _count(changes: list[int]) -> None:
    changes[0] += 1


def check_update(doc: pycrdt.Doc[Any], update: bytes) -> None:
    """Check one update against a document, once; for a stream of updates keep an `UpdateGate`.

    Raises:
        BadUpdate: see `UpdateGate.check`.
    """
    UpdateGate(doc).check(update)


def known_clocks(state_vector: Sequence[int] | bytes, max_bytes: int = 64 * 1024) -> bytes:
    """The bytes of a state vector a client sent, safe to hand to `Doc.get_update`.

    Args:
        state_vector: binary, or the old list of integers.
        max_bytes: largest size; 64 KiB is some 6,000 clients.

    Raises:
        BadUpdate: `too_large` or `malformed`.
    """
    data = coerce_update(state_vector, max_bytes)
    state_clocks(data)
    return data
