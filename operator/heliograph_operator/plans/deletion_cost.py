"""What each pod costs to delete: its connections, so that scale-in takes the emptiest.

Pods that drain cost less than all others. A cost is written when it is off by more than a tenth
and by more than two, or when the order of pods would be wrong: a write for every client that
comes or goes would be a load of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from heliograph_operator.pods import Pod
from heliograph_operator.reports import Load

DRAINING = -1


def plan(pods: Mapping[str, Pod], loads: Mapping[str, Load], draining: Set[str]) -> dict[str, int]:
    """The pods whose cost is to be written, with the cost.

    Pods that end keep theirs, and so do those that report nothing and do not drain: nobody
    knows what they have.
    """
    right: dict[str, int] = {}
    for name, pod in pods.items():
        if pod.deleting:
            continue
        if name in draining:
            right[name] = DRAINING
        elif name in loads:
            right[name] = loads[name].connections
    written = {name: pods[name].cost or 0 for name in right}
    return {
        name: cost
        for name, cost in right.items()
        if cost != written[name]
        and (
            abs(cost - written[name]) > max(2.0, 0.1 * abs(written[name]))
            or DRAINING in (cost, written[name])
            or _out_of_order(name, right, written)
        )
    }


def _out_of_order(name: str, right: Mapping[str, int], written: Mapping[str, int]) -> bool:
    """Whether another pod would be taken before this one, or after, against what they have.

    Equal costs matter for the emptiest pod only: that is the one to take.
    """
    least = min(right.values())
    emptiest = [other for other, cost in right.items() if cost == least]
    for other, cost in right.items():
        apart, shown = right[name] - cost, written[name] - written[other]
        if apart * shown < 0:
            return True
        if apart and not shown and len(emptiest) == 1 and emptiest[0] in (name, other):
            return True
    return False
