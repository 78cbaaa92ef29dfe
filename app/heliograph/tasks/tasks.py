"""The tasks of this replica: start, list, stop with confirmation.

A task is registered before it runs. A stop returns only when the owner's work has
ended, with all it had to put in order; whoever else asks meanwhile gets the same answer.
A work that reached its end by itself says so with :meth:`Task.commit`: from then on a
stop waits for it and answers ``gone``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Literal

from heliograph.errors import HeliographError, Unavailable
from heliograph.tasks.registry import MemoryTaskRegistry, TaskRecord, TaskRegistry, TaskState
from heliograph.telemetry import get_logger

log = get_logger(__name__)

Work = Callable[["Task"], Coroutine[Any, Any, None]]
Records = list[TaskRecord]


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """The answer to a stop: ``stopped`` by it, or ``gone`` (ended by itself, or unknown)."""

    status: Literal["stopped", "gone"]
    message: str


class Task:
    """A running task, as its work sees it.

    :ivar id: its public id.
    :ivar ending: why its work is being cancelled; ``None`` while nobody asked for that.
    """

    def __init__(self, record: TaskRecord) -> None:
        self.record = record
        self.ending: Literal["stopped", "interrupted"] | None = None
        self._committed = False
        self._runner: asyncio.Task[None] | None = None
        self._started = False
        self._ended = asyncio.Event()

    @property
    def id(self) -> str:
        """Its public id."""
        return self.record.id

    @property
    def state(self) -> TaskState:
        """Where it is."""
        return self.record.state

    def commit(self) -> None:
        """From here on the work ends by itself, soon; nobody cancels it any more."""
        self._committed = True

    async def wait(self) -> TaskState:
        """Wait for its end and return the state it ended in."""
        await self._ended.wait()
        return self.record.state

    def _cancel(self, ending: Literal["stopped", "interrupted"]) -> None:
        if self._committed or self.ending is not None:
            return
        self.ending = ending
        # A runner that is cancelled before its first step would never enter its work,
        # and what the work has to put in order would stay: it cancels itself instead.
        if self._started and self._runner is not None:
            self._runner.cancel()


class Tasks:
    """The tasks this replica runs.

    :param owner: id of this replica.
    :param registry: where tasks are registered; default: this process's memory.
    :param stop_seconds: how long a stop waits for the owner's confirmation.
    """

    def __init__(
        self,
        owner: str = "",
        registry: TaskRegistry | None = None,
        *,
        stop_seconds: float = 15.0,
    ) -> None:
        self.owner = owner or uuid.uuid4().hex[:12]
        self._registry = registry if registry is not None else MemoryTaskRegistry()
        self._stop_seconds = stop_seconds
        self._mine: dict[str, Task] = {}
        self._closed = False

    async def start(self, work: Work, *, item: str, user_id: str, label: str) -> Task:
        """Register a task and let ``work(task)`` run.

        The work is cancelled when the task is stopped, at its first ``await`` at the
        earliest; it may put its things in order and then lets the cancellation go on.
        An exception makes it ``failed``.

        :param item: what it works for, e.g. a chat's id.
        :raises Unavailable: this process is ending.
        """
        record = TaskRecord(
            id=str(uuid.uuid4()),
            item=item,
            user_id=user_id,
            label=label,
            owner=self.owner,
            state="running",
            started_at=time.time(),
        )
        await self._registry.put(record)
        if self._closed:
            await self._registry.drop(replace(record, state="interrupted"))
            raise Unavailable("the server is stopping; try again in a moment", code="draining")
        task = Task(record)
        self._mine[task.id] = task
        task._runner = asyncio.create_task(self._run(task, work), name=f"task {label}")
        return task

    async def _run(self, task: Task, work: Work) -> None:
        state: TaskState = "failed"
        task._started = True
        runner = asyncio.current_task()
        if task.ending is not None and runner is not None:
            runner.cancel()
        try:
            await work(task)
            state = "finished"
        except asyncio.CancelledError:
            # Cancelled by us, or (without a reason) by an event loop that is closing.
            state = task.ending or "interrupted"
        except HeliographError as error:
            log.info("task.failed", label=task.record.label, code=error.code)
        except Exception:
            log.exception("task.failed", label=task.record.label)
        finally:
            task.commit()
            task.record = replace(task.record, state=state)
            try:
                await self._registry.drop(task.record)
            finally:
                self._mine.pop(task.id, None)
                task._ended.set()

    async def stop(self, task_id: str) -> TaskOutcome:
        """Stop a task and wait until its owner has confirmed.

        :raises Unavailable: ``stop_timeout``, its work did not end in time; it may still.
        """
        task = self._mine.get(task_id)
        if task is not None:
            await self._mark_stopping(task)
            task._cancel("stopped")
            state: TaskState | None = await self._end_of(task)
        else:
            record = await self._registry.get(task_id)
            running = record is not None and record.state in ("running", "stopping")
            state = await self._registry.stop_elsewhere(record) if running and record else None
        if state == "stopped":
            return TaskOutcome("stopped", f"task {task_id} was stopped")
        return TaskOutcome("gone", f"task {task_id} is not running any more")

    async def _mark_stopping(self, task: Task) -> None:
        if task.state == "running" and not task._committed:
            task.record = replace(task.record, state="stopping")
            await self._registry.put(task.record)

    async def _end_of(self, task: Task) -> TaskState:
        try:
            async with asyncio.timeout(self._stop_seconds):
                return await task.wait()
        except TimeoutError:
            raise Unavailable(
                f"task {task.id} was told to stop but did not end within {self._stop_seconds:g} s",
                code="stop_timeout",
            ) from None

    async def stop_item(self, item: str, *, user_id: str | None = None) -> dict[str, TaskOutcome]:
        """Stop all tasks of an item at once; outcomes by task id.

        :param user_id: only this user's.
        :raises Unavailable: ``stop_timeout``, after all others have been stopped.
        """
        records = await self.of_item(item, user_id=user_id)
        results = await asyncio.gather(
            *(self.stop(record.id) for record in records), return_exceptions=True
        )
        outcomes: dict[str, TaskOutcome] = {}
        for record, result in zip(records, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            outcomes[record.id] = result
        return outcomes

    async def get(self, task_id: str) -> TaskRecord | None:
        """The record of a live task, or of one that ended a short while ago."""
        return await self._registry.get(task_id)

    async def list(self) -> Records:
        """The live tasks of all replicas, oldest first."""
        return await self._registry.live()

    async def of_item(self, item: str, *, user_id: str | None = None) -> Records:
        """The live tasks of an item, of one user when ``user_id`` is given."""
        records = await self._registry.of_item(item)
        return [record for record in records if user_id is None or record.user_id == user_id]

    async def shutdown(self, *, timeout: float = 10.0) -> int:
        """Interrupt all tasks of this replica and take no new ones.

        :param timeout: seconds they have to put their things in order.
        :returns: how many ran.
        """
        self._closed = True
        tasks = list(self._mine.values())
        for task in tasks:
            task._cancel("interrupted")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(task.wait() for task in tasks))
        late = [task for task in tasks if not task._ended.is_set()]
        for task in late:
            log.error("task.cut_off", label=task.record.label, task_id=task.id)
            if task._runner is not None:
                task._runner.cancel()
        await asyncio.gather(
            *(task._runner for task in late if task._runner is not None), return_exceptions=True
        )
        return len(tasks)
