"""Completions: as a task whose answer arrives as events, or plainly as OpenAI answers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from heliograph.chat import CompletionRequest
from heliograph.edge.http.deps import CurrentUser, TheServices

router = APIRouter(prefix="/api/chat", tags=["chat"])


@router.post("/completions", response_model=None)
async def complete(
    body: CompletionRequest, user: CurrentUser, services: TheServices
) -> dict[str, Any] | StreamingResponse:
    """Answer an OpenAI request.

    With `session_id`, `chat_id` and `id` (the assistant's message) a task answers into the
    chat: the result is `{status: true, task_ids, chat_id, message_id, user_message_id}` and
    the answer arrives as `events`. Without `session_id` the answer is OpenAI's own, as
    server-sent events when `stream` is true; nothing is stored.
    """
    answers = services.chat.answers
    if body.session_id is not None:
        return await answers.start(user, body)
    if body.stream:
        lines = await answers.plain_stream(body)
        return StreamingResponse(
            lines, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )
    return await answers.plain(body)
