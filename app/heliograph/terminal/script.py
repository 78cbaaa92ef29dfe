"""``--message``: send, stream, exit. The smoke test."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from heliograph.terminal.answer import Ending
from heliograph.terminal.client import Client
from heliograph.terminal.failures import (
    EXIT_FINISHED,
    EXIT_INTERRUPTED,
    EXIT_UNFINISHED,
    ClientError,
)

T = TypeVar("T")


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


async def run_script(client: Client) -> int:
    """Send every message, one after the other, stopping at the first that fails.

    :returns: the exit code, see :mod:`heliograph.terminal.failures`.
    :raises ClientError: it could not begin.
    """
    options = client.options
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    try:
        if options.channel:
            return await _post_all(client, interrupted)
        return await _ask_all(client, interrupted)
    except _Interrupted:
        if client.conversation.streaming:
            client.screen.end_line()
            client.screen.notice(await client.conversation.stop())
        return EXIT_INTERRUPTED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _ask_all(client: Client, interrupted: asyncio.Event) -> int:
    conversation, seconds = client.conversation, client.options.timeout
    if client.options.chat:
        opened = await _within(client, conversation.open(client.options.chat), interrupted)
        if opened not in (None, Ending.FINISHED):
            return EXIT_UNFINISHED
    for message in client.options.messages:
        try:
            ending = await _within(client, conversation.send(message), interrupted)
        except TimeoutError:
            client.screen.end_line()
            client.screen.error(f"no end of the answer within {seconds:g} s (--timeout)")
            if conversation.streaming:
                client.screen.notice(await conversation.stop())
            return EXIT_UNFINISHED
        except ClientError as error:
            client.screen.end_line()
            client.screen.error(error.message)
            return EXIT_UNFINISHED
        if ending is not Ending.FINISHED:
            return EXIT_UNFINISHED
    client.screen.notice(f"chat {conversation.chat_id}")
    return EXIT_FINISHED


async def _post_all(client: Client, interrupted: asyncio.Event) -> int:
    channel = await client.watch(client.options.channel)
    for message in client.options.messages:

        async def post_and_see(content: str = message) -> None:
            await channel.arrival(await channel.post(content))

        try:
            await _within(client, post_and_see(), interrupted)
        except TimeoutError:
            client.screen.error(
                f"the message did not come back within {client.options.timeout:g} s (--timeout)"
            )
            return EXIT_UNFINISHED
        except ClientError as error:
            client.screen.error(error.message)
            return EXIT_UNFINISHED
        client.screen.said("you", message)
    return EXIT_FINISHED


async def _within(client: Client, work: Coroutine[Any, Any, T], interrupted: asyncio.Event) -> T:
    """Await ``work``, its deadline, Ctrl-C or the end of the connection.

    :raises TimeoutError: it took longer than ``--timeout``.
    :raises ClientError: the connection ended for good, or what ``work`` raised.
    """
    task = asyncio.create_task(work)
    stop = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait(
            {task, stop, client.over},
            timeout=client.options.timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if task.done():
            return task.result()
        if stop.done():
            raise _Interrupted
        if client.over.done():
            raise client.over.result()
        raise TimeoutError
    finally:
        for one in (task, stop):
            one.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)
