"""Work in another process: it disturbs nobody, and nobody else's crash ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph.documents.wire import BadUpdate
from heliograph.documents.worker import INLINE_BYTES, Worker, seed, settle
from heliograph.errors import Unavailable

BIG = INLINE_BYTES + 1

# Waiting for a signal that nobody sends blocks the worker.
NOTHING = [signal.SIGUSR2]


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    running = Worker(deadline=30)
    yield running
    await running.stop()


async def test_small_work_needs_no_process(worker: Worker) -> None:
    assert await worker.run(INLINE_BYTES, os.getpid) == os.getpid()
    assert worker._pool is None


async def test_big_work_is_done_elsewhere_by_one_process(worker: Worker) -> None:
    pids = await asyncio.gather(*(worker.run(BIG, os.getpid) for _ in range(5)))
    assert len(set(pids)) == 1
    assert os.getpid() not in pids


async def test_the_loop_runs_on_meanwhile(worker: Worker) -> None:
    await worker.run(BIG, os.getpid)  # started
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    await worker.run(BIG, signal.sigtimedwait, NOTHING, 0.5)
    counting.cancel()
    assert turns > 5


async def test_a_refusal_comes_back_as_it_is(worker: Worker) -> None:
    with pytest.raises(BadUpdate) as refusal:
        await worker.run(BIG, settle, None, [b"\xff\xff"], True)
    assert refusal.value.code


async def test_a_worker_that_was_killed_is_replaced(worker: Worker) -> None:
    first = await worker.run(BIG, os.getpid)
    os.kill(first, signal.SIGKILL)
    second = await worker.run(BIG, os.getpid)
    assert second not in (first, os.getpid())
    assert (await worker.run(BIG, seed, "# text")).content is not None


async def test_work_that_kills_its_worker_fails_and_the_next_goes_on(worker: Worker) -> None:
    with pytest.raises(Unavailable):
        await worker.run(BIG, os._exit, 3)
    assert await worker.run(BIG, os.getpid) != os.getpid()


async def test_work_that_hangs_ends_at_its_deadline() -> None:
    worker = Worker(deadline=0.3)
    try:
        with pytest.raises(Unavailable):
            await worker.run(BIG, signal.sigtimedwait, NOTHING, 600)
        worker._deadline = 30
        assert await worker.run(BIG, os.getpid) != os.getpid()
    finally:
        await worker.stop()


async def test_work_nobody_waits_for_any_more_is_ended(worker: Worker) -> None:
    waiting = asyncio.create_task(worker.run(BIG, signal.sigtimedwait, NOTHING, 600))
    while worker._pool is None:
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(30):
        assert await worker.run(BIG, os.getpid) != os.getpid()


SERVER = """
import asyncio, os, time
from heliograph.documents.worker import Worker

async def main():
    worker = Worker()
    print(await worker.run(1 << 20, os.getpid), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())  # unguarded: the worker must not run it again
"""


async def test_a_killed_server_leaves_no_worker_behind(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    server = await asyncio.create_subprocess_exec(
        sys.executable, script, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        pid = int(await server.stdout.readline())
        server.kill()
        async with asyncio.timeout(30):
            while _alive(pid):
                await asyncio.sleep(0.02)
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.communicate()


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
