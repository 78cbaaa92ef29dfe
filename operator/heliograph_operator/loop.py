"""The one loop: reads what is, plans what is to be, and carries it out; every two seconds.

Level-triggered: each round begins from Redis and the picture of Kubernetes, so it does not matter
what was missed, who wrote it, or where the last operator was when it ended. What a round cannot
do, the next one tries again.

Guarantee: a Redis or an API server that is away ends one round, never the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from heliograph_operator import metrics, status
from heliograph_operator.actions import Actions
from heliograph_operator.control import Control, Reading, RedisAway
from heliograph_operator.gateway import Gateway, choose
from heliograph_operator.happenings import Happening, happening
from heliograph_operator.kubernetes.api import Api, ApiError
from heliograph_operator.kubernetes.lease import Lease
from heliograph_operator.kubernetes.teller import Teller
from heliograph_operator.logs import get_logger
from heliograph_operator.settings import Settings
from heliograph_operator.times import rfc3339
from heliograph_operator.world import Kind, World

log = get_logger(__name__)

ROUND_SECONDS = 2.0
_QUICKEST_SECONDS = 0.2  # between rounds that changes ask for
_LIST_SECONDS = 30.0
_LIST_SOON_SECONDS = 5.0  # while the resource is not known to the API server
_STATUS_SECONDS = 5.0  # between statuses that differ in counts only
_STUCK_SECONDS = 120.0
_LEAVE_SECONDS = 5.0


class Loop:
    """Looks after one fleet.

    :param on_listed: called after each full list, when the picture is right.
    """

    def __init__(
        self,
        settings: Settings,
        api: Api,
        control: Control,
        world: World,
        *,
        on_listed: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._api = api
        self._control = control
        self._world = world
        self._on_listed = on_listed
        self._monotonic = monotonic
        self._clock = clock
        name = f"{settings.operator_deployment}-operator"
        self.lease = Lease(api, name, settings.identity, monotonic=monotonic, clock=clock)
        self._teller = Teller(
            api, settings.operator_deployment, settings.identity, monotonic=monotonic
        )
        self._actions = Actions(control, api, world, monotonic=monotonic, clock=clock)
        self._listed_at: float | None = None
        self._list_due = 0.0
        self._stated_at: dict[str, float] = {}
        self._redis_error = ""
        self._beat = monotonic()

    def stuck(self) -> str:
        """Why the probe is to fail, or empty. May be called from any thread."""
        silent = self._monotonic() - self._beat
        return f"no round for {silent:.0f} s" if silent > _STUCK_SECONDS else ""

    async def run(self, ended: asyncio.Event) -> None:
        """Go on until ``ended``, and to the end of that round; then give the Lease back.

        An event, since libraries may swallow a cancellation that meets a timeout of theirs.
        """
        try:
            while not ended.is_set():
                self._world.wake.clear()
                began = self._monotonic()
                try:
                    result = "done" if await self.round() else "waiting"
                except Exception:
                    # A fault of ours in one round must not keep all others from happening.
                    log.exception("round.failed")
                    result = "failed"
                self._beat = self._monotonic()
                metrics.ROUNDS.labels(result).inc()
                metrics.ROUND_SECONDS.set(self._beat - began)
                await asyncio.sleep(_QUICKEST_SECONDS)
                if ended.is_set():
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ROUND_SECONDS - _QUICKEST_SECONDS):
                        await self._world.wake.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self.lease.give_back()

    async def round(self) -> bool:
        """One round; whether it was ours to act."""
        held = self.lease.held
        try:
            held = await self.lease.keep()
            await self._list()
        except ApiError as error:
            metrics.API_ERRORS.inc()
            log.warning("kubernetes.away", error=str(error))
        metrics.LEADER.set(int(held))
        if not held or self._listed_at is None:
            # Whoever takes over begins with what it finds then, not with what it saw before.
            self._actions.forget()
            return False
        gateway, others = choose(
            list(self._world.gateways.values()), self._settings.operator_deployment
        )
        told = [
            happening("Superseded", gateway=one.name, other=gateway.name)
            for one in others
            if gateway is not None
        ]
        if gateway is not None and gateway.problem:
            told.append(happening("SpecInvalid", why=gateway.problem))
        facts = await self._act(gateway, told)
        await self._teller.tell(told, self._world.pods, self._world.gateways, gateway)
        if gateway is not None:
            await self._state(gateway, facts, others)
        return True

    # -- what is ---------------------------------------------------------------------

    async def _list(self) -> None:
        now = self._monotonic()
        if now < self._list_due:
            return
        self._list_due = now + _LIST_SOON_SECONDS  # when it fails, sooner again
        world, api = self._world, self._api
        world.serves_gateways = await api.serves_gateways()
        mark = world.mark()
        world.replace("pods", await api.pods(self._settings.operator_selector), mark)
        mark = world.mark()
        try:
            world.replace("gateways", await api.gateways(), mark)
        except ApiError as error:
            if error.code != 404:
                raise
            world.replace("gateways", [], mark)
        if self._settings.operator_watch_nodes:
            await self._list_nodes()
        self._listed_at = now
        self._on_listed()
        if world.serves_gateways:
            self._list_due = now + _LIST_SECONDS

    async def _list_nodes(self) -> None:
        mark = self._world.mark()
        try:
            self._world.replace("nodes", await self._api.nodes(), mark)
        except ApiError as error:
            if error.code != 403:
                raise
            log.warning("nodes.forbidden", advice="OPERATOR_WATCH_NODES needs a ClusterRole")

    async def _act(self, gateway: Gateway | None, told: list[Happening]) -> status.Facts:
        """Read Redis, and do there and at the pods what is to be done."""
        try:
            reading: Reading = await self._control.read()
            facts = await self._actions.carry_out(reading, gateway, told)
        except RedisAway as error:
            metrics.REDIS_UP.set(0)
            if not self._redis_error:
                log.warning("redis.away", error=str(error))
            # The first reason is told while it lasts: others are its consequences.
            self._redis_error = self._redis_error or str(error)
            told.append(happening("RedisUnavailable", why=self._redis_error))
            return status.Facts(dict(self._world.pods), redis_error=self._redis_error)
        metrics.REDIS_UP.set(1)
        if self._redis_error:
            self._redis_error = ""
            told.append(happening("RedisBack"))
        return facts

    # -- what is said ----------------------------------------------------------------

    async def _state(self, gateway: Gateway, facts: status.Facts, others: list[Gateway]) -> None:
        now = rfc3339(self._clock())
        await self._patch_status(gateway, status.body(gateway, facts, self._actions.steps, now=now))
        for other in others:
            await self._patch_status(other, status.superseded(other, gateway, now=now))

    async def _patch_status(self, gateway: Gateway, wanted: dict[str, Any]) -> None:
        changes = status.patch(gateway.status, wanted)
        now = self._monotonic()
        recent = now - self._stated_at.get(gateway.name, -_STATUS_SECONDS) < _STATUS_SECONDS
        if changes is None or (recent and not status.urgent(gateway.status, changes)):
            return
        self._stated_at[gateway.name] = now
        try:
            self._world.wrote("gateways", await self._api.patch_status(gateway.name, changes))
        except ApiError as error:
            metrics.API_ERRORS.inc()
            log.warning("status.not_written", gateway=gateway.name, error=str(error))

    def seen(self, kind: Kind, type: str | None, body: Any) -> None:
        """What a watch told."""
        self._world.event(kind, type, body)
