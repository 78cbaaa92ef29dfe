"""``make run-fleet``: a fleet to look at, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from types import FrameType

from tests.fleet.fleet import MODES, Fleet, run_fleet


class _Stopped(Exception):
    pass


def _stop(number: int, frame: FrameType | None) -> None:
    # Once: what ends in order is not to be interrupted.
    for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(handled, signal.SIG_IGN)
    raise _Stopped


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="make run-fleet",
        description="Replicas behind HAProxy, with Redis and PostgreSQL, all of them private and "
        "gone at the end. Variables of Heliograph that are set here are theirs.",
    )
    parser.add_argument("--redis", choices=MODES, default="standalone", help="how Redis runs")
    parser.add_argument("--replicas", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--port", type=int, default=8080, help="of HAProxy; 0: a free one")
    options = parser.parse_args()
    for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(handled, _stop)
    try:
        with run_fleet(
            options.redis,
            replicas=options.replicas,
            port=options.port,
            progress=_say,
            drain=True,
        ) as fleet:
            _say(f"Logs: {fleet.folder}")
            _say(f"The fleet serves on {fleet.url}; Ctrl-C ends everything")
            _watch(fleet)
    except _Stopped:
        _say("Everything has ended")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _watch(fleet: Fleet) -> None:
    """Say which replicas end, so that one can be killed and the rest looked at."""
    alive = set(fleet.replicas)
    while True:
        time.sleep(0.5)
        for replica in sorted(alive, key=lambda replica: replica.name):
            if not replica.process.alive:
                alive.discard(replica)
                _say(f"{replica.name}: ended with {replica.process.returncode}")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
