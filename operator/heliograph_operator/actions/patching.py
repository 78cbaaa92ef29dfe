"""Writes to one pod, as all who do it must: a failure ends that write, never the round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph_operator import metrics
from heliograph_operator.kubernetes.api import Api, ApiError
from heliograph_operator.logs import get_logger
from heliograph_operator.world import World

log = get_logger(__name__)


async def patch_pod(
    api: Api, world: World, name: str, patch: Mapping[str, Any], *, failure: str
) -> bool:
    """Merge into a pod; one that is gone meanwhile is nobody's.

    :param failure: the event that is logged when it could not be done.
    :returns: whether the API server answered: if not, do not wait for it once for each pod.
    """
    try:
        world.wrote("pods", await api.annotate_pod(name, patch))
    except ApiError as error:
        if error.code != 404:
            metrics.API_ERRORS.inc()
            log.warning(failure, pod=name, error=str(error))
        return bool(error.code)
    return True
