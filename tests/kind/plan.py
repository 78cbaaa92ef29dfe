"""What is done in a run, in what order, and what clients may notice of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.kind import faults, operated
from tests.kind.faults import PING_SECONDS, Scene
from tests.kind.measure import Limits


def _seconds(
    outage: float, silence: float, refused: float = 0, *, touches: bool = True
) -> Callable[[Scene], Limits]:
    touched = touches and outage > 0
    return lambda _: Limits(outage, silence, refused=refused, touches=touched)


# Three seconds for who comes back to another replica at once, three more for who is refused first.
_DRAINED = _seconds(3, 3, refused=3)
# The same, also when nobody was on the pod.
_EMPTY = _seconds(3, 3, refused=3, touches=False)


@dataclass(frozen=True)
class Fault:
    """A fault and its limits, which may depend on what happened.

    :ivar title: for the table. :ivar allowed: the limits in words, for the table.
    """

    name: str
    title: str
    allowed: str
    limits: Callable[[Scene], Limits]
    inject: Callable[[Scene], Awaitable[None]]


# Clients do not move to pods that are new, so the oldest pod is the one with clients.
FAULTS = (
    Fault("none", "nothing", "3 s", _seconds(0, 3), faults.none),
    Fault(
        "settings",
        "settings changed while running",
        "no connection; 3 s",
        _seconds(0, 3),
        operated.settings_changed,
    ),
    Fault("pod-deleted", "an app pod deleted", "3 s", _DRAINED, faults.pod_deleted),
    Fault("pod-killed", "an app pod killed", "10 s", _seconds(10, 10), faults.pod_killed),
    Fault(
        "drain-annotated",
        "a pod drained by annotation, and back",
        "3 s",
        _DRAINED,
        operated.drained,
    ),
    Fault(
        "operator-killed",
        "the operator killed in the middle of a drain",
        "3 s",
        _DRAINED,
        operated.operator_killed,
    ),
    Fault("scale-in", "scaled 3 → 2 → 3, with the operator", "3 s", _EMPTY, operated.scaled_in),
    # After this one pod has all clients, until the next one replaces all pods.
    Fault("scale", "scaled 3 → 1 → 3", "3 s", _DRAINED, faults.scaled),
    Fault("upgrade", "`helm upgrade` of a setting", "3 s", _DRAINED, faults.upgraded),
    Fault("rollback", "`helm rollback`", "3 s", _DRAINED, faults.rolled_back),
    Fault("node-drained", "a node drained", "3 s", _DRAINED, faults.node_drained),
    Fault(
        "node-stopped",
        "a worker node stopped",
        f"ping timeout ({PING_SECONDS:g} s) + 5 s",
        _seconds(PING_SECONDS + 5, PING_SECONDS + 5),
        faults.node_stopped,
    ),
    Fault(
        "redis-master",
        "the Redis master's pod deleted",
        "no connection; failover + 3 s",
        lambda scene: Limits(0, scene.failover + 3),
        faults.master_deleted,
    ),
    Fault(
        "redis-all",
        "all Redis pods killed",
        "no connection; 30 s",
        lambda _: Limits(0, 30, gaps=True),
        faults.all_redis_deleted,
    ),
)  # fmt: skip
