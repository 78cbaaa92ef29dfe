"""What the operator makes of a Redis, an API server or a colleague that is there or not."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import kopf
import pytest

from heliograph_operator import loop
from heliograph_operator.actions import _SILENT_SECONDS
from heliograph_operator.kubernetes import lease, watch
from tests.operator.stage import LEASES, NODES, PODS, Replica, Stage, until
from tests.support.cutproxy import CutProxy
from tests.support.redis import RedisServers


async def test_redis_that_is_away_is_said_and_comes_back(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    await kubernetes.gateway(settings={"pingIntervalSeconds": 10})
    url = stage.environment["WEBSOCKET_REDIS_URL"]
    async with CutProxy(int(url.rsplit(":", 1)[1].split("/")[0])) as proxy:
        stage.environment["WEBSOCKET_REDIS_URL"] = f"redis://{proxy.address}/0"
        async with stage.operator() as operator:
            await until(lambda: kubernetes.condition("SettingsApplied") == ("True", "Applied"))
            proxy.cut()
            await until(lambda: kubernetes.condition("Degraded") == ("True", "RedisUnavailable"))
            assert kubernetes.condition("Ready") == ("False", "RedisUnavailable")
            assert kubernetes.condition("SettingsApplied") == ("Unknown", "RedisUnavailable")
            assert kubernetes.status()["replicas"] == 2  # what was known stays
            await kubernetes.annotate("fleet-1", "true")
            await asyncio.sleep(0.5)
            assert len(kubernetes.events("RedisUnavailable")) == 1
            assert one.state == "running"
            proxy.resume()
            await until(lambda: one.state == "drained")
            await until(lambda: kubernetes.condition("Degraded") == ("False", "AllWell"))
            assert kubernetes.events("RedisBack")
            assert not operator.task.done()


async def test_an_operator_that_starts_without_redis(stage: Stage) -> None:
    await stage.kubernetes.gateway()
    stage.environment["WEBSOCKET_REDIS_URL"] = "redis://127.0.0.1:1/0"
    async with stage.operator():
        await until(lambda: stage.kubernetes.condition("Ready") == ("False", "RedisUnavailable"))


@pytest.mark.parametrize("how", ["cut", "blackhole"])
async def test_an_api_server_that_is_away_for_a_while(
    stage: Stage, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_operator.kubernetes.api._REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(watch, "_PAUSE_SECONDS", 0.1)
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    await kubernetes.gateway()
    async with CutProxy(int(kubernetes.url.rstrip("/").rsplit(":", 1)[1])) as proxy:
        kubernetes.url = f"http://{proxy.address}"
        async with stage.operator() as operator:
            await until(lambda: kubernetes.condition("Ready") == ("True", "FleetRuns"))
            if how == "cut":
                proxy.cut()
            else:
                proxy.blackhole()
            await asyncio.sleep(1)
            await kubernetes.annotate("fleet-1", "true")
            await asyncio.sleep(1)
            assert one.state == "running"
            assert not operator.task.done()
            proxy.resume()
            await until(lambda: one.state == "drained")
            await kubernetes.annotate("fleet-1", None)
            await until(lambda: one.state == "running")


async def test_an_operator_that_starts_without_an_api_server(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    await stage.replica("fleet-1", 5)
    async with CutProxy(int(kubernetes.url.rstrip("/").rsplit(":", 1)[1])) as proxy:
        proxy.cut()
        kubernetes.url = f"http://{proxy.address}"
        async with stage.operator():
            await asyncio.sleep(0.5)
            proxy.resume()
            await until(lambda: kubernetes.cost("fleet-1") == "5")


async def test_of_two_operators_one_acts(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    async with stage.operator("operator-1"):
        await until(lambda: kubernetes.holder() == "operator-1")
        async with stage.operator("operator-2"):
            await asyncio.sleep(0.5)
            await kubernetes.annotate("fleet-1", "true")
            await until(lambda: kubernetes.events("DrainFinished"))
            assert {each["reportingInstance"] for each in kubernetes.events()} == {"operator-1"}
            assert len(kubernetes.events("DrainStarted")) == 1
    async with stage.operator("operator-2"):
        await until(lambda: kubernetes.holder() == "operator-2")
        await kubernetes.annotate("fleet-1", None)
        await until(lambda: one.state == "running")
        assert kubernetes.find(LEASES, "fleet-operator")["spec"]["leaseTransitions"] >= 1


async def test_the_lease_of_a_dead_operator_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.kubernetes.create(
        LEASES,
        "fleet-operator",
        spec={
            "holderIdentity": "dead",
            "leaseDurationSeconds": 1,
            # Its clock was an hour ahead, which nobody believes.
            "renewTime": time.strftime("%Y-%m-%dT%H:%M:%S.0Z", time.gmtime(time.time() + 3600)),
        },
    )
    async with stage.operator():
        await asyncio.sleep(0.5)
        assert stage.kubernetes.holder() == "dead"
        await until(lambda: stage.kubernetes.holder() == "operator-1")


async def test_whoever_loses_the_lease_stops_acting(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    async with stage.operator():
        await until(lambda: kubernetes.cost("fleet-1") == "5")
        await kubernetes.patch(
            LEASES, "fleet-operator", spec={"holderIdentity": "other", "renewTime": "now"}
        )
        await asyncio.sleep(0.5)
        await kubernetes.annotate("fleet-1", "true")
        await asyncio.sleep(0.5)
        assert one.state == "running"
        await kubernetes.patch(LEASES, "fleet-operator", spec={"holderIdentity": ""})
        await until(lambda: one.state == "drained")


async def test_pods_that_do_not_report_are_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _SILENT_SECONDS > 10  # longer than a report lives
    monkeypatch.setattr("heliograph_operator.actions._SILENT_SECONDS", 0.3)
    await stage.replica("fleet-1", 5)
    await stage.kubernetes.pod("fleet-2")
    await stage.kubernetes.pod("fleet-3", ready=False)
    await stage.kubernetes.gateway()
    async with stage.operator():
        await until(lambda: stage.kubernetes.condition("Degraded") == ("True", "PodsSilent"))
        [event] = await until(lambda: stage.kubernetes.events("PodsSilent"))
        assert "fleet-2" in event["message"]
        assert "fleet-3" not in event["message"]


async def test_no_replicas(stage: Stage) -> None:
    await stage.kubernetes.gateway()
    async with stage.operator():
        await until(lambda: stage.kubernetes.condition("Ready") == ("False", "NoReplicas"))
        assert stage.kubernetes.condition("SettingsApplied") == ("Unknown", "NoReplicas")


async def test_nonsense_among_the_reports_is_left_out(stage: Stage) -> None:
    await stage.replica("fleet-1", 5)
    liar = Replica(stage.redis, stage.prefix, "fleet-1")
    for number, text in enumerate(
        [b"", b"\xff\xfe", b"[" * 50_000, b"{}", b'{"replica": 5}', b"9" * 5000, b"x" * 70_000]
    ):
        name = f"liar-{number}"
        await stage.redis.zadd(f"{stage.prefix}:replicas:{{replicas}}", {name: 1})
        await stage.redis.set(liar.key(f"report:{name}"), text)
    big = {**liar.report(), "connections": 10**30}
    await stage.redis.zadd(f"{stage.prefix}:replicas:{{replicas}}", {liar.id: 1})
    odd: dict[Any, int] = {b"\xff": 1}
    await stage.redis.zadd(f"{stage.prefix}:replicas:{{replicas}}", odd)
    await stage.redis.set(liar.report_key, json.dumps(big))
    await stage.kubernetes.gateway()
    async with stage.operator():
        await until(lambda: stage.kubernetes.status().get("replicas") == 1)
        assert stage.kubernetes.status()["connections"] == 5


async def test_a_pod_that_vanishes_while_its_cost_is_written(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    await stage.replica("fleet-1", 5)
    two = await stage.replica("fleet-2", 5)
    async with stage.operator() as operator:
        await until(lambda: kubernetes.cost("fleet-2") == "5")
        await kubernetes.delete(PODS, "fleet-2")
        two.connections = 500
        await asyncio.sleep(0.5)
        assert not operator.task.done()


async def test_nodes_that_may_not_be_seen_count_as_not_cordoned(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    kubernetes.api["list", NODES] << 403
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    async with stage.operator():
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "drained")


async def test_the_probe_tells_a_loop_that_is_stuck(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.operator() as operator, httpx.AsyncClient() as http:

        async def health() -> int:
            try:
                return (await http.get(operator.health)).status_code
            except httpx.HTTPError:
                return 0

        async with asyncio.timeout(45):
            while await health() != 200:
                await asyncio.sleep(0.05)
    monkeypatch.setattr(loop, "_STUCK_SECONDS", -1.0)
    async with stage.operator() as operator, httpx.AsyncClient() as http:
        async with asyncio.timeout(45):
            while await health() != 500:
                await asyncio.sleep(0.05)


async def test_nothing_is_written_to_objects_but_what_is_documented(stage: Stage) -> None:
    """No finalizers, no annotations of kopf."""
    kubernetes = stage.kubernetes
    await kubernetes.create(NODES, "node-1", spec={})
    await stage.replica("fleet-1", 5)
    await kubernetes.gateway()
    async with stage.operator():
        await until(lambda: kubernetes.condition("Ready") == ("True", "FleetRuns"))
        await until(lambda: kubernetes.cost("fleet-1"))
    pod = kubernetes.find(PODS, "fleet-1")["metadata"]
    assert list(pod["annotations"]) == ["controller.kubernetes.io/pod-deletion-cost"]
    assert "finalizers" not in pod
    assert "finalizers" not in kubernetes.find(NODES, "node-1")["metadata"]
    assert issubclass(kopf.PermanentError, Exception)


@pytest.mark.parametrize("mode", ["redis_sentinel", "redis_cluster"])
async def test_the_other_forms_of_redis(
    stage: Stage, mode: str, request: pytest.FixtureRequest
) -> None:
    servers: RedisServers = request.getfixturevalue(mode)
    stage.environment.clear()
    stage.environment.update(servers.environment())
    key = f"{stage.prefix}:control:{{control}}:settings"
    await stage.kubernetes.pod("fleet-1")
    await stage.kubernetes.pod("fleet-2")
    await stage.kubernetes.annotate("fleet-1", "true")
    await stage.kubernetes.gateway(settings={"pingIntervalSeconds": 10})

    def replica(pod: str) -> None:
        report = Replica(stage.redis, stage.prefix, pod, id=f"id-{pod}", connections=3).report()
        registry, tasks = f"{stage.prefix}:replicas:{{replicas}}", f"{stage.prefix}:tasks:{{tasks}}"
        found = f"{stage.prefix}:control:{{control}}:report:id-{pod}"
        servers.master(registry).execute("ZADD", registry, 1, f"id-{pod}")
        servers.master(tasks).execute("SADD", f"{tasks}:replica:id-{pod}", "task-1")
        servers.master(found).execute("SET", found, json.dumps(report))

    await asyncio.to_thread(replica, "fleet-1")
    await asyncio.to_thread(replica, "fleet-2")
    async with stage.operator():
        await until(lambda: stage.kubernetes.status().get("replicas") == 2)
        await until(lambda: stage.kubernetes.events("DrainStarted"))
        assert not stage.kubernetes.events("RedisUnavailable")
    stored = await asyncio.to_thread(lambda: servers.master(key).execute("GET", key))
    assert json.loads(stored)["values"] == {"WEBSOCKET_SERVER_PING_INTERVAL": 10}


async def test_a_master_that_sentinels_do_not_know(
    stage: Stage, redis_sentinel: RedisServers
) -> None:
    stage.environment.clear()
    stage.environment.update(redis_sentinel.environment())
    stage.environment["WEBSOCKET_REDIS_URL"] = "redis://nobody/0"
    await stage.kubernetes.gateway()
    async with stage.operator():
        [event] = await until(lambda: stage.kubernetes.events("RedisUnavailable"))
        assert event["message"].endswith("No master found for 'nobody'")
