"""What does a room cost the replicas that have members in it, and those that have none?

    python -m tests.bench.interest exact --rate 1000
    python -m tests.bench.interest rooms --rooms 10000

``exact``: four replicas; one publishes into a room with ten clients on each of two others, and
none on the fourth. Printed: the CPU time of each, and of the fourth while nothing is published.
``rooms``: two replicas, and as many clients as rooms, each in a room of its own (and in that of
everybody). Printed: the time to join them all, and memory and idle CPU afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
import uuid
from typing import Any

from sqlalchemy import insert

from heliograph.delivery import user_room
from heliograph.settings import Settings
from heliograph.store import Database, migrate, now_s
from heliograph.store.models import User
from tests.bench.stage import Cpu, bench_settings, clients, redis_of, replica, run, start_child
from tests.support.redis import RedisServers
from tests.support.server import RunningServer, serve


async def _publish(server: RunningServer, room: str, rate: float, seconds: float) -> int:
    began, sent = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        while sent < (now - began) * rate:
            await server.services.hub.publish(room, "events", {"n": sent, "due": 0})
            sent += 1
        await asyncio.sleep(0.002)
    return sent


async def _exact(args: argparse.Namespace, settings: Settings, servers: RedisServers) -> None:
    async with serve(settings) as sender:
        ann, bob = await sender.signup("ann"), await sender.signup("bob")
        others = [start_child(replica, settings) for _ in range(3)]
        urls = [await other.hear() for other in others]
        members = [start_child(clients, url, [ann.token] * 10) for url in urls[:2]]
        stranger = start_child(clients, urls[2], [bob.token] * 10)
        for child in (*members, stranger):
            await child.hear()
        pids = {f"replica {n}": child.pid for n, child in enumerate(others, 2)}
        pids = {"replica 1 (publishes)": os.getpid(), **pids}
        for label, rate in (("idle", 0.0), ("busy", args.rate)):
            cpu = Cpu(**pids)
            sent = await _publish(sender, user_room(ann.id), rate, args.seconds)
            used = "  ".join(f"{name} {s / args.seconds:.2%}" for name, s in cpu.used().items())
            print(f"{label}: {sent / args.seconds:,.0f} events/s; CPU of a core: {used}")
        print("replica 4 has clients, but none in the room")
        for child in (*members, stranger, *others):
            child.end()


async def _accounts(server: RunningServer, number: int) -> list[str]:
    """Tokens of so many new accounts; their password is not needed."""
    now = now_s()
    ids = [str(uuid.uuid4()) for _ in range(number)]
    rows: list[dict[str, Any]] = [
        {"id": each, "name": each[:8], "email": f"{each}@example.org", "role": "user",
         "password_hash": "-", "created_at": now, "updated_at": now, "last_active_at": now}
        for each in ids
    ]  # fmt: skip
    async with server.services.database.write() as session:
        for start in range(0, number, 500):
            await session.execute(insert(User), rows[start : start + 500])
    return [server.services.identity.issue_token(each, 86_400) for each in ids]


async def _rooms(args: argparse.Namespace, settings: Settings, servers: RedisServers) -> None:
    async with serve(settings) as helper:
        tokens = await _accounts(helper, args.rooms)
    replicas = [start_child(replica, settings) for _ in range(2)]
    urls = [await each.hear() for each in replicas]
    pids = {"replica 1": replicas[0].pid, "replica 2": replicas[1].pid,
            "redis": servers.master().process.pid}  # fmt: skip
    before = [await each.ask("memory") for each in replicas]
    empty = servers.master().info("memory")["used_memory"]
    cpu, began = Cpu(**pids), time.monotonic()
    halves = tokens[::2], tokens[1::2]
    users = [start_child(clients, url, half) for url, half in zip(urls, halves, strict=True)]
    for child in users:
        await child.hear()
    took = time.monotonic() - began
    used = "  ".join(f"{name} {s:.1f} s" for name, s in cpu.used().items())
    print(f"{args.rooms:,} clients in {args.rooms:,} rooms joined in {took:.1f} s; CPU: {used}")
    after = [await each.ask("memory") for each in replicas]
    each = (sum(after) - sum(before)) * 1024 / args.rooms
    full = servers.master().info("memory")["used_memory"]
    print(
        f"memory: replicas {after[0]:.0f} and {after[1]:.0f} MiB (before {before[0]:.0f} and "
        f"{before[1]:.0f}): {each:.1f} KiB a client; Redis {(full - empty) / args.rooms:,.0f} "
        "bytes a client"
    )
    cpu = Cpu(**pids)
    await asyncio.sleep(args.seconds)
    used = "  ".join(f"{name} {s / args.seconds:.2%}" for name, s in cpu.used().items())
    print(f"idle for {args.seconds:g} s; CPU of a core: {used}")
    slow = servers.master().info("commandstats")
    names = sorted(slow, key=lambda name: slow[name]["usec"], reverse=True)[:6]
    print("most of Redis's time: " + ", ".join(name.removeprefix("cmdstat_") for name in names))
    for child in (*users, *replicas):
        child.end()


async def _measure(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, redis_of(args.redis) as servers:
        settings = bench_settings(folder, servers)
        async with Database(settings.sqlalchemy_url) as database:
            await migrate(database)
        await (_exact if args.what == "exact" else _rooms)(args, settings, servers)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["exact", "rooms"])
    parser.add_argument("--redis", choices=["standalone", "sentinel", "cluster"],
                        default="standalone")  # fmt: skip
    parser.add_argument("--rate", type=float, default=1_000, help="events a second, for exact")
    parser.add_argument("--rooms", type=int, default=10_000, help="rooms, for rooms")
    parser.add_argument("--seconds", type=float, default=10)
    run(_measure(parser.parse_args()))


if __name__ == "__main__":
    main()
