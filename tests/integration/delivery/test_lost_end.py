"""A Redis that came back with an older log: what was published since then reaches everybody."""

from __future__ import annotations

from heliograph.delivery import Frame, Position, RedisBroker
from heliograph.delivery.envelope import decode_entry
from tests.support.backplane import open_backplane
from tests.support.redis import Standalone

ROOM = "user:ann"


async def _entries(broker: RedisBroker, since: Position) -> tuple[bool, list[int]]:
    keys = broker.room_keys(ROOM)
    args = (broker.policy(keys[0]), since.epoch, since.seq, "resume")
    _, _, complete, found = await broker._backplane.call("room_since", keys, args)
    return bool(complete), [decode_entry(entry).seq for entry in found]


async def _lose(broker: RedisBroker, kept: int) -> None:
    """As after a restart from a file that has only the first entries."""
    meta, log = broker.room_keys(ROOM)
    execute = broker._backplane.execute
    await execute("LTRIM", log, 0, kept - 1)
    await execute("HSET", meta, "seq", kept, "term", "another process")


async def test_who_knows_more_than_the_log_gets_all_that_came_since(
    redis: Standalone, redis_prefix: str
) -> None:
    async with open_backplane(redis, redis_prefix) as backplane:
        broker = RedisBroker(backplane, 120)
        for number in range(10):
            known = await broker.publish(ROOM, Frame.event("n", number))
        await _lose(broker, kept=4)
        for number in range(3):
            now = await broker.publish(ROOM, Frame.event("new", number))
        assert (now.seq, now.epoch != known.epoch) == (7, True)
        assert await _entries(broker, known) == (False, [5, 6, 7])
        # Who knew less than what was kept gets the rest of that, too.
        assert await _entries(broker, Position(known.epoch, 2)) == (False, [3, 4, 5, 6, 7])
        # And who knew as much as was kept.
        assert await _entries(broker, Position(known.epoch, 4)) == (False, [5, 6, 7])


async def test_one_who_knows_more_than_the_log_gets_nothing_when_nothing_came(
    redis: Standalone, redis_prefix: str
) -> None:
    async with open_backplane(redis, redis_prefix) as backplane:
        broker = RedisBroker(backplane, 120)
        for number in range(5):
            known = await broker.publish(ROOM, Frame.event("n", number))
        await _lose(broker, kept=2)
        assert await _entries(broker, known) == (False, [])
