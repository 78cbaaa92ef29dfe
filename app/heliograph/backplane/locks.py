"""A lock in Redis, with the name and behaviour of Open WebUI's.

Guarantee: only its owner renews or releases it, however late; each method is carried over a
failover of Redis until its deadline. Limits: it has no fencing token, and nothing tells a holder
that it lost the lock: renew it in time, and stop when that returns ``False``. Within the server
use ``Cluster.lock``, which has both.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from heliograph.backplane.clients import Client, Persistent, connect_to

# KEYS lock. ARGV owner ttl_ms. Asked again after a lost reply, it is still the owner's.
_ACQUIRE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""


class RedisLock:
    """A lock that expires.

    :ivar lock_id: who owns it; another one for each object.
    :ivar lock_obtained: whether the last attempt to acquire or renew it succeeded.

    :param redis_url: where; without it, where the environment says (``connect``).
    :param lock_name: the key in Redis.
    :param timeout_secs: it is free so long after it was acquired or renewed.
    :param redis_sentinels: ``(host, port)`` of each Sentinel.
    :param redis_cluster: whether it is a Redis Cluster.
    :param client: a client that several locks and dictionaries share, see ``connect``.
    :param deadline: s that a method waits for Redis before it raises ``Unavailable``.
    """

    def __init__(
        self,
        redis_url: str | None,
        lock_name: str,
        timeout_secs: float,
        redis_sentinels: Sequence[tuple[str, int | str]] | None = None,
        redis_cluster: bool = False,
        *,
        client: Client | None = None,
        deadline: float = 15.0,
    ) -> None:
        self.lock_name = lock_name
        self.lock_id = str(uuid.uuid4())
        self.timeout_secs = timeout_secs
        self.lock_obtained = False
        if client is None:
            client = connect_to(redis_url, redis_sentinels, redis_cluster)
        self.redis: Client = client
        self._persistent = Persistent(client, deadline)

    def __repr__(self) -> str:
        return f"<RedisLock {self.lock_name}>"

    def acquire_lock(self) -> bool:
        """Take the lock if it is free (or ours); whether it is ours now."""
        self.lock_obtained = self._evaluate(_ACQUIRE, self._milliseconds)
        return self.lock_obtained

    aquire_lock = acquire_lock
    """Open WebUI's spelling."""

    def renew_lock(self) -> bool:
        """Prolong the lock; ``False`` when it is not ours any more."""
        self.lock_obtained = self._evaluate(_RENEW, self._milliseconds)
        return self.lock_obtained

    def release_lock(self) -> bool:
        """Give the lock back; ``False`` when it was not ours any more, which changes nothing."""
        self.lock_obtained = False
        return self._evaluate(_RELEASE)

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self.timeout_secs * 1000))

    def _evaluate(self, script: str, *args: int) -> bool:
        return bool(
            self._persistent.run(
                lambda redis: redis.eval(script, 1, self.lock_name, self.lock_id, *args)
            )
        )
