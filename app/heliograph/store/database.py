"""One database behind one small door: read or write, always in a transaction.

SQLite (WAL) admits one writer at a time; its writers queue here, on the event loop,
where waiting costs nothing, so that ``database is locked`` cannot happen within a
process. PostgreSQL writers run side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from heliograph.errors import ConfigurationError
from heliograph.store.search import lower


def now_s() -> int:
    """Seconds since 1970."""
    return int(time.time())


def now_ns() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()


def create_engine(url: str) -> AsyncEngine:
    """An engine with the settings each database needs to be safe under load."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # No overflow: its connections are closed after each use, and a new one costs PostgreSQL a
        # process and a handshake, far more than most of our queries. Five replicas take 75 of
        # the 100 that PostgreSQL admits by default.
        return create_async_engine(parsed, pool_size=15, max_overflow=0, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(parsed, connect_args={"timeout": 30})

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function("lower", 1, lower, deterministic=True)

    return engine


class Database:
    """The store's connections.

    Use ``async with database:`` to open and close them; :meth:`read` and
    :meth:`write` give a session, and ``write`` commits when its block ends well.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._one_writer = (
            asyncio.Lock() if self.engine.dialect.name == "sqlite" else contextlib.nullcontext()
        )

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.dispose()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for reading."""
        async with self._sessions() as session:
            yield session

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """A session for reading whose queries all see the database at one moment."""
        async with self._sessions() as session:
            if self.dialect == "sqlite":
                await session.execute(text("BEGIN"))  # the driver begins with a change only
            else:
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are committed together, or not at all."""
        async with self._one_writer, self._sessions() as session, session.begin():
            yield session

    async def check(self) -> None:
        """Answer one query.

        :raises ConfigurationError: the database cannot be reached.
        """
        try:
            async with self.read() as session:
                await session.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError) as error:
            shown = self.engine.url.render_as_string(hide_password=True)
            raise ConfigurationError(f"DATABASE_URL: cannot reach {shown}: {error}") from error
