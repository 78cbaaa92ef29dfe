"""The tasks of all replicas, in Redis.

Guarantee: a stop sets a flag and is published, in one step; a listener that was cut off reads
the flags when it is back, and what a failover of Redis lost is registered again. So a stop
reaches the owner for as long as the owner lives, and when it does not, whoever waits is told.

Any program can stop a task by ``PUBLISH {prefix}:tasks:commands`` with
``{"action": "stop", "task_id": …}``; the owner confirms on the same channel with
``{"action": "ended", "task_id": …, "state": …}``. Limit: such a plain message reaches an owner
that is cut off only if another replica hears it, which sets the flag then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import orjson

from heliograph.backplane import Backplane
from heliograph.cluster import Replica
from heliograph.errors import Unavailable
from heliograph.tasks.registry import REMEMBERED_SECONDS, TaskRecord, TaskState
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_TAG = "tasks"
_BURIED_SECONDS = 24 * 3600
_LOOK_SECONDS = 1.0
_MAX_COMMAND = 64 * 1024

_FIELDS = ("id", "item", "user_id", "label", "owner", "started_at")


class RedisTaskRegistry:
    """Registry of the replicas that share a Redis and a prefix.

    :param stop_seconds: how long a stop waits for the owner of the task.
    """

    def __init__(
        self, backplane: Backplane, replica: Replica, *, stop_seconds: float = 15.0
    ) -> None:
        self.channel = f"{backplane.prefix}:tasks:commands"
        self._backplane = backplane
        self._replica = replica
        self._stop_seconds = stop_seconds
        self._asked: Callable[[str], None] = _nobody
        self._running: Callable[[], list[TaskRecord]] = list
        self._waiting: dict[str, set[asyncio.Future[TaskState]]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._records = backplane.key("tasks", _TAG)
        self._stops = backplane.key("tasks", _TAG, "stops")

    async def open(
        self, asked: Callable[[str], None], running: Callable[[], list[TaskRecord]]
    ) -> None:
        """Begin to listen to commands."""
        self._asked, self._running = asked, running
        self._backplane.listen(self.channel, self._heard, self._resumed)

    async def close(self) -> None:
        """Act on commands no more."""
        self._asked = _nobody
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # -- records -----------------------------------------------------------------------

    async def put(self, record: TaskRecord) -> None:
        """Register.

        :raises Unavailable: Redis does not answer; ``replica_lost``, the owner was declared dead.
        """
        keys = [
            self._records,
            self._item(record.item),
            self._owned(record.owner),
            self._buried(record.owner),
            self._ended(record.id),
        ]
        if await self._backplane.call("task_put", keys, [record.id, _encode(record)]) == -1:
            raise Unavailable("this replica was taken for dead; try again", code="replica_lost")

    async def mark(self, record: TaskRecord) -> None:
        """Somebody asked for its end; no effect on one that has ended."""
        await self._backplane.call("task_stop", [self._records, self._stops], [record.id, "", ""])

    async def drop(self, record: TaskRecord) -> None:
        """The task ended in ``record.state``: list it no more, remember how it ended. The first
        to say how it ended is right."""
        keys = [
            self._records,
            self._stops,
            self._item(record.item),
            self._owned(record.owner),
            self._ended(record.id),
        ]
        told = {"action": "ended", "task_id": record.id, "state": record.state}
        tell = "1" if record.state == "stopped" else "0"
        args = (record.id, _encode(record), REMEMBERED_SECONDS, self.channel, _json(told), tell)
        await self._backplane.call("task_drop", keys, args)

    async def get(self, task_id: str) -> TaskRecord | None:
        """The record of a live task, or of one that ended a short while ago."""
        keys = [self._records, self._stops, self._ended(task_id)]
        found, ends = await asyncio.gather(
            self._backplane.call("task_get", keys, [task_id]), self._replica.ends()
        )
        return _decode(found, ends) if found else None

    async def live(self) -> list[TaskRecord]:
        """Records of all live tasks, oldest first."""
        return await self._list("task_all", [self._records, self._stops])

    async def of_item(self, item: str) -> list[TaskRecord]:
        """Records of the live tasks of one item, oldest first."""
        return await self._list("task_some", [self._records, self._stops, self._item(item)])

    async def bury(self, replica_id: str) -> list[TaskRecord]:
        """Register nothing more for a dead replica; the tasks it had, still registered."""
        keys = [self._records, self._stops, self._owned(replica_id), self._buried(replica_id)]
        return await self._list("task_bury", keys, [_BURIED_SECONDS])

    async def _list(
        self, function: str, keys: list[str], args: Sequence[int] = ()
    ) -> list[TaskRecord]:
        found, ends = await asyncio.gather(
            self._backplane.call(function, keys, args), self._replica.ends()
        )
        return sorted((_decode(one, ends) for one in found), key=lambda one: one.started_at)

    # -- stopping ----------------------------------------------------------------------

    async def stop_elsewhere(self, record: TaskRecord) -> TaskState | None:
        """Have the owner stop its task, and wait for its confirmation.

        :returns: the state it ended in, or ``None`` when nobody runs it.
        :raises Unavailable: ``stop_timeout``, it did not end in time; it may still.
        """
        ended: asyncio.Future[TaskState] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(record.id, set()).add(ended)
        deadline = time.monotonic() + self._stop_seconds
        # "asked": the flag is set already, nobody who hears this needs to.
        command = _json({"action": "stop", "task_id": record.id, "asked": True})
        missing = 0
        try:
            await self._backplane.call(
                "task_stop", [self._records, self._stops], [record.id, self.channel, command]
            )
            while True:
                now = await self.get(record.id)
                if now is None or now.state not in ("running", "stopping"):
                    return now.state if now is not None else None
                # After an outage of Redis everybody is missing for a moment.
                missing = 0 if await self._replica.alive(record.owner) else missing + 1
                if missing > 1:
                    return None  # the reaper will say that it was interrupted
                await asyncio.wait([ended], timeout=_LOOK_SECONDS)
                if ended.done():
                    return ended.result()
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"task {record.id} was told to stop but did not end within "
                        f"{self._stop_seconds:g} s",
                        code="stop_timeout",
                    )
        finally:
            self._waiting[record.id].discard(ended)
            if not self._waiting[record.id]:
                del self._waiting[record.id]

    def _heard(self, data: bytes) -> None:
        try:
            if len(data) > _MAX_COMMAND:
                raise ValueError("too long")
            command = orjson.loads(data)
            action, task_id = command["action"], command["task_id"]
            if not isinstance(task_id, str) or action not in ("stop", "ended"):
                raise ValueError("unknown action")
            state = command["state"] if action == "ended" else None
        except (ValueError, TypeError, KeyError) as error:
            # Anybody may write to this channel.
            log.warning("tasks.command_ignored", error=repr(error), command=data[:200])
            return
        if state is not None:
            for ended in self._waiting.get(task_id, ()):
                if not ended.done():
                    ended.set_result(state)
        elif any(record.id == task_id for record in self._running()):
            self._asked(task_id)
        elif not command.get("asked"):
            self._run_behind(self._flag(task_id))

    async def _flag(self, task_id: str) -> None:
        """A plain message for a task of another, who may not have heard it."""
        await self._backplane.call("task_stop", [self._records, self._stops], [task_id, "", ""])

    # -- after a cut -------------------------------------------------------------------

    def _resumed(self) -> None:
        self._run_behind(self._catch_up())

    async def _catch_up(self) -> None:
        """The line is there again: read the stops that were missed, and mend what a failover of
        Redis may have lost."""
        owner = self._replica.id
        owned = await self._backplane.execute("SMEMBERS", self._owned(owner))
        running = {record.id: record for record in self._running() if record.owner == owner}
        for task_id in {name.decode() for name in owned} - set(running):
            record = await self.get(task_id)
            if record is not None and record.owner == owner and not self._runs(task_id):
                await self.drop(replace(record, state="interrupted"))
        # One that ended meanwhile stays ended: Redis knows that.
        await asyncio.gather(*(self.put(record) for record in running.values()))
        asked = await self._backplane.execute("HKEYS", self._stops)
        for name in asked:
            if self._runs(name.decode()):
                self._asked(name.decode())

    def _runs(self, task_id: str) -> bool:
        return any(record.id == task_id for record in self._running())

    def _run_behind(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("tasks.not_caught_up", error=str(error))

    # -- keys --------------------------------------------------------------------------

    def _item(self, item: str) -> str:
        return self._backplane.key("tasks", _TAG, "item", item)

    def _owned(self, replica_id: str) -> str:
        return self._backplane.key("tasks", _TAG, "replica", replica_id)

    def _buried(self, replica_id: str) -> str:
        return self._backplane.key("tasks", _TAG, "buried", replica_id)

    def _ended(self, task_id: str) -> str:
        return self._backplane.key("tasks", _TAG, "ended", task_id)


def _nobody(task_id: str) -> None:
    """Before it is opened, and after."""


def _json(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value)


def _encode(record: TaskRecord) -> bytes:
    return _json({name: getattr(record, name) for name in (*_FIELDS, "state")})


def _decode(found: list[Any], ends: dict[str, float | None]) -> TaskRecord:
    # Other versions may have written more.
    stored = orjson.loads(found[0])
    record = TaskRecord(
        **{name: stored[name] for name in _FIELDS}, state=stored["state"], lease_until=None
    )
    if record.state not in ("running", "stopping"):
        return record
    state: TaskState = "stopping" if found[1] else record.state
    # A lease that nobody has any more is over.
    return replace(record, state=state, lease_until=ends.get(record.owner, 0.0))
