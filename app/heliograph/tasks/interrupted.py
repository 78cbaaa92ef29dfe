"""The tasks that a dead replica left: reported as ``interrupted``, then listed no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from heliograph.tasks.registry import TaskRecord, TaskRegistry
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_AT_ONCE = 16

Settle = Callable[[TaskRecord], Awaitable[None]]


class Interrupted:
    """Ends the tasks of the dead, for the reaper.

    :param settle: called with each record; see ``Tasks.on_interrupted``.
    """

    def __init__(self, registry: TaskRegistry, settle: list[Settle]) -> None:
        self._registry = registry
        self._settle = settle

    async def end_those_of(self, replica_id: str) -> None:
        """End them all; idempotent.

        :raises Exception: one could not be ended, and all that could be have been.
        """
        left = await self._registry.bury(replica_id)
        if left:
            log.warning("tasks.interrupted", replica=replica_id, tasks=len(left))
        few = asyncio.Semaphore(_AT_ONCE)
        results = await asyncio.gather(
            *(self._end(record, few) for record in left), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _end(self, record: TaskRecord, few: asyncio.Semaphore) -> None:
        async with few:
            interrupted = replace(record, state="interrupted")
            for settle in self._settle:
                await settle(interrupted)
            await self._registry.drop(interrupted)
