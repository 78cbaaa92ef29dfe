"""What replicas report, read with distrust: anybody with access to Redis may have written it.

Guarantee: any bytes give a report whose fields are within sane bounds, or ``None``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

State = Literal["running", "draining", "drained"]

NAMES = {
    "pingIntervalSeconds": "WEBSOCKET_SERVER_PING_INTERVAL",
    "pingTimeoutSeconds": "WEBSOCKET_SERVER_PING_TIMEOUT",
    "lockTimeoutSeconds": "WEBSOCKET_REDIS_LOCK_TIMEOUT",
    "callerTimeoutSeconds": "WEBSOCKET_EVENT_CALLER_TIMEOUT",
    "heartbeatIntervalSeconds": "WEBSOCKET_HEARTBEAT_INTERVAL",
    "logLevel": "LOG_LEVEL",
}
"""The settings that may change while a replica runs: in the resource, and in its environment."""

_LONGEST = 64 * 1024
_MOST = 10_000_000_000
_STATES: tuple[State, ...] = ("running", "draining", "drained")


@dataclass(frozen=True)
class Report:
    """One replica, as it said. Counters are since its process started.

    :ivar revision: of the settings in force; empty: what its environment says.
    :ivar refused: the revision that it did not put in force, and why.
    :ivar lag_ms: the largest lag of its event loop in about two seconds.
    """

    replica: str
    pod: str
    state: State = "running"
    connections: int = 0
    tasks: int = 0
    revision: str = ""
    refused: tuple[str, str] | None = None
    settings: Mapping[str, float | str] = field(default_factory=dict)
    lag_ms: float = 0
    missed_pongs: int = 0
    late_renewals: int = 0
    shed: int = 0


@dataclass(frozen=True)
class Load:
    """All replicas of one pod together.

    :ivar state: ``drained`` when all are, ``running`` when one takes clients.
    """

    pod: str
    replicas: tuple[Report, ...]

    @property
    def connections(self) -> int:
        return sum(report.connections for report in self.replicas)

    @property
    def tasks(self) -> int:
        return sum(report.tasks for report in self.replicas)

    @property
    def state(self) -> State:
        states = {report.state for report in self.replicas}
        if "running" in states:
            return "running"
        return "drained" if states == {"drained"} else "draining"

    @property
    def revision(self) -> str:
        """The one that all have in force; ``?`` when they differ."""
        found = {report.revision for report in self.replicas}
        return found.pop() if len(found) == 1 else "?"

    @property
    def empty(self) -> bool:
        """Whether nothing is left that a drain waits for."""
        return self.state == "drained" and not self.connections and not self.tasks


def by_pod(reports: Iterable[Report]) -> dict[str, Load]:
    """The load of each pod that reports."""
    found: dict[str, list[Report]] = {}
    for report in reports:
        found.setdefault(report.pod, []).append(report)
    return {pod: Load(pod, tuple(reports)) for pod, reports in sorted(found.items())}


def parse(raw: bytes, replica: str) -> Report | None:
    """Read the report that was found under a replica's key; ``None``: it cannot be one."""
    if len(raw) > _LONGEST:
        return None
    try:
        said = json.loads(raw, parse_constant=_no_constants)
        if not isinstance(said, dict) or said.get("replica") != replica:
            return None
        state = said["state"]
        if state not in _STATES:
            return None
        return Report(
            replica=replica,
            pod=_name(said["pod"]),
            state=state,
            connections=_count(said["connections"]),
            tasks=_count(said["tasks"]),
            revision=_short(said["revision"]),
            refused=_refused(said["refused"]),
            settings=_settings(said["settings"]),
            lag_ms=_number(said["lag_ms"]),
            missed_pongs=_count(said["missed_pongs"]),
            late_renewals=_count(said["late_renewals"]),
            shed=_count(said["shed"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _no_constants(name: str) -> NoReturn:
    raise ValueError(name)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    if not math.isfinite(value) or not 0 <= value <= _MOST:
        raise ValueError(value)
    return value


def _count(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _short(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value[:300]


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 253 or not value.isprintable():
        raise ValueError(value)
    return value


def _refused(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    revision, why = value
    return _short(revision), _short(why)


def _settings(value: Any) -> dict[str, float | str]:
    if not isinstance(value, dict):
        raise TypeError(value)
    known = {name: value[name] for name in NAMES.values() if name in value}
    return {
        name: _short(said) if name == "LOG_LEVEL" else _number(said) for name, said in known.items()
    }
