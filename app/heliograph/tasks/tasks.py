"""The tasks of this replica: start, list, stop with confirmation.

A task is registered before it runs. A stop returns only when the owner's work has
ended, with all it had to put in order; whoever else asks meanwhile gets the same answer.
A work that reached its end by itself says so with :meth:`Task.commit`: from then on a
stop waits for it and answers ``gone``.

The tasks of a replica that died become ``interrupted`` on another one. A replica that was
only frozen, and finds that others took it for dead, interrupts what it still runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal

from heliograph.cluster import Cluster, MemoryLeases, Replica
from heliograph.errors import HeliographError, Unavailable
from heliograph.tasks.drops import Drops
from heliograph.tasks.interrupted import Interrupted, Settle
from heliograph.tasks.registry import MemoryTaskRegistry, TaskRecord, TaskRegistry, TaskState
from heliograph.telemetry import get_logger

log = get_logger(__name__)

Work = Callable[["Task"], Coroutine[Any, Any, None]]
Records = list[TaskRecord]

_CUT_OFF_SECONDS = 1.0


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

    :ivar on_interrupted: called with the record of each task that a dead replica left, before
        it is listed no more; again when one raised. Settle what it wrote, and tell its user.

    :param cluster: this replica and the others; default: a single process.
    :param registry: where tasks are registered; default: this process's memory.
    :param stop_seconds: how long a stop waits for the owner's confirmation.
    """

    def __init__(
        self,
        cluster: Cluster | None = None,
        registry: TaskRegistry | None = None,
        *,
        stop_seconds: float = 15.0,
    ) -> None:
        self.on_interrupted: list[Settle] = []
        self._replica = cluster.replica if cluster is not None else Replica(MemoryLeases())
        self._registry = registry if registry is not None else MemoryTaskRegistry()
        self._stop_seconds = stop_seconds
        self._mine: dict[str, Task] = {}
        self._drops = Drops(self._registry)
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False
        self._replica.on_fenced.append(self._fence)
        if cluster is not None:
            interrupted = Interrupted(self._registry, self.on_interrupted)
            cluster.reaper.on_dead.append(interrupted.end_those_of)

    async def __aenter__(self) -> Tasks:
        """Hear what others ask of tasks here."""
        await self._registry.open(self._asked, self._records)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After a drain only those are left that did not end then.
        await self.shutdown(timeout=0 if self._closed else 5)
        await self._registry.close()
        await self._drops.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    @property
    def owner(self) -> str:
        """Id of this replica."""
        return self._replica.id

    def check_open(self) -> None:
        """Before a work that leaves traces is prepared.

        :raises Unavailable: ``draining``, nothing is started here any more.
        """
        if self._closed:
            raise self._stopping()

    def _stopping(self) -> Unavailable:
        return Unavailable("the server is stopping; try again in a moment", code="draining")

    @property
    def count(self) -> int:
        """How many run here."""
        return len(self._mine)

    async def start(self, work: Work, *, item: str, user_id: str, label: str) -> Task:
        """Register a task and let ``work(task)`` run.

        The work is cancelled when the task is stopped, at its first ``await`` at the
        earliest; it may put its things in order and then lets the cancellation go on.
        An exception makes it ``failed``.

        :param item: what it works for, e.g. a chat's id.
        :raises Unavailable: this process is ending, or the registry does not answer.
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
        task = self._mine[record.id] = Task(record)
        try:
            await self._registry.put(record)
        except BaseException:
            # It may be registered all the same.
            self._ended(task, "interrupted")
            self._drops.later(task.record)
            raise
        if self._closed:
            await self._drops.now(replace(record, state="interrupted"))
            self._ended(task, "interrupted")
            raise self._stopping()
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
                await self._drops.now(task.record)
            finally:
                self._ended(task, state)

    def _ended(self, task: Task, state: TaskState) -> None:
        task.record = replace(task.record, state=state)
        self._mine.pop(task.id, None)
        task._ended.set()

    def _run_behind(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # -- stopping ----------------------------------------------------------------------

    async def stop(self, task_id: str) -> TaskOutcome:
        """Stop a task and wait until its owner has confirmed.

        :raises Unavailable: ``stop_timeout``, its work did not end in time; it may still.
        """
        task = self._mine.get(task_id)
        if task is not None:
            task._cancel("stopped")
            self._run_behind(self._mark_stopping(task))
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
            try:
                await self._registry.mark(task.record)
            except Exception as error:
                log.warning("task.not_marked", task_id=task.id, error=str(error))

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

    def _asked(self, task_id: str) -> None:
        """Somebody, somewhere, wants the task to end; who wants to know reads how it ended."""
        if task_id in self._mine:
            self._run_behind(self._stop_for_others(task_id))

    async def _stop_for_others(self, task_id: str) -> None:
        try:
            await self.stop(task_id)
        except Unavailable as error:
            log.warning("task.stop_for_others_failed", task_id=task_id, error=error.message)

    # -- listing -----------------------------------------------------------------------

    def _records(self) -> Records:
        return [task.record for task in self._mine.values()] + self._drops.owed

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

    # -- death and end -----------------------------------------------------------------

    def _fence(self) -> None:
        """Others take this replica for dead, and its tasks with it."""
        for task in list(self._mine.values()):
            task._cancel("interrupted")

    async def shutdown(self, *, timeout: float = 5.0, per_second: float = math.inf) -> int:
        """Interrupt all tasks of this replica and take no new ones. A task that does not end is
        left behind.

        :param timeout: seconds it may take; but for the last one they can put their things in
            order.
        :param per_second: how many are interrupted in a second, or more when the time would not
            suffice: whoever waited for them asks again, of replicas that have others to serve.
        :returns: how many ran.
        """
        self._closed = True
        tasks = list(self._mine.values())
        patience = max(0.0, timeout - _CUT_OFF_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._interrupt(tasks, min(len(tasks) / per_second, patience / 2))
                await asyncio.gather(*(task.wait() for task in tasks))
        for task in tasks:
            task._cancel("interrupted")
        late = [task for task in tasks if not task._ended.is_set()]
        for task in late:
            log.error("task.cut_off", label=task.record.label, task_id=task.id)
            if task._runner is not None:
                task._runner.cancel()
        runners = [task._runner for task in late if task._runner is not None]
        if runners:
            await asyncio.wait(runners, timeout=_CUT_OFF_SECONDS)
        return len(tasks)

    async def _interrupt(self, tasks: Sequence[Task], seconds: float) -> None:
        """One after the other, over so many seconds."""
        began = time.monotonic()
        for number, task in enumerate(tasks):
            pause = began + seconds * number / len(tasks) - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            task._cancel("interrupted")

    def reopen(self) -> None:
        """Take new tasks again after :meth:`shutdown`."""
        self._closed = False
