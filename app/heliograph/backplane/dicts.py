"""A dictionary in Redis, with the name and behaviour of Open WebUI's.

Guarantee: each method is one atomic step, and is carried over a failover of Redis until its
deadline. Limits: a value that is read, changed and written back is not: two programs that do
this at the same time lose one change. Nothing has a lease: entries stay until they are deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from heliograph.backplane.clients import Client, Persistent, connect_to

# The whole of the dictionary becomes what is given.
_SET = """
redis.call('DEL', KEYS[1])
for index = 1, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
end
return #ARGV / 2
"""


class RedisDict:
    """Text keys, JSON values, in one hash.

    :param name: the key in Redis.
    :param redis_url: where; without it, where the environment says (``connect``).
    :param redis_sentinels: ``(host, port)`` of each Sentinel.
    :param redis_cluster: whether it is a Redis Cluster.
    :param client: a client that several dictionaries and locks share, see ``connect``.
    :param deadline: s that a method waits for Redis before it raises ``Unavailable``.
    """

    def __init__(
        self,
        name: str,
        redis_url: str | None = None,
        redis_sentinels: Sequence[tuple[str, int | str]] | None = None,
        redis_cluster: bool = False,
        *,
        client: Client | None = None,
        deadline: float = 15.0,
    ) -> None:
        self.name = name
        if client is None:
            client = connect_to(redis_url, redis_sentinels, redis_cluster)
        self.redis: Client = client
        self._persistent = Persistent(client, deadline)

    def __repr__(self) -> str:
        return f"<RedisDict {self.name}>"

    def __setitem__(self, key: str, value: Any) -> None:
        text = _dump(value)
        self._persistent.run(lambda redis: redis.hset(self.name, key, text))

    def __getitem__(self, key: str) -> Any:
        text = self._persistent.run(lambda redis: redis.hget(self.name, key))
        if text is None:
            raise KeyError(key)
        return orjson.loads(text)

    def __delitem__(self, key: str) -> None:
        deleted, again = self._persistent.attempt(lambda redis: redis.hdel(self.name, key))
        if not deleted and not again:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return bool(self._persistent.run(lambda redis: redis.hexists(self.name, key)))

    def __len__(self) -> int:
        return int(self._persistent.run(lambda redis: redis.hlen(self.name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self) -> list[str]:
        """All keys."""
        found = self._persistent.run(lambda redis: redis.hkeys(self.name))
        return [_text(key) for key in found]

    def values(self) -> list[Any]:
        """All values."""
        found = self._persistent.run(lambda redis: redis.hvals(self.name))
        return [orjson.loads(value) for value in found]

    def items(self) -> list[tuple[str, Any]]:
        """All keys with their values."""
        found = self._persistent.run(lambda redis: redis.hgetall(self.name))
        return [(_text(key), orjson.loads(value)) for key, value in found.items()]

    def set(self, mapping: Mapping[str, Any]) -> None:
        """Become ``mapping``: what is not in it goes."""
        parts = [part for key, value in mapping.items() for part in (key, _dump(value))]
        self._persistent.run(lambda redis: redis.eval(_SET, 1, self.name, *parts))

    def update(self, other: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Set all of ``other`` and ``more``; the rest stays."""
        parts = {key: _dump(value) for key, value in {**(other or {}), **more}.items()}
        if parts:
            self._persistent.run(lambda redis: redis.hset(self.name, mapping=parts))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value; when there is none, ``default``, which is set then."""
        text = _dump(default)
        self._persistent.run(lambda redis: redis.hsetnx(self.name, key, text))
        return self.get(key, default)

    def clear(self) -> None:
        """Delete everything."""
        self._persistent.run(lambda redis: redis.delete(self.name))


def _dump(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
