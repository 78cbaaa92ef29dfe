"""Deletion costs, and clients that are moved to pods that have fewer."""

from __future__ import annotations

import asyncio

import pytest

from heliograph_operator.actions import costs
from heliograph_operator.plans import rebalance
from tests.operator.stage import Stage, until


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebalance, "ROUND_SECONDS", 0.4)
    monkeypatch.setattr(costs, "_PAUSE_SECONDS", 0.2)


async def test_the_cost_of_a_pod_follows_its_connections(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 100)
    two = await stage.replica("fleet-2", 300)
    await kubernetes.pod("fleet-3")  # does not report
    async with stage.operator():
        await until(lambda: kubernetes.cost("fleet-1") == "100")
        await until(lambda: kubernetes.cost("fleet-2") == "300")
        one.connections = 105  # not worth a write
        await asyncio.sleep(0.6)
        assert kubernetes.cost("fleet-1") == "100"
        one.connections = 150
        await until(lambda: kubernetes.cost("fleet-1") == "150")
        two.connections = 149  # the emptiest now, by one
        await until(lambda: kubernetes.cost("fleet-2") == "149")
        assert kubernetes.cost("fleet-3") is None


async def test_clients_move_to_a_new_pod_slowly(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    three = await stage.replica("fleet-3", 0)
    one = await stage.replica("fleet-1", 100, elsewhere=three)
    two = await stage.replica("fleet-2", 90, elsewhere=three)
    await kubernetes.gateway(rebalance={"enabled": True, "perSecond": 25})
    async with stage.operator():
        # 25 in a second are ten for a round of 0.4 s. The mean is 63, and 76 are borne.
        await until(lambda: (one.connections, two.connections) == (76, 76))
        assert max(one.shed + two.shed) == 10
        await asyncio.sleep(0.8)
        assert (one.connections, two.connections, three.connections) == (76, 76, 38)
        [event] = kubernetes.events("Rebalancing")
        assert "10 from fleet-1" in event["message"]


async def test_nobody_is_moved_unasked(stage: Stage) -> None:
    one = await stage.replica("fleet-1", 100)
    await stage.replica("fleet-2", 0)
    await stage.kubernetes.gateway()
    async with stage.operator():
        await until(lambda: stage.kubernetes.condition("Ready") == ("True", "FleetRuns"))
        await asyncio.sleep(0.6)
        assert one.shed == []


async def test_nobody_is_moved_while_a_pod_drains(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 100)
    await stage.replica("fleet-2", 0)
    three = await stage.replica("fleet-3", 50, leaves=0)
    await kubernetes.annotate("fleet-3", "true")
    await kubernetes.gateway(rebalance={"enabled": True})
    async with stage.operator():
        await until(lambda: three.state == "draining")
        await asyncio.sleep(0.8)
        assert one.shed == three.shed == []
        await kubernetes.annotate("fleet-3", None)
        await until(lambda: one.shed)
