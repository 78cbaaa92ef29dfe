"""uvicorn's websocket protocol, lending its transport to the delivery layer.

Needed to drop a peer that does not read: a close frame would wait behind what it does
not take. And a handshake that was answered with a status of ours counts as answered, which
uvicorn would log as an error.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from heliograph.delivery.engine import TRANSPORT_EXTENSION


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Passes the transport in the scope's extensions."""

    async def run_asgi(self) -> None:
        extensions: dict[str, object] = self.scope["extensions"]  # type: ignore[assignment]
        extensions[TRANSPORT_EXTENSION] = self.transport
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send what the application says."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
