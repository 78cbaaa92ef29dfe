"""The status of the ``RealtimeGateway`` that counts, by pure functions of what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from heliograph_operator.conditions import Condition, condition, merged
from heliograph_operator.gateway import Gateway
from heliograph_operator.plans import autotune, drains, tuning
from heliograph_operator.pods import Pod
from heliograph_operator.reports import Load, Report
from heliograph_operator.times import rfc3339

_T = TypeVar("_T")

_LISTED = 500  # pods in a status: an object has a size limit


@dataclass(frozen=True)
class Facts:
    """One round.

    :ivar redis_error: why Redis was not reached, or empty; then the rest is of pods only.
    :ivar refused: pods whose drain is refused, and its cause.
    :ivar silent: pods that are ready, and have not reported for a while.
    """

    pods: Mapping[str, Pod]
    reports: tuple[Report, ...] = ()
    loads: Mapping[str, Load] = field(default_factory=dict)
    orders: Mapping[str, drains.Order] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    settings: tuning.Order = field(default_factory=tuning.Order)
    silent: tuple[str, ...] = ()
    redis_error: str = ""

    @property
    def drained(self) -> list[str]:
        """Pods whose drain is over; one that is ordered and silent is not known to be."""
        return [
            name for name in sorted(self.orders) if name in self.loads and self.loads[name].empty
        ]


def conditions(gateway: Gateway, facts: Facts) -> list[Condition]:
    """All four."""
    return [_ready(gateway, facts), _applied(gateway, facts), _draining(facts), _degraded(facts)]


def _ready(gateway: Gateway, facts: Facts) -> Condition:
    if facts.redis_error:
        return condition("Ready", "RedisUnavailable", facts.redis_error)
    if gateway.problem:
        return condition("Ready", "SpecInvalid", gateway.problem)
    if not facts.reports:
        return condition("Ready", "NoReplicas", "No replica reports. Do they use this Redis?")
    return condition("Ready", "FleetRuns", f"{len(facts.reports)} replicas report.")


def _applied(gateway: Gateway, facts: Facts) -> Condition:
    if facts.redis_error:
        return condition("SettingsApplied", "RedisUnavailable", facts.redis_error)
    if gateway.problem:
        return condition("SettingsApplied", "SpecInvalid", gateway.problem)
    if not facts.reports:
        return condition("SettingsApplied", "NoReplicas")
    answers = tuning.answers(facts.settings, facts.reports)
    if answers.refused:
        pod, why = sorted(answers.refused.items())[0]
        return condition("SettingsApplied", "Refused", f"{pod}: {why}")
    if answers.waiting:
        message = f"Not in force yet on {_some(answers.waiting)}."
        return condition("SettingsApplied", "Waiting", message)
    return condition("SettingsApplied", "Applied")


def _draining(facts: Facts) -> Condition:
    if facts.redis_error:
        return condition("Draining", "RedisUnavailable", facts.redis_error)
    if not facts.orders:
        return condition("Draining", "NoDrains")
    drained = set(facts.drained)
    left = [name for name in sorted(facts.orders) if name not in drained]
    if not left:
        return condition("Draining", "PodsDrained", f"Empty: {_some(sorted(drained))}.")
    told = [f"{name} ({facts.orders[name].why}){_rest(facts.loads.get(name))}" for name in left]
    return condition("Draining", "PodsDraining", f"{_some(told, '; ')}.")


def _rest(load: Load | None) -> str:
    if load is None:
        return ": does not report"
    return f": {load.connections} clients and {load.tasks} tasks left"


def _degraded(facts: Facts) -> Condition:
    if facts.redis_error:
        return condition("Degraded", "RedisUnavailable", facts.redis_error)
    if facts.refused:
        name, why = sorted(facts.refused.items())[0]
        message = f"{name} is not drained, although {why}: no other pod takes clients."
        return condition("Degraded", "DrainRefused", message)
    if facts.silent:
        message = f"Ready, but not heard of in Redis: {_some(facts.silent)}."
        return condition("Degraded", "PodsSilent", message)
    return condition("Degraded", "AllWell")


def superseded(gateway: Gateway, by: Gateway, *, now: str) -> dict[str, Any]:
    """The status of one that has no effect."""
    message = f"{by.name} is older and names the same Deployment."
    found = [condition(type, "Superseded", message) for type in ("Ready", "SettingsApplied")]
    return _body(gateway, found, now)


def body(gateway: Gateway, facts: Facts, steps: autotune.Steps, *, now: str) -> dict[str, Any]:
    """The status of the one that counts.

    While Redis is away, what was known of replicas stays.
    """
    found = _body(gateway, conditions(gateway, facts), now)
    if facts.redis_error:
        return found
    return found | {
        "replicas": len(facts.reports),
        "connections": sum(report.connections for report in facts.reports),
        "settings": tuning.in_force(facts.reports),
        "revision": facts.settings.revision,
        "pods": [_pod(pod, facts.loads.get(name)) for name, pod in _first(facts.pods)],
        "drains": [
            _drain(name, order, facts.loads.get(name)) for name, order in _first(facts.orders)
        ],
        "autotune": steps.status() if gateway.spec.autotune.enabled else None,
    }


def patch(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any] | None:
    """The merge patch from one status to another; ``None`` when nothing differs."""
    old = before or {}
    changes: dict[str, Any] = {}
    for name, value in after.items():
        if value is None:
            if name in old:
                changes[name] = None
        elif value != old.get(name):
            changes[name] = value
            if name == "settings":
                # A merge patch keeps what it does not name.
                gone = old["settings"] if isinstance(old.get("settings"), Mapping) else {}
                changes[name] = {**dict.fromkeys(gone), **value}
    return changes or None


def urgent(before: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> bool:
    """Whether a patch is about more than other counts of clients."""
    if set(changes) - {"connections", "pods", "drains", "conditions"}:
        return True
    return "conditions" in changes and _states(changes) != _states(before or {})


def _states(said: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    names = ("type", "status", "reason", "observedGeneration")
    conditions = said.get("conditions")
    return [
        tuple(one.get(name) for name in names)
        for one in (conditions if isinstance(conditions, list) else [])
        if isinstance(one, Mapping)
    ]


def _body(gateway: Gateway, found: list[Condition], now: str) -> dict[str, Any]:
    before = (gateway.status or {}).get("conditions")
    return {
        "observedGeneration": gateway.generation,
        "conditions": merged(found, before, generation=gateway.generation, now=now),
    }


def _first(named: Mapping[str, _T]) -> list[tuple[str, _T]]:
    return sorted(named.items())[:_LISTED]


def _pod(pod: Pod, load: Load | None) -> dict[str, Any]:
    return {
        "name": pod.name,
        "node": pod.node,
        "connections": load.connections if load else 0,
        "tasks": load.tasks if load else 0,
        "state": load.state if load else "silent",
        "revision": load.revision if load else "",
    }


def _drain(name: str, order: drains.Order, load: Load | None) -> dict[str, Any]:
    return {
        "pod": name,
        "why": order.why,
        "since": rfc3339(order.at),
        "connections": load.connections if load else 0,
        "tasks": load.tasks if load else 0,
        "state": load.state if load else "silent",
    }


def _some(names: list[str] | tuple[str, ...], sign: str = ", ") -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return sign.join(names[:5]) + more
