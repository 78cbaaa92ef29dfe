"""Cursors of members at other replicas, which are asked for them when somebody comes here.

They are volatile: what cannot be told is shown when it next moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from heliograph.cluster import Cluster
from heliograph.documents.roster import Records
from heliograph.errors import HeliographError
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_OP = "documents.cursors"
_SECONDS = 5.0

Shown = Callable[[str, str], Iterable[tuple[str, bytes]]]
"""``(document id, sid)``: what members here show to that session, by user id."""


class Elsewhere:
    """The line to what other replicas' members show.

    :param shown: what those here show.
    """

    def __init__(self, cluster: Cluster, shown: Shown) -> None:
        self._cluster = cluster
        self._shown = shown
        self._asking: set[asyncio.Task[None]] = set()
        cluster.peers.serve(_OP, self._answer)

    def ask(
        self, document_id: str, sid: str, records: Records, show: Callable[[str, bytes], None]
    ) -> None:
        """Call ``show(user id, update)`` soon for what the members at other replicas show."""
        here = self._cluster.replica.id
        for replica_id in sorted({each.replica for each in records.values()} - {here}):
            task = asyncio.create_task(self._ask(replica_id, document_id, sid, show))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(
        self, replica_id: str, document_id: str, sid: str, show: Callable[[str, bytes], None]
    ) -> None:
        asked = {"document_id": document_id, "sid": sid}
        try:
            answer = await self._cluster.peers.request(replica_id, _OP, asked, timeout=_SECONDS)
        except HeliographError as error:
            log.debug("documents.cursors_unknown", replica=replica_id, error=error.message)
            return
        for user_id, update in answer:
            show(user_id, update)

    async def _answer(self, asked: dict[str, Any]) -> list[list[Any]]:
        return [[*each] for each in self._shown(asked["document_id"], asked["sid"])]

    async def stop(self) -> None:
        """Ask no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
