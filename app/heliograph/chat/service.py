"""The chat feature of one application, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from heliograph.chat import api
from heliograph.chat.answers import Answers
from heliograph.chat.caller import Caller
from heliograph.chat.chats import Chats
from heliograph.chat.claims import Claims
from heliograph.chat.direct import DirectChannels
from heliograph.chat.echo import Echo
from heliograph.chat.emitter import Emitter
from heliograph.chat.hot import HotLog, MemoryHotLog
from heliograph.chat.info import RequestInfo
from heliograph.chat.interruptions import Interruptions
from heliograph.chat.messages import MessageRepository
from heliograph.chat.models import ModelList
from heliograph.chat.pipeline import Pipeline
from heliograph.chat.repository import ChatRepository
from heliograph.chat.streams import Streams
from heliograph.chat.tools import ToolBox, load_tools
from heliograph.chat.updates import ChatUpdates
from heliograph.chat.upstream import Upstream
from heliograph.cluster import Cluster
from heliograph.delivery import Calls, Hub, Lifecycle
from heliograph.live import Live
from heliograph.settings import Settings
from heliograph.store import Database
from heliograph.tasks import Tasks


class Chat:
    """Chats, answers, emitter and caller.

    Use ``async with chat:`` around the time in which requests are taken. Before it is left,
    ``await tasks.shutdown()`` settles the answers in flight.

    :ivar chats: list, read, change, share, delete, open.
    :ivar answers: completion requests.
    :ivar models: the list of models.
    :ivar streams: the answers in flight.
    :ivar interruptions: ends what dead replicas were writing.
    :ivar direct: channels of users' own models; the edge hands it unknown events.
    :ivar emitter: emits events of messages.
    :ivar caller: calls sessions.

    :param cluster: default: of a single process.
    :param hot: the logs of the answers in flight; default: of a single process.
    :param live: the settings that may change; default: those of ``settings``.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        hub: Hub,
        lifecycle: Lifecycle,
        calls: Calls,
        tasks: Tasks,
        cluster: Cluster | None = None,
        hot: HotLog | None = None,
        live: Live | None = None,
    ) -> None:
        live = Live(settings) if live is None else live
        self._settings = settings
        cluster = Cluster(hub) if cluster is None else cluster
        hot = MemoryHotLog(hub) if hot is None else hot
        rows = ChatRepository(database)
        self._messages = MessageRepository(database)
        self.streams = Streams(
            self._messages,
            hot,
            lambda: cluster.replica.id,
            interval=settings.chat_delta_interval_ms / 1000,
            settle_seconds=settings.chat_settle_seconds,
        )
        self.interruptions = Interruptions(hub, rows, Claims(database), hot, cluster.replica)
        cluster.reaper.on_dead.append(self.interruptions.settle_for_dead)
        here = (self.streams, self.interruptions, cluster.peers)
        self.chats = Chats(hub, tasks, rows, ChatUpdates(database), *here)
        self.emitter = Emitter(hub, rows, self._messages, *here)
        self.caller = Caller(calls, lambda: live.caller_timeout)
        self.direct = DirectChannels(
            self.caller, settings.openai_timeout_seconds, cluster.peers, cluster.replica
        )
        lifecycle.on_ended.append(self.direct.session_ended)
        lifecycle.on_moved.append(self.direct.session_moved)
        self._upstream: Upstream | None = None
        if settings.openai_api_base_url:
            self._upstream = Upstream(
                settings.openai_api_base_url,
                settings.openai_api_key.get_secret_value(),
                settings.openai_timeout_seconds,
            )
        server = self._upstream or Echo(settings.echo_delay_ms / 1000)
        self.models = ModelList(server)
        self.tools = ToolBox([])
        self.answers = Answers(
            hub=hub,
            calls=calls,
            tasks=tasks,
            access=self.chats,
            chats=rows,
            messages=self._messages,
            streams=self.streams,
            interruptions=self.interruptions,
            pipeline=Pipeline(self.emitter, self.caller, tasks),
            direct=self.direct,
            server=server,
            models=self.models,
            tools=self.tools,
        )

    async def __aenter__(self) -> Chat:
        """Load the tools, and look for what dead processes left in flight.

        :raises ConfigurationError: a tool cannot be used.
        """
        loaded = await asyncio.to_thread(load_tools, self._settings.heliograph_tools)
        self.tools.tools.update(loaded.tools)
        await self.interruptions.start()
        api.bind(self.emitter, self.caller)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what is open towards the upstream."""
        api.unbind(self.emitter)
        await self.direct.stop()
        await self.interruptions.stop()
        await self.streams.stop()
        if self._upstream is not None:
            await self._upstream.close()

    async def emit(self, info: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Emit ``{type, data}`` for ``{user_id, chat_id, message_id}``."""
        await self.emitter.emit(RequestInfo.of(info), event)

    async def call(self, info: Mapping[str, Any], event: Mapping[str, Any]) -> Any:
        """Call ``{type, data}`` on ``{user_id, chat_id, message_id, session_id}``."""
        return await self.caller.call(RequestInfo.of(info, needs_session=True), event)
