"""Moves clients from pods that have many to pods that have few, slowly, when it may."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from heliograph_operator import metrics
from heliograph_operator.control import Control
from heliograph_operator.gateway import Rebalance
from heliograph_operator.happenings import Happening, happening
from heliograph_operator.plans import rebalance
from heliograph_operator.plans.drains import Plan
from heliograph_operator.pods import Pod
from heliograph_operator.reports import Report


class Mover:
    """Rebalancing of one fleet."""

    def __init__(self, control: Control, *, monotonic: Callable[[], float]) -> None:
        self._control = control
        self._monotonic = monotonic
        self._at: float | None = None

    async def act(
        self,
        pods: Mapping[str, Pod],
        reports: tuple[Report, ...],
        drains: Plan,
        how: Rebalance,
        told: list[Happening],
    ) -> None:
        """Tell some replicas to shed, every ten seconds."""
        now = self._monotonic()
        if drains.orders or drains.undone or drains.refused:
            # Those who left a drained pod settle first.
            self._at = now
            return
        if self._at is not None and now - self._at < rebalance.ROUND_SECONDS:
            return
        self._at = now
        takers = [report for report in reports if report.state == "running" and report.pod in pods]
        moves = rebalance.plan(takers, margin_percent=how.margin_percent, per_second=how.per_second)
        for replica, count in moves:
            await self._control.shed(replica, count)
            metrics.SHED.inc(count)
        if moves:
            pod_of = {report.replica: report.pod for report in takers}
            text = ", ".join(f"{count} from {pod_of[replica]}" for replica, count in moves[:10])
            told.append(happening("Rebalancing", moves=text))
