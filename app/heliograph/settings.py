"""Every setting, read once from the environment into one typed model.

A value that does not fit is refused at start by the name of its variable; the
reference table in ``docs/configuration.md`` is generated from this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from heliograph.errors import ConfigurationError

Transport = Literal["websocket", "polling"]

_COOKIE_ATTRIBUTES = {"path", "domain", "secure", "httponly", "samesite", "partitioned"}


class Settings(BaseSettings):
    """One process's configuration. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=True, populate_by_name=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        Path("./data"), description="Folder of the SQLite file and of the generated secret."
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy async URL (`postgresql+asyncpg://…`); empty: "
        "`heliograph.db` in `DATA_DIR`.",
    )

    enable_signup: bool = Field(True, description="Whether people may create accounts.")
    webui_secret_key: SecretStr = Field(
        SecretStr(""),
        description="HS256 secret of at least 32 characters; empty: generated once and "
        "stored in `DATA_DIR`.",
    )
    jwt_jwks_url: str = Field("", description="Verify tokens with this key set instead.")
    jwt_issuer: str = Field("", description="Required `iss`, with `JWT_JWKS_URL`.")
    jwt_audience: str = Field("", description="Required `aud`, with `JWT_JWKS_URL`.")
    jwt_expires_seconds: int = Field(
        7 * 24 * 3600, ge=1, description="Life of a token that sign-in hands out, s."
    )
    auth_attempts_per_minute: int = Field(
        30,
        ge=1,
        description="Sign-ups and sign-ins one address may try in a minute, on each replica.",
    )
    cors_allow_origin: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins besides our own that may connect, `;`-separated; `*` for all."
    )

    openai_api_base_url: str = Field(
        "", description="OpenAI-compatible upstream, e.g. `https://api.example/v1`; empty: `echo`."
    )
    openai_api_key: SecretStr = Field(SecretStr(""), description="Key for that upstream.")
    openai_timeout_seconds: float = Field(
        300.0, gt=0, description="Longest silence of the upstream in mid-stream, s."
    )
    heliograph_tools: str = Field(
        "", description="Tools besides the installed ones: `module:attribute`, comma-separated."
    )
    echo_delay_ms: float = Field(
        25.0, ge=0, description="Pause of the built-in `echo` model between words, ms."
    )
    chat_delta_interval_ms: float = Field(
        15.0,
        ge=0,
        description="Tokens of one answer that arrive within this time travel as one delta, ms.",
    )
    chat_settle_seconds: float = Field(
        3.0, gt=0, description="How often an answer in flight is written to the database, s."
    )
    document_settle_updates: int = Field(
        200, ge=1, description="Updates after which a document's log becomes a snapshot, at most."
    )

    enable_websocket_support: bool = Field(True, description="Whether websockets are accepted.")
    websocket_transports: Annotated[tuple[Transport, ...], NoDecode] = Field(
        ("websocket", "polling"),
        description="Transports offered while websockets are on, comma-separated.",
    )
    websocket_manager: Literal["", "redis"] = Field(
        "",
        description="Empty: one process with its state in memory. `redis`: any number of "
        "replicas, which share it.",
    )
    websocket_redis_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("websocket_redis_url", "redis_url"),
        description="`redis://` or `rediss://[user:password@]host:port/db`; with Sentinel the "
        "host is the master's name. Falls back to `REDIS_URL`.",
    )
    websocket_redis_cluster: bool = Field(
        False,
        validation_alias=AliasChoices("websocket_redis_cluster", "redis_cluster"),
        description="Redis Cluster; the URL names any node. Falls back to `REDIS_CLUSTER`.",
    )
    websocket_sentinel_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=AliasChoices("websocket_sentinel_hosts", "redis_sentinel_hosts"),
        description="Sentinels, `host[:port]`, comma-separated. Falls back to "
        "`REDIS_SENTINEL_HOSTS`.",
    )
    websocket_sentinel_port: int = Field(
        26379,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("websocket_sentinel_port", "redis_sentinel_port"),
        description="Port of Sentinels named without one. Falls back to `REDIS_SENTINEL_PORT`.",
    )
    websocket_redis_lock_timeout: float = Field(
        60.0, gt=0, description="Expiry of locks in Redis, s."
    )
    redis_key_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")] = Field(
        "heliograph", description="Every key and channel in Redis starts with it."
    )
    redis_sentinel_password: SecretStr = Field(
        SecretStr(""), description="Password of the Sentinels themselves."
    )
    redis_sentinel_max_retry_count: int = Field(
        2, ge=1, description="Attempts of a command through `SentinelRedisProxy`, in all."
    )
    redis_reconnect_delay: float = Field(
        100.0, ge=0, description="Pause of `SentinelRedisProxy` between attempts, ms."
    )
    redis_socket_connect_timeout: float = Field(
        2.0, gt=0, description="Deadline for connecting to Redis, s."
    )
    redis_socket_timeout: float = Field(
        2.0, gt=0, description="Silence after which a Redis server counts as hung, s."
    )
    redis_health_check_interval: float = Field(
        1.0, gt=0, description="How often Redis is asked whether it lives, s."
    )
    redis_tls_ca_file: str = Field(
        "", description="Certificates that `rediss://` is verified with; empty: the system's."
    )
    delivery_durability: Literal["memory", "replicated"] = Field(
        "memory",
        description="`replicated`: an event is shown and acknowledged only after a replica of "
        "Redis has it.",
    )
    delivery_deadline_seconds: float = Field(
        15.0, gt=0, description="How long a publish waits for Redis before it fails, s."
    )
    replica_lease_seconds: float = Field(
        15.0, ge=1, description="A replica silent for so long is dead to the others, s."
    )
    always_connect: bool = Field(
        False, description="Admit sockets without a token; they must send `user-join`."
    )
    connection_recovery_seconds: int = Field(
        120, ge=0, description="How long a broken connection can be recovered, s; 0 turns it off."
    )
    websocket_server_ping_interval: float = Field(25.0, gt=0, description="Engine.IO ping, s.")
    websocket_server_ping_timeout: float = Field(
        20.0, gt=0, description="Silence after a ping that ends a connection, s."
    )
    websocket_event_caller_timeout: float = Field(
        60.0, gt=0, description="Deadline of a call into the browser, s."
    )
    websocket_heartbeat_interval: float = Field(
        30.0, gt=0, description="Heartbeat asked of clients, s; told by `/api/config`."
    )
    websocket_connect_timeout: float = Field(
        10.0, gt=0, description="A socket that has not joined the namespace by then is closed, s."
    )
    websocket_max_message_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, description="Largest message accepted from a client, bytes."
    )
    websocket_max_messages_per_second: int = Field(
        500, ge=1, description="Events one client may send, on average over two seconds."
    )
    websocket_queue_messages: int = Field(
        5_000, ge=16, description="Messages queued for one client before it is closed as too slow."
    )
    websocket_queue_bytes: int = Field(
        16 * 1024 * 1024, ge=65536, description="The same limit in bytes."
    )
    drain_seconds: float = Field(
        20.0,
        ge=0,
        le=3600,
        description="Longest time over which a replica that ends closes its connections, s.",
    )
    drain_clients_per_second: float = Field(
        200.0,
        gt=0,
        description="Connections it closes in a second, or more when the time would not suffice.",
    )
    sticky_cookie: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$")] = (
        Field(
            "",
            description="Name of the cookie by which the proxy keeps a client at a replica; one "
            "that ends expires it. Empty: there is none.",
        )
    )
    sticky_cookie_attributes: str = Field(
        "Path=/",
        description="Attributes that the proxy gives that cookie, `;`-separated: `Path`, `Domain`, "
        "`Secure`, `HttpOnly`, `SameSite`, `Partitioned`.",
    )
    websocket_server_logging: bool = Field(False, description="Log of python-socketio.")
    websocket_server_engineio_logging: bool = Field(False, description="Log of python-engineio.")

    log_format: Literal["plain", "json"] = Field("plain", description="Shape of the log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of `/metrics` (Prometheus) on `HOST`; 0: off."
    )
    pod_name: str = Field(
        "", description="Name by which the operator knows this process; empty: the host's name."
    )
    deployment_id: str = Field("", description="Told by `/api/version`; a change reloads pages.")

    @field_validator("websocket_transports", mode="before")
    @classmethod
    def _split_transports(cls, value: object) -> object:
        return tuple(value.replace(" ", "").split(",")) if isinstance(value, str) else value

    @field_validator("cors_allow_origin", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(";") if part.strip())
        return value

    @field_validator("websocket_sentinel_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("websocket_redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and (urlsplit(url).scheme not in ("redis", "rediss") or not urlsplit(url).hostname):
            raise ValueError("must be redis://host:port/db or rediss://host:port/db")
        return value

    @field_validator("sticky_cookie_attributes")
    @classmethod
    def _cookie_attributes(cls, value: str) -> str:
        # It becomes part of a header.
        parts = [part.strip() for part in value.split(";") if part.strip()]
        for part in parts:
            if part.partition("=")[0].lower() not in _COOKIE_ATTRIBUTES:
                raise ValueError(
                    "only Path, Domain, Secure, HttpOnly, SameSite and Partitioned, "
                    f"separated by semicolons; got {part!r}"
                )
            if not part.isascii() or not part.isprintable():
                raise ValueError(f"only printable ASCII characters; got {part!r}")
        return "; ".join(parts)

    @field_validator("webui_secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        length = len(value.get_secret_value())
        if 0 < length < 32:
            raise ValueError(f"needs at least 32 characters, got {length}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.jwt_jwks_url and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE")
        if (self.jwt_issuer or self.jwt_audience) and not self.jwt_jwks_url:
            raise ValueError("JWT_ISSUER and JWT_AUDIENCE need JWT_JWKS_URL")
        if self.websocket_manager == "redis":
            self._redis_fits_together()
        if self.database_url and "+" not in self.database_url.split("://", 1)[0]:
            raise ValueError(
                "DATABASE_URL needs an async driver: postgresql+asyncpg://… or sqlite+aiosqlite:///…"
            )
        return self

    def _redis_fits_together(self) -> None:
        url = self.websocket_redis_url.get_secret_value()
        if not url:
            # Never memory instead: a split fleet that looks healthy is worse than a refusal.
            raise ValueError("WEBSOCKET_MANAGER=redis needs WEBSOCKET_REDIS_URL (or REDIS_URL)")
        if self.websocket_redis_cluster and self.websocket_sentinel_hosts:
            raise ValueError(
                "WEBSOCKET_REDIS_CLUSTER and WEBSOCKET_SENTINEL_HOSTS exclude each other"
            )
        if self.websocket_redis_cluster and urlsplit(url).path.strip("/") not in ("", "0"):
            raise ValueError("WEBSOCKET_REDIS_URL: Redis Cluster has database 0 only")

    @property
    def transports(self) -> list[str]:
        """The Engine.IO transports to offer."""
        return list(self.websocket_transports) if self.enable_websocket_support else ["polling"]

    @property
    def sqlalchemy_url(self) -> str:
        """``DATABASE_URL``, or the SQLite file in ``DATA_DIR``."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'heliograph.db'}"


def load_settings() -> Settings:
    """Read the environment.

    :raises ConfigurationError: naming each variable that is wrong, and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            name = str(fault["loc"][0]).upper() if fault["loc"] else ""
            reason = fault["msg"].removeprefix("Value error, ")
            field = Settings.model_fields.get(name.lower())
            told = name and "got" not in reason and not (field and field.annotation is SecretStr)
            given = f" (got {fault['input']!r})" if told else ""
            lines.append(f"{name}: {reason}{given}" if name else reason)
        raise ConfigurationError("\n".join(lines)) from None
