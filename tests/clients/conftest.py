"""Fixtures of the client suites: the servers they run against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.clients.python_checks")

from tests.clients.world import World, running_world  # noqa: E402 - after the line above


@pytest.fixture
async def world(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[World]:
    """The servers, with a database each."""
    async with running_world(tmp_path, sqlite_template) as world:
        yield world
