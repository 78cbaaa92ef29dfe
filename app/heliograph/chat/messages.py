"""SQL of a chat's messages and of the items appended to them.

Appends are appends: ``content || :text`` and INSERTs, so that writers at the same time
lose nothing. Nothing here reads a text in order to write it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.chat.repository import DEFAULT_TITLE
from heliograph.chat.rows import Begun, Ending, Kind, NewMessage, insert_new
from heliograph.errors import BadPayload, Conflict, NotFound
from heliograph.store import Database, now_s
from heliograph.store.models import AccessGrant, Chat, Message, MessageItem


class MessageRepository:
    """Messages in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin_answer(
        self,
        chat_id: str,
        *,
        question: NewMessage | None,
        answer: NewMessage,
        owner: str,
        keep_content: bool,
        title: str | None,
    ) -> Begun:
        """Store the question, if it is new, and the row of the answer, in flight.

        :param owner: id of the replica that writes it.
        :param keep_content: the answer's row goes on from what it has.
        :param title: for a chat that has none yet.
        :raises Conflict: ``in_flight``, it is being answered already.
        :raises BadPayload: the answer's id is that of another kind of message.
        :raises NotFound: the chat is gone.
        """
        async with self._database.write() as session:
            chat = await session.scalar(
                select(Chat.title).where(Chat.id == chat_id).with_for_update()
            )
            if chat is None:
                raise NotFound(f"no chat {chat_id}")
            if question is not None:
                await insert_new(session, chat_id, question)
            there = (
                await session.execute(
                    select(Message.state, Message.role).where(
                        Message.chat_id == chat_id, Message.id == answer.id
                    )
                )
            ).one_or_none()
            if there is not None and there.role != answer.role:
                raise BadPayload(f"message {answer.id} is not an answer", path="id")
            if there is not None and there.state == "streaming":
                raise Conflict(f"message {answer.id} is being answered", code="in_flight")
            if there is None:
                await insert_new(session, chat_id, answer, state="streaming", owner=owner)
            else:
                kept = {} if keep_content else {"content": ""}
                await session.execute(
                    update(Message)
                    .where(Message.chat_id == chat_id, Message.id == answer.id)
                    .values(state="streaming", owner=owner, error=None, model=answer.model, **kept)
                )
                if not keep_content:
                    await session.execute(
                        delete(MessageItem).where(
                            MessageItem.chat_id == chat_id, MessageItem.message_id == answer.id
                        )
                    )
            titled = title if title and chat in ("", DEFAULT_TITLE) else None
            # Read after the claim, so that whoever shares it now finds the stream.
            grants = select(AccessGrant.user_id).where(
                AccessGrant.resource_type == "chat", AccessGrant.resource_id == chat_id
            )
            shared = await session.scalar(select(grants.exists()))
            await session.execute(
                update(Chat)
                .where(Chat.id == chat_id)
                .values(
                    current_id=answer.id,
                    updated_at=now_s(),
                    **({"title": titled} if titled else {}),
                )
            )
        return Begun(titled, bool(shared))

    async def content(self, chat_id: str, message_id: str) -> tuple[str, str] | None:
        """``(content, state)`` as settled."""
        async with self._database.read() as session:
            row = (
                await session.execute(
                    select(Message.content, Message.state).where(
                        Message.chat_id == chat_id, Message.id == message_id
                    )
                )
            ).one_or_none()
        return (row[0], row[1]) if row is not None else None

    async def append(self, chat_id: str, message_id: str, text: str) -> None:
        """Append to the content.

        :raises NotFound: there is no such message.
        :raises Conflict: ``in_flight``, it is being written by its owner.
        """
        await self._set_content(chat_id, message_id, Message.content + text)

    async def replace(self, chat_id: str, message_id: str, text: str) -> None:
        """Replace the content.

        :raises NotFound: there is no such message.
        :raises Conflict: ``in_flight``, it is being written by its owner.
        """
        await self._set_content(chat_id, message_id, text)

    async def _set_content(self, chat_id: str, message_id: str, content: Any) -> None:
        one = (Message.chat_id == chat_id, Message.id == message_id)
        async with self._database.write() as session:
            at_rest = update(Message).where(*one, Message.state != "streaming")
            if _rows(await session.execute(at_rest.values(content=content))):
                return
            if await session.scalar(select(Message.id).where(*one)) is None:
                raise _no_message(chat_id, message_id)
        raise Conflict(f"message {message_id} is being answered", code="in_flight")

    async def add_items(
        self,
        chat_id: str,
        message_id: str,
        kind: Kind,
        payloads: Iterable[Any],
        *,
        replace: bool = False,
    ) -> None:
        """Append items of one kind, after deleting those there are when ``replace``.

        :raises NotFound: there is no such message.
        """
        try:
            async with self._database.write() as session:
                known = await session.scalar(
                    select(Message.id).where(Message.chat_id == chat_id, Message.id == message_id)
                )
                if known is None:
                    raise _no_message(chat_id, message_id)
                if replace:
                    await session.execute(
                        delete(MessageItem).where(
                            MessageItem.chat_id == chat_id,
                            MessageItem.message_id == message_id,
                            MessageItem.kind == kind,
                        )
                    )
                await _insert_items(session, chat_id, message_id, kind, list(payloads))
        except IntegrityError:  # deleted in between
            raise _no_message(chat_id, message_id) from None

    async def settle(
        self,
        chat_id: str,
        message_id: str,
        text: str,
        *,
        owner: str,
        whole: bool,
        ending: Ending | None,
    ) -> bool:
        """Write what of an answer in flight has not been written, in one transaction.

        :param owner: nothing is written unless the answer is (still) its.
        :param whole: ``text`` is the whole content, not its tail.
        :param ending: also end it.
        :returns: whether the answer is the owner's.
        """
        values: dict[str, Any] = {}
        if whole:
            values["content"] = text
        elif text:
            values["content"] = Message.content + text
        if ending is not None:
            values |= {"state": ending.state, "error": ending.error}
        if not values:
            return await self.is_owner(chat_id, message_id, owner)
        one = (Message.chat_id == chat_id, Message.id == message_id, Message.owner == owner)
        async with self._database.write() as session:
            if not _rows(await session.execute(update(Message).where(*one).values(**values))):
                return False
            if ending is not None:
                await session.execute(
                    update(Chat).where(Chat.id == chat_id).values(updated_at=now_s())
                )
                if ending.usage is not None:
                    await _insert_items(session, chat_id, message_id, "usage", [ending.usage])
        return True

    async def is_owner(self, chat_id: str, message_id: str, owner: str) -> bool:
        """Whether the answer is the owner's."""
        query = select(Message.owner).where(Message.chat_id == chat_id, Message.id == message_id)
        async with self._database.read() as session:
            return await session.scalar(query) == owner


async def _insert_items(
    session: AsyncSession, chat_id: str, message_id: str, kind: Kind, payloads: Sequence[Any]
) -> None:
    if payloads:
        await session.execute(
            insert(MessageItem),
            [
                {"chat_id": chat_id, "message_id": message_id, "kind": kind, "payload": payload}
                for payload in payloads
            ],
        )


def _rows(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount


def _no_message(chat_id: str, message_id: str) -> NotFound:
    return NotFound(f"no message {message_id} in chat {chat_id}")
