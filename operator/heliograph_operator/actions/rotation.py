"""Takes pods that drain and stay out of the Service, and puts them back."""

from __future__ import annotations

from collections.abc import Mapping, Set

from heliograph_operator import metrics
from heliograph_operator.kubernetes.api import Api, ApiError
from heliograph_operator.kubernetes.objects import clients_patch
from heliograph_operator.logs import get_logger
from heliograph_operator.plans import rotation
from heliograph_operator.pods import Pod
from heliograph_operator.world import World

log = get_logger(__name__)


class Rotation:
    """The Service of one fleet."""

    def __init__(self, api: Api, world: World) -> None:
        self._api = api
        self._world = world

    async def act(self, pods: Mapping[str, Pod], draining: Set[str]) -> None:
        """Write the labels that are wrong. A pod that is gone meanwhile has none."""
        for name, clients in rotation.plan(pods, draining).items():
            try:
                self._world.wrote(
                    "pods", await self._api.annotate_pod(name, clients_patch(clients))
                )
            except ApiError as error:
                if error.code != 404:
                    metrics.API_ERRORS.inc()
                    log.warning("rotation.not_written", pod=name, error=str(error))
                if not error.code:
                    return  # nobody answers: do not wait for it once for each pod
