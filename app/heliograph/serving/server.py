"""One process under uvicorn: a socket of our own, paced ending, tuned collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from heliograph.asgi import Application
from heliograph.delivery import LAST_SECONDS, TASK_SECONDS, WebSocketProtocol
from heliograph.errors import ConfigurationError
from heliograph.settings import Settings
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

END_SECONDS = 10
"""How long the end may take after the time of the drain: the last clients read what is queued for
them, the last requests are answered, what is unwritten is written."""

_REQUEST_SECONDS = 2  # they had all the time of the drain before
# A terminal and systemd send a signal to all processes, and the master of the workers passes it on.
_SAME_SIGNAL_SECONDS = 1.0
_COLLECTOR_THRESHOLD = 50_000


class Server(uvicorn.Server):
    """uvicorn, which drains the application before it cuts connections."""

    stop_signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, application: Application, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._application = application
        self._address = address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_at = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and :meth:`announce` it."""
        self._loop = asyncio.get_running_loop()
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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server, a second one hastens that. It never skips what uvicorn
        would skip then: writing what is unwritten."""
        now = time.monotonic()
        if not self.should_exit:
            self._told_at = now
        elif now - self._told_at > _SAME_SIGNAL_SECONDS and self._loop is not None:
            self._loop.call_soon_threadsafe(self._application.services.drain.hasten)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: the clients are sent elsewhere, then connections close."""
        await self._application.drain()
        try:
            async with asyncio.timeout(END_SECONDS - LAST_SECONDS):
                await super().shutdown(sockets)
        except TimeoutError:
            # A database that hangs, mostly. What it lacks is written at the next start, or by
            # the reaper of another replica, as after a crash.
            log.error("serving.end_cut_off", seconds=END_SECONDS - LAST_SECONDS)


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
        timeout_graceful_shutdown=_REQUEST_SECONDS,
        access_log=False,
        log_config=None,
    )


def grace_seconds(settings: Settings) -> int:
    """The longest time from a signal to the end."""
    return math.ceil(TASK_SECONDS + settings.drain_seconds + END_SECONDS)


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
