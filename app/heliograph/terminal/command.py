"""The command ``chat`` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from heliograph.terminal.options import DEFAULT_URL, ChatOptions, Transport

_HELP = """Chat with a Heliograph server in the terminal.

Asks for what is missing (e-mail, password). At the prompt, a line is sent to the model and
the answer streams in; /help lists the commands. Ctrl-C or /stop stops an answer, Ctrl-D or
/leave quits, also in mid-stream: the answer goes on at the server, and --chat resumes it.

With --message it asks nothing, streams the answers to stdout and everything else to stderr.
Exit codes: 0 every answer finished, 1 one did not, 2 nothing could begin, 130 Ctrl-C.
"""

_PERSON, _TALK, _SCRIPT = "Who you are", "What to open", "Without a person"


def register(app: typer.Typer) -> None:
    """Add the command ``chat`` to ``app``."""
    app.command("chat", help=_HELP)(_chat)


def run_chat(options: ChatOptions) -> int:
    """Run the client in its own event loop until it is left.

    :returns: the process's exit code, see :mod:`heliograph.terminal.failures`.
    """
    from heliograph.terminal.program import run  # here: other commands start faster without

    return run(options)


def _chat(
    url: Annotated[
        str, typer.Option(envvar="HELIOGRAPH_URL", help="Address of the server.")
    ] = DEFAULT_URL,
    email: Annotated[
        str,
        typer.Option(
            envvar="HELIOGRAPH_EMAIL", help="E-mail of the account.", rich_help_panel=_PERSON
        ),
    ] = "",
    password: Annotated[
        str,
        typer.Option(
            envvar="HELIOGRAPH_PASSWORD",
            help="Its password; asked for without echo when missing.",
            rich_help_panel=_PERSON,
        ),
    ] = "",
    signup: Annotated[
        bool,
        typer.Option(
            "--signup",
            help="Create the account first; signs in when it exists already.",
            rich_help_panel=_PERSON,
        ),
    ] = False,
    name: Annotated[str, typer.Option(help="Name to sign up with.", rich_help_panel=_PERSON)] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="HELIOGRAPH_TOKEN",
            help="A token instead of e-mail and password.",
            rich_help_panel=_PERSON,
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(help="Model to ask; the server's first otherwise.", rich_help_panel=_TALK),
    ] = "",
    chat: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Open this chat; an answer in flight is resumed in mid-stream.",
            rich_help_panel=_TALK,
        ),
    ] = "",
    channel: Annotated[
        str,
        typer.Option(
            metavar="NAME_OR_ID",
            help="Watch this channel; what is typed is posted to it.",
            rich_help_panel=_TALK,
        ),
    ] = "",
    transport: Annotated[
        Transport,
        typer.Option(help="How the socket connects; auto: websocket, else polling."),
    ] = "auto",
    message: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Send this, stream the answer, and exit. Repeatable: one after the other.",
            rich_help_panel=_SCRIPT,
        ),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="yes|no|TEXT",
            help="Answer to a dialog, in order. Repeatable; a dialog beyond them is declined.",
            rich_help_panel=_SCRIPT,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds that one answer may take.", rich_help_panel=_SCRIPT),
    ] = 120.0,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="No colour and no cursor movement; so too when stdout is no terminal.",
        ),
    ] = False,
) -> None:
    options = ChatOptions(
        url=url,
        email=email,
        password=password,
        name=name,
        signup=signup,
        token=token,
        model=model,
        chat=chat,
        channel=channel,
        transport=transport,
        messages=tuple(message or ()),
        answers=tuple(answer or ()),
        timeout=timeout,
        plain=plain,
    )
    raise typer.Exit(run_chat(options))
