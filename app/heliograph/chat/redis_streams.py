"""The logs of answers in flight in Redis, for any number of replicas.

A log lives under the tag of its owner's room, so that one function appends a delta and
publishes it, or does neither. Beside the logs each user has an index of them, and each
replica a set of what it writes, for whoever cleans up after it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from heliograph.backplane import Backplane
from heliograph.chat.hot import Delta, InFlight, Snapshot, StreamRef, Verdict
from heliograph.chat.settling import Parts
from heliograph.delivery import RedisBroker, user_room
from heliograph.delivery.frames import Frame

_VERDICTS = {b"done": Verdict.DONE, b"lost": Verdict.LOST, b"taken": Verdict.TAKEN}


class RedisHotLog:
    """See :class:`heliograph.chat.hot.HotLog`.

    :param grace: a replica's lease, seconds.
    """

    def __init__(self, backplane: Backplane, broker: RedisBroker, *, grace: float) -> None:
        self.grace = grace
        self._backplane = backplane
        self._broker = broker

    # -- writing -----------------------------------------------------------------------

    async def begin(self, ref: StreamRef) -> None:
        """Claim the answer.

        :raises InFlight: it is claimed.
        """
        args = (_field(ref), ref.run, ref.replica)
        _, by = await asyncio.gather(
            self._backplane.execute("SADD", self._of_replica(ref.replica), _member(ref)),
            self._backplane.call("stream_begin", self._keys(ref), args),
        )
        if by:
            await self.let_go(ref)
            raise InFlight(ref.message_id, _ref(ref.user_id, _field(ref).encode(), by))

    async def append(self, ref: StreamRef, delta: Delta, event: dict[str, Any]) -> Verdict:
        """Append to the log and publish ``event`` to the user's room, in one step."""
        room = user_room(ref.user_id)
        envelope = await self._broker.envelope(room, Frame.event("events", event))
        args = (envelope, ref.run, delta.seq, "=" if delta.whole else "+", delta.text)
        verdict = await self._broker.append_by(room, "stream_append", self._keys(ref)[:1], args)
        return _VERDICTS[verdict]

    async def restore(self, ref: StreamRef, seq: int, text: str, *, sure: bool) -> Verdict:
        """Have the log say that the content is ``text`` up to ``seq``, and who writes it."""
        await self._backplane.execute("SADD", self._of_replica(ref.replica), _member(ref))
        args = (_field(ref), ref.run, ref.replica, seq, int(sure), *((text,) if seq else ()))
        return _VERDICTS[await self._backplane.call("stream_restore", self._keys(ref), args)]

    async def end(self, ref: StreamRef, *, dead: bool = False) -> None:
        """Remove the log, if it is of this writing."""
        await self._backplane.call("stream_end", self._keys(ref), (_field(ref), ref.run, int(dead)))

    async def let_go(self, ref: StreamRef) -> None:
        """The replica has nothing to do with that answer any more."""
        await self._backplane.execute("SREM", self._of_replica(ref.replica), _member(ref))

    # -- reading -----------------------------------------------------------------------

    async def of_user(self, user_id: str) -> list[StreamRef]:
        """The answers of a user's chats in flight."""
        index: dict[bytes, bytes] = await self._backplane.execute("HGETALL", self._index(user_id))
        return [_ref(user_id, field, by) for field, by in index.items()]

    async def find(self, user_id: str, chat_id: str, message_id: str) -> StreamRef | None:
        """One of them."""
        field = f"{chat_id}/{message_id}"
        by = await self._backplane.execute("HGET", self._index(user_id), field)
        return _ref(user_id, field.encode(), by) if by is not None else None

    async def read(self, ref: StreamRef) -> Snapshot | None:
        """An answer as far as it has come; ``None`` when it is not in flight any more."""
        found = await self._backplane.execute("LRANGE", self._keys(ref)[0], 0, -1)
        if not found:
            return None
        run, _, origin = found[0].decode().split(" ")
        if run != ref.run:
            return None
        return Snapshot(ref, Parts([part.decode() for part in found[1:]], int(origin)))

    async def of_replica(self, replica_id: str) -> list[StreamRef]:
        """What a replica writes."""
        members = await self._backplane.execute("SMEMBERS", self._of_replica(replica_id))
        return [
            StreamRef(user_id, chat_id, message_id, run, replica_id)
            for user_id, chat_id, message_id, run in map(orjson.loads, members)
        ]

    # -- names -------------------------------------------------------------------------

    def _index(self, user_id: str) -> str:
        return self._backplane.key("stream", user_room(user_id))

    def _keys(self, ref: StreamRef) -> list[str]:
        log = self._backplane.key("stream", user_room(ref.user_id), ref.chat_id, ref.message_id)
        return [log, self._index(ref.user_id)]

    def _of_replica(self, replica_id: str) -> str:
        return self._backplane.key("replica", replica_id, "streams")


def _field(ref: StreamRef) -> str:
    return f"{ref.chat_id}/{ref.message_id}"


def _member(ref: StreamRef) -> bytes:
    return orjson.dumps([ref.user_id, ref.chat_id, ref.message_id, ref.run])


def _ref(user_id: str, field: bytes, by: bytes) -> StreamRef:
    chat_id, message_id = field.decode().split("/")
    run, replica_id = by.decode().split(" ")
    return StreamRef(user_id, chat_id, message_id, run, replica_id)
