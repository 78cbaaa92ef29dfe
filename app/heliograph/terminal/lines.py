"""Lines of standard input, without stopping the event loop.

A thread waits for input and hands each line to the loop, so that a line may be typed
while an answer streams. Line editing is the terminal's own. POSIX only.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import select
import sys
import termios
import threading
from collections.abc import Callable


class Lines:
    """Reads lines from a file descriptor from :meth:`start` to :meth:`stop`.

    :param take: called in the event loop with each line, then with ``None`` at the end.
    """

    def __init__(self, take: Callable[[str | None], None], fd: int | None = None) -> None:
        self._fd = sys.stdin.fileno() if fd is None else fd
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._read, name="lines", daemon=True)
        self.by_hand = os.isatty(self._fd)
        """Whether a person types; otherwise the lines are a script."""

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more, and leave the terminal as it was."""
        self.echo(True)
        os.write(self._wake_write, b"x")
        self._thread.join(timeout=2)
        os.close(self._wake_write)
        os.close(self._wake_read)

    def echo(self, on: bool) -> None:
        """Whether the terminal shows what is typed; off for passwords."""
        if not self.by_hand:
            return
        with contextlib.suppress(termios.error):  # the terminal is gone; so will be the process
            state = termios.tcgetattr(self._fd)
            # ECHONL: Enter is shown even then, so the cursor goes on to the next line.
            hidden = (state[3] | termios.ECHONL) & ~termios.ECHO
            state[3] = (state[3] | termios.ECHO) & ~termios.ECHONL if on else hidden
            termios.tcsetattr(self._fd, termios.TCSANOW, state)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while True:
            try:
                ready, _, _ = select.select([self._fd, self._wake_read], [], [])
                if self._wake_read in ready:
                    return
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""  # the terminal was closed
            *whole, rest = (rest + decoder.decode(data, final=not data)).split("\n")
            for line in whole:
                self._hand_over(line.removesuffix("\r"))
            if not data:
                if rest:
                    self._hand_over(rest)
                self._hand_over(None)
                return

    def _hand_over(self, line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits
            self._loop.call_soon_threadsafe(self._take, line)
