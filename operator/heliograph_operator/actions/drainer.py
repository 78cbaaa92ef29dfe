"""Orders drains in Redis, stops the tasks of pods that drain, and sees when they are empty.

The order stays in Redis until its cause or its pod is gone, so a drain goes on without the
operator, and the next operator knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from heliograph_operator import metrics
from heliograph_operator.control import Control
from heliograph_operator.happenings import Happening, happening
from heliograph_operator.plans import drains
from heliograph_operator.plans.drains import Order, Plan
from heliograph_operator.pods import Pod
from heliograph_operator.reports import Load

_STOP_AGAIN_SECONDS = 5.0
_OLD_NEWS_SECONDS = 600.0
_KILLED_MARGIN_SECONDS = 1.0


class Drainer:
    """Drains of one fleet."""

    def __init__(
        self,
        control: Control,
        *,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._control = control
        self._monotonic = monotonic
        self._clock = clock
        self._stopped_at: dict[str, float] = {}  # by replica
        self._finished: set[str] = set()
        self._last: dict[str, tuple[Pod, Load]] = {}
        self._begins = True

    def forget(self) -> None:
        """Begin anew, as after a start."""
        self._stopped_at.clear()
        self._finished.clear()
        self._last.clear()
        self._begins = True

    async def act(
        self,
        pods: Mapping[str, Pod],
        cordoned: Set[str] | None,
        standing: Mapping[str, Order],
        loads: Mapping[str, Load],
        *,
        heed_cordons: bool,
        told: list[Happening],
    ) -> Plan:
        """Bring what stands to what is asked for."""
        now = self._clock()
        plan = drains.plan(pods, cordoned, standing, loads, heed_cordons=heed_cordons, now=now)
        # The process of a pod that was deleted by force may live on, and is not to take clients.
        gone = [name for name in plan.gone if name not in loads]
        if plan.write or plan.undone or gone:
            await self._control.order_drains(plan.write, [*plan.undone, *gone])
        for name in plan.begun:
            load = loads.get(name)
            told.append(
                happening(
                    "DrainStarted",
                    at=name,
                    why=plan.orders[name].why,
                    tasks=load.tasks if load else 0,
                    connections=load.connections if load else 0,
                )
            )
        told += [happening("DrainUndone", at=name) for name in plan.undone]
        told += [happening("DrainRefused", at=name, why=why) for name, why in plan.refused.items()]
        await self._stop_tasks(plan, loads)
        self._see_ends(plan, pods, loads, now, told)
        return plan

    async def _stop_tasks(self, plan: Plan, loads: Mapping[str, Load]) -> None:
        """A stop is a message and may be lost; so it is said again while there are tasks."""
        now = self._monotonic()
        replicas = [
            report
            for name in plan.orders
            if name in loads
            for report in loads[name].replicas
            if report.tasks or name in plan.begun
        ]
        for report in replicas:
            last = self._stopped_at.get(report.replica)
            if last is None or now - last >= _STOP_AGAIN_SECONDS:
                self._stopped_at[report.replica] = now
                metrics.TASK_STOPS.inc(await self._control.stop_tasks(report.replica))
        known = {report.replica for load in loads.values() for report in load.replicas}
        self._stopped_at = {
            replica: at for replica, at in self._stopped_at.items() if replica in known
        }

    def _see_ends(
        self,
        plan: Plan,
        pods: Mapping[str, Pod],
        loads: Mapping[str, Load],
        now: float,
        told: list[Happening],
    ) -> None:
        empty = {name for name in plan.orders if name in loads and loads[name].empty}
        told += [
            happening("DrainFinished", at=name)
            for name in sorted(empty - self._finished)
            if not self._begins or now - plan.orders[name].at < _OLD_NEWS_SECONDS
        ]
        for name, (pod, load) in self._last.items():
            killed = pod.deleting and now >= pod.deadline - _KILLED_MARGIN_SECONDS
            if name not in pods and killed and (load.connections or load.tasks):
                told.append(
                    happening(
                        "DrainCutShort", at=name, connections=load.connections, tasks=load.tasks
                    )
                )
        self._finished = empty
        self._last = {
            name: (pods[name], loads[name])
            for name in plan.orders
            if name in pods and name in loads
        }
        self._begins = False
