"""Tells people what happened, as Events: what lasts is not told again and again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping

from heliograph_operator import metrics
from heliograph_operator.gateway import Gateway
from heliograph_operator.happenings import REASONS, Happening
from heliograph_operator.kubernetes import objects
from heliograph_operator.kubernetes.api import Api, ApiError
from heliograph_operator.logs import get_logger
from heliograph_operator.pods import Pod

log = get_logger(__name__)

_AGAIN_SECONDS = 600.0
_REMEMBERED = 1000


class Teller:
    """Writes Events of one fleet.

    :param identity: of this process.
    """

    def __init__(
        self,
        api: Api,
        deployment: str,
        identity: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._deployment = deployment
        self._identity = identity
        self._monotonic = monotonic
        self._told: dict[tuple[str, str, str], tuple[str, float]] = {}

    async def tell(
        self,
        happenings: Iterable[Happening],
        pods: Mapping[str, Pod],
        gateways: Mapping[str, Gateway],
        current: Gateway | None,
    ) -> None:
        """Log them and write them; one that cannot be written is in the log only.

        :param current: the resource that counts.
        """
        for one in happenings:
            if not self._is_news(one):
                continue
            say = log.warning if one.type == "Warning" else log.info
            say("told", reason=one.reason, pod=one.pod or None, message=one.message)
            metrics.EVENTS.labels(one.reason).inc()
            try:
                await self._api.tell(self._event(one, pods, gateways.get(one.gateway, current)))
            except ApiError as error:
                log.warning("event.not_written", reason=one.reason, error=str(error))

    def _is_news(self, one: Happening) -> bool:
        if not REASONS[one.reason].lasting:
            return True
        now, subject = self._monotonic(), (one.reason, one.pod, one.gateway)
        told, at = self._told.get(subject, ("", 0.0))
        # Rebalancing has other figures each time, which are no news.
        if told and now - at < _AGAIN_SECONDS and (told == one.message or one.type == "Normal"):
            return False
        self._told[subject] = (one.message, now)
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    def _event(
        self, one: Happening, pods: Mapping[str, Pod], gateway: Gateway | None
    ) -> dict[str, object]:
        namespace = self._api.namespace
        about = (
            objects.pod_reference(namespace, one.pod, pods.get(one.pod))
            if one.pod
            else objects.fleet_reference(namespace, self._deployment, gateway)
        )
        return objects.event(
            one,
            about,
            name=f"{about['name'][:200]}.{uuid.uuid4().hex[:16]}",
            namespace=namespace,
            instance=self._identity,
            now=time.time(),
        )
