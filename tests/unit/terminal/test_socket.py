"""What the library's client does not survive while it polls, and ours does."""

from __future__ import annotations

import asyncio

import pytest
import socketio

from heliograph.terminal.socket import Client

ANSWERS = {
    "it breaks off": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0{",
    "it is empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a proxy's error that breaks off": b"HTTP/1.1 504 X\r\nContent-Length: 15\r\n\r\nGate",
    "a proxy's error": b"HTTP/1.1 504 X\r\nContent-Length: 15\r\n\r\nGateway Timeout",
}


async def _comes_again(client: socketio.AsyncClient, answer: bytes) -> bool:
    """Whether it tries a third time to come back to a server that answers so."""
    tries = 0
    third = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        await reader.readuntil(b"\r\n\r\n")
        tries += 1
        if tries == 3:
            third.set()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client.connection_url = f"http://127.0.0.1:{port}"
    client.connection_headers, client.connection_auth = {}, None
    client.connection_transports, client.connection_namespaces = ["polling"], ["/"]
    client.socketio_path = "ws/socket.io"
    coming = asyncio.create_task(client._handle_reconnect())
    waiting = asyncio.create_task(third.wait())
    try:
        await asyncio.wait((coming, waiting), return_when=asyncio.FIRST_COMPLETED)
        return third.is_set()
    finally:
        coming.cancel()
        waiting.cancel()
        await asyncio.gather(coming, waiting, return_exceptions=True)
        if client.eio.http is not None:
            await client.eio.http.close()
        server.close()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_it_goes_on_trying(answer: bytes) -> None:
    client = Client(reconnection_delay=0.01, reconnection_delay_max=0.02, handle_sigint=False)
    assert await _comes_again(client, answer)


async def test_the_library_gives_up() -> None:
    """When this fails the library was mended, and ours is not needed any more."""
    client = socketio.AsyncClient(
        reconnection_delay=0.01, reconnection_delay_max=0.02, handle_sigint=False
    )
    assert not await _comes_again(client, ANSWERS["it breaks off"])
