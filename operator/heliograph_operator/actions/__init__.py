"""What the operator does in a round, in the order in which it matters to clients."""

from __future__ import annotations

import time
from collections.abc import Callable

from heliograph_operator import metrics, status
from heliograph_operator.actions.costs import Costs
from heliograph_operator.actions.drainer import Drainer
from heliograph_operator.actions.mover import Mover
from heliograph_operator.actions.rotation import Rotation
from heliograph_operator.actions.tuner import Tuner
from heliograph_operator.control import Control, Reading
from heliograph_operator.gateway import Gateway
from heliograph_operator.happenings import Happening, happening
from heliograph_operator.kubernetes.api import Api
from heliograph_operator.plans import tuning
from heliograph_operator.plans.autotune import Steps
from heliograph_operator.reports import Load, by_pod
from heliograph_operator.world import World

__all__ = ["Actions"]

_SILENT_SECONDS = 15.0


class Actions:
    """Drains first, then settings, deletion costs, and moving clients."""

    def __init__(
        self,
        control: Control,
        api: Api,
        world: World,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = world
        self._monotonic = monotonic
        self._drainer = Drainer(control, monotonic=monotonic, clock=clock)
        self._rotation = Rotation(api, world)
        self._tuner = Tuner(control, api, monotonic=monotonic, clock=clock)
        self._costs = Costs(api, world, monotonic=monotonic)
        self._mover = Mover(control, monotonic=monotonic)
        self._silent_since: dict[str, float] = {}

    @property
    def steps(self) -> Steps:
        """How far settings were tuned."""
        return self._tuner.steps

    def forget(self) -> None:
        """Another operator acts: what was remembered between rounds is out of date."""
        self._drainer.forget()
        self._tuner.forget()
        self._silent_since.clear()

    async def carry_out(
        self, reading: Reading, gateway: Gateway | None, told: list[Happening]
    ) -> status.Facts:
        """Do what is to be done; ``told`` gets what people are to hear.

        :raises RedisAway: in the middle; what is left is done in the next round.
        """
        if reading.odd:
            metrics.REPORTS_REFUSED.inc(len(reading.odd))
        pods = dict(self._world.pods)
        loads = by_pod(reading.reports)
        heed = gateway.spec.drain.cordoned_nodes if gateway else True
        plan = await self._drainer.act(
            pods, self._world.cordoned, reading.drains, loads, heed_cordons=heed, told=told
        )
        await self._rotation.act(pods, set(plan.orders))
        order = await self._tuner.act(
            reading, gateway, may_return=self._world.serves_gateways is True, told=told
        )
        await self._costs.act(pods, loads, set(plan.orders))
        if gateway is not None and gateway.spec.rebalance.enabled and not gateway.problem:
            await self._mover.act(pods, reading.reports, plan, gateway.spec.rebalance, told)
        facts = status.Facts(
            pods=pods,
            reports=reading.reports,
            loads=loads,
            orders=plan.orders,
            refused=plan.refused,
            settings=order,
            silent=self._silent(loads),
        )
        if facts.silent:
            told.append(happening("PodsSilent", pods=", ".join(facts.silent[:10])))
        _count(facts)
        return facts

    def _silent(self, loads: dict[str, Load]) -> tuple[str, ...]:
        now = self._monotonic()
        silent = {
            name
            for name, pod in self._world.pods.items()
            if pod.ready and not pod.deleting and name not in loads
        }
        self._silent_since = {name: self._silent_since.get(name, now) for name in silent}
        return tuple(
            sorted(
                name for name, since in self._silent_since.items() if now - since >= _SILENT_SECONDS
            )
        )


def _count(facts: status.Facts) -> None:
    metrics.REPLICAS.set(len(facts.reports))
    metrics.CONNECTIONS.set(sum(report.connections for report in facts.reports))
    metrics.DRAINS.set(len(facts.orders))
    metrics.DRAINS_LEFT.set(len(facts.orders) - len(facts.drained))
    answers = tuning.answers(facts.settings, facts.reports)
    metrics.SETTINGS_WAITING.set(len(answers.waiting) + len(answers.refused))
