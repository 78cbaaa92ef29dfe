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
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from heliograph.delivery import user_room
from heliograph.settings import Settings
from heliograph.store import Database, migrate
from heliograph.telemetry import configure_logging
from tests.bench.wire import connect_all
from tests.support.backplane import redis_settings
from tests.support.redis import RedisServers, redis_cluster, redis_sentinel, redis_standalone
from tests.support.server import RunningServer, serve

_WARM_UP = 2.0
_TICK = 0.002


def _settings(folder: str, servers: RedisServers, **changes: Any) -> Settings:
    ours = redis_settings(servers, "bench", **changes)
    return ours.model_copy(
        update={
            "port": 0,
            "data_dir": Path(folder),
            "database_url": f"sqlite+aiosqlite:///{folder}/heliograph.db",
            "auth_attempts_per_minute": 1_000_000,
        }
    )


def _receiver(settings: Settings, pipe: Connection) -> None:
    """Replica B."""

    async def main() -> None:
        server = RunningServer(settings)
        await server.start()
        pipe.send(server.url)
        await asyncio.to_thread(pipe.recv)
        await server.stop()

    _run(main())


def _clients(url: str, tokens: list[str], pipe: Connection) -> None:
    """All clients; sends ``(latencies in s, arrived)`` when told to."""

    async def main() -> None:
        latencies: list[float] = []

        def on_due(due: float, now: float) -> None:
            latencies.append(now - due)

        clients = await connect_all(url, tokens, on_due)
        pipe.send(len(clients))
        while (order := await asyncio.to_thread(pipe.recv)) != "end":
            if order == "clear":
                latencies.clear()
            pipe.send(latencies)

    _run(main())


def _run(main: Any) -> None:
    configure_logging("plain", "error")
    gc.set_threshold(50_000, 20, 20)  # as the server does
    uvloop.run(main)


class Cpu:
    """CPU seconds of some processes since this was made (Linux)."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        ticks = os.sysconf("SC_CLK_TCK")
        fields = {
            name: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            for name, pid in self._pids.items()
        }
        return {name: (int(each[11]) + int(each[12])) / ticks for name, each in fields.items()}

    def used(self) -> dict[str, float]:
        """Seconds by process."""
        return {name: value - self._before[name] for name, value in self._read().items()}


@contextmanager
def _redis(mode: str) -> Iterator[RedisServers]:
    makers: dict[str, Callable[[], AbstractContextManager[RedisServers]]] = {
        "standalone": redis_standalone,
        "sentinel": redis_sentinel,
        "cluster": redis_cluster,
    }
    with makers[mode]() as servers:
        yield servers


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


def _percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0.0


async def _measure(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, _redis(args.redis) as servers:
        settings = _settings(folder, servers, delivery_durability=args.durability)
        async with Database(settings.sqlalchemy_url) as database:
            await migrate(database)
        spawn = multiprocessing.get_context("spawn")
        async with serve(settings) as sender:
            number = args.users if args.what == "tokens" else 1
            people = [await sender.signup(f"user{n}") for n in range(number)]
            for person in people:
                await person.http.aclose()
            to_b, b_side = spawn.Pipe()
            receiver = spawn.Process(target=_receiver, args=(settings, b_side))
            receiver.start()
            url = await asyncio.to_thread(to_b.recv)
            tokens = [person.token for person in people]
            if args.what == "fanout":
                tokens *= args.clients
            to_c, c_side = spawn.Pipe()
            clients = spawn.Process(target=_clients, args=(url, tokens, c_side))
            clients.start()
            print(f"{await asyncio.to_thread(to_c.recv)} clients on B")
            rooms = [user_room(person.id) for person in people]
            fan = len(tokens) // len(people)
            await _publish_at(sender, rooms, args.rate, _WARM_UP, "message")
            to_c.send("clear")
            await asyncio.to_thread(to_c.recv)
            assert receiver.pid
            assert clients.pid
            redis_pid = servers.master().process.pid
            cpu = Cpu(A=os.getpid(), B=receiver.pid, redis=redis_pid, clients=clients.pid)
            began = time.time()
            sent = await _publish_at(sender, rooms, args.rate, args.seconds, "message")
            publishing = time.time() - began
            latencies: list[float] = []
            while len(latencies) < sent * fan and time.time() < began + args.seconds + 30:
                await asyncio.sleep(0.2)
                to_c.send("read")
                latencies = await asyncio.to_thread(to_c.recv)
            used = cpu.used()
            latencies.sort()
            arrived = len(latencies)
            print(
                f"{args.what} redis={args.redis} durability={args.durability}: "
                f"{sent / publishing:,.0f} published/s, {arrived / publishing:,.0f} delivered/s, "
                f"{sent * fan - arrived} missing\n"
                f"latency ms: p50 {_percentile(latencies, 0.5):.1f}  "
                f"p95 {_percentile(latencies, 0.95):.1f}  p99 {_percentile(latencies, 0.99):.1f}  "
                f"max {_percentile(latencies, 1):.1f}\n"
                "CPU per "
                + ("delivery" if args.what == "fanout" else "token")
                + ", µs: "
                + "  ".join(f"{name} {s / max(arrived, 1) * 1e6:.1f}" for name, s in used.items())
                + "\nCPU of a core: "
                + "  ".join(f"{name} {s / publishing:.0%}" for name, s in used.items())
            )
            to_c.send("end")
            to_b.send("end")
            clients.join()
            receiver.join()


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
    _run(_measure(parser.parse_args()))


if __name__ == "__main__":
    main()
