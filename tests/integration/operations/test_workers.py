"""``serve --workers``: several replicas on one port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from heliograph.errors import ConfigurationError
from heliograph.serving import serve_forever
from heliograph.serving.workers import _Master
from heliograph.settings import Settings
from tests.fleet import Replica
from tests.support.bare import until
from tests.support.processes import free_port, wait_until
from tests.support.redis import Standalone
from tests.support.visitors import Visitors

WORKERS = 3


@pytest.fixture(scope="module")
def environment(
    redis: Standalone, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("workers")
    shutil.copy(sqlite_template, folder / "heliograph.db")
    return {
        **os.environ,
        **redis.environment(),
        "REDIS_KEY_PREFIX": f"test-{uuid.uuid4().hex[:12]}",
        "DATA_DIR": str(folder),
        "WEBSOCKET_TRANSPORTS": "websocket",
        "METRICS_PORT": str(_ports_in_a_row(WORKERS)),
        "LOG_LEVEL": "info",
    }


@pytest.fixture(scope="module", name="_shared")
def _shared_server(environment: dict[str, str]) -> Iterator[Replica]:
    shared = Replica(
        "server", Path(environment["DATA_DIR"]), environment, "--workers", str(WORKERS)
    )
    yield shared
    shared.kill()


@pytest.fixture
def server(_shared: Replica) -> Replica:
    """A master with workers, all of which answer; started again when a test ended it."""
    if not _shared.process.alive:
        before = _shared.output().count("serves on")
        _shared.start()
        wait_until(
            lambda: _shared.output().count("serves on") > before,
            f"all workers answer: {_shared.output()}",
            timeout=60,
        )
    return _shared


def test_workers_need_redis() -> None:
    with pytest.raises(ConfigurationError, match="set WEBSOCKET_MANAGER=redis"):
        serve_forever(Settings(), workers=2)


@pytest.mark.parametrize(
    "chosen",
    [
        {"websocket_transports": "websocket,polling"},
        {"websocket_transports": "websocket", "enable_websocket_support": False},
    ],
)
def test_workers_refuse_polling(chosen: dict[str, object]) -> None:
    redis = {"websocket_manager": "redis", "websocket_redis_url": "redis://127.0.0.1"}
    settings = Settings.model_validate({**redis, **chosen})
    with pytest.raises(ConfigurationError, match="set WEBSOCKET_TRANSPORTS=websocket") as refusal:
        serve_forever(settings, workers=2)
    assert "ENABLE_WEBSOCKET_SUPPORT=True" in str(refusal.value)
    assert "sticky" in str(refusal.value)


def refusal(environment: dict[str, str], *words: str) -> str:
    """What ``serve`` says when it does not start."""
    end = subprocess.run(
        [sys.executable, "-m", "heliograph.cli", "serve", "--port", "0", *words],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert end.returncode == 2, end
    assert "Traceback" not in end.stderr
    return end.stderr


@pytest.mark.parametrize("stopping", [False, True])
def test_a_second_worker_that_cannot_start_does_not_break_off_the_stopping(
    monkeypatch: pytest.MonkeyPatch, stopping: bool
) -> None:
    def one_failed(_: Arbiter) -> None:
        raise HaltServer("Worker failed to boot.", Arbiter.WORKER_BOOT_ERROR)

    monkeypatch.setattr(Arbiter, "reap_workers", one_failed)
    master = object.__new__(_Master)
    master._stopping = stopping
    with contextlib.nullcontext() if stopping else pytest.raises(HaltServer):
        master.reap_workers()


def test_redis_that_is_not_there_is_one_sentence(environment: dict[str, str]) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}"
    said = refusal({**environment, "WEBSOCKET_REDIS_URL": nobody, "LOG_LEVEL": "error"})
    assert said.startswith("heliograph: WEBSOCKET_REDIS_URL: ")


def test_a_worker_that_cannot_start_ends_all_of_them(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal({**environment, "METRICS_PORT": str(port - 1)}, "--workers", "2")
    assert f"METRICS_PORT: cannot listen on 127.0.0.1:{port}" in said


def test_sqlite_beside_redis_is_warned_of(server: Replica) -> None:
    assert "DATABASE_URL" in server.output()
    assert "other hosts" in server.output()


async def test_clients_of_all_workers_hear_each_other(server: Replica) -> None:
    async with Visitors(server.url) as visitors:
        ann = await visitors.signup(f"ann-{uuid.uuid4().hex[:8]}")
        sockets = [await ann.connect() for _ in range(12)]
        made = await ann.http.post("/api/v1/channels/create", json={"name": uuid.uuid4().hex})
        assert made.status_code == 200, made.text
        for client in sockets:
            await client.expect("events:channel")
        sessions = await _metric(server, "heliograph_sessions")
        assert sum(number or 0 for number in sessions) == 12
        assert sum(bool(number) for number in sessions) > 1


async def test_sigterm_drains_every_worker(server: Replica) -> None:
    async with Visitors(server.url) as visitors:
        ann = await visitors.signup(f"ann-{uuid.uuid4().hex[:8]}")
        sockets = [await ann.connect() for _ in range(12)]
        assert await asyncio.to_thread(server.term) == 0
        for client in sockets:
            await client.expect("server:draining")
            await client.disconnected.wait()


async def test_a_killed_worker_is_started_again(server: Replica) -> None:
    before = server.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: len(set(server.worker_pids()) - set(before)) == 1)
    kept = set(before) & set(server.worker_pids())
    assert kept == set(before[1:])
    assert server.process.alive


def test_workers_end_when_their_master_was_killed(server: Replica) -> None:
    server.kill()
    wait_until(lambda: server.status("/health") is None, "nobody answers", timeout=20)


async def test_a_worker_started_again_has_the_metrics_port_of_the_one_before(
    server: Replica,
) -> None:
    before = await _metric(server, "process_start_time_seconds")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    async with asyncio.timeout(30):
        while True:
            now = await _metric(server, "process_start_time_seconds")
            if None not in now and now != before:
                break
            await asyncio.sleep(0.05)
    assert sum(a != b for a, b in zip(now, before, strict=True)) == 1


async def _metric(server: Replica, name: str) -> list[float | None]:
    """A number of each worker; ``None`` while it does not answer."""
    found: list[float | None] = []
    async with httpx.AsyncClient(verify=False) as http:
        for index in range(WORKERS):
            port = int(server.environment["METRICS_PORT"]) + index
            try:
                text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.TransportError:
                found.append(None)
            else:
                line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
                found.append(float(line.split()[1]))
    return found


def _ports_in_a_row(count: int) -> int:
    while True:
        first = free_port()
        try:
            for port in range(first + 1, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
