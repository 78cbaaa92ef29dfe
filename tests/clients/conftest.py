"""Fixtures of the client suites: servers for a whole module, and the table of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

pytest.register_assert_rewrite("tests.clients.python_checks")

from tests.clients.world import World, running_world  # noqa: E402 - after the line above


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> AsyncIterator[World]:
    """The servers, with a database each; they live as long as the module's tests."""
    async with running_world(tmp_path_factory.mktemp("clients"), sqlite_template) as world:
        yield world
