"""Every setting, read once from the environment into one typed model.

A value that does not fit is refused at start by the name of its variable; the
reference table in ``docs/configuration.md`` is generated from this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from heliograph.errors import ConfigurationError

Transport = Literal["websocket", "polling"]


class Settings(BaseSettings):
    """One process's configuration. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

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
        30, ge=1, description="Sign-ups and sign-ins one address may try in a minute."
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

    enable_websocket_support: bool = Field(True, description="Whether websockets are accepted.")
    websocket_transports: Annotated[tuple[Transport, ...], NoDecode] = Field(
        ("websocket", "polling"),
        description="Transports offered while websockets are on, comma-separated.",
    )
    websocket_manager: Literal[""] = Field(
        "", description="Empty: one process with its state in memory."
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
    websocket_server_logging: bool = Field(False, description="Log of python-socketio.")
    websocket_server_engineio_logging: bool = Field(False, description="Log of python-engineio.")

    log_format: Literal["plain", "json"] = Field("plain", description="Shape of the log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of `/metrics` (Prometheus) on `HOST`; 0: off."
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

    @field_validator("websocket_manager", mode="before")
    @classmethod
    def _one_process_only(cls, value: object) -> object:
        if value:
            raise ValueError(
                f"{value!r} is not available: this version runs as one process; leave it unset"
            )
        return value

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
        if self.database_url and "+" not in self.database_url.split("://", 1)[0]:
            raise ValueError(
                "DATABASE_URL needs an async driver: postgresql+asyncpg://… or sqlite+aiosqlite:///…"
            )
        return self

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
            given = f" (got {fault['input']!r})" if name and "got" not in reason else ""
            lines.append(f"{name}: {reason}{given}" if name else reason)
        raise ConfigurationError("\n".join(lines)) from None
