"""The app and its operator on the chart's Redis: their user, its certificate, and nobody else."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import redis

from heliograph.backplane import Backplane, RedisConfig
from heliograph.delivery import Frame, Position, RedisBroker
from heliograph.settings import Settings
from heliograph_operator.control import Control
from heliograph_operator.plans import drains
from heliograph_operator.plans.tuning import Order
from heliograph_operator.settings import Settings as OperatorSettings
from tests.chart.helm import nested
from tests.chart.redis_pods import Pods, redis_pods
from tests.support.bare import until


async def _round_trip(settings: Settings) -> list[str]:
    """Publish to a room that is subscribed, and read its log again."""
    got: list[Frame] = []
    config = RedisConfig.from_settings(settings)
    if config.tls is not None:
        config.tls.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
    backplane = Backplane(config)
    await backplane.start()
    broker = RedisBroker(backplane, 60)

    def deliver(room: str, seq: int | None, frame: Frame) -> None:
        got.append(frame)

    await broker.start(deliver, lambda *_: None)
    try:
        before = await broker.subscribe("chart")
        for number in range(3):
            await broker.publish("chart", Frame.event("e", number))
        await until(lambda: len(got) == 3)
        logged = await broker.replay("chart", Position(before.epoch, before.seq))
        return [each.frame.body for each in logged]
    finally:
        await broker.stop()
        await backplane.stop()


_OPERATOR = {
    "operator_deployment": "fleet",
    "operator_namespace": "chat",
    "operator_selector": "app=fleet",
}


async def _operate(settings: OperatorSettings) -> None:
    """All that the operator does with Redis, as the user that it shares with the app."""
    async with Control(settings) as control:
        await control.order_settings(Order.of({"LOG_LEVEL": "debug"}).encode())
        await control.order_drains({"pod": drains.Order("a test", 1.0)}, ["another"])
        found = await control.read()
        assert found.settings is not None
        assert set(found.drains) == {"pod"}
        assert found.reports == ()
        assert await control.stop_tasks("replica") == 0
        await control.shed("replica", 3)
        await control.order_settings(None)
        assert (await control.read()).settings is None


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("mode", ["standalone", "sentinel", "cluster"])
async def test_app_and_operator_work_with_what_the_chart_gives_them(mode: str, tls: bool) -> None:
    def run() -> tuple[Pods, Any]:
        running = redis_pods(mode, nested(redis__tls__enabled=tls))
        return running.__enter__(), running

    pods, running = await asyncio.to_thread(run)
    try:
        settings = Settings.model_validate(pods.app_settings())
        assert len(await _round_trip(settings)) == 3
        await _operate(OperatorSettings.model_validate({**pods.app_settings(), **_OPERATOR}))
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture(scope="module")
def standalone() -> Any:
    """One pod."""
    with redis_pods("standalone") as pods:
        yield pods


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("heliograph", ["GET", "another:key"]),
        ("heliograph", ["PUBLISH", "another:channel", "x"]),
        ("heliograph", ["SCAN", "0"]),
        ("heliograph", ["CONFIG", "GET", "*"]),
        ("heliograph", ["FLUSHALL"]),
        ("heliograph", ["FUNCTION", "FLUSH"]),
        ("heliograph", ["ACL", "LIST"]),
        ("replication", ["GET", "heliograph:x"]),
        ("sentinel", ["GET", "heliograph:x"]),
        ("keeper", ["GET", "heliograph:x"]),
        ("keeper", ["ACL", "SETUSER", "keeper", "+@all"]),
        ("exporter", ["GET", "heliograph:x"]),
        ("exporter", ["CONFIG", "GET", "masterauth"]),
    ],
)
def test_a_user_may_not_do_what_it_is_not_for(
    standalone: Pods, user: str, command: list[str]
) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        standalone[0].execute(*command, user=user)


def test_nobody_comes_in_without_a_name(standalone: Pods) -> None:
    with (
        redis.Redis(port=standalone[0].port) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()


def test_redis_has_what_the_chart_says(standalone: Pods) -> None:
    found = standalone[0].execute("CONFIG", "GET", "*")
    assert found["maxmemory-policy"] == "noeviction"
    assert found["appendonly"] == "yes"
    assert found["maxmemory"] == str(512 * 1024 * 1024)


def test_no_password_is_in_the_arguments_of_a_process_or_in_the_config_map(
    standalone: Pods,
) -> None:
    process = standalone[0].containers["redis"]
    for kind in ("cmdline", "environ"):
        with open(f"/proc/{process.pid}/{kind}", encoding="utf-8", errors="replace") as file:
            text = file.read()
        assert standalone.password("heliograph") not in text
        assert standalone.password("keeper") not in text
