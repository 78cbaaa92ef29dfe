"""Expires the proxy's sticky cookie while the replica drains.

With that cookie a client that comes back is sent to this replica again. So it goes with any answer
that ends something here, and with every answer of the HTTP API: a page that was told
``server:draining`` asks for anything, and its reconnection goes elsewhere at once. Whether a
request brought the cookie is not asked: some proxies keep it, and others are about to set it.

Limit: answers to polls of a session that goes on leave the cookie, without which the session's
next request would not come here.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heliograph.delivery import Drain


class StickyCookie:
    """ASGI around everything.

    :param expiry: the headers that expire the cookie; none: there is no cookie.
    :param sockets: path of the sockets.
    """

    def __init__(
        self, app: ASGIApp, expiry: list[tuple[str, str]], drain: Drain, sockets: str
    ) -> None:
        self._app = app
        self._expiry = [(name.lower().encode(), value.encode()) for name, value in expiry]
        self._drain = drain
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not self._expiry:
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and self._applies(scope, message):
                message = {**message, "headers": [*message.get("headers", ()), *self._expiry]}
            await send(message)

        await self._app(scope, receive, answer)

    def _applies(self, scope: Scope, answer: Message) -> bool:
        if self._drain.running:
            return False
        if scope["path"].startswith(self._sockets) and answer["status"] < 400:
            return False
        headers = [(name.lower(), value) for name, value in answer.get("headers", ())]
        # What caches keep for everybody has nobody's cookies; a refused handshake has it already.
        return not any(
            (name == b"cache-control" and b"public" in value) or (name, value) in self._expiry
            for name, value in headers
        )
