"""The Socket.IO half of the client: one socket that comes back by itself.

Purpose: connect, join as the user, beat, hand typed events to a listener in their order,
and answer calls. Guarantee: a call is put to the listener once, however often it is
delivered. Limits: python-socketio's client does not take part in connection state
recovery, so it is declined (``recovery: false``) and the listener is told when to ask
for what was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

import aiohttp
from socketio.exceptions import BadNamespaceError
from socketio.exceptions import ConnectionError as SocketConnectionError
from socketio.exceptions import TimeoutError as SocketTimeoutError

from heliograph.terminal.api import not_reachable, token_refused
from heliograph.terminal.events import (
    ChannelEvent,
    ChatEvent,
    error_text,
    mapping,
    parse_channel_event,
    parse_chat_event,
)
from heliograph.terminal.failures import ClientError, ConnectionGone
from heliograph.terminal.options import Transport
from heliograph.terminal.socket import Client

SOCKET_PATH = "/ws/socket.io"

_CALLS_REMEMBERED = 100


class Listener(Protocol):
    """Who hears of what comes over the socket. Only the coroutines may take time."""

    def on_chat_event(self, event: ChatEvent) -> None:
        """An event of a chat."""

    def on_channel_event(self, event: ChannelEvent) -> None:
        """An event of a channel."""

    async def on_call(self, event: ChatEvent) -> Any:
        """The server asks; what is returned is the answer."""

    def on_lost(self) -> None:
        """The connection broke; events may be missed from now on."""

    async def on_back(self) -> None:
        """The connection is there again and the user joined: ask for what was missed."""

    def on_server_words(self, words: str) -> None:
        """The server refused an event, or is about to move its clients."""

    def on_end(self, error: ClientError) -> None:
        """The connection is over and will not come back."""


class Connection:
    """A socket of one user.

    :param heartbeat: seconds between heartbeats.
    """

    def __init__(
        self, url: str, token: str, listener: Listener, *, transport: Transport, heartbeat: float
    ) -> None:
        self._url = url
        self._token = token
        self._listener = listener
        self._transport = transport
        self._heartbeat = heartbeat
        # Ours, so that it is closed whatever the library is doing, and so that cookies of a
        # load balancer outlive a broken connection.
        self._http = aiohttp.ClientSession()
        self._present = asyncio.Event()
        self._opened = False
        self._closed = False
        self._refused: ClientError | None = None
        self._calls: OrderedDict[str, asyncio.Task[Any]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._returning: asyncio.Task[None] | None = None
        self._socket = self._create_socket()

    def _create_socket(self) -> Client:
        socket = Client(
            reconnection_delay=1,
            reconnection_delay_max=5,
            randomization_factor=0.5,
            handle_sigint=False,
            http_session=self._http,
        )
        socket.on("connect", self._connected)
        socket.on("connect_error", self._connect_failed)
        socket.on("disconnect", self._disconnected)
        socket.on("events", self._chat_event)
        socket.on("events:channel", self._channel_event)
        socket.on("error", self._error_event)
        socket.on("server:draining", self._draining)
        return socket

    @property
    def session_id(self) -> str:
        """The session's id at the server, to which calls are addressed; empty while away."""
        return self._socket.get_sid() or ""

    @property
    def transport(self) -> str:
        """``websocket`` or ``polling``."""
        return str(self._socket.transport())

    async def open(self) -> None:
        """Connect and join.

        :raises ClientError: refused, or nobody is there.
        """
        tries: dict[Transport, tuple[list[str], ...]] = {
            # Websocket first needs no sticky sessions; polling passes proxies that refuse it.
            "auto": (["websocket"], ["polling"]),
            "websocket": (["websocket"],),
            "polling": (["polling"],),
        }
        for transports in tries[self._transport]:
            try:
                await self._socket.connect(
                    self._url,
                    auth={"token": self._token, "recovery": False},
                    transports=transports,
                    socketio_path=SOCKET_PATH,
                    wait_timeout=15,
                )
                break
            except (SocketConnectionError, OSError, TimeoutError):
                if self._refused is not None:
                    raise self._refused from None
        else:
            if self._transport == "auto":
                raise not_reachable(self._url)
            raise ClientError(
                f"no {self._transport} connection to {self._url}: try --transport auto"
            )
        await self._join()
        self._opened = True
        self._spawn(self._beat())

    async def close(self) -> None:
        """End the session; idempotent."""
        self._closed = True
        tasks = [*self._tasks, *self._calls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._socket.shutdown()
        await self._http.close()

    async def present(self) -> None:
        """Wait until the socket is connected and the user has joined."""
        await self._present.wait()

    async def call(
        self, event: str, payload: Mapping[str, Any], *, timeout: float = 15.0
    ) -> Mapping[str, Any]:
        """Send an event and return its ack.

        :raises ConnectionGone: the connection broke meanwhile, or nothing came in time.
        :raises ClientError: the server answered ``{error}``.
        """
        try:
            reply = mapping(await self._socket.call(event, dict(payload), timeout=timeout))
        except (BadNamespaceError, SocketConnectionError):
            raise ConnectionGone("not connected now") from None
        except SocketTimeoutError:
            raise ConnectionGone(f"no answer to {event} within {timeout:g} s") from None
        if "error" in reply:
            code = str(mapping(reply["error"]).get("code", ""))
            raise ClientError(error_text(reply["error"]), code=code)
        return reply

    async def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        """Send an event that has no ack; lost while the connection is away."""
        with contextlib.suppress(BadNamespaceError, SocketConnectionError):
            await self._socket.emit(event, dict(payload))

    async def _join(self) -> None:
        await self.call("user-join", {"auth": {"token": self._token}})
        self._present.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            await self.emit("heartbeat", {})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- from the library. Plain functions, so that the order of events is kept ---------

    def _connected(self) -> None:
        if self._opened and not self._closed:
            # Not awaited here: the library counts the time against connecting.
            self._returning = self._spawn(self._come_back())

    async def _come_back(self) -> None:
        try:
            await self._join()
            await self._listener.on_back()
        except ConnectionGone:
            return  # it broke again; the next connection begins anew
        except ClientError as error:
            self._end(error)

    def _connect_failed(self, data: Any = None) -> None:
        # A refusal by the server has `{message, data: {code}}`; a transport's fault has words.
        code = mapping(mapping(data).get("data")).get("code")
        if not isinstance(code, str):
            return
        if code.startswith("token_") or code == "user_unknown":
            self._refused = token_refused(code)
        else:
            self._refused = ClientError(error_text(data), code=code)
        if self._opened:
            self._end(self._refused)

    def _disconnected(self, reason: str = "") -> None:
        if self._closed or not self._opened:
            return
        self._present.clear()
        if self._returning is not None:
            self._returning.cancel()  # it waits for an answer that cannot come any more
        if reason == self._socket.reason.SERVER_DISCONNECT:
            self._end(ClientError("the server ended the session: sign in again"))
        else:
            self._listener.on_lost()

    def _end(self, error: ClientError) -> None:
        if not self._closed:
            self._listener.on_end(self._refused or error)

    def _error_event(self, data: Any = None, *_: Any) -> None:
        if not self._closed:
            code = str(mapping(data).get("code", ""))
            if code.startswith("token_") or code in ("user_unknown", "role_changed"):
                # The server says why before it ends the session.
                self._refused = ClientError(error_text(data), code=code)
            else:
                self._listener.on_server_words(error_text(data))

    def _draining(self, data: Any = None, *_: Any) -> None:
        self._listener.on_server_words("the server is about to restart; the connection will move")

    def _channel_event(self, data: Any = None, *_: Any) -> None:
        event = parse_channel_event(data)
        if event is not None and not self._closed:
            self._listener.on_channel_event(event)

    async def _chat_event(self, data: Any = None, *_: Any) -> Any:
        event = parse_chat_event(data)
        if event is None or self._closed:
            return None
        if event.call_id is None:
            self._listener.on_chat_event(event)
            return None
        asked = self._calls.get(event.call_id)
        if asked is None:
            asked = asyncio.create_task(self._answer(event))
            self._calls[event.call_id] = asked
            if len(self._calls) > _CALLS_REMEMBERED:
                self._calls.popitem(last=False)
        return await asyncio.shield(asked)

    async def _answer(self, event: ChatEvent) -> Any:
        try:
            return await self._listener.on_call(event)
        except Exception as error:  # the server must not wait for its deadline
            return {"error": f"the client failed: {error}"}
