"""Takes pods that drain and stay out of the Service, and puts them back."""

from __future__ import annotations

from collections.abc import Mapping, Set

from heliograph_operator.actions.patching import patch_pod
from heliograph_operator.kubernetes.api import Api
from heliograph_operator.kubernetes.objects import clients_patch
from heliograph_operator.plans import rotation
from heliograph_operator.pods import Pod
from heliograph_operator.world import World


class Rotation:
    """The Service of one fleet."""

    def __init__(self, api: Api, world: World) -> None:
        self._api = api
        self._world = world

    async def act(self, pods: Mapping[str, Pod], draining: Set[str]) -> None:
        """Write the labels that are wrong. A pod that is gone meanwhile has none."""
        for name, clients in rotation.plan(pods, draining).items():
            patch = clients_patch(clients)
            if not await patch_pod(
                self._api, self._world, name, patch, failure="rotation.not_written"
            ):
                return
