"""Several replicas as they run in production: Redis, PostgreSQL, HAProxy, on this machine.

`make run-fleet` starts one to look at; tests start theirs with :func:`run_fleet` and break it.
Everything is private, on free ports of 127.0.0.1, and gone afterwards.
"""

from tests.fleet.fleet import MODES, Fleet, Mode, run_fleet, run_redis
from tests.fleet.replica import Replica

__all__ = ["MODES", "Fleet", "Mode", "Replica", "run_fleet", "run_redis"]
