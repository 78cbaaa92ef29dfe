"""The operator as a process: everything entered in order, and left in order on a signal."""

from __future__ import annotations

import asyncio
import signal

from heliograph_operator import metrics
from heliograph_operator.control import Control
from heliograph_operator.kubernetes import api
from heliograph_operator.kubernetes.api import Api, Login
from heliograph_operator.kubernetes.watch import Watch, What
from heliograph_operator.logs import get_logger
from heliograph_operator.loop import Loop
from heliograph_operator.settings import Settings
from heliograph_operator.world import World

log = get_logger(__name__)


_ROUND_ENDS_SECONDS = 5.0


async def serve(settings: Settings, ended: asyncio.Event, *, login: Login = api.login) -> None:
    """Look after the fleet until ``ended``."""
    world = World()
    watch: Watch | None = None

    def listed() -> None:
        nonlocal watch
        what = What(
            namespace=settings.operator_namespace,
            selector=settings.operator_selector,
            nodes=world.cordoned is not None,
            gateways=bool(world.serves_gateways),
        )
        assert watch is not None
        watch.watch(what)

    async with (
        Api(settings.operator_namespace, login) as kubernetes,
        Control(settings) as control,
    ):
        loop = Loop(settings, kubernetes, control, world, on_listed=listed)
        watch = Watch(
            What(settings.operator_namespace, settings.operator_selector, False, False),
            login,
            loop.seen,
            health=f"http://{settings.operator_host}:{settings.operator_health_port}/healthz",
            alive=loop.stuck,
        )
        log.info(
            "operator.started",
            deployment=settings.operator_deployment,
            namespace=settings.operator_namespace,
            identity=settings.identity,
        )
        running = asyncio.create_task(loop.run(ended), name="loop")
        try:
            await ended.wait()
            world.wake.set()
            await asyncio.wait({running}, timeout=_ROUND_ENDS_SECONDS)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await watch.stop()
            log.info("operator.ended")


async def serve_until_signal(settings: Settings) -> None:
    """Serve metrics and look after the fleet, until SIGTERM or SIGINT."""
    if settings.operator_metrics_port:
        metrics.serve_metrics(settings.operator_host, settings.operator_metrics_port)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await serve(settings, ended)
