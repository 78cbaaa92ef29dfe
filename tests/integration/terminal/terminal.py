"""The real command in a process of its own: with pipes, or at a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import sys
import termios
from types import TracebackType
from typing import Self

_CSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COMMAND = (sys.executable, "-m", "heliograph.cli", "chat")


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HELIOGRAPH_")}
    return {**kept, "TERM": "xterm", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


async def run_command(
    *arguments: str, stdin: str = "", timeout: float = 60
) -> tuple[int, str, str]:
    """Run ``heliograph chat`` with pipes; ``(exit code, stdout, stderr)``."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(stdin.encode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class Terminal:
    """``heliograph chat`` at a pseudo-terminal, and the person before it.

    :ivar text: everything shown so far, without colours and cursor movement.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._changed = asyncio.Event()
        self._read_upto = 0
        self.text = ""

    async def __aenter__(self) -> Self:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self._process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            *self._arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=_environment(),
            start_new_session=True,
            # Its own controlling terminal, so that ^C becomes SIGINT.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # the other end was closed
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        shown = data.decode(errors="replace")
        self.text = _CSI.sub("", self.text + shown).replace("\r\n", "\n")
        self._changed.set()

    def type(self, keys: str) -> None:
        """Press keys; ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._master, keys.encode())

    def enter(self, line: str) -> None:
        """Type a line."""
        self.type(line + "\n")

    async def expect(self, words: str, timeout: float = 60) -> str:
        """Wait until ``words`` are shown after what was expected last; what came before them."""
        try:
            async with asyncio.timeout(timeout):
                while words not in self.text[self._read_upto :]:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{words!r} is not shown after {self.text!r}") from None
        start = self.text.index(words, self._read_upto)
        before = self.text[self._read_upto : start]
        self._read_upto = start + len(words)
        return before

    async def ended(self, timeout: float = 60) -> int:
        """Wait for the end of the process; its exit code."""
        async with asyncio.timeout(timeout):
            return await self._process.wait()
