"""Being one of many replicas: leases, requests to each other, locks, cleaning up after the dead.

Everything that can die holds a lease. A feature registers what it holds under the id of its
:class:`Replica`, cleans up after others in ``Reaper.on_dead``, and drops or registers again what
it has in ``Replica.on_lost``.
"""

from heliograph.cluster.cluster import Cluster
from heliograph.cluster.leases import Leases, MemoryLeases
from heliograph.cluster.lock import Lock, LockBusy, LockLost
from heliograph.cluster.peers import PeerGone, Peers
from heliograph.cluster.reaper import Reaper
from heliograph.cluster.redis_leases import RedisLeases
from heliograph.cluster.replica import Replica
from heliograph.cluster.rooms import EVERY_REPLICA, Rooms, replica_room

__all__ = [
    "EVERY_REPLICA",
    "Cluster",
    "Leases",
    "Lock",
    "LockBusy",
    "LockLost",
    "MemoryLeases",
    "PeerGone",
    "Peers",
    "Reaper",
    "RedisLeases",
    "Replica",
    "Rooms",
    "replica_room",
]
