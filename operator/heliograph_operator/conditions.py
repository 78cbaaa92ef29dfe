"""The conditions of a ``RealtimeGateway`` and all their reasons, in one table.

``docs/operator.md`` lists the same; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from heliograph_operator.pods import text

REASONS: dict[str, dict[str, tuple[str, str]]] = {
    "Ready": {
        "FleetRuns": ("True", "Replicas report, and the operator looks after them."),
        "NoReplicas": ("False", "No replica reports."),
        "RedisUnavailable": ("False", "The operator does not reach Redis."),
        "SpecInvalid": ("False", "The spec cannot be followed; its settings are not in force."),
        "Superseded": ("False", "An older RealtimeGateway names the same Deployment."),
    },
    "SettingsApplied": {
        "Applied": ("True", "All replicas have these settings in force."),
        "Waiting": ("False", "Some replicas have others in force still."),
        "Refused": ("False", "A replica does not take them."),
        "SpecInvalid": ("False", "The spec cannot be followed; what was in force stays."),
        "NoReplicas": ("Unknown", "No replica reports."),
        "RedisUnavailable": ("Unknown", "The operator does not reach Redis."),
        "Superseded": ("False", "An older RealtimeGateway names the same Deployment."),
    },
    "Draining": {
        "PodsDraining": ("True", "Clients or tasks of some pods are on their way."),
        "PodsDrained": ("True", "Some pods are empty, and take no clients."),
        "NoDrains": ("False", "All pods take clients."),
        "RedisUnavailable": ("Unknown", "The operator does not reach Redis."),
    },
    "Degraded": {
        "RedisUnavailable": ("True", "The operator does not reach Redis."),
        "PodsSilent": ("True", "Pods are ready, but their replicas do not report."),
        "DrainRefused": ("True", "A pod is to drain, but nobody else takes clients."),
        "AllWell": ("False", "Nothing is wrong."),
    },
}
"""By type, the reasons: the status that each has, and what it means."""


@dataclass(frozen=True)
class Condition:
    """One condition as it is now."""

    type: str
    reason: str
    message: str

    @property
    def status(self) -> str:
        """``True``, ``False`` or ``Unknown``."""
        return REASONS[self.type][self.reason][0]


def condition(type: str, reason: str, message: str = "") -> Condition:
    """One of the table; without a message of its own it gets the table's."""
    return Condition(type, reason, message or REASONS[type][reason][1])


def merged(
    conditions: Iterable[Condition], before: object, *, generation: int, now: str
) -> list[dict[str, Any]]:
    """As in the status: the time of the last transition moves with the status only.

    :param before: ``status.conditions`` as they are. :param now: RFC 3339.
    """
    known = {
        one["type"]: one
        for one in (before if isinstance(before, list) else [])
        if isinstance(one, dict) and isinstance(one.get("type"), str)
    }
    found = []
    for one in conditions:
        old = known.get(one.type, {})
        since = text(old.get("lastTransitionTime")) if old.get("status") == one.status else ""
        found.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": one.message,
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
            }
        )
    return found
