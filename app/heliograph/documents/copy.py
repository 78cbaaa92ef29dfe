"""A document in memory: a copy of its log up to a place, and the door for new updates.

Guarantee: the copy is what the log says at :attr:`Copy.place`, never more. An update is
checked against it with :meth:`Copy.check` and gets into it when the log has it
(:meth:`Copy.accept`); until then it counts for the checks of what follows it, and
:meth:`Copy.discard` takes that back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pycrdt

from heliograph.documents.compaction import replay
from heliograph.documents.log import Logged, Place
from heliograph.documents.updates import UpdateGate, guarded
from heliograph.documents.wire import BadUpdate, nesting, scan
from heliograph.documents.worker import Worker
from heliograph.errors import BadPayload, TooLarge

MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
"""Largest document: its state must fit into one message to a joiner."""

_READING = 8
"""How many times cheaper bytes are read than a note's text is derived from them."""


class MissingDependencies(BadPayload):
    """An update builds on changes that the copy has not."""

    code = "missing_dependencies"


class Copy:
    """The document as of :attr:`place`.

    :ivar rights: the newest that the log is known to have said of the rights.
    :ivar doubtful: the log may have more of this replica than the copy.

    :param checker: reads big updates.
    :raises BadUpdate: the log cannot be read.
    """

    def __init__(self, logged: Logged, checker: Worker) -> None:
        self._checker = checker
        self._doc: pycrdt.Doc[Any] = replay(logged.snapshot, logged.updates)
        self.place: Place = logged.place
        self.rights = logged.rights
        self.doubtful = False
        self._gate = UpdateGate(self._doc)
        self._most_bytes = logged.size

    def state(self, state_vector: bytes | None) -> bytes:
        """What a client with ``state_vector`` lacks; all without one.

        :raises BadUpdate: the state vector is malformed.
        """
        return guarded(self._doc.get_update, state_vector)

    @property
    def state_vector(self) -> bytes:
        """What it has, for :meth:`state` of another."""
        return self._doc.get_state()

    def take(self, updates: Sequence[bytes], place: Place) -> None:
        """Apply what the log has after :attr:`place`.

        :raises BadUpdate: one does not fit.
        """
        for update in updates:
            self._gate.take(update)
            self._most_bytes += len(update)
        self.place = place
        self.doubtful = False

    async def check(self, update: bytes) -> bool:
        """Whether an update says anything new.

        :raises HeliographError: ``bad_update``, ``missing_dependencies`` or ``too_large``.
        """
        if self._most_bytes + len(update) > MAX_DOCUMENT_BYTES:
            self._most_bytes = len(self._doc.get_update()) + sum(map(len, self._gate.checked))
            if self._most_bytes + len(update) > MAX_DOCUMENT_BYTES:
                raise TooLarge(f"the document would be larger than {MAX_DOCUMENT_BYTES} bytes")
        try:
            facts = await self._checker.run(len(update) // _READING, scan, update)
            depth = None
            if self._gate.must_measure(facts):
                state = self._doc.get_update()
                parts = (state, *self._gate.checked, update)
                size = sum(map(len, parts)) // _READING
                depth = await self._checker.run(size, nesting, parts)
            changed = self._gate.check(update, facts, depth)
        except BadUpdate as error:
            if error.code == "missing":
                raise MissingDependencies(str(error), path="update") from error
            raise BadPayload(str(error), code="bad_update", path="update") from error
        self._most_bytes += len(update)
        return changed

    def accept(self, place: Place) -> None:
        """What was checked is in the log now, up to ``place``."""
        self._gate.accept()
        self.place = place

    def discard(self) -> None:
        """What was checked is not in the log."""
        self._gate.discard()
