"""From the options, and the person where one can be asked, to a token."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from heliograph.terminal.api import Api
from heliograph.terminal.events import mapping
from heliograph.terminal.failures import ClientError
from heliograph.terminal.options import ChatOptions
from heliograph.terminal.render import Screen

_ATTEMPTS = 3


def obtain_token(options: ChatOptions, config: Mapping[str, Any], screen: Screen) -> str:
    """Sign in, or up, asking for what the options lack.

    :param config: the server's ``/api/config``.
    :raises ClientError: refused, or something is missing and nobody can be asked.
    """
    asks = not options.messages and sys.stdin.isatty()
    if not asks or options.token or (options.email and options.password):
        return asyncio.run(enter(_require(options), screen))
    for _ in range(_ATTEMPTS):
        asked = _ask(options)
        try:
            return asyncio.run(enter(asked, screen))
        except ClientError as error:
            if error.code != "credentials_invalid":
                raise
            screen.error(error.message)
        if mapping(config.get("features")).get("enable_signup") and not options.signup:
            name = input("New here? Your name, to create this account (empty: try again): ")
            if name.strip():
                return asyncio.run(enter(replace(asked, signup=True, name=name.strip()), screen))
    raise ClientError("not signed in")


async def enter(options: ChatOptions, screen: Screen) -> str:
    """Sign in, or up, with complete options; the token.

    :raises ClientError: refused.
    """
    async with Api(options.url) as api:
        if options.token:
            api.token = options.token
            await api.me()
            return options.token
        if options.signup:
            try:
                person = await api.sign_up(options.name, options.email, options.password)
            except ClientError as error:
                if error.code == "signup_disabled":
                    screen.notice("sign-up is switched off on this server: signing in instead")
                elif error.code == "email_taken":
                    screen.notice(f"there is an account for {options.email}: signing in")
                else:
                    raise
            else:
                screen.notice(f"signed up as {person.get('name')} ({person.get('role')})")
                return api.token
        await api.sign_in(options.email, options.password)
        return api.token


def _require(options: ChatOptions) -> ChatOptions:
    if options.token:
        return options
    if not options.email or not options.password:
        raise ClientError(
            "who are you? Give --email and --password (or HELIOGRAPH_EMAIL and "
            "HELIOGRAPH_PASSWORD), or --token"
        )
    if options.signup and not options.name:
        return replace(options, name=options.email.partition("@")[0])
    return options


def _ask(options: ChatOptions) -> ChatOptions:
    email = options.email or input("E-mail: ").strip()
    password = options.password or getpass.getpass("Password: ")
    name = options.name
    if options.signup and not name:
        name = input("Your name: ").strip() or email.partition("@")[0]
    return replace(options, email=email, password=password, name=name)
