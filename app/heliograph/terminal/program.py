"""From the options to the exit code: sign in, connect, run by hand or as a script."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from heliograph.terminal.api import Api
from heliograph.terminal.client import Client
from heliograph.terminal.dialogs import PromptDialogs, ScriptedDialogs
from heliograph.terminal.failures import EXIT_INTERRUPTED, EXIT_NOT_STARTED, ClientError
from heliograph.terminal.options import ChatOptions
from heliograph.terminal.render import Screen
from heliograph.terminal.repl import Repl
from heliograph.terminal.script import run_script
from heliograph.terminal.signin import obtain_token


def run(options: ChatOptions) -> int:
    """Run the client; the exit code. Nothing is raised: what fails is said on the screen."""
    create = Screen.of_script if options.messages else Screen.of_terminal
    screen = create(plain=options.plain)
    try:
        # First of all, so that nobody types a password for a server that is not there.
        config = asyncio.run(_config(options.url))
        token = obtain_token(options, config, screen)
        return asyncio.run(_run(options, token, screen))
    except ClientError as error:
        screen.error(error.message)
        return EXIT_NOT_STARTED
    except (KeyboardInterrupt, EOFError):
        screen.end_line()
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED


async def _config(url: str) -> Mapping[str, Any]:
    async with Api(url) as api:
        return await api.config()


async def _run(options: ChatOptions, token: str, screen: Screen) -> int:
    if options.messages:
        scripted = ScriptedDialogs(screen, options.answers)
        async with Client(options, token, screen, scripted) as client:
            return await run_script(client)
    dialogs = PromptDialogs(screen)
    async with Client(options, token, screen, dialogs) as client:
        return await Repl(client, dialogs).run()
