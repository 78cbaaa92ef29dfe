"""Where Redis is and how long it may take, read once from the settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from heliograph.errors import ConfigurationError
from heliograph.settings import Settings

Mode = Literal["standalone", "sentinel", "cluster"]


class Address(NamedTuple):
    """A server of Redis."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """How to reach Redis.

    :ivar seeds: the server, the Sentinels, or some nodes of the cluster.
    :ivar master: name of the master, with Sentinel.
    :ivar connect_timeout: s. :ivar silence: s until a server counts as hung.
    :ivar check_every: s between questions whether it lives.
    :ivar deadline: s that a command waits for a Redis that fails over.
    """

    mode: Mode
    seeds: tuple[Address, ...]
    master: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: ssl.SSLContext | None = None
    sentinel_password: str = ""
    prefix: str = "heliograph"
    replicated: bool = False
    connect_timeout: float = 2.0
    silence: float = 2.0
    check_every: float = 1.0
    deadline: float = 15.0

    @classmethod
    def from_settings(cls, settings: Settings) -> RedisConfig:
        """The configuration that the variables say.

        :raises ConfigurationError: a variable cannot be understood, or a file not be read.
        """
        url = urlsplit(settings.websocket_redis_url.get_secret_value())
        mode: Mode = "standalone"
        try:
            seeds: tuple[Address, ...] = (Address(url.hostname or "localhost", url.port or 6379),)
            database = int(url.path.strip("/") or 0)
        except ValueError as error:
            raise ConfigurationError(f"WEBSOCKET_REDIS_URL: {error}") from None
        if settings.websocket_redis_cluster:
            mode = "cluster"
        elif settings.websocket_sentinel_hosts:
            mode = "sentinel"
            seeds = tuple(
                _sentinel(host, settings.websocket_sentinel_port)
                for host in settings.websocket_sentinel_hosts
            )
        return cls(
            mode=mode,
            seeds=seeds,
            master=url.hostname or "",
            username=unquote(url.username or ""),
            password=unquote(url.password or ""),
            database=database,
            tls=_tls(settings.redis_tls_ca_file) if url.scheme == "rediss" else None,
            sentinel_password=settings.redis_sentinel_password.get_secret_value(),
            prefix=settings.redis_key_prefix,
            replicated=settings.delivery_durability == "replicated",
            connect_timeout=settings.redis_socket_connect_timeout,
            silence=settings.redis_socket_timeout,
            check_every=settings.redis_health_check_interval,
            deadline=settings.delivery_deadline_seconds,
        )

    @property
    def variable(self) -> str:
        """The variable to look at when Redis cannot be reached."""
        return "WEBSOCKET_SENTINEL_HOSTS" if self.mode == "sentinel" else "WEBSOCKET_REDIS_URL"


def _sentinel(text: str, port: int) -> Address:
    split = urlsplit(f"//{text}")
    try:
        return Address(split.hostname or text, split.port or port)
    except ValueError as error:
        raise ConfigurationError(f"WEBSOCKET_SENTINEL_HOSTS: {text!r}: {error}") from None


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"REDIS_TLS_CA_FILE: {ca_file}: {error}") from None
