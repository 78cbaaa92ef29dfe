"""Fixtures of the channel tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.pair import Pair, running_pair
from tests.support.redis import Standalone


@pytest.fixture
async def pair(
    postgres: str, redis: Standalone, redis_prefix: str, tmp_path: Path
) -> AsyncIterator[Pair]:
    """Two servers on one Redis and one PostgreSQL."""
    async with running_pair(postgres, redis, redis_prefix, tmp_path) as running:
        yield running
