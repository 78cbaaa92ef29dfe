"""Writes the deletion costs of pods: at most every five seconds a pod."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from heliograph_operator.actions.patching import patch_pod
from heliograph_operator.kubernetes.api import Api
from heliograph_operator.kubernetes.objects import cost_patch
from heliograph_operator.plans import deletion_cost
from heliograph_operator.pods import Pod
from heliograph_operator.reports import Load
from heliograph_operator.world import World

_PAUSE_SECONDS = 5.0


class Costs:
    """Deletion costs of one fleet."""

    def __init__(self, api: Api, world: World, *, monotonic: Callable[[], float]) -> None:
        self._api = api
        self._world = world
        self._monotonic = monotonic
        self._written_at: dict[str, float] = {}

    async def act(
        self, pods: Mapping[str, Pod], loads: Mapping[str, Load], draining: Set[str]
    ) -> None:
        """Write those that are wrong. A pod that is gone meanwhile has none."""
        now = self._monotonic()
        self._written_at = {
            name: at
            for name, at in self._written_at.items()
            if name in pods and now - at < _PAUSE_SECONDS
        }
        for name, cost in deletion_cost.plan(pods, loads, draining).items():
            if name in self._written_at:
                continue
            self._written_at[name] = now
            patch = cost_patch(cost)
            if not await patch_pod(self._api, self._world, name, patch, failure="cost.not_written"):
                return
