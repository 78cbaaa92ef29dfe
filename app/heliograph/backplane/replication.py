"""Which replicas of Redis could take over, and so must have what was shown.

``DELIVERY_DURABILITY=replicated`` waits for one of them. A master that has none left (one has
just been promoted, the other is dead) has no successor to lose anything: it is trusted
alone, as long as whoever decides that (Sentinel, the cluster) still names it as the master.
"""

from __future__ import annotations

MOST_BEHIND = 10
"""Seconds of silence after which a replica does not count: Redis's own ``min-replicas-max-lag``."""

WAIT_MS = 500
"""How long the server waits for a replica before it is asked about them."""


def eligible_replicas(info: bytes) -> int:
    """The replicas in a server's ``INFO replication`` that are in step.

    Source: https://redis.io/docs/latest/commands/info/, section replication.
    """
    count = 0
    for line in info.decode().splitlines():
        name, _, facts = line.partition(":")
        if name.startswith("slave") and name[5:].isdigit():
            told = dict(fact.split("=", 1) for fact in facts.split(","))
            count += told.get("state") == "online" and int(told.get("lag", 0)) <= MOST_BEHIND
    return count
