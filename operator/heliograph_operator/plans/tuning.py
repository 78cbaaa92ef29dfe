"""Which settings the replicas are to have, and whether they have them.

A revision is a digest of the values, so that the same wish is the same revision for every
operator, and a restart changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from heliograph_operator.gateway import Spec
from heliograph_operator.plans import autotune
from heliograph_operator.reports import NAMES, Report

Values = Mapping[str, float | str]

_RESOURCE_NAMES = {name: short for short, name in NAMES.items()}


@dataclass(frozen=True)
class Order:
    """Settings for all replicas, by their names; none: what their environments say."""

    revision: str = ""
    values: Values = field(default_factory=dict)

    @classmethod
    def of(cls, values: Values) -> Order:
        """The order of these values."""
        if not values:
            return cls()
        digest = hashlib.sha256(_canonical(values)).hexdigest()
        return cls(digest[:12], dict(values))

    def encode(self) -> bytes:
        """As replicas read it."""
        return _canonical({"revision": self.revision, "values": self.values})


def decode(stored: bytes | None) -> Order | None:
    """What was ordered last; ``None``: nobody can tell what is stored there."""
    if stored is None:
        return Order()
    try:
        said = json.loads(stored)
        order = Order(str(said["revision"]), dict(said["values"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return order


def wanted(spec: Spec, steps: autotune.Steps) -> Order:
    """What a resource asks for, with what was tuned."""
    values = spec.settings.values()
    if spec.autotune.enabled:
        values |= autotune.values(spec, steps)
    return Order.of(values)


@dataclass(frozen=True)
class Answers:
    """How far the replicas are.

    :ivar waiting: pods that have something else in force.
    :ivar refused: pods that will not have it, and why.
    """

    waiting: tuple[str, ...]
    refused: Mapping[str, str]

    @property
    def done(self) -> bool:
        return not self.waiting and not self.refused


def answers(order: Order, reports: Iterable[Report]) -> Answers:
    """Compare an order with what is reported."""
    waiting, refused = set(), {}
    for report in reports:
        if report.refused is not None and report.refused[0] in (order.revision, "?"):
            refused[report.pod] = report.refused[1]
        elif report.revision != order.revision:
            waiting.add(report.pod)
    return Answers(tuple(sorted(waiting)), refused)


def in_force(reports: Iterable[Report]) -> dict[str, float | str]:
    """The settings that all replicas have, by the resource's names."""
    found = [report.settings for report in reports]
    if not found:
        return {}
    return {
        _RESOURCE_NAMES[name]: value
        for name, value in found[0].items()
        if all(other.get(name) == value for other in found)
    }


def difference(before: Values, after: Values) -> str:
    """What changes, for a person: ``pingIntervalSeconds 25 → 10``."""
    return ", ".join(
        f"{short} {_show(before.get(name))} → {_show(after.get(name))}"
        for short, name in NAMES.items()
        if before.get(name) != after.get(name)
    )


def _show(value: float | str | None) -> str:
    if value is None:
        return "as in the environment"
    return value if isinstance(value, str) else f"{value:g}"


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
