"""Settings of the operator, read once from the environment.

Where Redis is, it is told by the same variables as the replicas; the rest begins with
``OPERATOR_``. A value that does not fit is refused at start by the name of its variable.
"""

from __future__ import annotations

import socket
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

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]


class ConfigurationError(Exception):
    """A variable is missing or wrong; the text names it."""


class Settings(BaseSettings):
    """Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=True, populate_by_name=True
    )

    operator_deployment: _Name = Field(description="The fleet's Deployment.")
    operator_namespace: _Name = Field(description="The namespace of the fleet and its resource.")
    operator_selector: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="Label selector of the fleet's pods."
    )
    operator_watch_nodes: bool = Field(
        False, description="Whether nodes may be watched, so that pods of cordoned ones drain."
    )
    operator_metrics_port: int = Field(
        9090, ge=0, le=65535, description="Port of `/metrics` (Prometheus); 0: off."
    )
    operator_health_port: int = Field(8080, ge=1, le=65535, description="Port of `/healthz`.")
    operator_host: str = Field("0.0.0.0", description="Address of both ports.")  # noqa: S104
    pod_name: str = Field("", description="Name in the Lease; empty: the host's name.")

    websocket_redis_url: SecretStr = Field(
        validation_alias=AliasChoices("websocket_redis_url", "redis_url"),
        description="`redis://` or `rediss://[user:password@]host:port/db`; with Sentinel the "
        "host is the master's name.",
    )
    websocket_redis_cluster: bool = Field(
        False,
        validation_alias=AliasChoices("websocket_redis_cluster", "redis_cluster"),
        description="Redis Cluster; the URL names any node.",
    )
    websocket_sentinel_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=AliasChoices("websocket_sentinel_hosts", "redis_sentinel_hosts"),
        description="Sentinels, `host[:port]`, comma-separated.",
    )
    websocket_sentinel_port: int = Field(
        26379,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("websocket_sentinel_port", "redis_sentinel_port"),
        description="Port of Sentinels named without one.",
    )
    redis_key_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")] = Field(
        "heliograph", description="Every key and channel in Redis starts with it."
    )
    redis_sentinel_password: SecretStr = Field(
        SecretStr(""), description="Password of the Sentinels themselves."
    )
    redis_tls_ca_file: str = Field(
        "", description="Certificates that `rediss://` is verified with; empty: the system's."
    )

    log_format: Literal["plain", "json"] = Field("plain", description="Shape of the log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @field_validator("websocket_sentinel_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("websocket_redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr) -> SecretStr:
        split = urlsplit(value.get_secret_value())
        if split.scheme not in ("redis", "rediss") or not split.hostname:
            raise ValueError("must be redis://host:port/db or rediss://host:port/db")
        return value

    @model_validator(mode="after")
    def _one_mode(self) -> Settings:
        if self.websocket_redis_cluster and self.websocket_sentinel_hosts:
            raise ValueError(
                "WEBSOCKET_REDIS_CLUSTER and WEBSOCKET_SENTINEL_HOSTS exclude each other"
            )
        return self

    @property
    def identity(self) -> str:
        """How this process is called in the Lease."""
        return self.pod_name or socket.gethostname()


def load_settings() -> Settings:
    """Read the environment.

    :raises ConfigurationError: naming each variable that is wrong, and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']).upper() or 'settings'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ConfigurationError("; ".join(faults)) from None
