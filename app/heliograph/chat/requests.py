"""A completion request: OpenAI's shape with Open WebUI's additions, read and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from heliograph.chat.repository import ChatRows
from heliograph.chat.text import clean_json, text_of
from heliograph.errors import BadPayload

MAX_MESSAGES = 2_000
"""Messages in one request."""

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""One request as JSON text."""

MAX_TOOL_SERVERS = 20
"""Tool servers of the user's own in one request."""

MAX_TOOL_SPECS = 200
"""Tools of those servers together."""

ChatId = Annotated[str, StringConstraints(max_length=64, pattern=r"^(local:)?[A-Za-z0-9_.\-]+$")]
MessageId = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]

_TITLE_LENGTH = 60


class UserMessage(BaseModel):
    """The question as the page knows it; other fields are kept for pages."""

    model_config = ConfigDict(extra="allow")

    id: MessageId
    content: str | list[Any] = ""
    parentId: MessageId | None = None
    timestamp: int | None = None


class ToolSpec(BaseModel):
    """A tool of a server that the user configured, as the page has read it there."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of an object.")


class ToolServer(BaseModel):
    """A tool server that the user configured; the page, not this server, speaks to it."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    specs: Annotated[list[ToolSpec], Field(max_length=MAX_TOOL_SPECS)]


class CompletionRequest(BaseModel):
    """The body of ``POST /api/chat/completions``.

    Fields that are not named here are OpenAI's and go to the model as they are.
    """

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    messages: Annotated[list[dict[str, Any]], Field(max_length=MAX_MESSAGES)] | None = Field(
        None, description="The history; absent: the branch of the stored chat."
    )
    stream: bool | None = Field(None, description="Absent: as a stream when there is a session.")
    session_id: str | None = Field(None, description="The session that asks; makes it a task.")
    chat_id: ChatId | None = None
    id: MessageId | None = Field(None, description="Id of the assistant's message.")
    parent_id: MessageId | None = Field(None, description="Id of the message it answers.")
    user_message: UserMessage | None = Field(None, description="The question, to be stored.")
    model_item: dict[str, Any] | None = Field(
        None, description="`{direct: true, …}`: the model is in the user's own page."
    )
    tool_ids: list[str] | None = Field(
        None, description="Of the server's tools, those to offer; absent: all."
    )
    tool_servers: Annotated[list[ToolServer], Field(max_length=MAX_TOOL_SERVERS)] | None = Field(
        None, description="The user's own tool servers: the page is asked to run their tools."
    )

    @property
    def is_direct(self) -> bool:
        """Whether the user's page answers."""
        return bool(self.model_item and self.model_item.get("direct"))

    def question(self) -> UserMessage | None:
        """The user's message with its id, from ``user_message`` or the last message."""
        if self.user_message is not None:
            return self.user_message
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "user" and isinstance(last.get("id"), str):
            return UserMessage.model_validate(last)
        return None

    def continues(self) -> bool:
        """Whether the history ends with the assistant's own words, to be gone on with."""
        return bool(self.messages) and (self.messages or [{}])[-1].get("role") == "assistant"


# Ours and Open WebUI's; an upstream need not understand them.
_NOT_FOR_MODELS = {
    "session_id",
    "chat_id",
    "id",
    "parent_id",
    "parent_message",
    "user_message",
    "model_item",
    "tool_ids",
    "tool_servers",
    "background_tasks",
    "features",
    "files",
    "filter_ids",
    "variables",
    "params",
    "folder_id",
}
# What belongs to a message in OpenAI's shape; pages add their own.
_MESSAGE_FIELDS = {
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "reasoning_content",
}


def model_body(request: CompletionRequest, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the model is asked: OpenAI's fields only.

    :raises TooLarge: over :data:`MAX_REQUEST_BYTES`.
    :raises BadPayload: something has no JSON form.
    """
    body = {
        name: value
        for name, value in request.model_dump(exclude_unset=True).items()
        if name not in _NOT_FOR_MODELS
    }
    body["messages"] = [
        {name: value for name, value in message.items() if name in _MESSAGE_FIELDS}
        for message in messages
    ]
    cleaned: dict[str, Any] = clean_json(body, path="messages", limit=MAX_REQUEST_BYTES)
    return cleaned


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Refuse what no model would take.

    :raises BadPayload: with the place.
    """
    if not messages:
        raise BadPayload("messages: at least one is needed", path="messages")
    for number, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise BadPayload(
                f"messages.{number}.role: a string is needed", path=f"messages.{number}.role"
            )
        if not isinstance(message.get("content"), str | list | None):
            path = f"messages.{number}.content"
            raise BadPayload(f"{path}: a string or a list of parts is needed", path=path)


def branch(rows: ChatRows, leaf: str | None) -> list[dict[str, Any]]:
    """The stored messages from the root down to ``leaf``, in OpenAI's shape."""
    by_id: Mapping[str, Any] = {message.id: message for message in rows.messages}
    found: list[dict[str, Any]] = []
    seen: set[str] = set()  # clients name the parents, and may name them in a circle
    while leaf is not None and leaf in by_id and leaf not in seen:
        seen.add(leaf)
        message = by_id[leaf]
        content = message.extra.get("content") or message.content
        if content:
            found.append({"role": message.role, "content": content})
        leaf = message.parent_id
    return found[:MAX_MESSAGES][::-1]


def title_from(messages: list[dict[str, Any]]) -> str | None:
    """A title from the first question: its first line, cut at a word."""
    first = next((m for m in messages if m.get("role") == "user"), {})
    words = text_of(first.get("content"))[:1_000].strip().split("\n", 1)[0].split()
    title = ""
    for word in words:
        if title and len(title) + 1 + len(word) > _TITLE_LENGTH:
            return f"{title}…"
        title = f"{title} {word}".strip()
    if len(title) > _TITLE_LENGTH:
        return f"{title[:_TITLE_LENGTH]}…"
    return title or None
