"""Pods that are emptied: why, how far, and when not."""

from __future__ import annotations

import asyncio

from tests.operator.stage import NODES, PODS, Stage, until


async def test_an_annotated_pod_is_emptied_and_says_so(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 100, tasks={f"task-{n}" for n in range(20)}, leaves=40)
    await stage.replica("fleet-2", 50)
    await kubernetes.gateway()
    async with stage.operator():
        await until(lambda: kubernetes.status().get("connections") == 150)
        assert kubernetes.condition("Draining") == ("False", "NoDrains")
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: kubernetes.condition("Draining") == ("True", "PodsDraining"))
        await until(lambda: kubernetes.condition("Draining") == ("True", "PodsDrained"))
        assert len(one.stopped) == 20
        assert set(await stage.drains()) == {"fleet-1"}
        [drain] = await until(
            lambda: [each for each in kubernetes.status()["drains"] if each["state"] == "drained"]
        )
        assert (drain["pod"], drain["connections"], drain["tasks"]) == ("fleet-1", 0, 0)
        assert "annotated" in drain["why"]
        [started] = kubernetes.events("DrainStarted")
        assert started["involvedObject"]["name"] == "fleet-1"
        assert "20 tasks are stopped and 100 clients moved" in started["message"]
        await until(lambda: kubernetes.events("DrainFinished"))
        await until(lambda: kubernetes.cost("fleet-1") == "-1")
        assert kubernetes.cost("fleet-2") == "50"


async def test_an_annotation_that_is_taken_back_undoes_the_drain(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    await kubernetes.gateway()
    async with stage.operator():
        await kubernetes.annotate("fleet-1", "its disk is bad")
        await until(lambda: one.state == "drained")
        assert (await stage.drains())["fleet-1"]["why"] == "its disk is bad"
        await kubernetes.annotate("fleet-1", "false")
        await until(lambda: one.state == "running")
        assert await stage.drains() == {}
        await until(lambda: kubernetes.events("DrainUndone"))
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "drained")
        await kubernetes.annotate("fleet-1", None)
        await until(lambda: len(kubernetes.events("DrainUndone")) == 2)


async def test_without_a_resource_pods_drain_all_the_same(stage: Stage) -> None:
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 7)
    async with stage.operator():
        await until(lambda: stage.kubernetes.cost("fleet-2") == "7")
        await stage.kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "drained")
        await until(lambda: stage.kubernetes.events("DrainFinished"))


async def test_a_pod_that_is_deleted_drains_though_it_is_the_last(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    async with stage.operator():
        await kubernetes.begin_delete("fleet-1")
        await until(lambda: one.state == "drained")
        assert (await stage.drains())["fleet-1"]["why"] == "the pod is deleted"
        await one.__aexit__()
        await one.forgotten()
        await kubernetes.end("fleet-1")
        await until(lambda: not kubernetes.find(PODS, "fleet-1"))
        while await stage.drains():
            await asyncio.sleep(0.02)
        assert not kubernetes.events("DrainCutShort")


async def test_an_evicted_pod_is_named_so(stage: Stage) -> None:
    one = await stage.replica("fleet-1", 5)
    async with stage.operator():
        await stage.kubernetes.patch(
            PODS,
            "fleet-1",
            status={
                "conditions": [
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "EvictionByEvictionAPI",
                    }
                ]
            },
        )
        await stage.kubernetes.begin_delete("fleet-1")
        await until(lambda: one.state == "drained")
        why = (await stage.drains())["fleet-1"]["why"]
        assert why == "the pod is evicted (EvictionByEvictionAPI)"


async def test_a_pod_that_is_killed_before_it_is_empty(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 50, leaves=0)
    async with stage.operator():
        await kubernetes.begin_delete("fleet-1", grace=0)
        await until(lambda: one.state == "draining")
        await until(lambda: kubernetes.events("DrainStarted"))
        await asyncio.sleep(0.3)
        await kubernetes.end("fleet-1")
        [event] = await until(lambda: kubernetes.events("DrainCutShort"))
        assert "50 clients" in event["message"]
        assert event["type"] == "Warning"
        # Its process lives still, and is not to take clients.
        assert set(await stage.drains()) == {"fleet-1"}
        await one.__aexit__()
        await one.forgotten()
        while await stage.drains():
            await asyncio.sleep(0.02)


async def test_pods_of_a_cordoned_node_drain_and_return(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    await kubernetes.create(NODES, "node-1", spec={})
    await kubernetes.create(NODES, "node-2", spec={})
    await kubernetes.pod("fleet-2", node="node-2")
    one = await stage.replica("fleet-1", 5)
    two = await stage.replica("fleet-2", 5)
    async with stage.operator():
        await until(lambda: kubernetes.cost("fleet-2") == "5")
        await kubernetes.patch(NODES, "node-1", spec={"unschedulable": True})
        await until(lambda: one.state == "drained")
        assert (await stage.drains())["fleet-1"]["why"] == "its node node-1 is cordoned"
        assert two.state == "running"
        await kubernetes.patch(NODES, "node-1", spec={"unschedulable": None})
        await until(lambda: one.state == "running")


async def test_cordons_are_left_alone_when_asked(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    await kubernetes.create(NODES, "node-1", spec={"unschedulable": True})
    await kubernetes.pod("fleet-2", node="node-2")
    await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    await kubernetes.gateway(drain={"cordonedNodes": False})
    async with stage.operator():
        await until(lambda: kubernetes.condition("Ready") == ("True", "FleetRuns"))
        assert await stage.drains() == {}


async def test_the_last_pod_that_takes_clients_does_not_drain(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    two = await stage.replica("fleet-2", 5)
    await kubernetes.gateway()
    async with stage.operator():
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "drained")
        await kubernetes.annotate("fleet-2", "true")
        [event] = await until(lambda: kubernetes.events("DrainRefused"))
        assert event["involvedObject"]["name"] == "fleet-2"
        await until(lambda: kubernetes.condition("Degraded") == ("True", "DrainRefused"))
        assert set(await stage.drains()) == {"fleet-1"}
        assert two.state == "running"
        await stage.replica("fleet-3", 0)
        await until(lambda: two.state == "drained")
        await until(lambda: kubernetes.condition("Degraded") == ("False", "AllWell"))


async def test_orders_for_pods_that_are_gone_are_removed(stage: Stage) -> None:
    key = f"{stage.prefix}:control:{{control}}:drains"
    await stage.redis.hset(key, mapping={"long-gone": b"{}", "odd": b"\xff"})
    await stage.replica("fleet-1", 5)
    async with stage.operator():
        while await stage.redis.exists(key):
            await asyncio.sleep(0.02)


async def test_an_operator_that_is_killed_in_the_middle_of_a_drain(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 100, leaves=2)
    await stage.replica("fleet-2", 5)
    async with stage.operator("operator-1"):
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "draining" and kubernetes.events("DrainStarted"))
    assert kubernetes.holder() == ""
    await until(lambda: one.state == "drained")  # with nobody there
    assert set(await stage.drains()) == {"fleet-1"}
    async with stage.operator("operator-2"):
        await until(lambda: kubernetes.events("DrainFinished"))
        assert len(kubernetes.events("DrainStarted")) == 1
        await kubernetes.annotate("fleet-1", None)
        await until(lambda: one.state == "running")
