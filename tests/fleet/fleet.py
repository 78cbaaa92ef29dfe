"""Replicas that share Redis and PostgreSQL, behind one address."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tests.fleet.haproxy import STICKY_COOKIE, HAProxy
from tests.fleet.replica import Replica
from tests.support.postgres import postgres_server
from tests.support.processes import temporary_folder, wait_until
from tests.support.redis import RedisServers, redis_cluster, redis_sentinel, redis_standalone

Mode = Literal["standalone", "sentinel", "cluster"]
MODES: tuple[Mode, ...] = get_args(Mode)

_DRAIN_SECONDS = 30


@dataclass
class Fleet:
    """What runs.

    :ivar url: HAProxy's address. :ivar folder: the logs are there.
    """

    url: str
    replicas: list[Replica]
    redis: RedisServers
    database_url: str
    proxy: HAProxy
    folder: Path


def run_redis(mode: Mode, **options: Any) -> AbstractContextManager[RedisServers]:
    """Redis of a mode; ``options`` are those of ``tests.support.redis``."""
    modes: dict[Mode, Callable[..., AbstractContextManager[RedisServers]]] = {
        "standalone": redis_standalone,
        "sentinel": redis_sentinel,
        "cluster": redis_cluster,
    }
    return modes[mode](**options)


@contextlib.contextmanager
def run_fleet(
    redis: Mode | RedisServers = "standalone",
    *,
    replicas: int = 3,
    database_url: str = "",
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    drain: bool = False,
    again: bool = True,
) -> Iterator[Fleet]:
    """Run a fleet; blocks until every replica is ready.

    :param redis: a mode, for servers of its own, or servers that run.
    :param database_url: empty: a PostgreSQL of its own; otherwise one that is migrated.
    :param port: of HAProxy. :param environment: more variables of the replicas.
    :param progress: told one line for each part that runs.
    :param again: of HAProxy: whether it tries a refused handshake at another replica.
    :param drain: end the replicas with SIGTERM, not SIGKILL.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("fleet"))
        if isinstance(redis, RedisServers):
            servers = redis
        else:
            servers = stack.enter_context(run_redis(redis))
            progress(f"Redis, {redis}: " + ", ".join(node.address for node in servers.nodes))
        shared = {
            **os.environ,
            "WEBUI_SECRET_KEY": secrets.token_urlsafe(48),
            "REDIS_KEY_PREFIX": f"fleet-{secrets.token_hex(4)}",
            "LOG_LEVEL": "info",
            "STICKY_COOKIE": STICKY_COOKIE,
            **servers.environment(),
            **(environment or {}),
        }
        if not database_url:
            database_url = stack.enter_context(postgres_server()) + "/postgres"
            progress(f"PostgreSQL: {database_url}")
            migrate = [sys.executable, "-m", "heliograph.cli", "migrate"]
            subprocess.run(
                migrate, env={**shared, "DATABASE_URL": database_url}, check=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        shared["DATABASE_URL"] = database_url
        running = [Replica(f"replica-{index + 1}", folder, shared) for index in range(replicas)]
        stack.callback(_end, running, drain, progress)
        for replica in running:
            replica.start()
        for replica in running:
            replica.wait_ready()
            progress(f"{replica.name}: {replica.url} pid {replica.process.pid}")
        proxy = HAProxy(folder, running, port, again=again)
        proxy.process.start()
        stack.callback(proxy.process.kill)
        wait_until(lambda: _listens(proxy), f"HAProxy on {proxy.url}")
        yield Fleet(proxy.url, running, servers, database_url, proxy, folder)


def _listens(proxy: HAProxy) -> bool:
    if not proxy.process.alive:
        raise RuntimeError(f"HAProxy ended:\n{proxy.process.output()}")
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", proxy.port)) == 0


def _end(replicas: list[Replica], drain: bool, progress: Callable[[str], None]) -> None:
    if drain:
        draining = [replica for replica in replicas if replica.process.alive]
        for replica in draining:
            replica.tell_to_end()
        for replica in draining:
            with contextlib.suppress(subprocess.TimeoutExpired):
                progress(f"{replica.name}: ended with {replica.process.wait(_DRAIN_SECONDS)}")
    for replica in replicas:
        replica.kill()
