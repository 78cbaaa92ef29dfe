"""Fixtures of the client suites: the servers they run against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.clients.python_checks")

from tests.clients.world import World, running_world  # noqa: E402 - after the line above
from tests.support.together import Backing  # noqa: E402


@pytest.fixture
async def world(
    tmp_path: Path, sqlite_template: Path, backing: Backing | None
) -> AsyncIterator[World]:
    """The servers, with a database each; several replicas in place of each with ``--fleet``."""
    async with running_world(tmp_path, sqlite_template, backing) as world:
        yield world
