"""A replica as a program that tests can freeze. It says what happens as lines of JSON. On its
standard input ``lock`` makes it take the lock ``work`` and keep it, and ``task`` start a task
that does not end by itself."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from heliograph.backplane import Backplane, RedisConfig
from heliograph.cluster import Cluster, LockLost
from heliograph.delivery import Hub, RedisBroker
from heliograph.settings import load_settings
from heliograph.tasks import RedisTaskRegistry, Task, Tasks
from heliograph.telemetry import configure_logging


def say(what: str, **more: Any) -> None:
    print(json.dumps({"say": what, **more}), flush=True)  # noqa: T201 (its only way to speak)


async def main() -> None:
    settings = load_settings()
    configure_logging("plain", "info")  # to standard error
    backplane = Backplane(RedisConfig.from_settings(settings))
    await backplane.start()
    hub = Hub(RedisBroker(backplane, 60))
    await hub.start()
    cluster = Cluster.over(hub, backplane, lease_seconds=settings.replica_lease_seconds)
    replica = cluster.replica

    async def echo(data: dict[str, Any]) -> Any:
        say("echo", data=data, id=replica.id)
        return data

    async def lost(old: str) -> None:
        say("lost", old=old, id=replica.id)

    replica.on_fenced.append(lambda: say("fenced", leased=replica.leased))
    replica.on_lost.append(lost)
    cluster.peers.serve("echo", echo)
    tasks = Tasks(cluster, RedisTaskRegistry(backplane, replica))
    async with cluster, tasks:
        say("started", id=replica.id)
        await obey(cluster, tasks)


async def obey(cluster: Cluster, tasks: Tasks) -> None:
    running = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        work = hold(cluster) if line.strip() == "lock" else run(tasks)
        running.add(asyncio.create_task(work))


async def run(tasks: Tasks) -> None:
    async def endless(task: Task) -> None:
        await asyncio.Event().wait()

    task = await tasks.start(endless, item="chat-1", user_id="ann", label="test")
    say("task", id=task.id)
    say("task ended", id=task.id, state=await task.wait())


async def hold(cluster: Cluster) -> None:
    try:
        async with cluster.lock("work", seconds=cluster.replica.seconds).hold(wait=None) as token:
            say("held", token=token)
            await asyncio.Event().wait()
    except LockLost:
        say("lock lost", token=token)


asyncio.run(main())
