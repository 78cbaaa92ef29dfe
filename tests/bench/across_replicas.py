"""What does an event cost from replica A through Redis to the clients of replica B?

    python -m tests.bench.across_replicas tokens --users 500 --rate 10000
    python -m tests.bench.across_replicas fanout --clients 1000 --rate 20

``tokens``: each user has a room; deltas of answers are published on A at a fixed rate, also
when the system falls behind (open loop), and their latency counts from the moment when they
were due. ``fanout``: events into one room with all clients.

Redis, both replicas (whole applications) and the clients are processes of their own on this
machine. Printed: events per second, latencies, and the CPU time of each process per event.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from typing import Any

from heliograph.delivery import user_room
from heliograph.store import Database, migrate
from tests.bench.stage import (
    Cpu,
    bench_settings,
    clients,
    percentile,
    redis_of,
    replica,
    run,
    start_child,
)
from tests.support.server import RunningServer, serve

_WARM_UP = 2.0
_TICK = 0.002


async def _publish_at(
    server: RunningServer, rooms: list[str], rate: float, seconds: float, kind: str
) -> int:
    """Publish ``rate`` events a second, room after room; how many there were."""
    hub = server.services.hub
    text = "a token of words"
    began = time.time()
    sent = 0
    pending: set[asyncio.Task[Any]] = set()
    while (now := time.time()) < began + seconds:
        due_by_now = int((now - began) * rate)
        while sent < due_by_now:
            due = began + sent / rate
            event = {
                "chat_id": "3f0e7c1e-58f0-4d7c-9a57-0a4e6f1d2b11",
                "message_id": "0b9f2f5e-54c4-4df6-a0f3-52f0a2a4f7aa",
                "data": {"type": kind, "data": {"content": text}},
                "seq": sent,
                "due": due,
            }
            task = asyncio.ensure_future(hub.publish(rooms[sent % len(rooms)], "events", event))
            pending.add(task)
            task.add_done_callback(pending.discard)
            sent += 1
        await asyncio.sleep(_TICK)
    await asyncio.gather(*pending)
    return sent


async def _measure(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, redis_of(args.redis) as servers:
        settings = bench_settings(folder, servers, delivery_durability=args.durability)
        async with Database(settings.sqlalchemy_url) as database:
            await migrate(database)
        async with serve(settings) as sender:
            number = args.users if args.what == "tokens" else 1
            people = [await sender.signup(f"user{n}") for n in range(number)]
            for person in people:
                await person.http.aclose()
            receiver = start_child(replica, settings)
            url = await receiver.hear()
            tokens = [person.token for person in people]
            if args.what == "fanout":
                tokens *= args.clients
            users = start_child(clients, url, tokens)
            print(f"{await users.hear()} clients on B")
            rooms = [user_room(person.id) for person in people]
            fan = len(tokens) // len(people)
            await _publish_at(sender, rooms, args.rate, _WARM_UP, "message")
            await asyncio.sleep(1)  # what was published for warming up arrives
            await users.ask("clear")
            redis_pid = servers.master().process.pid
            cpu = Cpu(A=os.getpid(), B=receiver.pid, redis=redis_pid, clients=users.pid)
            began = time.time()
            sent = await _publish_at(sender, rooms, args.rate, args.seconds, "message")
            publishing = time.time() - began
            latencies: list[float] = []
            while len(latencies) < sent * fan and time.time() < began + args.seconds + 30:
                await asyncio.sleep(0.2)
                latencies = await users.ask("read")
            used = cpu.used()
            latencies.sort()
            arrived = len(latencies)
            print(
                f"{args.what} redis={args.redis} durability={args.durability}: "
                f"{sent / publishing:,.0f} published/s, {arrived / publishing:,.0f} delivered/s, "
                f"{sent * fan - arrived} missing\n"
                f"latency ms: p50 {percentile(latencies, 0.5):.1f}  "
                f"p95 {percentile(latencies, 0.95):.1f}  p99 {percentile(latencies, 0.99):.1f}  "
                f"max {percentile(latencies, 1):.1f}\n"
                "CPU per "
                + ("delivery" if args.what == "fanout" else "token")
                + ", µs: "
                + "  ".join(f"{name} {s / max(arrived, 1) * 1e6:.1f}" for name, s in used.items())
                + "\nCPU of a core: "
                + "  ".join(f"{name} {s / publishing:.0%}" for name, s in used.items())
            )
            users.end()
            receiver.end()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["tokens", "fanout"])
    parser.add_argument("--redis", choices=["standalone", "sentinel", "cluster"],
                        default="standalone")  # fmt: skip
    parser.add_argument("--durability", choices=["memory", "replicated"], default="memory")
    parser.add_argument("--users", type=int, default=500, help="rooms, for tokens")
    parser.add_argument("--clients", type=int, default=1000, help="in the room, for fanout")
    parser.add_argument("--rate", type=float, default=10_000, help="events published a second")
    parser.add_argument("--seconds", type=float, default=10)
    run(_measure(parser.parse_args()))


if __name__ == "__main__":
    main()
