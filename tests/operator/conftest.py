"""A stage for each test; the operator's pauses are short, its logic is whole."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import kmock
import pytest
from aiohttp.test_utils import RawTestServer
from aiohttp.web import ServerRunner
from redis.asyncio import Redis

from heliograph_operator import loop
from heliograph_operator.actions import drainer, tuner
from heliograph_operator.kubernetes import lease
from tests.operator.stage import Kubernetes, Stage
from tests.support.redis import Standalone


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ROUND_SECONDS", 0.15)
    monkeypatch.setattr(loop, "_QUICKEST_SECONDS", 0.02)
    monkeypatch.setattr(loop, "_LIST_SECONDS", 0.8)
    monkeypatch.setattr(loop, "_LIST_SOON_SECONDS", 0.3)
    monkeypatch.setattr(loop, "_STATUS_SECONDS", 0.2)
    monkeypatch.setattr(lease, "_TRY_SECONDS", 0.1)
    monkeypatch.setattr(tuner, "_RETURN_SECONDS", 0.2)
    monkeypatch.setattr(drainer, "_STOP_AGAIN_SECONDS", 0.3)


class _Server(RawTestServer):
    """Ends at once: by itself it waits minutes for watches whose client is gone."""

    async def _make_runner(self, debug: bool = True, **options: Any) -> ServerRunner:
        runner = await super()._make_runner(debug=debug, **options)
        runner._shutdown_timeout = 0.1
        return runner


@pytest.fixture
async def kubernetes() -> AsyncIterator[Kubernetes]:
    async with kmock.KubernetesEmulator() as api, kmock.Server(api, server_cls=_Server):
        yield Kubernetes(api)


@pytest.fixture
async def stage(
    kubernetes: Kubernetes, redis: Standalone, redis_prefix: str
) -> AsyncIterator[Stage]:
    async with (
        Redis(host="127.0.0.1", port=redis.nodes[0].port) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        yield Stage(kubernetes, client, redis_prefix, redis.environment(), stack)
