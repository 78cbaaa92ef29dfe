"""Which replicas are to send some clients elsewhere.

Only what is above the mean plus a margin, only while somebody is below the mean, and never from
or during drains: those move clients already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from heliograph_operator.reports import Report

ROUND_SECONDS = 10.0


def plan(
    takers: Iterable[Report], *, margin_percent: float, per_second: float
) -> list[tuple[str, int]]:
    """The replicas with how many to shed in this round, largest first.

    :param takers: the replicas that take clients.
    :param per_second: how many clients of the whole fleet may move in a second.
    """
    replicas = list(takers)
    if len(replicas) < 2:
        return []
    mean = sum(report.connections for report in replicas) / len(replicas)
    if not any(report.connections < math.floor(mean) for report in replicas):
        return []
    limit = math.ceil(mean * (1 + margin_percent / 100))
    left = max(1, int(per_second * ROUND_SECONDS))
    shed: list[tuple[str, int]] = []
    for report in sorted(replicas, key=lambda one: (-one.connections, one.replica)):
        count = min(left, report.connections - limit)
        if count <= 0:
            break
        shed.append((report.replica, count))
        left -= count
    return shed
