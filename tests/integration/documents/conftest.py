"""Where documents live: one process with a database, or many with Redis beside it."""

from __future__ import annotations

import pytest

from tests.integration.documents.stage import Shared


@pytest.fixture(params=["sqlite", "redis"])
def home(request: pytest.FixtureRequest) -> str:
    """Each test that asks for ``shared`` runs in memory on SQLite, and on Redis with PostgreSQL."""
    kind: str = request.param
    return kind


@pytest.fixture
def home_url(request: pytest.FixtureRequest, home: str) -> str:
    """The database that goes with it: replicas share a PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if home == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def shared(request: pytest.FixtureRequest, home: str, redis_prefix: str) -> Shared | None:
    """The Redis of this test's replicas; ``None`` for one process."""
    return Shared(request.getfixturevalue("redis"), redis_prefix) if home == "redis" else None
