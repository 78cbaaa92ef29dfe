"""Lines from a pipe, beside a running loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest

from heliograph.terminal.lines import Lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


async def test_lines_come_whole_and_the_end_is_told(pipe: tuple[int, int]) -> None:
    taken: asyncio.Queue[str | None] = asyncio.Queue()
    lines = Lines(taken.put_nowait, pipe[0])
    lines.start()
    try:
        os.write(pipe[1], b"one\r\ntw")
        assert await taken.get() == "one"
        os.write(pipe[1], "ö\nrest".encode())
        os.close(pipe[1])
        assert [await taken.get() for _ in range(3)] == ["twö", "rest", None]
    finally:
        lines.stop()


async def test_reading_ends_when_it_is_stopped(pipe: tuple[int, int]) -> None:
    lines = Lines(lambda line: None, pipe[0])
    lines.start()
    lines.stop()
    os.write(pipe[1], b"for the next reader\n")
    assert os.read(pipe[0], 100) == b"for the next reader\n"
