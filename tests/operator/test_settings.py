"""Settings of running replicas: ordered, acknowledged, refused, returned, and tuned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from heliograph_operator.plans import autotune
from tests.operator.stage import GATEWAYS, Stage, until


async def test_settings_reach_all_replicas_and_are_acknowledged(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    two = await stage.replica("fleet-2", 5, obeys=False)
    await kubernetes.gateway(settings={"pingIntervalSeconds": 10, "logLevel": "warning"})
    async with stage.operator():
        await until(lambda: one.settings)
        assert one.settings == {"WEBSOCKET_SERVER_PING_INTERVAL": 10, "LOG_LEVEL": "warning"}
        await until(lambda: kubernetes.condition("SettingsApplied") == ("False", "Waiting"))
        assert not kubernetes.events("SettingsApplied")
        two.obeys = True
        await until(lambda: kubernetes.condition("SettingsApplied") == ("True", "Applied"))
        await until(lambda: kubernetes.events("SettingsApplied"))
        await until(lambda: kubernetes.status()["settings"]["pingIntervalSeconds"] == 10)
        status = kubernetes.status()
        assert status["revision"] == one.revision != ""
        assert status["observedGeneration"] == 1
        assert status["settings"]["logLevel"] == "warning"
        [event] = kubernetes.events("SettingsChanged")
        assert "pingIntervalSeconds as in the environment → 10" in event["message"]
        assert event["involvedObject"]["kind"] == "RealtimeGateway"
        await kubernetes.patch(
            GATEWAYS,
            "chat",
            metadata={"generation": 2},
            spec={"settings": {"pingIntervalSeconds": 12.5, "logLevel": None}},
        )
        await until(lambda: one.settings == {"WEBSOCKET_SERVER_PING_INTERVAL": 12.5})
        await until(lambda: kubernetes.status()["observedGeneration"] == 2)
        await until(lambda: "logLevel" not in kubernetes.status()["settings"])


async def test_a_restart_orders_nothing_again(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await kubernetes.gateway(settings={"lockTimeoutSeconds": 30})
    async with stage.operator():
        await until(lambda: kubernetes.events("SettingsApplied"))
    revision = one.revision
    two = await stage.replica("fleet-2")  # a replica that starts without an operator
    await until(lambda: two.revision == revision)
    async with stage.operator("operator-2"):
        await until(lambda: kubernetes.status()["replicas"] == 2)
        assert kubernetes.condition("SettingsApplied") == ("True", "Applied")
    assert len(kubernetes.events("SettingsChanged")) == 1


async def test_a_replica_that_refuses_is_named(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    await stage.replica("fleet-1", 5, refuses="PING: too odd")
    await kubernetes.gateway(settings={"pingIntervalSeconds": 10})
    async with stage.operator():
        await until(lambda: kubernetes.condition("SettingsApplied") == ("False", "Refused"))
        [event] = await until(lambda: kubernetes.events("SettingsRefused"))
        assert "fleet-1" in event["message"]
        assert "too odd" in event["message"]
        await asyncio.sleep(0.5)
        assert len(kubernetes.events("SettingsRefused")) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"settings": {"pingIntervalSeconds": 0}}, "spec.settings.pingIntervalSeconds"),
        ({"settings": {"logLevel": "loud"}}, "spec.settings.logLevel"),
        ({"settings": "all"}, "spec.settings"),
        ({"proxyTimeoutSeconds": 40}, "proxyTimeoutSeconds (40)"),
        (
            {"autotune": {"enabled": True}, "proxyTimeoutSeconds": 100},
            "largest ping interval plus timeout of autotune (120)",
        ),
        ({"autotune": {"lockTimeoutSeconds": {"min": 9, "max": 8}}}, "min (9) must not be above"),
    ],
)
async def test_a_spec_that_cannot_be_followed_changes_nothing(
    stage: Stage, spec: dict[str, Any], said: str
) -> None:
    kubernetes = stage.kubernetes
    await stage.replica("fleet-1", 5)
    await kubernetes.gateway(**spec)
    async with stage.operator():
        await until(lambda: kubernetes.condition("Ready") == ("False", "SpecInvalid"))
        assert kubernetes.condition("SettingsApplied") == ("False", "SpecInvalid")
        [event] = await until(lambda: kubernetes.events("SpecInvalid"))
        assert said in event["message"]
        assert await stage.settings() == {}


async def test_without_the_resource_settings_go_back_to_the_environment(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await kubernetes.gateway(settings={"pingIntervalSeconds": 10})
    async with stage.operator():
        await until(lambda: one.settings)
        await kubernetes.delete(GATEWAYS, "chat")
        await until(lambda: one.revision == "")
        assert await stage.settings() == {}
        [event] = await until(lambda: kubernetes.events("SettingsReturned"))
        assert event["involvedObject"]["kind"] == "Deployment"


async def test_a_resource_that_went_while_nobody_looked(stage: Stage) -> None:
    key = f"{stage.prefix}:control:{{control}}:settings"
    await stage.redis.set(key, b'{"revision": "old", "values": {"LOG_LEVEL": "debug"}}')
    one = await stage.replica("fleet-1", 5)
    await until(lambda: one.revision == "old")
    async with stage.operator():
        await until(lambda: one.revision == "")


@pytest.mark.parametrize("gone", [True, False])
async def test_a_definition_that_is_removed_leaves_the_settings(stage: Stage, gone: bool) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)
    await kubernetes.gateway(settings={"pingIntervalSeconds": 10})
    async with stage.operator():
        await until(lambda: kubernetes.condition("SettingsApplied") == ("True", "Applied"))
        # The API server deletes the resources first, and creates none any more.
        kubernetes.define("get", "list", "watch", "delete", "deletecollection")
        await kubernetes.delete(GATEWAYS, "chat")
        if gone:
            kubernetes.undefine()
        await asyncio.sleep(1.5)
        assert one.settings == {"WEBSOCKET_SERVER_PING_INTERVAL": 10}
        assert not kubernetes.events("SettingsReturned")
        # Drains go on without it.
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "drained")
        kubernetes.define()
        await kubernetes.gateway("again", settings={"pingIntervalSeconds": 11})
        await until(lambda: one.settings == {"WEBSOCKET_SERVER_PING_INTERVAL": 11})


async def test_a_definition_that_comes_later(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    kubernetes.undefine()
    one = await stage.replica("fleet-1", 5)
    async with stage.operator():
        await until(lambda: kubernetes.cost("fleet-1") == "5")
        kubernetes.define()
        await kubernetes.gateway(settings={"pingIntervalSeconds": 10})
        await until(lambda: one.settings)


async def test_of_two_resources_the_older_counts(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    old = {"creationTimestamp": "2020-01-01T00:00:00Z"}
    await kubernetes.gateway("young", settings={"pingIntervalSeconds": 7})
    await kubernetes.gateway("old", settings={"pingIntervalSeconds": 10}, metadata=old)
    await kubernetes.gateway("foreign", settings={"pingIntervalSeconds": 9}, deployment="other")
    async with stage.operator():
        await until(lambda: kubernetes.condition("Ready", "young") == ("False", "Superseded"))
        await until(lambda: kubernetes.condition("Ready", "old") == ("True", "FleetRuns"))
        assert one.settings == {"WEBSOCKET_SERVER_PING_INTERVAL": 10}
        [event] = await until(lambda: kubernetes.events("Superseded"))
        assert event["involvedObject"]["name"] == "young"
        assert kubernetes.status("foreign") == {}
        await kubernetes.delete(GATEWAYS, "old")
        await until(lambda: one.settings == {"WEBSOCKET_SERVER_PING_INTERVAL": 7})
        await until(lambda: kubernetes.condition("Ready", "young") == ("True", "FleetRuns"))


@pytest.mark.parametrize("stored", [b"{", b"[]", b'{"revision": 1}', b"\xff", b"[" * 100_000])
async def test_what_is_stored_and_cannot_be_read_is_replaced(stage: Stage, stored: bytes) -> None:
    key = f"{stage.prefix}:control:{{control}}:settings"
    await stage.redis.set(key, stored)
    await stage.kubernetes.pod("fleet-1")
    await stage.kubernetes.gateway(settings={"pingIntervalSeconds": 10})
    async with stage.operator():
        await until(lambda: stage.kubernetes.events("SettingsChanged"))
        assert (await stage.settings())["values"] == {"WEBSOCKET_SERVER_PING_INTERVAL": 10}


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "ROUND_SECONDS", 0.2)
    monkeypatch.setattr(autotune, "_CALM_ROUNDS", 4)


@pytest.mark.usefixtures("short_rounds")
async def test_autotune_gives_patience_says_why_and_takes_it_back(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await kubernetes.gateway(autotune={"enabled": True})
    async with stage.operator():
        await until(lambda: one.settings.get("WEBSOCKET_SERVER_PING_INTERVAL") == 25)
        one.lag_ms = 900
        await until(lambda: one.settings["WEBSOCKET_SERVER_PING_INTERVAL"] == 37.5)
        assert one.settings["WEBSOCKET_SERVER_PING_TIMEOUT"] == 30
        assert one.settings["WEBSOCKET_REDIS_LOCK_TIMEOUT"] == 60
        one.lag_ms = 0
        [up] = await until(lambda: kubernetes.events("TunedUp"))
        assert "an event loop was 900 ms late" in up["message"]
        assert "pingIntervalSeconds 25 → 37.5" in up["message"]
        await until(lambda: one.settings["WEBSOCKET_SERVER_PING_INTERVAL"] == 25)
        await until(lambda: kubernetes.events("TunedDown"))
        await until(lambda: kubernetes.status()["autotune"]["step"] == 0)


@pytest.mark.usefixtures("short_rounds")
async def test_a_restart_goes_on_with_what_was_tuned(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "_CALM_ROUNDS", 10_000)
    kubernetes = stage.kubernetes
    one = await stage.replica("fleet-1", 5)
    await kubernetes.gateway(autotune={"enabled": True})
    async with stage.operator():
        await until(lambda: kubernetes.status().get("autotune"))
        one.late_renewals = 1
        while one.settings.get("WEBSOCKET_REDIS_LOCK_TIMEOUT") != 90:
            one.late_renewals += 1
            await asyncio.sleep(0.05)
        await until(lambda: kubernetes.status()["autotune"]["lockStep"] == 1)
    async with stage.operator("operator-2"):
        await until(lambda: kubernetes.holder() == "operator-2")
        await asyncio.sleep(0.5)
        assert one.settings["WEBSOCKET_REDIS_LOCK_TIMEOUT"] == 90
        assert len(kubernetes.events("SettingsChanged")) == 1
        await kubernetes.patch(
            GATEWAYS, "chat", spec={"autotune": {"enabled": False}}, metadata={"generation": 2}
        )
        await until(lambda: one.settings == {})
        await until(lambda: "autotune" not in kubernetes.status())
