"""Several processes on one port, under gunicorn: each worker is a replica of its own.

gunicorn keeps the workers alive: one that ends, or whose event loop hangs for
``_HUNG_SECONDS``, is started again. SIGTERM (or Ctrl-C) drains all of them side by side, a second
one hastens that; what is not done within :func:`grace_seconds` is killed. Workers whose master is
gone end in order.

Limits: settings are read once, so there is no reload; SIGHUP stops like SIGTERM.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from multiprocessing.sharedctypes import Synchronized
from types import FrameType
from typing import Any, NoReturn

import structlog
import uvicorn
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from uvicorn_worker import UvicornWorker

from heliograph.asgi import Application
from heliograph.errors import ConfigurationError
from heliograph.serving.server import (
    Server,
    address_of,
    create_application,
    grace_seconds,
    listen,
    uvicorn_config,
)
from heliograph.settings import Settings
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_HUNG_SECONDS = 30
_RETRY_SECONDS = 1.0
_MEMORY = "/dev/shm"  # noqa: S108 gunicorn makes unlinked files with names of its own there


def serve_with_workers(settings: Settings, workers: int) -> None:
    """Serve with ``workers`` processes until SIGTERM or SIGINT.

    :raises ConfigurationError: the port is in use, or no worker can start.
    """
    program = _Program(settings, workers)
    gc.collect()
    gc.freeze()  # what is loaded stays in memory that the workers share
    master = os.getpid()
    try:
        _Master(program).run()
    except SystemExit as end:
        # The workers, which are forks, come through here as well.
        if os.getpid() == master and end.code == Arbiter.WORKER_BOOT_ERROR:
            raise ConfigurationError("the workers could not start; see above") from None
        raise


class _Program(BaseApplication):
    """gunicorn's settings, with their reasons."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self.settings = settings
        self.workers = workers
        listener = listen(settings)
        self.address = address_of(listener)
        self.listener_fd = listener.detach()
        # How many have started; the last of them says the address.
        self.started: Synchronized[int] = multiprocessing.Value("i", 0)
        super().__init__()

    def load_config(self) -> None:
        chosen = {
            "bind": f"fd://{self.listener_fd}",
            "workers": self.workers,
            "worker_class": f"{__name__}.{_Worker.__name__}",
            "timeout": _HUNG_SECONDS,
            "graceful_timeout": grace_seconds(self.settings),
            "backlog": 2048,
            "logger_class": f"{__name__}.{_Log.__name__}",
            "pre_fork": _give_index,
            "control_socket_disable": True,
            # A worker's sign of life is a file's time: on a disk that could block it.
            "worker_tmp_dir": _MEMORY if os.access(_MEMORY, os.W_OK) else None,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> _Program:
        # The application is made in the worker, by its index.
        return self


class _Master(Arbiter):
    # Reloading, adding and removing workers, and running a new binary are not for us: the
    # settings of all workers are those of the start.
    SIGNALS = (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM)
    handle_hup = Arbiter.handle_term
    handle_int = Arbiter.handle_term
    handle_quit = Arbiter.handle_term
    _stopping = False

    def stop(self, graceful: bool = True) -> None:
        """Let the workers drain, and wait for them."""
        self._stopping = True
        super().stop(graceful)

    def reap_workers(self) -> None:
        """See who ended. When one could not start, all are stopped; that another one could not
        either is no news then, but gunicorn would break off the stopping with a traceback."""
        try:
            super().reap_workers()
        except HaltServer:
            if not self._stopping:
                raise

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; one that comes while the workers drain is for them. gunicorn would kill
        them two seconds after a second SIGINT, whatever they still have to write."""
        if self._stopping:
            self.kill_workers(signal.SIGTERM)
        else:
            super().signal(sig, frame)


def _give_index(master: Arbiter, worker: _Worker) -> None:
    """Number the workers from 0; a new one takes the number of the one that ended."""
    taken = {other.index for other in master.WORKERS.values()}
    worker.index = next(index for index in range(len(taken) + 1) if index not in taken)


class _Log(Logger):
    """gunicorn's lines in our stream and shape, from warnings upwards."""

    def setup(self, cfg: Any) -> None:
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.WARNING)


class _Worker(UvicornWorker):
    """A process that serves; its application is a replica."""

    index: int
    wsgi: _Program

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        before = logging.getLogger("uvicorn.error").level
        super().__init__(*args, **kwargs)
        for name in ("uvicorn.error", "uvicorn.access"):  # taken away by uvicorn-worker
            logger = logging.getLogger(name)
            logger.propagate = True
            logger.setLevel(before)

    def run(self) -> None:
        """Serve until told to stop."""
        structlog.contextvars.bind_contextvars(worker=self.index)
        try:
            self._serve_replica()
        except ConfigurationError as error:
            print(f"heliograph: {error}", file=sys.stderr, flush=True)
            self._could_not_start()
        except SystemExit as end:
            if end.code != uvicorn.config.STARTUP_FAILURE:
                raise
            self._could_not_start()  # the log says why

    def _serve_replica(self) -> None:
        settings = self.wsgi.settings
        port = settings.metrics_port and settings.metrics_port + self.index
        application = create_application(settings, port)
        config = uvicorn_config(application)
        server = _WorkerServer(application, config, self.wsgi)

        async def give_sign_of_life() -> None:
            self.notify()
            if os.getppid() != self.ppid:
                log.error("serving.master_is_gone", master=self.ppid)
                server.should_exit = True

        config.callback_notify = give_sign_of_life
        config.timeout_notify = 1
        server.run(sockets=self.sockets)

    def _could_not_start(self) -> NoReturn:
        if self.age <= self.cfg.workers:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)  # one of the first: nobody is served yet
        # The others go on, and this one is tried again: Redis may be away for now.
        time.sleep(_RETRY_SECONDS)
        sys.exit(1)


class _WorkerServer(Server):
    # A terminal sends SIGQUIT to all of the group.
    stop_signals = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

    def __init__(self, application: Application, config: uvicorn.Config, program: _Program) -> None:
        super().__init__(application, config, program.address)
        self._program = program

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, giving signs of life: a drain may last longer than the master waits for one."""
        living = asyncio.create_task(self._live())
        try:
            await super().shutdown(sockets)
        finally:
            living.cancel()

    async def _live(self) -> None:
        notify = self.config.callback_notify
        while notify is not None:
            await notify()
            await asyncio.sleep(1)

    def announce(self) -> None:
        """The last of the first workers says the address."""
        started = self._program.started
        with started.get_lock():
            started.value += 1
            if started.value == self._program.workers:
                super().announce()
