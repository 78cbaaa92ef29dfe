"""Who of several operators acts: the holder of a Lease, as controllers of Kubernetes agree.

Guarantee: while one renews in time, nobody else acts. Clocks of machines are never compared:
a Lease has ended when its holder has not renewed it for its whole duration by our own clock.
Limit: an operator that is stopped in the middle of a round and goes on later may finish that
round beside its successor; what it writes is what the successor would write.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from heliograph_operator.kubernetes import objects
from heliograph_operator.kubernetes.api import Api, ApiError
from heliograph_operator.logs import get_logger
from heliograph_operator.pods import section, text
from heliograph_operator.times import micro

log = get_logger(__name__)

DURATION_SECONDS = 15
RENEW_SECONDS = 5.0
_TRY_SECONDS = 2.0
_TRUST_SECONDS = 10.0
"""So long we act on a Lease that we could not renew: less than others wait."""


class Lease:
    """The Lease of one fleet.

    :param identity: of this process.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        identity: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._monotonic = monotonic
        self._clock = clock
        self._renewed: float | None = None  # when we last renewed
        self._tried: float | None = None
        self._seen: tuple[str, str] | None = None  # holder and time of renewal, of another
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this process is the one that acts."""
        return self._renewed is not None and self._monotonic() - self._renewed < _TRUST_SECONDS

    async def keep(self) -> bool:
        """Renew it, or take it when it is free, unless that was done just now.

        :return: whether it is held.
        :raises ApiError: the API server did not answer; the Lease may be held still.
        """
        now = self._monotonic()
        if self._tried is not None and now - self._tried < (
            RENEW_SECONDS if self.held else _TRY_SECONDS
        ):
            return self.held
        self._tried = now
        found = await self._api.lease(self._name)
        try:
            if found is None:
                await self._api.create_lease(self._new(""))
            elif self._may_take(found):
                await self._api.replace_lease(self._name, self._new(self._identity, found))
            else:
                self._lose()
                return False
        except ApiError as error:
            if error.code != 409:
                raise
            self._lose()  # somebody was faster
            return False
        if not self.held:
            log.info("lease.taken", lease=self._name, identity=self._identity)
        self._renewed = now  # from before the request: others count from when it arrived
        return self.held

    async def give_back(self) -> None:
        """Free it, so that another need not wait. Errors are logged: it ends by itself."""
        if not self.held:
            return
        self._renewed = None
        try:
            found = await self._api.lease(self._name)
            if found is not None and _holder(found) == self._identity:
                await self._api.replace_lease(self._name, self._new("", found))
                log.info("lease.given_back", lease=self._name)
        except ApiError as error:
            log.warning("lease.not_given_back", error=str(error))

    def _lose(self) -> None:
        if self._renewed is not None:
            log.warning("lease.lost", lease=self._name)
        self._renewed = None

    def _may_take(self, found: Any) -> bool:
        holder = _holder(found)
        if holder in ("", self._identity):
            return True
        spec = section(found, "spec")
        seen = (holder, text(spec.get("renewTime")))
        now = self._monotonic()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        duration = spec.get("leaseDurationSeconds")
        return now - self._seen_at > (duration if isinstance(duration, int) else DURATION_SECONDS)

    def _new(self, holder: str, found: Any = None) -> dict[str, Any]:
        spec = section(found, "spec")
        same = _holder(found) == holder and bool(holder)
        transitions = spec.get("leaseTransitions")
        count = transitions if isinstance(transitions, int) else 0
        return objects.lease(
            self._name,
            self._api.namespace,
            holder=holder if found is not None else self._identity,
            seconds=DURATION_SECONDS if holder or found is None else 1,
            acquired=text(spec.get("acquireTime")) if same else micro(self._clock()),
            now=self._clock(),
            transitions=count + (0 if same or found is None or not holder else 1),
            version=text(section(found, "metadata").get("resourceVersion")),
        )


def _holder(found: Any) -> str:
    return text(section(found, "spec").get("holderIdentity"))
