"""The prompt: lines in, answers out, both at once.

Purpose: decide what a line means now (a reply to a dialog, a command, a message) and keep
at most one piece of work running beside the reading. By hand, commands work while an
answer streams and other lines wait for its end; from a pipe, every line waits its turn.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Coroutine
from typing import Any

from heliograph.terminal.client import Client
from heliograph.terminal.commands import Commands
from heliograph.terminal.dialogs import PromptDialogs
from heliograph.terminal.failures import EXIT_FINISHED, EXIT_NOT_STARTED, ClientError
from heliograph.terminal.lines import Lines
from heliograph.terminal.options import DEFAULT_URL
from heliograph.terminal.render import PROMPT

_LEAVE = ("/leave", "/quit", "/exit")


class Repl:
    """An interactive run of a connected client."""

    def __init__(self, client: Client, dialogs: PromptDialogs, fd: int | None = None) -> None:
        self._client = client
        self._screen = client.screen
        self._dialogs = dialogs
        self._commands = Commands(client)
        self._fd = fd
        self._waiting: deque[str | None] = deque()  # None: the end of the input
        self._work: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._left = asyncio.Event()
        self._warned = False

    async def run(self) -> int:
        """Read and act until the person leaves or the connection ends for good."""
        options, loop = self._client.options, asyncio.get_running_loop()
        if options.channel:
            await self._client.watch(options.channel)
        self._lines = Lines(self._take, self._fd)
        self._dialogs.on_opening = self._dialog_opening
        self._dialogs.on_opened = self._go_on
        self._dialogs.on_closed = self._dialog_closed
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._left.set)
        self._welcome()
        if options.chat:
            self._start(self._commands.open(options.chat))
        else:
            self._prompt()
        self._lines.start()
        left = asyncio.create_task(self._left.wait())
        ends: set[asyncio.Future[Any]] = {left, self._client.over}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._lines.stop()
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
            streaming = self._client.conversation.streaming
            await self._give_up(left, self._work, self._stopping)
        self._screen.end_line()
        if streaming:
            chat_id = self._client.conversation.chat_id
            self._screen.notice("the answer goes on at the server; come back to it with")
            url = self._client.options.url
            where = "" if url == DEFAULT_URL else f"--url {url} "
            self._screen.notice(f"  heliograph chat {where}--chat {chat_id}")
        if self._client.over.done():
            self._screen.error(self._client.over.result().message)
            return EXIT_NOT_STARTED
        return EXIT_FINISHED

    def _welcome(self) -> None:
        if self._lines.by_hand:
            about = f"{self._client.options.url}, {self._client.connection.transport}"
            asked = f"model {self._client.conversation.model}"
            self._screen.notice(f"connected to {about}; {asked}; /help lists the commands")

    # -- lines -----------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        return self._work is not None or self._stopping is not None

    def _take(self, line: str | None) -> None:
        if not self._lines.by_hand:
            self._waiting.append(line)
            self._go_on()
            return
        self._screen.line_entered()
        if line is None:
            self._left.set()
        elif self._dialogs.waiting is not None and line.strip() not in (*_LEAVE, "/stop"):
            self._dialogs.reply(line)
        elif not self._busy:
            self._act(line)
        elif not self._act_meanwhile(line):
            self._waiting.append(line)

    def _go_on(self) -> None:
        """Act on the lines that waited, as far as they need not wait any longer."""
        while self._waiting and not self._left.is_set():
            if self._dialogs.waiting is not None and not self._lines.by_hand:
                if self._waiting[0] is None:
                    self._dialogs.close()
                    return
                if self._dialogs.reply(self._waiting.popleft() or ""):
                    return
            elif self._busy:
                return
            elif (line := self._waiting.popleft()) is None:
                self._left.set()
            else:
                self._act(line)

    def _act(self, line: str) -> None:
        self._warned = False
        line = line.strip()
        if not line:
            self._prompt()
        elif line in _LEAVE:
            self._left.set()
        elif line == "/stop":
            self._screen.notice("nothing to stop: no answer is coming")
            self._prompt()
        else:
            self._start(self._commands.run(line))

    def _act_meanwhile(self, line: str) -> bool:
        """A line while something runs; whether it was dealt with."""
        line = line.strip()
        if line in _LEAVE:
            self._left.set()
        elif line == "/stop":
            self._stop()
        elif line == "/help":
            self._commands.help()
        elif line:
            self._screen.notice("(sent after this answer; /stop stops it)")
            return False
        return True

    def _interrupt(self) -> None:
        if self._client.conversation.streaming:
            self._screen.stream("\n")  # the terminal showed ^C somewhere in the line
            self._stop()
        elif self._work is not None:
            self._work.cancel()
        elif self._warned:
            self._left.set()
        elif self._stopping is None:
            self._warned = True
            self._screen.notice("Ctrl-D or /leave quits; so does Ctrl-C again")

    # -- work ------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = asyncio.create_task(self._do(work))
        self._work.add_done_callback(self._work_done)

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ClientError as error:
            self._screen.error(error.message)

    def _work_done(self, task: asyncio.Task[None]) -> None:
        self._work = None
        self._settled(task)

    def _stop_done(self, task: asyncio.Task[None]) -> None:
        self._stopping = None
        self._settled(task)

    def _settled(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._screen.error(f"the client failed: {error!r}")
        if not self._busy and not self._left.is_set():
            self._go_on()
            if not self._busy:
                self._prompt()

    def _stop(self) -> None:
        if self._stopping is None:
            self._dialogs.close()
            self._stopping = asyncio.create_task(self._do(self._stop_and_say()))
            self._stopping.add_done_callback(self._stop_done)

    async def _stop_and_say(self) -> None:
        self._screen.notice(await self._client.conversation.stop())

    async def _give_up(self, *tasks: asyncio.Task[Any] | None) -> None:
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _prompt(self) -> None:
        if self._lines.by_hand and not self._left.is_set():
            self._screen.prompt(self._commands.prompt or PROMPT)

    # -- dialogs ---------------------------------------------------------------------

    def _dialog_opening(self) -> None:
        question = self._dialogs.waiting
        if question is not None and question.secret:
            self._lines.echo(False)

    def _dialog_closed(self) -> None:
        self._lines.echo(True)
