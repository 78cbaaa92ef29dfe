"""The master behind Sentinels, as if it were one server, for programs that use redis-py.

The name and the behaviour are Open WebUI's: any method of a redis-py client can be called; one
that fails because the master is away or no master any more is tried again on the present one.
Other than there, the connections to the master are kept instead of made anew for each call.

Limits: a command whose reply was lost is carried out again. ``pipeline``, ``pubsub``,
``monitor``, ``client``, ``transaction``, ``lock``, scripts and ``*_iter`` are what redis-py has
and are not tried again, though each connection they open is to the present master. To outlast a
failover, ``REDIS_SENTINEL_MAX_RETRY_COUNT`` times ``REDIS_RECONNECT_DELAY`` must exceed it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    MaxConnectionsError,
    ReadOnlyError,
    TimeoutError,
)

from heliograph.telemetry import get_logger

log = get_logger(__name__)

_NOT_WRAPPED = frozenset(
    {"pipeline", "pubsub", "monitor", "client", "transaction", "lock", "register_script",
     "get_connection_kwargs", "close", "aclose"}
)  # fmt: skip
_AWAY = (ConnectionError, TimeoutError, ReadOnlyError)
_OTHERWISE_WRONG = (AuthenticationError, AuthorizationError, MaxConnectionsError)


class SentinelRedisProxy:
    """A client of the master that Sentinels name.

    :param sentinel: ``redis.sentinel.Sentinel``, or ``redis.asyncio.sentinel.Sentinel``.
    :param service: the name of the master.
    :param async_mode: whether it is the one of asyncio: methods are to be awaited then.
    :param max_retry_count: attempts in all, at least 1.
    :param reconnect_delay: ms between them.
    :param kw: what ``Sentinel.master_for`` takes.
    """

    def __init__(
        self,
        sentinel: Any,
        service: str,
        *,
        async_mode: bool = True,
        max_retry_count: int = 2,
        reconnect_delay: float | None = 100.0,
        **kw: Any,
    ) -> None:
        self._sentinel = sentinel
        self._service = service
        self._async_mode = async_mode
        self._attempts = max(1, max_retry_count)
        self._pause = (reconnect_delay or 0.0) / 1000
        self._kw = kw
        self._client: Any = None

    def __repr__(self) -> str:
        return f"<SentinelRedisProxy {self._service}>"

    def _master(self) -> Any:
        # Its connections ask the Sentinels each time that they are opened.
        if self._client is None:
            self._client = self._sentinel.master_for(self._service, **self._kw)
        return self._client

    def __getattr__(self, item: str) -> Any:
        if item.startswith("_"):
            raise AttributeError(item)
        found = getattr(self._master(), item)
        if not callable(found) or item in _NOT_WRAPPED or item.endswith("_iter"):
            return found
        return self._retried_async(item, found) if self._async_mode else self._retried(item, found)

    def _retried(self, item: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(1, self._attempts + 1):
                try:
                    return method(*args, **kwargs)
                except _AWAY as error:
                    self._give_up_or_not(item, attempt, error)
                time.sleep(self._pause)
            raise AssertionError("the last attempt returns or raises")

        return call

    def _retried_async(self, item: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(1, self._attempts + 1):
                try:
                    result = method(*args, **kwargs)
                    return await result if inspect.isawaitable(result) else result
                except _AWAY as error:
                    self._give_up_or_not(item, attempt, error)
                await asyncio.sleep(self._pause)
            raise AssertionError("the last attempt returns or raises")

        return call

    def _give_up_or_not(self, item: str, attempt: int, error: Exception) -> None:
        if attempt == self._attempts or isinstance(error, _OTHERWISE_WRONG):
            raise error
        log.warning("redis.sentinel_retry", command=item, attempt=attempt, error=repr(error))
