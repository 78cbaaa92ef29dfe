"""One signed-in client: HTTP, socket and screen put together.

``async with Client(…)`` connects and, at the end, closes. What happens on the socket
goes to the conversation, the channel and the dialogs; what ends the client for good is
in :attr:`over`.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from heliograph.terminal.api import Api
from heliograph.terminal.channel import ChannelView
from heliograph.terminal.connection import Connection
from heliograph.terminal.conversation import Conversation
from heliograph.terminal.dialogs import Dialogs
from heliograph.terminal.events import ChannelEvent, ChatEvent, mapping, text
from heliograph.terminal.failures import ClientError
from heliograph.terminal.options import ChatOptions
from heliograph.terminal.render import Screen

_DEFAULT_HEARTBEAT = 30.0


class Client:
    """A connected client.

    :param dialogs: who answers the server's calls.
    :ivar over: becomes done with the error that ended the connection for good.
    """

    def __init__(self, options: ChatOptions, token: str, screen: Screen, dialogs: Dialogs) -> None:
        self.options = options
        self.screen = screen
        self.dialogs = dialogs
        self.api = Api(options.url)
        self.api.token = token
        self.channel: ChannelView | None = None
        self.user_id = ""
        self.over: asyncio.Future[ClientError] = asyncio.get_running_loop().create_future()
        self._lost = False

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except BaseException:
            await self.api.__aexit__(None, None, None)
            raise
        return self

    async def _connect(self) -> None:
        config = await self.api.config()
        self.user_id = str((await self.api.me()).get("id", ""))
        model = await self.choose_model(self.options.model)
        interval = mapping(config.get("socket")).get("heartbeat_interval")
        self.connection = Connection(
            self.options.url,
            self.api.token,
            self,
            transport=self.options.transport,
            heartbeat=interval if isinstance(interval, int | float) else _DEFAULT_HEARTBEAT,
        )
        self.conversation = Conversation(self.api, self.connection, self.screen, model)
        self.conversation.on_answered = self.dialogs.close
        try:
            await self.connection.open()
        except BaseException:
            await self.connection.close()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.connection.close()
        await self.api.__aexit__(kind, error, trace)

    async def choose_model(self, wanted: str) -> str:
        """The id of the model with this id or name; the first one when ``wanted`` is empty.

        :raises ClientError: there is none.
        """
        models = await self.api.models()
        for model in models:
            if not wanted or wanted in (model.get("id"), model.get("name")):
                return text(model.get("id"))
        offered = ", ".join(text(model.get("id")) for model in models) or "none"
        raise ClientError(f"no model {wanted}; the server offers: {offered}")

    async def watch(self, wanted: str) -> ChannelView:
        """Show a channel and follow it.

        :raises ClientError: there is none with this name or id.
        """
        channel = await ChannelView.find(self.api, self.screen, wanted, self.user_id)
        self.channel = channel
        await channel.show()
        return channel

    # -- from the connection ---------------------------------------------------------

    def on_chat_event(self, event: ChatEvent) -> None:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        self.conversation.on_event(event)

    def on_channel_event(self, event: ChannelEvent) -> None:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        if event.type == "channel:created":
            self.screen.notice("you are in a new channel: /channel lists them")
        elif self.channel is not None:
            self.channel.on_event(event)

    async def on_call(self, event: ChatEvent) -> Any:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        return await self.dialogs.answer(event)

    def on_lost(self) -> None:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        if not self._lost:
            self._lost = True
            self.screen.notice("connection lost, reconnecting…")
        self.conversation.on_lost()

    async def on_back(self) -> None:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        self._lost = False
        self.screen.notice("back")
        await self.conversation.on_back()
        if self.channel is not None:
            try:
                await self.channel.catch_up()
            except ClientError as error:
                self.screen.error(error.message)

    def on_server_words(self, words: str) -> None:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        self.screen.notice(words)

    def on_end(self, error: ClientError) -> None:
        """See :class:`~heliograph.terminal.connection.Listener`."""
        if not self.over.done():
            self.over.set_result(error)
