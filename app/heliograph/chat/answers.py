"""Taking completion requests: check, store the question, start the task that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from heliograph.chat.chats import Chats
from heliograph.chat.direct import DirectChannels
from heliograph.chat.info import RequestInfo
from heliograph.chat.interruptions import Interruptions
from heliograph.chat.messages import MessageRepository
from heliograph.chat.models import Model, ModelList
from heliograph.chat.outlet import Outlet, is_local
from heliograph.chat.pipeline import Job, Pipeline
from heliograph.chat.placing import Placed, Placing
from heliograph.chat.plain import plain_answer, plain_stream
from heliograph.chat.remote_tools import remote_tools
from heliograph.chat.repository import ChatRepository
from heliograph.chat.requests import (
    CompletionRequest,
    check_messages,
    model_body,
    title_from,
)
from heliograph.chat.rows import Ending
from heliograph.chat.stream import Stream
from heliograph.chat.streams import Streams
from heliograph.chat.text import clean_json
from heliograph.chat.tools import Offered, ToolBox
from heliograph.delivery import Calls, Hub
from heliograph.errors import BadPayload, CallFailed, Conflict
from heliograph.principal import Principal
from heliograph.tasks import Tasks
from heliograph.telemetry import get_logger

log = get_logger(__name__)


class Answers:
    """Starts answers.

    :param server: the upstream, or the echo model.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        calls: Calls,
        tasks: Tasks,
        access: Chats,
        chats: ChatRepository,
        messages: MessageRepository,
        streams: Streams,
        interruptions: Interruptions,
        pipeline: Pipeline,
        direct: DirectChannels,
        server: Model,
        models: ModelList,
        tools: ToolBox,
    ) -> None:
        self._hub = hub
        self._calls = calls
        self._tasks = tasks
        self._access = access
        self._placing = Placing(chats)
        self._messages = messages
        self._streams = streams
        self._interruptions = interruptions
        self._pipeline = pipeline
        self._direct = direct
        self._server = server
        self._models = models
        self._tools = tools

    # -- plain -------------------------------------------------------------------------

    async def plain(self, request: CompletionRequest) -> dict[str, Any]:
        """A whole OpenAI completion.

        :raises UpstreamError: the model failed, with the status to answer.
        """
        body = await self._plain_body(request)
        return await plain_answer(self._server, {**body, "stream": False})

    async def plain_stream(self, request: CompletionRequest) -> AsyncIterator[bytes]:
        """Server-sent events in OpenAI's shape.

        :raises UpstreamError: the model failed before its first chunk.
        """
        body = await self._plain_body(request)
        return await plain_stream(self._server, {**body, "stream": True})

    async def _plain_body(self, request: CompletionRequest) -> dict[str, Any]:
        if request.is_direct:
            raise BadPayload(
                "model_item.direct: a page's model needs session_id", path="model_item"
            )
        messages = request.messages or []
        check_messages(messages)
        body = model_body(request, messages)
        await self._models.check(request.model)
        return body

    # -- as a task -----------------------------------------------------------------------

    async def start(self, user: Principal, request: CompletionRequest) -> dict[str, Any]:
        """Answer into a chat, as a task.

        :returns: ``{status: true, task_ids: [id], chat_id, message_id, user_message_id}``.
        :raises BadPayload: ``chat_id`` or ``id`` is missing; a message, a tool server is malformed.
        :raises NotFound: no such chat (404), or ``model_unknown``.
        :raises CallFailed: ``session_gone``, the session is not the user's.
        :raises Conflict: ``in_flight``, the message is being answered.
        :raises Unavailable: ``draining``, before it had any effect: ask again, of another replica.
        """
        info = self._info(user, request)
        self._tasks.check_open()
        access = await self._access.writable(user, info.chat_id)
        if not await self._calls.reaches(info.session_id or "", user.id):
            raise CallFailed(f"session {info.session_id} is not connected")
        model: Model = self._server
        if request.is_direct:
            model = self._direct.model(info, clean_json(request.model_item, path="model_item"))
        else:
            await self._models.check(request.model)
        # Of two tools with one name the server's own is offered: it is the one it vouches for.
        tools: dict[str, Offered] = {**remote_tools(request.tool_servers)}
        tools |= self._tools.offered(request.tool_ids)
        outlet = Outlet(self._hub, info.chat_id, info.message_id, user.id, access.shared)
        try:
            stream, placed = await self._begin(info, outlet, request)
        except Conflict as conflict:
            # Whoever writes it may be dead, and nobody may have noticed yet.
            if conflict.code != "in_flight" or not await self._interruptions.repair(
                user.id, info.chat_id
            ):
                raise
            stream, placed = await self._begin(info, outlet, request)
        question, answer = placed.question, placed.answer
        job = Job(info, model, placed.body, stream, outlet, tools, placed.title)
        try:
            task = await self._tasks.start(
                partial(self._pipeline.run, job=job),
                item=info.chat_id,
                user_id=user.id,
                label=f"chat {request.model}"[:100],
            )
        except BaseException:
            await asyncio.shield(self._give_up(info, stream))
            raise
        return {
            "status": True,
            "task_ids": [task.id],
            "chat_id": info.chat_id,
            "message_id": info.message_id,
            "user_message_id": question.id if question is not None else answer.parent_id,
        }

    def _info(self, user: Principal, request: CompletionRequest) -> RequestInfo:
        for name in ("chat_id", "id"):
            if getattr(request, name) is None:
                raise BadPayload(f"{name}: needed with session_id", path=name)
        return RequestInfo(user.id, str(request.chat_id), str(request.id), request.session_id)

    async def _begin(
        self, info: RequestInfo, outlet: Outlet, request: CompletionRequest
    ) -> tuple[Stream, Placed]:
        """Claim the answer, and store that it is in flight.

        :raises Conflict: ``in_flight``, the message is being answered.
        """
        stream = await self._streams.open(outlet, info.message_id)
        try:
            placed = await self._placing.place(info, request)
            if not is_local(info.chat_id):
                await self._store(info, stream, placed, request)
        except BaseException:
            stream.close()
            raise
        return stream, placed

    async def _store(
        self, info: RequestInfo, stream: Stream, placed: Placed, request: CompletionRequest
    ) -> None:
        begun = await self._messages.begin_answer(
            info.chat_id,
            question=placed.question,
            answer=placed.answer,
            owner=stream.ref.replica,
            keep_content=request.continues(),
            title=title_from(placed.messages),
        )
        placed.title = begun.title
        stream.outlet.shared = begun.shared
        if not request.continues():
            return
        try:
            row = await self._messages.content(info.chat_id, info.message_id)
            if row is not None and row[0]:
                await stream.replace(row[0])
        except BaseException:
            await asyncio.shield(self._give_up(info, stream))
            raise

    async def _give_up(self, info: RequestInfo, stream: Stream) -> None:
        """The answer began, but its task could not."""
        stream.close()
        if not is_local(info.chat_id):
            await self._messages.settle(
                info.chat_id,
                info.message_id,
                "",
                owner=stream.ref.replica,
                whole=False,
                ending=Ending("interrupted"),
            )
