"""One process under uvicorn: a socket of our own, paced ending, tuned collector."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
from collections.abc import Iterator

import uvicorn

from heliograph.asgi import Application
from heliograph.delivery import WebSocketProtocol
from heliograph.errors import ConfigurationError
from heliograph.settings import Settings
from heliograph.telemetry import metrics

_GRACE_SECONDS = 5
_COLLECTOR_THRESHOLD = 50_000


class Server(uvicorn.Server):
    """uvicorn, which drains the application before it cuts connections."""

    stop_signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, application: Application, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._application = application
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and :meth:`announce` it."""
        await super().startup(sockets)
        if not self.should_exit:
            # What lives now lives as long as the process: not worth looking at again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_COLLECTOR_THRESHOLD, 20, 20)
            self.announce()

    def announce(self) -> None:
        """Requests are answered from now on: say the address."""
        print(f"Heliograph serves on {self._address}", flush=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on :attr:`stop_signals`. A stop that was asked for is a success: uvicorn would
        raise the signal again after it, and the process would count as killed."""
        before = {number: signal.signal(number, self.handle_exit) for number in self.stop_signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: answers settle, clients are told, then connections close."""
        await self._application.drain()
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """A listening socket.

    :raises ConfigurationError: the port is in use, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"PORT: cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another with PORT"
        ) from None
    listener.setblocking(False)
    return listener


def uvicorn_config(application: Application) -> uvicorn.Config:
    """uvicorn's settings, with their reasons."""
    return uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        ws=WebSocketProtocol,
        ws_max_size=application.settings.websocket_max_message_bytes,
        ws_per_message_deflate=False,  # 1.7 times the CPU and twice the memory a connection
        ws_ping_interval=None,  # Engine.IO pings already
        timeout_graceful_shutdown=_GRACE_SECONDS,
        access_log=False,
        log_config=None,
    )


def address_of(listener: socket.socket) -> str:
    """``http://host:port`` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve_alone(settings: Settings) -> None:
    """Serve with this one process until SIGTERM or SIGINT.

    :raises ConfigurationError: a setting cannot work.
    """
    listener = listen(settings)
    application = create_application(settings, settings.metrics_port)
    server = Server(application, uvicorn_config(application), address_of(listener))
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()


def create_application(settings: Settings, metrics_port: int) -> Application:
    """The application of this process, its numbers served on ``metrics_port`` unless 0."""
    application = Application(settings)
    metrics.watch_sessions(lambda: len(application.services.hub.sessions))
    if metrics_port:
        metrics.serve_metrics(settings.host, metrics_port)
    return application
