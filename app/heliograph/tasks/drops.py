"""Taking ended tasks out of the registry, for as long as that takes.

A task has ended whether or not the registry can be told. So its end waits a moment for that, and
what could not be told is told later.
"""

from __future__ import annotations

import asyncio

from heliograph.tasks.registry import TaskRecord, TaskRegistry
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_SOON_SECONDS = 1.0


class Drops:
    """The ended tasks of this replica that the registry does not know of yet."""

    def __init__(self, registry: TaskRegistry) -> None:
        self._registry = registry
        self._owed: dict[str, TaskRecord] = {}
        self._running: set[asyncio.Task[None]] = set()

    @property
    def owed(self) -> list[TaskRecord]:
        """Their records."""
        return list(self._owed.values())

    async def now(self, record: TaskRecord) -> None:
        """Tell the registry; when it is away, return in a moment and tell it later."""
        try:
            async with asyncio.timeout(_SOON_SECONDS):
                await self._registry.drop(record)
        except Exception as error:
            log.warning("task.not_dropped", task_id=record.id, error=str(error))
            self.later(record)

    def later(self, record: TaskRecord) -> None:
        """Tell the registry, until it has heard."""
        self._owed[record.id] = record
        task = asyncio.create_task(self._insist(record))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _insist(self, record: TaskRecord) -> None:
        while record.id in self._owed:
            try:
                await self._registry.drop(record)
                del self._owed[record.id]
            except Exception as error:
                log.debug("task.not_dropped", task_id=record.id, error=str(error))
                await asyncio.sleep(_SOON_SECONDS)

    async def close(self) -> None:
        """Insist no more: the tasks of a replica that ended are dropped by the reaper."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
