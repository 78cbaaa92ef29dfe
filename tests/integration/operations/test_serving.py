"""The process: starting, refusing to start, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return {**os.environ, "DATA_DIR": str(tmp_path), "PORT": "0", "LOG_LEVEL": "warning"}


async def _heliograph(environment: Environment, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "heliograph.cli", *words,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _run(environment: Environment, *words: str) -> tuple[int, str, str]:
    process = await _heliograph(environment, *words)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def serving(
    environment: Environment,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    assert (await _run(environment, "migrate"))[0] == 0
    process = await _heliograph(environment, "serve")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    assert line.startswith("Heliograph serves on http://"), line
    yield process, line.split()[-1]
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_it_answers_its_probes_and_stops_with_success(
    serving: tuple[asyncio.subprocess.Process, str],
) -> None:
    process, url = serving
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        assert (await http.get("/health")).json() == {"status": True}
        assert (await http.get("/ready")).json() == {"status": True, "draining": False}
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "Heliograph"
        assert (await http.get("/api/version")).json()["version"]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_it_may_migrate_before_it_serves(environment: Environment) -> None:
    code, _, told = await _run(environment, "serve")
    assert code == 2
    assert "heliograph migrate" in told
    process = await _heliograph(environment, "serve", "--migrate")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    assert line.startswith("Heliograph serves on http://"), line
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_a_port_in_use_is_one_sentence(environment: Environment) -> None:
    assert (await _run(environment, "migrate"))[0] == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, complaint = await _run({**environment, "PORT": port}, "serve")
    assert code == 2
    assert complaint.startswith(f"heliograph: PORT: cannot listen on 127.0.0.1:{port}")
    assert len(complaint.splitlines()) == 1


async def test_a_database_that_was_not_migrated_is_one_sentence(environment: Environment) -> None:
    code, _, complaint = await _run(environment, "serve")
    assert code == 2
    assert "heliograph migrate" in complaint
    assert "Traceback" not in complaint


async def test_serving_waits_for_a_database_that_is_migrated_meanwhile(
    environment: Environment,
) -> None:
    process = await _heliograph(environment, "serve", "--wait", "60")
    assert process.stdout is not None
    assert process.stderr is not None
    told = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
    assert "waiting: " in told
    assert "heliograph migrate" in told
    assert (await _run(environment, "migrate"))[0] == 0
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    assert line.startswith("Heliograph serves on ")
    process.terminate()
    await process.communicate()


async def test_what_does_not_come_while_waiting_is_the_error(environment: Environment) -> None:
    nobody = "postgresql+asyncpg://u:p@127.0.0.1:1/none"
    code, _, complaint = await _run(
        {**environment, "DATABASE_URL": nobody}, "migrate", "--wait", "1"
    )
    assert code == 2
    first, last = complaint.splitlines()
    assert first.startswith("waiting: DATABASE_URL: cannot reach")
    assert last.startswith("heliograph: DATABASE_URL: cannot reach")


async def test_metrics_have_a_port_of_their_own(environment: Environment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment["METRICS_PORT"] = str(port)
    assert (await _run(environment, "migrate"))[0] == 0
    process = await _heliograph(environment, "serve")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    address = urlsplit(line.split()[-1])
    async with httpx.AsyncClient(verify=False) as http:
        found = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert "heliograph_sessions 0.0" in found
        assert (await http.get(f"{address.geturl()}/metrics")).status_code == 404
    process.terminate()
    await process.communicate()


async def test_a_token_can_be_made_for_an_account(
    serving: tuple[asyncio.subprocess.Process, str], environment: Environment
) -> None:
    _, url = serving
    body = {"name": "Ann", "email": "ann@example.org", "password": "correct horse"}
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        ann = (await http.post("/api/v1/auths/signup", json=body)).json()
        code, token, _ = await _run(environment, "token", "ann@example.org")
        assert code == 0
        me = await http.get("/api/v1/auths/", headers={"Authorization": f"Bearer {token.strip()}"})
    assert me.json()["id"] == ann["id"]


async def test_config_hides_secrets(environment: Environment) -> None:
    environment["WEBUI_SECRET_KEY"] = "hunter2" * 8
    code, shown, _ = await _run(environment, "config")
    assert code == 0
    assert "* WEBUI_SECRET_KEY = **********" in shown
    assert "hunter2" not in shown
