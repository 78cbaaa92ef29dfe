"""Alembic's entry: runs on the connection that :func:`heliograph.store.migrate` opened."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from heliograph.store.models import Base

_MIGRATION_LOCK = 0x48454C49  # any fixed number; ours spells HELI


def run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # waits for another that migrates
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
