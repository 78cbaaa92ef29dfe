"""What clients see while things die: stock clients on a fleet, one fault, and a report.

    python -m tests.fleet.history --redis sentinel --fault kill-master
    python -m tests.fleet.history --redis all --fault all --seconds 60   # everything, with a table

Three replicas behind HAProxy. Fifty people stream answers (about 2,000 deltas a second in all)
and post to a channel, each with a stock ``socket.io-client`` (``tests/clients/history.js`` says
what it checks). In the middle the fault happens. Exits with 1 when something was lost, doubled,
out of order or never ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.clients.crowd import WAYS, Crowd
from tests.clients.history import failings, prepare, sign_up
from tests.fleet import MODES, Fleet, Mode, run_fleet, run_redis
from tests.support.cutproxy import CutProxy
from tests.support.redis import Cluster, Sentinel

# They come back sooner than the documented delays say, so that a short run has more of it.
CONNECTION = {"reconnectionDelay": 300, "reconnectionDelayMax": 1000, "timeout": 5000}
HANG_SECONDS = 20.0
CUT_SECONDS = 3.0

Inject = Callable[[Fleet, "Lines"], Awaitable[None]]


class Lines:
    """The proxies in front of Redis that the first replica goes through, if there are any."""

    def __init__(self, proxies: list[CutProxy]) -> None:
        self.proxies = proxies


async def _kill_replica(fleet: Fleet, lines: Lines) -> None:
    fleet.replicas[-1].kill()


async def _kill_master(fleet: Fleet, lines: Lines) -> None:
    old = fleet.redis.master()
    old.kill()
    if isinstance(fleet.redis, Sentinel | Cluster):
        await asyncio.to_thread(fleet.redis.wait_for_failover, old)
    else:
        await asyncio.sleep(2)
        await asyncio.to_thread(old.restart)


async def _hang_master(fleet: Fleet, lines: Lines) -> None:
    master = fleet.redis.master()
    master.stop()
    await asyncio.sleep(HANG_SECONDS)
    master.resume()


async def _move_slots(fleet: Fleet, lines: Lines) -> None:
    assert isinstance(fleet.redis, Cluster)
    masters = fleet.redis.masters()
    await asyncio.to_thread(fleet.redis.move_slots, range(5_000), masters[-1])


async def _cut_lines(fleet: Fleet, lines: Lines) -> None:
    """One server: the first replica's way to it is gone for a while. Else the master cuts the
    connections of all replicas, again and again."""
    for proxy in lines.proxies:
        proxy.cut()
    until = time.monotonic() + CUT_SECONDS
    while time.monotonic() < until:
        if not lines.proxies:
            await asyncio.to_thread(fleet.redis.master().cut_clients)
        await asyncio.sleep(0.5)
    for proxy in lines.proxies:
        proxy.resume()


FAULTS: dict[str, Inject] = {
    "kill-replica": _kill_replica,
    "kill-master": _kill_master,
    "hang-master": _hang_master,
    "move-slots": _move_slots,
    "cut-connection": _cut_lines,
}


def possible(mode: str, fault: str) -> bool:
    """Whether the fault exists in that mode: slots are a cluster's."""
    return fault != "move-slots" or mode == "cluster"


def _redis_options(mode: Mode) -> dict[str, Any]:
    # One server keeps what it has on disk: nobody else has it.
    return {"appendonly": True} if mode == "standalone" else {}


async def run(
    mode: Mode,
    fault: str,
    *,
    durability: str,
    seconds: float,
    people: int,
    mix: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """One run; the clients' report, with what happened added."""
    environment = {
        "DELIVERY_DURABILITY": durability,
        "ECHO_DELAY_MS": "25",
        "AUTH_ATTEMPTS_PER_MINUTE": "100000",
        "REPLICA_LEASE_SECONDS": "5",
    }
    with (
        run_redis(mode, **_redis_options(mode)) as servers,
        run_fleet(servers, environment=environment, progress=say) as fleet,
    ):
        lines = Lines([])
        if fault == "cut-connection" and mode == "standalone":
            proxy = CutProxy(fleet.redis.nodes[0].port)
            await proxy.__aenter__()
            lines.proxies.append(proxy)
            first = fleet.replicas[0]
            assert first.process.env is not None
            through = {"WEBSOCKET_REDIS_URL": f"redis://{proxy.address}/0"}
            first.process.env = {**first.process.env, **through}
            await asyncio.to_thread(first.restart)
        accounts = await sign_up(fleet.url, people)
        scene = await prepare(fleet.url, accounts, words=200, posters=5)
        ways = WAYS if mix else {"websocket": 1}
        crowd = Crowd(scene, ways=ways, connection=CONNECTION)
        await crowd.start()
        telling = asyncio.create_task(_tell(crowd, say))
        await asyncio.sleep(seconds * 0.4)
        say(f"{fault} …")
        began = time.monotonic()
        if fault != "none":
            await FAULTS[fault](fleet, lines)
        took = time.monotonic() - began
        say(f"{fault}: over after {took:.1f} s")
        await asyncio.sleep(max(5.0, seconds * 0.6 - took))
        try:
            report = await crowd.stop(150)
        except TimeoutError:
            for replica in fleet.replicas:
                say(replica.output()[-2000:])
            raise
        finally:
            telling.cancel()
            await crowd.kill()
        for proxy in lines.proxies:
            await proxy.__aexit__(None, None, None)
        errors = [
            line
            for replica in fleet.replicas
            for line in replica.output().splitlines()
            if "Traceback" in line or "[error" in line
        ]
    return {**report, "mode": mode, "fault": fault, "durability": durability,
            "faultSeconds": took, "errors": errors}  # fmt: skip


async def _tell(crowd: Crowd, say: Callable[[str], None]) -> None:
    """How the clients are, now and then."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(5)
        status = crowd.status
        say(
            f"{time.monotonic() - began:4.0f} s  {status.get('events', 0)} events, "
            f"{status.get('answers', 0)} answers, {status.get('connected', 0)} connected"
        )


def summary(report: dict[str, Any]) -> str:
    """A row of the table."""
    failed = failings(report)
    return (
        f"{report['mode']:10} {report['durability']:10} {report['fault']:15} "
        f"{report['eventsPerSecond']:6.0f}/s  pause {report['longestPauseMs'] / 1000:5.1f} s  "
        f"outage {report['longestOutageMs'] / 1000:4.1f} s  "
        f"recovered {report['recovered']:3}  read again {report['resynced']:3}  "
        f"interrupted {report['interrupted']:3}  {failed or 'nothing lost'}"
    )


async def _main(args: argparse.Namespace) -> int:
    modes = MODES if args.redis == "all" else (args.redis,)
    faults = ("none", *FAULTS) if args.fault == "all" else (args.fault,)
    rows, bad = [], 0

    def say(line: str) -> None:
        print(f"  {line}", file=sys.stderr, flush=True)

    for mode in modes:
        for fault in faults:
            if not possible(mode, fault):
                continue
            durability = args.durability
            if mode == "standalone":
                durability = "memory"  # a Redis without replicas
            report = await run(
                mode,
                fault,
                durability=durability,
                seconds=args.seconds,
                people=args.people,
                mix=args.mix,
                say=say,
            )
            rows.append(summary(report))
            print(rows[-1], flush=True)
            if args.verbose:
                print(json.dumps(report, indent=1)[:20_000])
            bad += bool(failings(report))
    return 1 if bad else 0


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--redis", choices=[*MODES, "all"], default="standalone")
    parser.add_argument("--fault", choices=["none", *FAULTS, "all"], default="none")
    parser.add_argument("--durability", choices=["memory", "replicated"], default="replicated")
    parser.add_argument("--seconds", type=float, default=60, help="of traffic")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--mix", action="store_true", help="polling and python-socketio, too")
    parser.add_argument("--verbose", action="store_true", help="print the whole report")
    sys.exit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
