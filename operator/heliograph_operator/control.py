"""The line to the replicas: keys and channels of Redis, by the names that the replicas know.

What counts is in keys: settings, drains, reports. Messages are hints to look at them.

Guarantee: a Redis that is away, hung or handing over is a :class:`RedisAway` within five seconds,
and the next call begins with new connections. Nothing is retried here: the next round is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from heliograph_operator.plans.drains import Order
from heliograph_operator.reports import Report, parse
from heliograph_operator.settings import ConfigurationError, Settings

_SECONDS = 5.0
_SILENCE_SECONDS = 2.0
_MOST_REPLICAS = 10_000


class RedisAway(Exception):
    """Redis was not reached; the text says why."""


@dataclass(frozen=True)
class Reading:
    """What is in Redis.

    :ivar settings: as it is stored. :ivar odd: replicas whose report cannot be read.
    """

    settings: bytes | None
    drains: Mapping[str, Order]
    reports: tuple[Report, ...]
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keys:
    """The names. Those of ``{control}`` share a slot of a cluster."""

    prefix: str

    @property
    def settings(self) -> str:
        return f"{self.prefix}:control:{{control}}:settings"

    @property
    def drains(self) -> str:
        return f"{self.prefix}:control:{{control}}:drains"

    def report(self, replica: str) -> str:
        return f"{self.prefix}:control:{{control}}:report:{replica}"

    @property
    def commands(self) -> str:
        return f"{self.prefix}:control:commands"

    @property
    def replicas(self) -> str:
        return f"{self.prefix}:replicas:{{replicas}}"

    def tasks(self, replica: str) -> str:
        return f"{self.prefix}:tasks:{{tasks}}:replica:{replica}"

    @property
    def task_commands(self) -> str:
        return f"{self.prefix}:tasks:commands"


class Control:
    """Reads what replicas report, and writes what they are to do. Enter it; no request is made."""

    def __init__(self, settings: Settings) -> None:
        self.keys = Keys(settings.redis_key_prefix)
        self._settings = settings
        self._client: Redis | RedisCluster | None = None
        self._sentinels: list[Redis] = []

    async def __aenter__(self) -> Control:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def read(self) -> Reading:
        """Everything that is there."""
        async with self._reached() as client:
            settings = await client.get(self.keys.settings)
            drains = await client.hgetall(self.keys.drains)
            members = await client.zrange(self.keys.replicas, 0, _MOST_REPLICAS - 1)
            names = [member.decode(errors="replace") for member in members]
            found = await client.mget([self.keys.report(name) for name in names]) if names else []
        reports, odd = [], []
        for name, raw in zip(names, found, strict=True):
            if raw is None:
                continue  # it starts, or has ended
            report = parse(raw, name)
            if report is None:
                odd.append(name)
            else:
                reports.append(report)
        orders = {pod.decode(errors="replace"): _order(raw) for pod, raw in drains.items()}
        return Reading(settings, orders, tuple(reports), tuple(odd))

    async def order_settings(self, order: bytes | None) -> None:
        """Put settings in force everywhere; ``None``: what the environments say."""
        async with self._reached() as client:
            if order is None:
                await client.delete(self.keys.settings)
            else:
                await client.set(self.keys.settings, order)
            await self._hint(client, action="settings")

    async def order_drains(self, write: Mapping[str, Order], remove: Iterable[str]) -> None:
        """Begin drains, or say another reason; and take some back."""
        gone = list(remove)
        async with self._reached() as client:
            if write:
                orders = {pod: _encode(order) for pod, order in write.items()}
                await client.hset(self.keys.drains, mapping=orders)
            if gone:
                await client.hdel(self.keys.drains, *gone)
            if write or gone:
                await self._hint(client, action="drains")

    async def stop_tasks(self, replica: str) -> int:
        """Stop all tasks of a replica, as anybody may; how many there were."""
        async with self._reached() as client:
            tasks = sorted(await client.smembers(self.keys.tasks(replica)))
            for task in tasks:
                stop = {"action": "stop", "task_id": task.decode(errors="replace")}
                await client.execute_command("PUBLISH", self.keys.task_commands, json.dumps(stop))
        return len(tasks)

    async def shed(self, replica: str, count: int) -> None:
        """Tell a replica to send some clients elsewhere."""
        async with self._reached() as client:
            await self._hint(client, action="shed", replica=replica, count=count)

    async def _hint(self, client: Any, **command: object) -> None:
        await client.execute_command("PUBLISH", self.keys.commands, json.dumps(command))

    # -- the connection --------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _reached(self) -> AsyncIterator[Any]:
        # Typed loosely: redis-py types each command as sync or async, and the cluster's apart.
        try:
            async with asyncio.timeout(_SECONDS):
                if self._client is None:
                    self._client = self._connect()
                yield self._client
        except (RedisError, OSError, TimeoutError) as error:
            await self._leave()
            # Redis-py shows its own objects behind some sentences; people need none of them.
            said = str(error).partition("<redis.")[0].rstrip(" :")
            raise RedisAway(": ".join(filter(None, (type(error).__name__, said)))[:300]) from error

    async def _leave(self) -> None:
        clients = [self._client, *self._sentinels]
        self._client, self._sentinels = None, []
        for client in clients:
            if client is not None:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    async with asyncio.timeout(1):
                        await client.aclose()

    def _connect(self) -> Redis | RedisCluster:
        settings = self._settings
        url = urlsplit(settings.websocket_redis_url.get_secret_value())
        once: dict[str, Any] = {
            "socket_timeout": _SILENCE_SECONDS,
            "socket_connect_timeout": _SILENCE_SECONDS,
        }
        tls: dict[str, Any] = (
            {"ssl": True, "ssl_ca_certs": settings.redis_tls_ca_file or None}
            if url.scheme == "rediss"
            else {}
        )
        who: dict[str, Any] = {
            "username": unquote(url.username or "") or None,
            "password": unquote(url.password or "") or None,
        }
        host, port = url.hostname or "localhost", url.port or 6379
        if settings.websocket_redis_cluster:
            # Once more after a redirection or a failover: the map of slots is read anew for it.
            return RedisCluster(host, port, **who, **tls, **once, retry=Retry(NoBackoff(), 1))
        who["db"] = int(url.path.strip("/") or 0)
        once["retry"] = Retry(NoBackoff(), 0)
        if settings.websocket_sentinel_hosts:
            sentinel = Sentinel(  # type: ignore[no-untyped-call]
                [_address(one, settings) for one in settings.websocket_sentinel_hosts],
                sentinel_kwargs={
                    **once,
                    **tls,
                    "password": settings.redis_sentinel_password.get_secret_value() or None,
                },
                **who,
                **tls,
                **once,
            )
            self._sentinels = list(sentinel.sentinels)
            client: Redis = sentinel.master_for(host)
            return client
        return Redis(host=host, port=port, **who, **tls, **once)


def check(settings: Settings) -> None:
    """Understand the variables of Redis now, so that a wrong one is said at the start.

    :raises ConfigurationError: a number in one of them is none.
    """
    url = urlsplit(settings.websocket_redis_url.get_secret_value())
    try:
        _ = url.port, int(url.path.strip("/") or 0)
    except ValueError as error:
        raise ConfigurationError(f"WEBSOCKET_REDIS_URL: {error}") from None
    for one in settings.websocket_sentinel_hosts:
        try:
            _address(one, settings)
        except ValueError as error:
            raise ConfigurationError(f"WEBSOCKET_SENTINEL_HOSTS: {one!r}: {error}") from None


def _address(text: str, settings: Settings) -> tuple[str, int]:
    split = urlsplit(f"//{text}")
    return split.hostname or text, split.port or settings.websocket_sentinel_port


def _encode(order: Order) -> str:
    return json.dumps({"why": order.why, "at": round(order.at, 3)})


def _order(raw: bytes) -> Order:
    """A drain that stands; what cannot be read is an order all the same, as replicas hold it."""
    try:
        said = json.loads(raw)
        return Order(str(said["why"])[:300], float(said["at"]))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return Order("no reason given", 0.0)
