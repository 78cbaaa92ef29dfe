"""Work on documents that would hold up the event loop, done in another process.

The native library and the deriving of text hold the interpreter's lock, so a thread would
not help. One worker, one job at a time, each with a deadline: a document or a Markdown
text that makes it crash or hang costs a new worker, never the server.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import pycrdt

from heliograph.documents.compaction import EMPTY_STATE, replay
from heliograph.documents.fragment import fill_fragment
from heliograph.documents.from_markdown import markdown_to_json
from heliograph.documents.merge import merge_markdown
from heliograph.documents.richtext import NoteContent, derive
from heliograph.errors import Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

INLINE_BYTES = 2 * 1024
"""Work on no more than this is done at once, within about 5 ms."""

DEADLINE_SECONDS = 60.0
"""Longest job; the largest document takes a few seconds."""

EXTENSIONS = False
"""Whether the editor knows tables, task lists and images. The contract's (TipTap's
StarterKit) does not, and would delete them from the document; they become plain text."""

_starting = threading.Lock()

_ATTEMPTS = 2  # a worker that somebody else killed deserves a second one


@dataclass(frozen=True, slots=True)
class Settled:
    """A document's whole state and, of a note, its text."""

    state: bytes
    content: NoteContent | None


def settle(snapshot: bytes | None, updates: Sequence[bytes], note: bool) -> Settled:
    """Compact a document, and derive its text if it is a note's.

    :raises BadUpdate: the log lacks something; it must be kept.
    """
    doc = replay(snapshot, updates)
    return Settled(doc.get_update(), derive(doc) if note else None)


def seed(markdown: str) -> Settled:
    """A note's first state."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    if markdown:
        fill_fragment(doc, markdown_to_json(markdown, extensions=EXTENSIONS))
    state = doc.get_update()
    return Settled(state if state != EMPTY_STATE else b"", derive(doc))


def merge(state: bytes | None, markdown: str) -> bytes | None:
    """The update that makes a note say ``markdown``; ``None`` when it does already."""
    return merge_markdown(replay(state, ()), markdown, extensions=EXTENSIONS)


class Worker:
    """The worker process; it is started when it is first needed."""

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline
        self._pool: ProcessPoolExecutor | None = None
        self._one_job = asyncio.Lock()

    async def run(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``work`` where it disturbs nobody.

        :param size: bytes it works on, about.
        :raises Unavailable: it crashed, or took longer than the deadline.
        """
        if size <= INLINE_BYTES:
            return work(*args, **kwargs)
        async with self._one_job:
            for _ in range(_ATTEMPTS):
                try:
                    async with asyncio.timeout(self._deadline):
                        if self._pool is None:
                            self._pool = await asyncio.to_thread(_start)
                        submit = partial(self._pool.submit, work, *args, **kwargs)
                        return await asyncio.wrap_future(await asyncio.to_thread(submit))
                except BrokenProcessPool:
                    log.warning("documents.worker_died", work=work.__name__, bytes=size)
                    self._discard()
                except TimeoutError:
                    log.warning("documents.worker_too_slow", work=work.__name__, bytes=size)
                    self._discard()
                    break
                except asyncio.CancelledError:
                    self._discard()  # or the next job would wait for this one
                    raise
        raise Unavailable(f"{work.__name__}: the document could not be worked on")

    def _discard(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # The executor has no way to end a running job.
        for process in list((pool._processes or {}).values()):
            process.kill()
        end = partial(pool.shutdown, wait=False, cancel_futures=True)
        asyncio.get_running_loop().run_in_executor(None, end)

    async def stop(self) -> None:
        """End the worker."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(pool.shutdown)


def _start() -> ProcessPoolExecutor:
    # A fork of a server of its own: threads and sockets of this process stay here.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_begin)
    with _starting:
        # The worker would import the program's main module, which is slow and may do more
        # than define things; it needs nothing of it.
        program = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            pool.submit(os.getpid).result()
        finally:
            sys.modules["__main__"] = program
    return pool


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    # A server that is killed cannot end its worker.
    multiprocessing.connection.wait([sentinel])
    os._exit(0)
