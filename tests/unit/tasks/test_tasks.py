"""Tasks: registered before they run, stopped with confirmation, forgotten afterwards."""

from __future__ import annotations

import asyncio

import pytest

from heliograph.errors import Unavailable
from heliograph.tasks import MemoryTaskRegistry, Task, TaskRecord, Tasks


async def endless(task: Task) -> None:
    await asyncio.Event().wait()


async def start(tasks: Tasks, work: object = endless, item: str = "c1", user: str = "u") -> Task:
    return await tasks.start(work, item=item, user_id=user, label="test")  # type: ignore[arg-type]


async def test_a_task_is_registered_before_it_runs() -> None:
    tasks = Tasks()
    seen: list[TaskRecord | None] = []

    async def work(task: Task) -> None:
        seen.append(await tasks.get(task.id))

    task = await start(tasks, work)
    assert await task.wait() == "finished"
    [record] = seen
    assert record is not None
    shown = record.as_dict()
    assert (shown["item"], shown["owner"], shown["state"]) == ("c1", tasks.owner, "running")
    assert 0 <= shown["age"] < 60


async def test_an_ended_task_is_listed_no_more_but_a_late_stop_is_answered() -> None:
    tasks = Tasks()

    async def work(task: Task) -> None:
        pass

    task = await start(tasks, work)
    await task.wait()
    assert await tasks.list() == []
    assert await tasks.of_item("c1") == []
    record = await tasks.get(task.id)
    assert record is not None
    assert record.state == "finished"
    assert (await tasks.stop(task.id)).status == "gone"
    assert (await tasks.stop("never-was")).status == "gone"


async def test_a_stop_returns_after_the_work_has_put_things_in_order() -> None:
    tasks = Tasks()
    running, order = asyncio.Event(), asyncio.Event()
    in_order = False

    async def work(task: Task) -> None:
        nonlocal in_order
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            assert task.ending == "stopped"
            await order.wait()
            in_order = True

    task = await start(tasks, work)
    await running.wait()
    stops = [asyncio.create_task(tasks.stop(task.id)) for _ in range(2)]
    while task.state != "stopping":
        await asyncio.sleep(0)
    assert [record.state for record in await tasks.list()] == ["stopping"]
    assert not any(stop.done() for stop in stops)
    order.set()
    assert [(await stop).status for stop in stops] == ["stopped", "stopped"]
    assert in_order
    assert (await tasks.stop(task.id)).status == "gone"


async def test_a_task_stopped_before_its_first_step_still_runs_its_cleanup() -> None:
    tasks = Tasks()
    cleaned = False

    async def work(task: Task) -> None:
        nonlocal cleaned
        try:
            await asyncio.sleep(60)
        finally:
            cleaned = True

    task = await start(tasks, work)  # memory: nothing has let it run yet
    assert (await tasks.stop(task.id)).status == "stopped"
    assert cleaned
    assert await tasks.list() == []


async def test_a_work_that_ends_by_itself_meanwhile_is_gone() -> None:
    tasks = Tasks()
    committed, finish = asyncio.Event(), asyncio.Event()

    async def work(task: Task) -> None:
        task.commit()
        committed.set()
        await finish.wait()

    task = await start(tasks, work)
    await committed.wait()
    stop = asyncio.create_task(tasks.stop(task.id))
    await asyncio.sleep(0)
    finish.set()
    assert (await stop).status == "gone"
    assert task.state == "finished"


async def test_a_work_that_does_not_end_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks(stop_seconds=0.05)
    let_go = asyncio.Event()

    async def stubborn(task: Task) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    task = await start(tasks, stubborn)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as late:
        await tasks.stop(task.id)
    assert late.value.code == "stop_timeout"
    let_go.set()
    assert await task.wait() == "finished"


async def test_an_exception_makes_a_task_failed() -> None:
    tasks = Tasks()

    async def work(task: Task) -> None:
        raise RuntimeError("broken")

    task = await start(tasks, work)
    assert await task.wait() == "failed"
    assert (await tasks.stop(task.id)).status == "gone"


async def test_an_item_is_stopped_as_a_whole_or_for_one_user() -> None:
    tasks = Tasks()
    mine = [await start(tasks), await start(tasks)]
    other = await start(tasks, user="v")
    elsewhere = await start(tasks, item="c2")
    assert [record.id for record in await tasks.of_item("c1")] == [t.id for t in (*mine, other)]
    outcomes = await tasks.stop_item("c1", user_id="u")
    assert {key: outcome.status for key, outcome in outcomes.items()} == {
        task.id: "stopped" for task in mine
    }
    assert [record.id for record in await tasks.list()] == [other.id, elsewhere.id]
    await tasks.stop_item("c1")
    assert [record.id for record in await tasks.list()] == [elsewhere.id]
    await tasks.shutdown()


async def test_a_shutdown_interrupts_and_takes_no_more() -> None:
    tasks = Tasks()
    endings = []

    async def work(task: Task) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            endings.append(task.ending)

    started = [await start(tasks, work) for _ in range(3)]
    assert await tasks.shutdown() == 3
    assert endings == ["interrupted"] * 3
    assert {task.state for task in started} == {"interrupted"}
    with pytest.raises(Unavailable) as refused:
        await start(tasks)
    assert refused.value.code == "draining"
    assert await tasks.list() == []


async def test_a_shutdown_ends_them_one_after_the_other() -> None:
    tasks = Tasks()
    running = [await start(tasks, forever) for _ in range(10)]
    ending = asyncio.create_task(tasks.shutdown(timeout=5, per_second=50))
    await running[0].wait()
    assert running[-1].ending is None, "all at once"
    assert await ending == 10
    assert {task.state for task in running} == {"interrupted"}


async def test_a_pace_that_would_take_too_long_is_not_kept() -> None:
    tasks = Tasks()
    running = [await start(tasks, forever) for _ in range(10)]
    assert await tasks.shutdown(timeout=1.2, per_second=0.01) == 10
    assert {task.state for task in running} == {"interrupted"}


async def forever(task: Task) -> None:
    await asyncio.Event().wait()


async def test_a_shutdown_does_not_wait_for_ever() -> None:
    tasks = Tasks()
    cancelled = 0

    async def slow(task: Task) -> None:
        nonlocal cancelled
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1

    task = await start(tasks, slow)
    await asyncio.sleep(0)
    assert await tasks.shutdown(timeout=0.05) == 1
    assert cancelled == 2
    assert task.state == "finished"


async def test_what_ended_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph.tasks.registry._REMEMBERED_MOST", 2)
    registry = MemoryTaskRegistry()
    for number in range(5):
        record = TaskRecord(str(number), "c", "u", "l", "o", "finished", 0.0)
        await registry.drop(record)
    assert [await registry.get(str(number)) is not None for number in range(5)] == [
        False,
        False,
        False,
        True,
        True,
    ]
