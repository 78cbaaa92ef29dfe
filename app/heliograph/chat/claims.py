"""SQL of who writes which answer, for those whose owners are dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, update

from heliograph.chat.repository import in_flight
from heliograph.store import Database, now_s
from heliograph.store.models import Chat, Message


@dataclass(frozen=True, slots=True)
class Claim:
    """A message in flight: whose chat it is in, and the replica that writes it."""

    user_id: str
    chat_id: str
    message_id: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What is known of an answer after its owner's death.

    :ivar content: its text, when it is interrupted now, or was ended by its owner before that
        died; else ``None``.
    :ivar state: how it ended.
    :ivar error: what failed, with the state ``error``.
    :ivar in_flight: somebody else writes it.
    """

    content: str | None = None
    state: str = "interrupted"
    error: dict[str, Any] | None = None
    in_flight: bool = False


class Claims:
    """Answers in flight in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owners(self) -> list[str | None]:
        """The replicas that have answers in flight; ``None`` for those of nobody."""
        query = select(Message.owner).where(in_flight()).distinct()
        async with self._database.read() as session:
            return list(await session.scalars(query))

    async def of_owner(self, owner: str | None) -> list[Claim]:
        """What a replica has in flight."""
        return await self._claims(Message.owner.is_not_distinct_from(owner))

    async def of_chat(self, chat_id: str) -> list[Claim]:
        """What is in flight in a chat."""
        return await self._claims(Message.chat_id == chat_id)

    async def _claims(self, which: ColumnElement[bool]) -> list[Claim]:
        query = (
            select(Chat.user_id, Message.chat_id, Message.id, Message.owner)
            .join(Chat, Chat.id == Message.chat_id)
            .where(in_flight(), which)
        )
        async with self._database.read() as session:
            return [Claim(*row) for row in await session.execute(query)]

    async def interrupt(
        self,
        chat_id: str,
        message_id: str,
        owner: str | None,
        text: str | None,
        *,
        only_grew: bool = False,
    ) -> Fate:
        """End an answer in its dead owner's name; a second time nothing changes.

        :param text: all that was published of it, if that is known.
        :param only_grew: it was never replaced, so what is stored and goes on from ``text``
            is more of it: published no more, since Redis was away.
        """
        one = (Message.chat_id == chat_id, Message.id == message_id)
        query = (
            select(Message.content, Message.state, Message.owner, Message.error)
            .where(*one)
            .with_for_update()
        )
        async with self._database.write() as session:
            row = (await session.execute(query)).one_or_none()
            if row is None:
                return Fate()
            if row.state == "interrupted" and row.owner is None:
                return Fate(row.content)
            if row.state != "streaming" and row.owner == owner:
                return Fate(row.content, row.state, row.error)
            if row.state != "streaming" or row.owner != owner:
                return Fate(in_flight=row.state == "streaming")
            content = row.content
            if text is not None and not (only_grew and content.startswith(text)):
                content = text
            values = {"state": "interrupted", "owner": None, "content": content}
            await session.execute(update(Message).where(*one).values(**values))
            await session.execute(update(Chat).where(Chat.id == chat_id).values(updated_at=now_s()))
        return Fate(content)
