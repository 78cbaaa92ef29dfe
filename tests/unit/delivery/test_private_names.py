"""The private names of our libraries that delivery overrides or uses: a release that
changes one fails here, with its name, instead of somewhere in a running server."""

from __future__ import annotations

import inspect

import engineio
import pytest
import socketio
from engineio.async_drivers.asgi import WebSocket
from engineio.async_socket import AsyncSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from heliograph.delivery.engine import EngineServer, EngineSocket
from heliograph.delivery.server import SocketServer

OVERRIDDEN = [
    (socketio.AsyncServer, "_engineio_server_class", ["self"]),
    (socketio.AsyncServer, "_handle_eio_connect", ["self", "eio_sid", "environ"]),
    (socketio.AsyncServer, "_handle_eio_message", ["self", "eio_sid", "data"]),
    (socketio.AsyncServer, "_handle_eio_disconnect", ["self", "eio_sid", "reason"]),
    (engineio.AsyncServer, "_handle_connect", ["self", "environ", "transport", "jsonp_index"]),
    (engineio.AsyncServer, "_upgrades", ["self", "sid", "transport"]),
    (engineio.AsyncServer, "_service_task", ["self"]),
    (AsyncSocket, "check_ping_timeout", ["self"]),
    (AsyncSocket, "schedule_ping", ["self"]),
    (AsyncSocket, "_send_ping", ["self"]),
    (AsyncSocket, "poll", ["self"]),
    (AsyncSocket, "send", ["self", "pkt"]),
    (AsyncSocket, "close", ["self", "wait", "abort", "reason"]),
    (AsyncSocket, "handle_get_request", ["self", "environ"]),
    (AsyncSocket, "handle_post_request", ["self", "environ"]),
    (AsyncSocket, "_upgrade_websocket", ["self", "environ"]),
    (AsyncSocket, "_websocket_handler", ["self", "ws"]),
    (WebSocket, "close", ["self"]),
    (WebSocketsSansIOProtocol, "run_asgi", ["self"]),
    (WebSocketsSansIOProtocol, "send", ["self", "message"]),
    (engineio.AsyncServer, "_make_response", ["self", "response_dict", "environ"]),
]


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    OVERRIDDEN,
    ids=[f"{owner.__name__}.{name}" for owner, name, _ in OVERRIDDEN],
)
def test_a_private_name_is_as_we_know_it(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize("name", ["_send_ping", "poll", "send", "close", "_upgrade_websocket"])
def test_the_socket_override_fits(name: str) -> None:
    ours = inspect.signature(getattr(EngineSocket, name)).parameters
    assert list(ours) == list(inspect.signature(getattr(AsyncSocket, name)).parameters)


def test_the_hooks_are_taken() -> None:
    assert SocketServer._engineio_server_class is not socketio.AsyncServer._engineio_server_class
    assert EngineServer.create_queue is not engineio.AsyncServer.create_queue
