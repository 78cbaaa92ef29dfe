"""The store on both databases: migrations, transactions, writers at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from heliograph.errors import ConfigurationError
from heliograph.identity import Users
from heliograph.store import Database, current_revision, migrate, now_s, require_current
from heliograph.store.models import Base, User
from heliograph.store.schema import _config


async def test_migrations_make_exactly_the_tables_of_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_again_changes_nothing(database: Database) -> None:
    before = await current_revision(database)
    assert before
    assert await migrate(database) == before


async def test_a_database_of_the_version_before_keeps_what_it_has(database: Database) -> None:
    def to(revision: str) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            config = _config()
            config.attributes["connection"] = connection
            change = command.downgrade if revision < head else command.upgrade
            change(config, revision)

        return run

    head = await current_revision(database)
    before = f"{int(head) - 1:04}"
    await Users(database).add("u1", "Ann", "ann@example.org", None, "user")
    for revision in (before, head):
        async with database.engine.begin() as connection:
            await connection.run_sync(to(revision))
        assert await current_revision(database) == revision
    user = await Users(database).get("u1")
    assert user is not None
    assert user.name == "Ann"


async def test_several_processes_may_migrate_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    several = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "heliograph.cli", "migrate",
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in several:
        _, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()[-2000:]


async def test_all_queries_of_a_snapshot_see_the_same_moment(database: Database) -> None:
    users = Users(database)
    assert await users.add("u1", "Ann", "ann@example.org", None, "user") is not None
    async with database.snapshot() as session:
        assert (await session.scalars(select(User.name))).all() == ["Ann"]
        assert await users.add("u2", "Ben", "ben@example.org", None, "user") is not None
        assert (await session.scalars(select(User.name))).all() == ["Ann"]
    async with database.snapshot() as session:
        assert sorted(await session.scalars(select(User.name))) == ["Ann", "Ben"]


async def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}") as database:
        with pytest.raises(ConfigurationError, match="heliograph migrate"):
            await require_current(database)


async def test_an_unreachable_database_is_named_without_its_password() -> None:
    url = "postgresql+asyncpg://me:hunter2@127.0.0.1:1/x"
    async with Database(url) as database:
        with pytest.raises(ConfigurationError, match="DATABASE_URL") as refusal:
            await database.check()
    assert "hunter2" not in str(refusal.value)


async def test_a_failed_write_changes_nothing(database: Database) -> None:
    users = Users(database)
    await users.add("a", "Ann", "ann@example.org", None, "user")

    async def rename_and_fail() -> None:
        key = "INSERT INTO api_keys (user_id, key_hash, created_at) VALUES ('nobody', 'x', 1)"
        async with database.write() as session:
            await session.execute(text("UPDATE users SET name = 'changed'"))
            await session.execute(text(key))

    with pytest.raises(IntegrityError):
        await rename_and_fail()
    ann = await users.get("a")
    assert ann is not None
    assert ann.name == "Ann"


async def test_many_writers_at_once_all_succeed(database: Database) -> None:
    users = Users(database)
    await asyncio.gather(
        *(users.add(f"u{n}", f"U{n}", f"u{n}@example.org", None, "user") for n in range(40))
    )
    async with database.read() as session:
        found = (await session.scalars(select(User))).all()
    assert len(found) == 40
    assert [user.role for user in found].count("admin") == 1


async def test_an_address_can_be_taken_once(database: Database) -> None:
    users = Users(database)
    made = await asyncio.gather(
        *(users.add(f"u{n}", "Ann", "ann@example.org", None, "user") for n in range(5))
    )
    assert [user is not None for user in made].count(True) == 1


async def test_activity_of_a_deleted_user_is_passed_over(database: Database) -> None:
    users = Users(database)
    await users.add("a", "Ann", "ann@example.org", None, "user")
    later = now_s() + 77
    await users.touch({"a": later, "gone": later})
    await users.touch({"a": later - 1})  # another replica, which heard of her before
    ann = await users.get("a")
    assert ann is not None
    assert ann.last_active_at == later


async def test_search_takes_wildcards_literally(database: Database) -> None:
    users = Users(database)
    await users.add("a", "Ann_1", "ann@example.org", None, "user")
    await users.add("b", "Annx1", "ben@example.org", None, "user")
    found, total = await users.page("ann_1", 0, 10)
    assert ([user.id for user in found], total) == (["a"], 1)
