"""Running the application: one process, or several that share a port.

What cannot work is refused here, before anything listens, in one sentence.
"""

from __future__ import annotations

import asyncio
import functools

from heliograph.backplane import Backplane, RedisConfig
from heliograph.errors import ConfigurationError
from heliograph.serving.server import Server, listen, serve_alone, uvicorn_config
from heliograph.settings import Settings
from heliograph.store import Database, migrate, require_current
from heliograph.telemetry import configure_logging, get_logger
from heliograph.waiting import patiently

__all__ = ["Server", "listen", "serve_forever", "uvicorn_config"]

log = get_logger(__name__)


def serve_forever(
    settings: Settings, workers: int = 1, wait_seconds: float = 0, *, migrating: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param wait_seconds: how long the database and Redis may be away at the start.
    :param migrating: bring the database to this version's tables first.
    :raises ConfigurationError: a setting cannot work, or the database or Redis not be reached.
    """
    if workers > 1:
        _check_workers(settings, workers)
    configure_logging(settings.log_format, settings.log_level)
    if settings.websocket_manager and settings.sqlalchemy_url.startswith("sqlite"):
        log.warning(
            "serving.sqlite_is_for_one_host",
            database=settings.sqlalchemy_url,
            advice="replicas on other hosts would have another database: "
            "set DATABASE_URL to PostgreSQL for those",
        )
    check = functools.partial(_check_services, settings, migrating=migrating)
    asyncio.run(patiently(check, wait_seconds, log.warning))
    if workers > 1:
        from heliograph.serving.workers import serve_with_workers  # here: gunicorn needs POSIX

        serve_with_workers(settings, workers)
    else:
        serve_alone(settings)


def _check_workers(settings: Settings, workers: int) -> None:
    if not settings.websocket_manager:
        raise ConfigurationError(
            f"--workers {workers}: each worker is a replica, and replicas share their state "
            "through Redis: set WEBSOCKET_MANAGER=redis and WEBSOCKET_REDIS_URL, "
            "or serve with one worker"
        )
    if "polling" in settings.transports:
        raise ConfigurationError(
            f"--workers {workers}: a polling session lives in one worker, but any of them takes "
            "its next request: set WEBSOCKET_TRANSPORTS=websocket with "
            "ENABLE_WEBSOCKET_SUPPORT=True, or run processes of one worker each behind a proxy "
            "with sticky sessions"
        )
    if settings.metrics_port and settings.metrics_port + workers - 1 > 65_535:
        raise ConfigurationError(
            f"METRICS_PORT: {workers} workers take the ports from {settings.metrics_port} on, "
            "which end at 65535: choose a lower one"
        )


async def _check_services(settings: Settings, *, migrating: bool) -> None:
    # Before the server starts: it would print a traceback instead of our sentence.
    async with Database(settings.sqlalchemy_url) as database:
        await (migrate(database) if migrating else require_current(database))
    if settings.websocket_manager:
        backplane = Backplane(RedisConfig.from_settings(settings))
        await backplane.start()
        await backplane.stop()
