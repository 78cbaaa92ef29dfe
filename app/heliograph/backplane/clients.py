"""Clients of Redis for programs beside the server, on redis-py.

:func:`connect` reads the same variables as the server, so a script finds the same Redis however
it is run. :class:`Persistent` carries an operation over a failover. All of this blocks: in
asyncio use the server's own :class:`~heliograph.backplane.Backplane`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
from pydantic import ValidationError
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    ReadOnlyError,
    RedisClusterException,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from heliograph.backplane.config import RedisConfig
from heliograph.backplane.sentinel import SentinelRedisProxy
from heliograph.errors import ConfigurationError, Unavailable
from heliograph.settings import Settings, load_settings

Client = Any
"""``redis.Redis``, ``RedisCluster`` or :class:`SentinelRedisProxy`: the methods are the same."""

Result = TypeVar("Result")

_RETRIES = 3
_AWAY = (
    ConnectionError, TimeoutError, ReadOnlyError, ClusterDownError, TryAgainError,
    RedisClusterException,
)  # fmt: skip
_OTHERWISE_WRONG = (AuthenticationError, AuthorizationError)


def connect(settings: Settings | None = None, *, decode_responses: bool = True) -> Client:
    """A redis-py client for the Redis of the settings: one server, Sentinel or Cluster, with TLS
    when the URL says ``rediss://``. It connects when it is used, but to a Cluster at once.

    :param settings: default: from the environment.
    :param decode_responses: text instead of bytes.
    :raises ConfigurationError: a variable is missing or wrong.
    :raises redis.exceptions.RedisClusterException: no node of the Cluster answers.
    """
    settings = load_settings() if settings is None else settings
    if not settings.websocket_redis_url.get_secret_value():
        raise ConfigurationError("WEBSOCKET_REDIS_URL (or REDIS_URL) is not set")
    config = RedisConfig.from_settings(settings)
    tls: dict[str, Any] = {}
    if config.tls is not None:
        tls = {"ssl": True, "ssl_ca_certs": settings.redis_tls_ca_file or None}
    timeouts = {
        "socket_timeout": config.silence,
        "socket_connect_timeout": config.connect_timeout,
    }
    options: dict[str, Any] = {
        **tls,
        **timeouts,
        "username": config.username or None,
        "password": config.password or None,
        "decode_responses": decode_responses,
        # An idle connection is asked whether it lives before it is used again.
        "health_check_interval": max(1, round(config.check_every)),
    }
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), _RETRIES)
    if config.mode == "cluster":
        seeds = config.seeds
        nodes = [ClusterNode(each.host, each.port) for each in seeds]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, retry=retry, **options)
    if config.mode == "sentinel":
        # A Sentinel that does not answer is passed over at once: the next one knows, too.
        sentinels = Sentinel(  # type: ignore[no-untyped-call]
            [(address.host, address.port) for address in config.seeds],
            sentinel_kwargs={
                **tls,
                **timeouts,
                "password": config.sentinel_password or None,
                "retry": Retry(NoBackoff(), 0),
            },
        )
        return SentinelRedisProxy(
            sentinels,
            config.master,
            async_mode=False,
            max_retry_count=settings.redis_sentinel_max_retry_count,
            reconnect_delay=settings.redis_reconnect_delay,
            db=config.database,
            **options,
        )
    address = config.seeds[0]
    return redis.Redis(
        host=address.host, port=address.port, db=config.database, retry=retry, **options
    )


def connect_to(
    redis_url: str | None,
    redis_sentinels: Sequence[tuple[str, int | str]] | None,
    redis_cluster: bool,
) -> Client:
    """A client for an address given in Open WebUI's way; without a URL, as :func:`connect`.

    :param redis_sentinels: ``(host, port)`` of each Sentinel.
    :raises ConfigurationError: it is wrong.
    """
    if not redis_url:
        return connect()
    hosts = tuple(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        for host, port in redis_sentinels or ()
    )
    try:
        settings = Settings.model_validate(
            {
                **load_settings().model_dump(),
                "websocket_redis_url": redis_url,
                "websocket_sentinel_hosts": hosts,
                "websocket_redis_cluster": redis_cluster,
            }
        )
    except ValidationError as error:
        raise ConfigurationError(f"redis_url: {error.errors()[0]['msg']}") from None
    return connect(settings)


class Persistent:
    """Carries idempotent operations over a failover of Redis.

    :param deadline: s until an operation fails.
    """

    def __init__(self, client: Client, deadline: float) -> None:
        self.client = client
        self._deadline = deadline

    def run(self, operation: Callable[[Client], Result]) -> Result:
        """Call ``operation(client)``, again while Redis is away.

        :raises Unavailable: it was away for too long.
        """
        return self.attempt(operation)[0]

    def attempt(self, operation: Callable[[Client], Result]) -> tuple[Result, bool]:
        """The same, and whether the operation may have been carried out before."""
        until = time.monotonic() + self._deadline
        pause = 0.05
        again = False
        while True:
            try:
                return operation(self.client), again
            except _AWAY as error:
                if isinstance(error, _OTHERWISE_WRONG):
                    raise
                if time.monotonic() + pause > until:
                    raise Unavailable(
                        f"Redis did not answer within {self._deadline:g} s: {error}"
                    ) from error
            again = True
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spread)
            pause = min(1.0, pause * 2)
