"""The command line: ``heliograph serve | migrate | token | config | chat``."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from heliograph import __version__
from heliograph.errors import ConfigurationError
from heliograph.settings import Settings, load_settings
from heliograph.terminal import register as register_chat
from heliograph.waiting import patiently

_Wait = Annotated[
    float,
    typer.Option(min=0, help="Seconds that the database and Redis may be away at the start."),
]

app = typer.Typer(
    name="heliograph",
    help="The real-time layer for AI chat and collaborative apps. Settings are environment "
    "variables; `heliograph config` shows them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
register_chat(app)


def main() -> None:
    """Entry point. A bad setting, or a service that cannot be reached, exits with 2."""
    try:
        app()
    except ConfigurationError as error:
        print(f"heliograph: {error}", file=sys.stderr)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"heliograph {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on instead of HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port instead of PORT; 0: a free one.")] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes on this port, each a replica. More than one need "
            "WEBSOCKET_MANAGER=redis and WEBSOCKET_TRANSPORTS=websocket.",
        ),
    ] = 1,
    wait: _Wait = 0,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Do first what `heliograph migrate` does.")
    ] = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C. The database must be at this version: run `migrate` first, or
    say `--migrate`."""
    from heliograph.serving import serve_forever  # here: the other commands start faster without

    settings = load_settings()
    changed: dict[str, object] = {}
    if host is not None:
        changed["host"] = host
    if port is not None:
        changed["port"] = port
    serve_forever(settings.model_copy(update=changed), workers, wait, migrating=migrate)


@app.command()
def migrate(
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds that the database may be away at the start.")
    ] = 0,
) -> None:
    """Bring the database to this version's tables. Safe to run again, and by several at once."""
    revision = asyncio.run(_migrate(load_settings(), wait))
    print(f"The database is at revision {revision}.")


async def _migrate(settings: Settings, wait: float) -> str:
    from heliograph.store import Database, migrate

    async def attempt() -> str:
        async with Database(settings.sqlalchemy_url) as database:
            return await migrate(database)

    return await patiently(attempt, wait, lambda why: print(why, file=sys.stderr, flush=True))


@app.command()
def token(
    email: Annotated[str, typer.Argument(help="The account's e-mail address.")],
    days: Annotated[float, typer.Option(min=0.0001, help="Life of the token, days.")] = 1.0,
) -> None:
    """Print a token of an account, for scripts and for signing in somebody locked out."""
    print(asyncio.run(_token(load_settings(), email, days)))


async def _token(settings: Settings, email: str, days: float) -> str:
    from heliograph.identity import Users, create_verifier
    from heliograph.store import Database, require_current

    async with Database(settings.sqlalchemy_url) as database:
        await require_current(database)
        user = await Users(database).by_email(email.lower())
    if user is None:
        raise ConfigurationError(f"there is no account for {email}")
    _, issuer = create_verifier(settings)
    if issuer is None:
        raise ConfigurationError("JWT_JWKS_URL: tokens come from the identity provider")
    return issuer.issue(user.id, days * 86_400)


@app.command()
def config(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference table of the documentation.")
    ] = False,
) -> None:
    """Show every setting with its present value; secrets are hidden. Exits with 2 on a bad one."""
    from heliograph.reference import markdown_table, plain_table

    print(markdown_table() if markdown else plain_table(load_settings()))


if __name__ == "__main__":
    main()
