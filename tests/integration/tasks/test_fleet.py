"""Tasks of many replicas: seen and stopped from each, and never left behind by a dead one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from heliograph.errors import Unavailable
from heliograph.tasks import Task, TaskRecord
from tests.support.bare import until
from tests.support.cutproxy import CutProxy
from tests.support.redis import RedisServers, redis_standalone
from tests.support.replicas import LEASE, Behind, Fleet, Member


async def endless(task: Task) -> None:
    await asyncio.Event().wait()


async def start(member: Member, item: str = "chat-1", user: str = "ann") -> Task:
    return await member.tasks.start(endless, item=item, user_id=user, label="test")


async def test_a_task_is_seen_and_stopped_from_any_replica(fleet: Fleet) -> None:
    here, there = await fleet.member(), await fleet.member()
    task = await start(there)
    other = await start(there, item="chat-2")
    assert [record.id for record in await here.tasks.of_item("chat-1")] == [task.id]
    assert [record.id for record in await here.tasks.list()] == [task.id, other.id]
    record = await here.tasks.get(task.id)
    assert record is not None
    assert (record.owner, record.state, record.user_id) == (there.id, "running", "ann")
    assert record.lease_until is not None
    assert 0 < record.lease_until - time.time() <= LEASE
    outcome = await here.tasks.stop(task.id)
    assert (outcome.status, task.state) == ("stopped", "stopped")
    assert [record.id for record in await there.tasks.list()] == [other.id]
    ended = await here.tasks.get(task.id)
    assert ended is not None
    assert (ended.state, ended.lease_until) == ("stopped", None)
    assert (await here.tasks.stop(task.id)).status == "gone"
    outcomes = await here.tasks.stop_item("chat-2")
    assert [outcome.status for outcome in outcomes.values()] == ["stopped"]


async def test_a_stop_waits_for_what_the_owner_puts_in_order(simple_fleet: Fleet) -> None:
    here, there = await simple_fleet.member(), await simple_fleet.member()
    order = asyncio.Event()

    async def work(task: Task) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await order.wait()

    task = await there.tasks.start(work, item="c", user_id="u", label="test")
    stops = [asyncio.create_task(member.tasks.stop(task.id)) for member in (here, there, here)]
    await until(lambda: task.state == "stopping")
    async with asyncio.timeout(5):
        while (await here.tasks.of_item("c"))[0].state != "stopping":
            await asyncio.sleep(0.01)
    assert not any(stop.done() for stop in stops)
    order.set()
    assert {(await stop).status for stop in stops} == {"stopped"}


async def test_a_task_that_ends_by_itself_before_the_stop_is_gone(simple_fleet: Fleet) -> None:
    here, there = await simple_fleet.member(), await simple_fleet.member()
    committed, finish = asyncio.Event(), asyncio.Event()

    async def work(task: Task) -> None:
        task.commit()
        committed.set()
        await finish.wait()

    task = await there.tasks.start(work, item="c", user_id="u", label="test")
    await committed.wait()
    stop = asyncio.create_task(here.tasks.stop(task.id))
    await asyncio.sleep(0.1)
    assert not stop.done()
    finish.set()
    assert (await stop).status == "gone"
    assert task.state == "finished"


async def test_a_plain_publish_stops_a_task_and_the_owner_confirms(fleet: Fleet) -> None:
    here, there = await fleet.member(), await fleet.member()
    task = await start(there)
    told: list[dict[str, object]] = []
    channel = f"{here.backplane.prefix}:tasks:commands"
    assert channel == f"{fleet.prefix}:tasks:commands"
    watching = await fleet.member()
    watching.backplane.listen(channel, lambda data: told.append(json.loads(data)))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(_redis_cli, fleet.servers, channel, {"task_id": task.id})
    assert await task.wait() == "stopped"
    ended = {"action": "ended", "task_id": task.id, "state": "stopped"}
    await until(lambda: ended in told)


def _redis_cli(servers: RedisServers, channel: str, command: dict[str, str]) -> None:
    """What an operator would type."""
    program = shutil.which("redis-cli")
    assert program is not None
    message = json.dumps({"action": "stop", **command})
    port = str(servers.master().port)
    subprocess.run([program, "-p", port, "PUBLISH", channel, message], check=True)


async def test_commands_that_make_no_sense_are_ignored(
    simple_fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    here = await simple_fleet.member()
    task = await start(here)
    channel = f"{here.backplane.prefix}:tasks:commands"
    sensible = json.dumps({"action": "stop", "task_id": task.id})
    for command in (
        b"\xff\x00", b"", b"[]", b"7", b"null", b'{"action":"stop"}',
        b'{"action":"stop","task_id":7}', b'{"action":["stop"],"task_id":"x"}',
        b'{"action":"explode","task_id":"x"}', b'{"action":"ended","task_id":"x"}',
        b'{"action":"stop","task_id":"%s"}' % (b"x" * 100_000), b"[" * 10_000,
    ):  # fmt: skip
        await here.backplane.execute("PUBLISH", channel, command)
    assert task.state == "running"
    await here.backplane.execute("PUBLISH", channel, sensible)
    assert await task.wait() == "stopped"


async def test_a_listener_that_was_cut_off_misses_no_stop(redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = stack.enter_context(redis_standalone())
        proxy = await stack.enter_async_context(CutProxy(servers.nodes[0].port))
        fleet = Fleet(servers, redis_prefix, stack)
        here = await fleet.member(lease=20)
        there = await fleet.member(lease=20, servers=Behind(servers, proxy))
        stopped, published, kept = [await start(there) for _ in range(3)]
        proxy.cut()
        stop = asyncio.create_task(here.tasks.stop(stopped.id))
        # A plain message is heard by another replica, which keeps it for the owner.
        channel = f"{fleet.prefix}:tasks:commands"
        command = json.dumps({"action": "stop", "task_id": published.id})
        await here.backplane.execute("PUBLISH", channel, command)
        await asyncio.sleep(0.5)
        assert {stopped.state, published.state, kept.state} == {"running"}
        proxy.resume()
        assert (await stop).status == "stopped"
        assert await published.wait() == "stopped"
        assert kept.state == "running"


async def test_a_task_is_stopped_and_ended_while_redis_is_away(redis_prefix: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = stack.enter_context(redis_standalone())
        fleet = Fleet(servers, redis_prefix, stack)
        here = await fleet.member(lease=20)
        task = await start(here)
        servers.master().stop()
        outcome = await asyncio.wait_for(here.tasks.stop(task.id), 4)
        assert outcome.status == "stopped"
        servers.master().resume()
        async with asyncio.timeout(10):
            while await here.tasks.list():
                await asyncio.sleep(0.05)
        record = await here.tasks.get(task.id)
        assert record is not None
        assert record.state == "stopped"


async def test_what_redis_forgot_is_registered_again_and_what_it_brings_back_is_dropped(
    redis_prefix: str,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = stack.enter_context(redis_standalone())
        fleet = Fleet(servers, redis_prefix, stack)
        here = await fleet.member(lease=20)
        task = await start(here)
        key = here.backplane.key
        # As after a failover to a replica that lacked the last writes.
        await here.backplane.execute("HDEL", key("tasks", "tasks"), task.id)
        ghost = json.dumps(
            {
                "id": "ghost", "item": "chat-9", "user_id": "ann", "label": "", "owner": here.id,
                "started_at": 1.5, "state": "running", "written by": "a newer version",
            }
        )  # fmt: skip
        await here.backplane.execute("HSET", key("tasks", "tasks"), "ghost", ghost)
        await here.backplane.execute("SADD", key("tasks", "tasks", "replica", here.id), "ghost")
        servers.master().cut_clients()
        async with asyncio.timeout(10):
            while [record.id for record in await here.tasks.list()] != [task.id]:
                await asyncio.sleep(0.05)
        record = await here.tasks.get("ghost")
        assert record is not None
        assert record.state == "interrupted"
        assert task.state == "running"


async def test_the_tasks_of_a_dead_replica_are_interrupted_and_settled_once_each(
    fleet: Fleet,
) -> None:
    members = [await fleet.member() for _ in range(3)]
    settled: list[TaskRecord] = []
    failed: list[str] = []

    async def settle(record: TaskRecord) -> None:
        if record.item == "chat-1" and not failed:
            failed.append(record.id)
            raise RuntimeError("the database is away")
        settled.append(record)

    for member in members:
        member.tasks.on_interrupted.append(settle)
    dying, *others = members
    tasks = [await start(dying, item=f"chat-{number}") for number in (1, 2)]
    alive = await start(others[0], item="chat-3")
    await asyncio.sleep(LEASE)
    await dying.die()
    async with asyncio.timeout(15):
        while {record.id for record in await others[1].tasks.list()} != {alive.id}:
            await asyncio.sleep(0.02)
    assert {record.id for record in settled} == {task.id for task in tasks}
    assert {record.state for record in settled} == {"interrupted"}
    for task in tasks:
        record = await others[0].tasks.get(task.id)
        assert record is not None
        assert record.state == "interrupted"
        assert (await others[0].tasks.stop(task.id)).status == "gone"
    assert alive.state == "running"


async def test_a_stop_of_a_dead_replicas_task_does_not_wait_for_it(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member(reaps=False)
    dying = await simple_fleet.member(reaps=False)
    task = await start(dying)
    await dying.die()
    stop = await asyncio.wait_for(here.tasks.stop(task.id), LEASE + 4)
    assert stop.status == "gone"


async def test_a_frozen_owner_stops_its_tasks_when_it_comes_back(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    settled: list[TaskRecord] = []

    async def settle(record: TaskRecord) -> None:
        settled.append(record)

    here.tasks.on_interrupted.append(settle)
    frozen = await simple_fleet.process()
    frozen.ask("task")
    task_id = (await frozen.hear("task"))["id"]
    await asyncio.sleep(LEASE)
    frozen.signal(signal.SIGSTOP)
    await until(lambda: [record.id for record in settled] == [task_id])
    frozen.signal(signal.SIGCONT)
    assert (await frozen.hear("task ended"))["state"] == "interrupted"
    frozen.said.clear()
    frozen.ask("task")  # under its new name it may work
    again = (await frozen.hear("task"))["id"]
    assert [record.id for record in await here.tasks.list()] == [again]
    assert (await here.tasks.stop(again)).status == "stopped"


async def test_a_dead_replicas_name_registers_nothing_more(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    registry = here.tasks._registry
    await registry.bury("old-name")
    record = TaskRecord("t", "chat-1", "ann", "late", "old-name", "running", time.time())
    with pytest.raises(Unavailable) as refused:
        await registry.put(record)
    assert refused.value.code == "replica_lost"
    assert await here.tasks.list() == []


async def test_a_registration_that_arrives_after_the_end_registers_nothing(
    simple_fleet: Fleet,
) -> None:
    here = await simple_fleet.member()
    record = TaskRecord("t", "chat-1", "ann", "late", here.id, "running", time.time())
    registry = here.tasks._registry
    await registry.drop(replace(record, state="interrupted"))
    await registry.put(record)
    assert await here.tasks.list() == []
    await registry.drop(replace(record, state="finished"))
    ended = await here.tasks.get("t")
    assert ended is not None
    assert ended.state == "interrupted", "the first to say it was right"


async def test_a_task_leaves_nothing_but_how_it_ended(simple_fleet: Fleet) -> None:
    here = await simple_fleet.member()
    tasks = [await start(here) for _ in range(5)]
    await here.tasks.stop_item("chat-1")
    found = simple_fleet.servers.master().execute("KEYS", f"{simple_fleet.prefix}:tasks:*")
    assert sorted(found) == sorted(
        here.backplane.key("tasks", "tasks", "ended", task.id) for task in tasks
    )
    for name in found:
        assert 0 < simple_fleet.servers.master().execute("TTL", name) <= 300
