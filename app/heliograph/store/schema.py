"""Bringing a database to this version's tables."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from heliograph.errors import ConfigurationError
from heliograph.store.database import Database

_MIGRATIONS = Path(__file__).with_name("migrations")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def migrate(database: Database) -> str:
    """Run the migrations that are missing and return the revision reached.

    Several processes may call this at once: PostgreSQL serialises them with an
    advisory lock, SQLite with its write lock. Within a process, one at a time
    (Alembic's context is global).
    """
    await database.check()
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade)
    return await current_revision(database)


async def current_revision(database: Database) -> str:
    """The revision the database is at; empty when it has none."""

    def read(connection: Connection) -> str:
        return MigrationContext.configure(connection).get_current_revision() or ""

    async with database.engine.connect() as connection:
        return await connection.run_sync(read)


async def require_current(database: Database) -> None:
    """Refuse to serve on tables of another version.

    :raises ConfigurationError: saying to run ``heliograph migrate``.
    """
    await database.check()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    found = await current_revision(database)
    if found != wanted:
        raise ConfigurationError(
            f"DATABASE_URL: the database is at revision {found or 'none'}, this version needs "
            f"{wanted}; run `heliograph migrate`"
        )
