"""Which pods are to have no clients.

A pod that ends (deleted, evicted) always drains. A cordoned node and an annotation are wishes:
they never take the last pod that takes clients, since its clients would have nowhere to go.

Guarantee: a drain that stands is undone only when its cause is gone, or its pod.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from heliograph_operator.pods import Pod
from heliograph_operator.reports import Load


@dataclass(frozen=True)
class Order:
    """One drain.

    :ivar why: a sentence. :ivar at: when it began, s since 1970.
    """

    why: str
    at: float


@dataclass(frozen=True)
class Plan:
    """What to change.

    :ivar orders: all that are to stand.
    :ivar write: those of them that are new, or have another reason now.
    :ivar begun: those that are new.
    :ivar undone: pods that take clients again. :ivar gone: pods that are no more.
    :ivar refused: pods that would have to drain, and the cause, but nobody else takes clients.
    """

    orders: Mapping[str, Order]
    write: Mapping[str, Order]
    begun: tuple[str, ...]
    undone: tuple[str, ...]
    gone: tuple[str, ...]
    refused: Mapping[str, str]


def plan(
    pods: Mapping[str, Pod],
    cordoned: Set[str] | None,
    standing: Mapping[str, Order],
    loads: Mapping[str, Load],
    *,
    heed_cordons: bool,
    now: float,
) -> Plan:
    """Compare what is asked for with what stands.

    :param cordoned: names of nodes; ``None``: nobody knows, so what stands stays.
    :param now: s since 1970, for new orders.
    """
    orders: dict[str, Order] = {}
    asked: dict[str, str] = {}
    for name, pod in sorted(pods.items()):
        cause = _cause(pod, cordoned if heed_cordons else frozenset())
        if pod.deleting:
            orders[name] = Order(cause, standing[name].at if name in standing else now)
        elif name in standing and cause:
            orders[name] = Order(cause, standing[name].at)
        elif name in standing and heed_cordons and cordoned is None:
            orders[name] = standing[name]
        elif cause:
            asked[name] = cause
    refused: dict[str, str] = {}
    for name, cause in asked.items():
        if any(
            _takes_clients(pod, loads.get(other))
            for other, pod in pods.items()
            if other != name and other not in orders
        ):
            orders[name] = Order(cause, now)
        else:
            refused[name] = cause
    return Plan(
        orders=orders,
        write={name: order for name, order in orders.items() if standing.get(name) != order},
        begun=tuple(name for name in orders if name not in standing),
        undone=tuple(name for name in standing if name in pods and name not in orders),
        gone=tuple(name for name in standing if name not in pods),
        refused=refused,
    )


def _cause(pod: Pod, cordoned: Set[str] | None) -> str:
    if pod.deleting:
        return pod.deleting
    if pod.annotated:
        return pod.annotated
    return f"its node {pod.node} is cordoned" if cordoned and pod.node in cordoned else ""


def _takes_clients(pod: Pod, load: Load | None) -> bool:
    """By its own word; one whose word is missing, by what Kubernetes says of it."""
    return load.state == "running" if load else pod.ready
