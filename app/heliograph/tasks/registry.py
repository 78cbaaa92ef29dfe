"""Where tasks are registered, so that others can list them and ask for their end.

A record is put before its task runs and dropped after it ended; what remains for a
short while is how it ended, so that a late stop is answered. :class:`Tasks` knows only
the protocol; a registry for many processes keeps records with a lease and carries a
stop to the owner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

TaskState = Literal["running", "stopping", "finished", "stopped", "failed", "interrupted"]

REMEMBERED_SECONDS = 300
"""How long it is known how a task ended."""

_REMEMBERED_MOST = 10_000


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What others may know of a task.

    :ivar item: what it works for, e.g. a chat's id.
    :ivar owner: id of the replica that runs it.
    :ivar started_at: seconds since 1970.
    :ivar lease_until: when it counts as dead unless renewed, seconds since 1970; ``None``
        where the registry dies with the owner.
    """

    id: str
    item: str
    user_id: str
    label: str
    owner: str
    state: TaskState
    started_at: float
    lease_until: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """``{id, item, user_id, label, owner, state, started_at, age, lease_until}``; age in s."""
        return {
            "id": self.id,
            "item": self.item,
            "user_id": self.user_id,
            "label": self.label,
            "owner": self.owner,
            "state": self.state,
            "started_at": int(self.started_at),
            "age": round(max(0.0, time.time() - self.started_at), 3),
            "lease_until": self.lease_until,
        }


class TaskRegistry(Protocol):
    """Records of the tasks of all replicas. Every method may raise ``Unavailable``."""

    async def open(
        self, asked: Callable[[str], None], running: Callable[[], list[TaskRecord]]
    ) -> None:
        """Begin to listen.

        :param asked: called with the id of a task that somebody wants to end. It may be called
            more than once, and for tasks of others.
        :param running: the records that this replica has put and not dropped.
        """

    async def close(self) -> None:
        """Listen no more."""

    async def put(self, record: TaskRecord) -> None:
        """Register.

        :raises Unavailable: also when the owner has been declared dead.
        """

    async def mark(self, record: TaskRecord) -> None:
        """Somebody asked for its end; no effect on one that has ended."""

    async def drop(self, record: TaskRecord) -> None:
        """The task ended in ``record.state``: list it no more, remember how it ended. The first
        to say how it ended is right."""

    async def get(self, task_id: str) -> TaskRecord | None:
        """The record of a live task, or of one that ended a short while ago."""

    async def live(self) -> list[TaskRecord]:
        """Records of all live tasks, oldest first."""

    async def of_item(self, item: str) -> list[TaskRecord]:
        """Records of the live tasks of one item, oldest first."""

    async def stop_elsewhere(self, record: TaskRecord) -> TaskState | None:
        """Have another replica stop its task.

        :returns: the state it ended in, or ``None`` when nobody runs it.
        """

    async def bury(self, replica_id: str) -> list[TaskRecord]:
        """Register nothing more for a dead replica; the tasks it had, still registered."""


class MemoryTaskRegistry:
    """Registry of a single process: there is no elsewhere."""

    def __init__(self) -> None:
        self._live: dict[str, TaskRecord] = {}
        self._ended: dict[str, tuple[float, TaskRecord]] = {}

    async def open(
        self, asked: Callable[[str], None], running: Callable[[], list[TaskRecord]]
    ) -> None:
        """Nobody else asks."""

    async def close(self) -> None:
        """Nothing to do."""

    async def put(self, record: TaskRecord) -> None:
        """Register."""
        self._live[record.id] = record

    async def mark(self, record: TaskRecord) -> None:
        """Somebody asked for its end; no effect on one that has ended."""
        if record.id in self._live:
            self._live[record.id] = record

    async def drop(self, record: TaskRecord) -> None:
        """The task ended in ``record.state``: list it no more, remember how it ended."""
        self._live.pop(record.id, None)
        now = time.monotonic()
        self._ended[record.id] = (now, record)
        for task_id, (at, _) in list(self._ended.items()):  # oldest first
            if now - at < REMEMBERED_SECONDS and len(self._ended) <= _REMEMBERED_MOST:
                break
            del self._ended[task_id]

    async def get(self, task_id: str) -> TaskRecord | None:
        """The record of a live task, or of one that ended a short while ago."""
        ended = self._ended.get(task_id)
        return self._live.get(task_id) or (ended[1] if ended else None)

    async def live(self) -> list[TaskRecord]:
        """Records of all live tasks, oldest first."""
        return list(self._live.values())

    async def of_item(self, item: str) -> list[TaskRecord]:
        """Records of the live tasks of one item, oldest first."""
        return [record for record in self._live.values() if record.item == item]

    async def stop_elsewhere(self, record: TaskRecord) -> TaskState | None:
        """Nobody else runs tasks."""
        return None

    async def bury(self, replica_id: str) -> list[TaskRecord]:
        """Nobody else has tasks."""
        return []
