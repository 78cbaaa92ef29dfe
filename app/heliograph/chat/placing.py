"""Where a question and its answer belong in their chat, and what the model is sent of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from heliograph.chat.info import RequestInfo
from heliograph.chat.outlet import is_local
from heliograph.chat.repository import ChatRepository
from heliograph.chat.requests import CompletionRequest, branch, check_messages, model_body
from heliograph.chat.rows import NewMessage
from heliograph.chat.text import clean_json, clean_text, text_of
from heliograph.chat.updates import ClientMessage, new_message
from heliograph.errors import BadPayload


@dataclass(slots=True)
class Placed:
    """A question and its answer in their chat, and the history for the model.

    :ivar body: what the model is sent.
    :ivar title: of the chat, when it got one by this question.
    """

    question: NewMessage | None
    answer: NewMessage
    messages: list[dict[str, Any]]
    body: dict[str, Any] = field(default_factory=dict)
    title: str | None = None


class Placing:
    """Places questions and answers."""

    def __init__(self, chats: ChatRepository) -> None:
        self._chats = chats

    async def place(self, info: RequestInfo, request: CompletionRequest) -> Placed:
        """Where question and answer belong in the chat, and what the model is sent.

        :raises BadPayload: the messages are malformed.
        """
        placed = await self._place(info, request)
        body = placed.body = model_body(request, placed.messages)
        for name in ("tools", "tool_choice", "functions", "function_call"):
            body.pop(name, None)  # a page's own tools cannot be called from here
        body["stream"] = request.stream is not False
        return placed

    async def _place(self, info: RequestInfo, request: CompletionRequest) -> Placed:
        messages = request.messages
        if messages is not None:
            check_messages(messages)
        asked = request.question()
        answer = NewMessage(
            id=info.message_id,
            role="assistant",
            content="",
            parent_id=request.parent_id,
            model=clean_text(request.model),
        )
        if is_local(info.chat_id):
            if messages is None:
                raise BadPayload("messages: a temporary chat has no others", path="messages")
            return Placed(None, answer, messages)
        tip = await self._chats.tip(info.chat_id, info.message_id)
        current = tip.current_id if tip.current_id != info.message_id else tip.answer_parent
        question: NewMessage | None = None
        if asked is not None:
            copy = ClientMessage.model_validate(
                clean_json({**asked.model_dump(exclude_unset=True), "role": "user"})
            )
            if "parentId" not in copy.model_fields_set and current != asked.id:
                copy.parentId = current
            question = new_message(asked.id, copy)
        elif messages and messages[-1]["role"] == "user" and not request.parent_id:
            text = text_of(messages[-1].get("content"))
            known = tip.answer_exists or (
                tip.current_role == "user" and tip.current_content == text
            )
            if not known:  # a client that keeps no ids of its own
                question = new_message(
                    str(uuid.uuid4()),
                    ClientMessage(
                        parentId=current,
                        role="user",
                        content=clean_json(messages[-1].get("content"), path="messages"),
                    ),
                )
        parent = request.parent_id or (question.id if question else None)
        answer = _under(answer, parent or tip.answer_parent or current)
        if messages is None:
            messages = await self._stored(info.chat_id, answer.parent_id, question)
            check_messages(messages)
        return Placed(question, answer, messages)

    async def _stored(
        self, chat_id: str, leaf: str | None, question: NewMessage | None
    ) -> list[dict[str, Any]]:
        rows = await self._chats.get(chat_id)
        if rows is None:
            return []
        if question is None or any(message.id == question.id for message in rows.messages):
            return branch(rows, leaf)
        content = question.extra.get("content") or question.content
        return [*branch(rows, question.parent_id), {"role": "user", "content": content}]


def _under(message: NewMessage, parent_id: str | None) -> NewMessage:
    return NewMessage(
        message.id, message.role, message.content, parent_id, message.model, message.extra
    )
