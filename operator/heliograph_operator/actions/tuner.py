"""Puts the settings of the resource in force, and moves them when it may.

Without a resource the replicas go back to their environment; but not when the resource's
definition is being removed, which removes the resources with it: that is nobody's wish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from heliograph_operator.control import Control, Reading
from heliograph_operator.gateway import Gateway
from heliograph_operator.happenings import Happening, happening
from heliograph_operator.kubernetes.api import Api
from heliograph_operator.plans import autotune, tuning
from heliograph_operator.plans.autotune import Steps, Streak
from heliograph_operator.reports import Report
from heliograph_operator.times import rfc3339

_RETURN_SECONDS = 3.0
"""How long no resource must be seen: a definition that is removed is seen so by then."""


class Tuner:
    """Settings of one fleet.

    :ivar steps: how far they were tuned.
    """

    def __init__(
        self,
        control: Control,
        api: Api,
        *,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.steps = Steps()
        self._control = control
        self._api = api
        self._monotonic = monotonic
        self._clock = clock
        self._tuned = ""  # the resource that the steps are of
        self._streak = Streak()
        self._round_at: float | None = None
        self._before: Mapping[str, Report] = {}
        self._lag_ms = 0.0
        self._awaited = ""  # the revision whose arrival is to be told
        self._absent_since: float | None = None

    def forget(self) -> None:
        """Begin anew, as after a start."""
        self.steps, self._tuned, self._streak = Steps(), "", Streak()
        self._round_at, self._before, self._lag_ms = None, {}, 0.0
        self._awaited, self._absent_since = "", None

    async def act(
        self,
        reading: Reading,
        gateway: Gateway | None,
        *,
        may_return: bool,
        told: list[Happening],
    ) -> tuning.Order:
        """Bring what is ordered to what is asked for; what is ordered then.

        :param may_return: whether it is known that no resource means that none is wanted.
        """
        stored = tuning.decode(reading.settings)
        if gateway is None:
            self._tuned = ""
            return await self._without(stored, may_return, told)
        self._absent_since = None
        if gateway.problem:
            return stored or tuning.Order()
        changed = self._tune(gateway, reading.reports)
        order = tuning.wanted(gateway.spec, self.steps)
        if order != stored:
            await self._control.order_settings(order.encode() if order.values else None)
            self._awaited = order.revision or "environment"
            before = stored.values if stored else {}
            changes = tuning.difference(before, order.values) or "what was stored was unreadable"
            reason = changed or "SettingsChanged"
            told.append(happening(reason, changes=changes, why=self.steps.reason))
        self._see_answers(order, reading.reports, told)
        return order

    async def _without(
        self, stored: tuning.Order | None, may_return: bool, told: list[Happening]
    ) -> tuning.Order:
        now = self._monotonic()
        nothing = tuning.Order()
        if stored == nothing or not may_return:
            self._absent_since = None
            return stored or nothing
        if self._absent_since is None:
            self._absent_since = now
        if now - self._absent_since < _RETURN_SECONDS or not await self._api.serves_gateways():
            return stored or nothing
        await self._control.order_settings(None)
        told.append(happening("SettingsReturned"))
        return nothing

    def _see_answers(
        self, order: tuning.Order, reports: tuple[Report, ...], told: list[Happening]
    ) -> None:
        answers = tuning.answers(order, reports)
        for pod, why in sorted(answers.refused.items()):
            told.append(happening("SettingsRefused", pod=pod, why=why))
        if self._awaited and reports and answers.done:
            self._awaited = ""
            told.append(happening("SettingsApplied", replicas=len(reports)))

    def _tune(self, gateway: Gateway, reports: tuple[Report, ...]) -> str:
        """Advance the steps when a round is over; the reason of an Event when they moved."""
        if not gateway.spec.autotune.enabled:
            self.steps, self._tuned = Steps(), ""
            return ""
        now, by_id = self._monotonic(), {report.replica: report for report in reports}
        subject = gateway.uid or gateway.name
        if self._tuned != subject:
            self.steps, self._tuned = Steps.of(gateway.status), subject
            self._streak, self._round_at = Streak(), None
        self._lag_ms = max([self._lag_ms, *(report.lag_ms for report in reports)])
        if self._round_at is None:
            self._round_at, self._before, self._lag_ms = now, by_id, 0.0
        if now - self._round_at < autotune.ROUND_SECONDS:
            return ""
        seen = autotune.round_of(self._before, by_id, self._lag_ms)
        steps, self._streak = autotune.advance(gateway.spec, self.steps, self._streak, seen)
        self._round_at, self._before, self._lag_ms = now, by_id, 0.0
        if steps == self.steps:
            return ""
        up = steps.ping > self.steps.ping or steps.lock > self.steps.lock
        self.steps = replace(steps, since=rfc3339(self._clock()))
        return "TunedUp" if up else "TunedDown"
