"""Fixtures: a migrated database of either kind, and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from heliograph.settings import Settings
from heliograph.store import Database, migrate
from tests.fleet import MODES, Fleet, Mode, run_fleet
from tests.support.postgres import create_database, postgres_server
from tests.support.redis import (
    Cluster,
    Sentinel,
    Standalone,
    redis_cluster,
    redis_sentinel,
    redis_standalone,
)
from tests.support.server import RunningServer, serve
from tests.support.together import Backing


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    """Our code waiting for a socket, SQLite or the clock on the event loop fails the test.
    Left out: files (tracebacks, migrations, start-up) and locks (held for a moment)."""
    with blockbuster_ctx("heliograph") as watch:
        for name, function in watch.functions.items():
            if name.startswith(("os.", "io.", "threading.")):
                function.deactivate()
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fleet",
        choices=MODES,
        help="run the client and browser suites on three replicas behind HAProxy, "
        "on Redis of this kind",
    )


@pytest.fixture
def backing(request: pytest.FixtureRequest, redis_prefix: str) -> Backing | None:
    """What the replicas of a suite share; ``None`` for a single server."""
    mode = request.config.getoption("--fleet")
    if not mode:
        return None
    name = "redis" if mode == "standalone" else f"redis_{mode}"
    return Backing(request.getfixturevalue(name), request.getfixturevalue("postgres"), redis_prefix)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "settings(**variables): settings of this test's server")
    config.addinivalue_line("markers", "alone: measures, so nothing else runs beside it")


async def _migrate(url: str) -> None:
    async with Database(url) as database:
        await migrate(database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "heliograph.db"
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server with a migrated database ``template``; its URL without a database."""
    with postgres_server() as url:
        asyncio.run(create_database(url, "template", "template1"))
        asyncio.run(_migrate(f"{url}/template"))
        yield url


# Shared by the tests of a worker, which keep apart by `redis_prefix`. A test that breaks a
# server starts one of its own.
@pytest.fixture(scope="session")
def redis() -> Iterator[Standalone]:
    """One Redis."""
    with redis_standalone() as servers:
        yield servers


@pytest.fixture(scope="session", name="redis_sentinel")
def _redis_sentinel() -> Iterator[Sentinel]:
    """A Redis with two replicas under three Sentinels."""
    with redis_sentinel() as servers:
        yield servers


@pytest.fixture(scope="session", name="redis_cluster")
def _redis_cluster() -> Iterator[Cluster]:
    """A Redis Cluster of three masters with a replica each."""
    with redis_cluster() as servers:
        yield servers


@pytest.fixture
def redis_prefix() -> str:
    """A ``REDIS_KEY_PREFIX`` of this test."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session", name="_fleets")
def _running_fleets(
    request: pytest.FixtureRequest, postgres: str
) -> Iterator[Callable[[Mode], Fleet]]:
    fixtures = {"standalone": "redis", "sentinel": "redis_sentinel", "cluster": "redis_cluster"}
    with contextlib.ExitStack() as stack:

        @functools.cache
        def fleet_on(mode: Mode) -> Fleet:
            asyncio.run(create_database(postgres, f"fleet_{mode}", "template"))
            fleet = run_fleet(
                request.getfixturevalue(fixtures[mode]),
                database_url=f"{postgres}/fleet_{mode}",
                environment={"AUTH_ATTEMPTS_PER_MINUTE": "100000", "ECHO_DELAY_MS": "1"},
            )
            return stack.enter_context(fleet)

        yield fleet_on


@pytest.fixture
def fleet(request: pytest.FixtureRequest, _fleets: Callable[[Mode], Fleet]) -> Fleet:
    """Three replicas behind HAProxy, shared by the tests of a worker, which leave them whole.

    They run on one Redis; a test marked ``parametrize("fleet", MODES, indirect=True)`` runs on
    each kind.
    """
    return _fleets(getattr(request, "param", "standalone"))


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated, empty SQLite database of this test."""
    path = tmp_path / "heliograph.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """The URL of a migrated, empty PostgreSQL database of this test."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(create_database(postgres, name, "template"))
    return f"{postgres}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database; each test runs on both kinds."""
    kind = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(kind)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open, migrated, empty database of either kind."""
    async with Database(database_url) as opened:
        yield opened


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Settings:
    """Settings of this test's server, with those of its ``settings`` mark."""
    mark = request.node.get_closest_marker("settings")
    chosen = {name.lower(): value for name, value in mark.kwargs.items()} if mark else {}
    return Settings.model_validate(
        {
            "port": 0,
            "data_dir": tmp_path,
            "database_url": sqlite_url,
            "auth_attempts_per_minute": 1000,
            "echo_delay_ms": 1,
            **chosen,
        }
    )


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[RunningServer]:
    """A running server with an administrator ``root``."""
    async with serve(settings) as running:
        yield running
