"""Moves ping and lock settings with the load, within the bounds that a resource gives.

A step up is half as much again, after three bad rounds in a row; a step down follows thirty calm
ones: quick to give clients more patience, slow to take it back. Steps are in the resource's
status, so a restart goes on from there; only the rounds are counted anew.

With autotune all three settings are the operator's: where ``spec.settings`` is silent they start
from 25, 20 and 60 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from heliograph_operator.gateway import LOCK_TIMEOUT, PING_INTERVAL, PING_TIMEOUT, Bounds, Spec
from heliograph_operator.pods import section, text
from heliograph_operator.reports import Report

ROUND_SECONDS = 10.0

_BAD_ROUNDS = 3
_CALM_ROUNDS = 30
_FACTOR = 1.5
_MOST_STEPS = 20
_LAG_MS = 500.0
_MISSED_SHARE = 0.02


@dataclass(frozen=True)
class Steps:
    """How often each was raised.

    :ivar reason: of the last step, a sentence. :ivar since: when it was taken, as in the status.
    """

    ping: int = 0
    lock: int = 0
    reason: str = ""
    since: str = ""

    @classmethod
    def of(cls, status: object) -> Steps:
        """Read them out of a resource's status."""
        said = section(status, "autotune")
        return cls(
            ping=_step(said.get("step")),
            lock=_step(said.get("lockStep")),
            reason=text(said.get("reason")),
            since=text(said.get("since")),
        )

    def status(self) -> dict[str, int | str]:
        """As in the status."""
        return {
            "step": self.ping,
            "lockStep": self.lock,
            "reason": self.reason,
            "since": self.since,
        }


@dataclass(frozen=True)
class Round:
    """What replicas reported in one round.

    :ivar lag_ms: largest. :ivar missed: pongs. :ivar late: renewals of locks.
    """

    lag_ms: float = 0
    missed: int = 0
    connections: int = 0
    late: int = 0

    @property
    def bad_pings(self) -> str:
        """Why clients need more patience, or empty."""
        if self.lag_ms > _LAG_MS:
            return f"an event loop was {self.lag_ms:.0f} ms late"
        if self.missed > _MISSED_SHARE * max(1, self.connections):
            return f"{self.missed} of {self.connections} clients missed a ping in ten seconds"
        return ""

    @property
    def bad_locks(self) -> str:
        """Why locks need a longer life, or empty."""
        return f"{self.late} renewals of locks came late in ten seconds" if self.late else ""


@dataclass(frozen=True)
class Streak:
    """Rounds in a row."""

    bad_pings: int = 0
    bad_locks: int = 0
    calm: int = 0


def round_of(before: Mapping[str, Report], now: Mapping[str, Report], lag_ms: float) -> Round:
    """What happened between two looks; replicas that are new have no past.

    :param lag_ms: the largest of all reports in between.
    """
    both = [(before[name], report) for name, report in now.items() if name in before]
    return Round(
        lag_ms=lag_ms,
        missed=sum(max(0, new.missed_pongs - old.missed_pongs) for old, new in both),
        connections=sum(report.connections for report in now.values()),
        late=sum(max(0, new.late_renewals - old.late_renewals) for old, new in both),
    )


def advance(spec: Spec, steps: Steps, streak: Streak, seen: Round) -> tuple[Steps, Streak]:
    """The steps and the streak after one more round. ``since`` stays for the caller to set."""
    calm = not seen.bad_pings and not seen.bad_locks
    streak = Streak(
        bad_pings=streak.bad_pings + 1 if seen.bad_pings else 0,
        bad_locks=streak.bad_locks + 1 if seen.bad_locks else 0,
        calm=streak.calm + 1 if calm else 0,
    )
    if streak.bad_pings >= _BAD_ROUNDS:
        higher = replace(steps, ping=steps.ping + 1, reason=seen.bad_pings)
        if _moves(spec, steps, higher):
            steps = higher
        streak = replace(streak, bad_pings=0)
    if streak.bad_locks >= _BAD_ROUNDS:
        higher = replace(steps, lock=steps.lock + 1, reason=seen.bad_locks)
        if _moves(spec, steps, higher):
            steps = higher
        streak = replace(streak, bad_locks=0)
    if streak.calm >= _CALM_ROUNDS:
        if steps.ping or steps.lock:
            reason = f"nothing was late or missed for {_CALM_ROUNDS * ROUND_SECONDS / 60:.0f} min"
            steps = Steps(max(0, steps.ping - 1), max(0, steps.lock - 1), reason, steps.since)
        streak = Streak()
    return steps, streak


def values(spec: Spec, steps: Steps) -> dict[str, float | str]:
    """The settings at these steps, by the replicas' names."""
    said, bounds = spec.settings, spec.autotune
    return {
        "WEBSOCKET_SERVER_PING_INTERVAL": _at(
            said.ping_interval_seconds or PING_INTERVAL, steps.ping, bounds.ping_interval_seconds
        ),
        "WEBSOCKET_SERVER_PING_TIMEOUT": _at(
            said.ping_timeout_seconds or PING_TIMEOUT, steps.ping, bounds.ping_timeout_seconds
        ),
        "WEBSOCKET_REDIS_LOCK_TIMEOUT": _at(
            said.lock_timeout_seconds or LOCK_TIMEOUT, steps.lock, bounds.lock_timeout_seconds
        ),
    }


def _at(start: float, step: int, bounds: Bounds) -> float:
    return bounds.clamp(round(start * _FACTOR**step, 1))


def _moves(spec: Spec, steps: Steps, higher: Steps) -> bool:
    return values(spec, steps) != values(spec, higher)


def _step(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return min(_MOST_STEPS, max(0, value))
