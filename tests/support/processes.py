"""Programs that tests start: on free ports, breakable on purpose, and gone afterwards.

Guarantee: what was started here ends with the process that started it, also when that one is
killed: a watcher holds the other end of a pipe and, once it closes, kills what is left and
removes the temporary folders. (``PR_SET_PDEATHSIG`` would fire when the starting *thread* ends.)
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_WATCHER = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
pids, folders = set(), set()
for line in sys.stdin:
    action, what = line.rstrip("\\n").split(" ", 1)
    {"+pid": pids.add, "-pid": pids.discard,
     "+dir": folders.add, "-dir": folders.discard}[action](what)
for pid in pids:
    try:
        os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""
_watching = threading.Lock()


@functools.cache
def _watcher() -> subprocess.Popen[str]:
    watcher = subprocess.Popen(
        [sys.executable, "-S", "-c", _WATCHER],
        stdin=subprocess.PIPE,
        text=True,
        bufsize=1,
        start_new_session=True,
    )
    atexit.register(watcher.communicate)
    return watcher


@contextlib.contextmanager
def watched(pid: int) -> Iterator[None]:
    """Kill the process if we end before the block does."""
    _watch("+pid", pid)
    try:
        yield
    finally:
        _watch("-pid", pid)


def _watch(action: str, what: object) -> None:
    with _watching:
        pipe = _watcher().stdin
        assert pipe is not None
        pipe.write(f"{action} {what}\n")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses; below those that outgoing connections take, so
    that a server which is started again still finds it free."""
    while True:
        port = random.randint(11_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"heliograph-{name}-"))
    _watch("+dir", folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _watch("-dir", folder)


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 30) -> None:
    """Wait, blocking, until ``condition`` holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(0.01)


class Process:
    """One program, with its output in ``log``."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self.env = env
        self.cwd = cwd
        self.stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, of the last start."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs (or is stopped by :meth:`stop`)."""
        return self._process is not None and self._process.poll() is None

    @property
    def running(self) -> bool:
        """Whether it runs and may answer."""
        return self.alive and not self.stopped

    @property
    def returncode(self) -> int | None:
        """Its exit code, ``None`` while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; away from our terminal, so that Ctrl-C reaches only us."""
        assert not self.alive, "runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
            )
        self.stopped = False
        _watch("+pid", self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def stop(self) -> None:
        """Hang it (SIGSTOP): connections stay, nothing answers."""
        self.signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self) -> None:
        """Let it run on after :meth:`stop`."""
        self.signal(signal.SIGCONT)
        self.stopped = False

    def kill(self) -> None:
        """End it at once (SIGKILL); nothing when it has ended."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def terminate(self, timeout: float = 30) -> int:
        """End it in order (SIGTERM) and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code."""
        assert self._process is not None, "not started"
        code = self._process.wait(timeout)
        self.stopped = False
        _watch("-pid", self.pid)
        return code

    def output(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""
