"""One event from a client of one pod to clients of all the others: what `helm test` runs.

It waits until every pod is ready and none is about to end, as some are after an upgrade. Then it
connects a client to each, lets the first send an event, and sees that all others have it. That
takes the pods, Redis and the database. What it needs it makes and removes: an account for a moment,
in the database, where no sign-up is needed. It speaks to the pods themselves, so it says nothing
about the ingress.

Exits with 0, or prints one sentence and exits with 1.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
import socketio
from sqlalchemy import delete, func, select

from heliograph.errors import ConfigurationError
from heliograph.identity import create_verifier
from heliograph.settings import load_settings
from heliograph.store import Database, now_s
from heliograph.store.models import User

PODS = os.environ["TEST_PODS"]
WANTED = int(os.environ["TEST_PODS_WANTED"])
SECONDS = float(os.environ["TEST_SECONDS"])
MAILBOX = "@helm-test.invalid"
# Held by the app while it finds out whether an account is the first: the administrator's.
FIRST_ACCOUNT_LOCK = 0x48454C49


class Failed(Exception):
    """The sentence to end with."""


def say(words: str) -> None:
    """Print at once: `helm test --logs` shows it."""
    print(words, flush=True)


def pods() -> list[str]:
    """Addresses of the app's pods, as ``host:port``: all that the names in TEST_PODS stand for.

    :raises Failed: a name is not known.
    """
    addresses: set[str] = set()
    for name in PODS.split(","):
        host, _, port = name.rpartition(":")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Failed(
                f"{host} has no addresses ({error}): does any pod of the app run?"
            ) from None
        for *_, (address, *_more) in found:
            addresses.add(f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}")
    return sorted(addresses)


async def check_ready(http: httpx.AsyncClient, pod: str) -> None:
    """See that a pod says it is ready.

    :raises Failed: with what the pod says is missing.
    """
    try:
        answer = await http.get(f"http://{pod}/ready")
    except httpx.HTTPError as error:
        raise Failed(f"pod {pod} does not answer: {type(error).__name__} {error}") from None
    if answer.status_code != 200:
        detail = answer.json().get("detail", answer.text)
        raise Failed(f"pod {pod} is not ready: {detail}")
    if answer.json().get("draining"):
        raise Failed(f"pod {pod} is draining, and does not come to its end")


async def settled(http: httpx.AsyncClient) -> list[str]:
    """Addresses of the pods, once all of them are ready and there are enough.

    :raises Failed: they are not within half of the test's time; with what is the matter then.
    """
    ends_at = time.monotonic() + SECONDS / 2
    while True:
        try:
            addresses = pods()
            for pod in addresses:
                await check_ready(http, pod)
            if len(addresses) < WANTED:
                raise Failed(f"{len(addresses)} of at least {WANTED} pods of the app run")
        except Failed:
            if time.monotonic() > ends_at:
                raise
            await asyncio.sleep(1)
            continue
        say(f"ready: {', '.join(addresses)}")
        return addresses


@asynccontextmanager
async def account(database: Database) -> AsyncIterator[str]:
    """The id of an account that is there for the length of the block.

    Meanwhile a sign-up waits, so that ours is never the reason why somebody's is not the first.
    """
    user = User(
        id=str(uuid.uuid4()), name="helm test", email=f"{uuid.uuid4()}{MAILBOX}", role="user",
        password_hash=None, created_at=now_s(), updated_at=now_s(), last_active_at=now_s(),
    )  # fmt: skip
    async with database.write() as guard:
        await guard.execute(select(func.pg_advisory_xact_lock(FIRST_ACCOUNT_LOCK)))
        async with database.write() as session:
            # Also what a test that was killed left behind.
            await session.execute(delete(User).where(User.email.endswith(MAILBOX)))
            session.add(user)
        try:
            yield user.id
        finally:
            async with database.write() as session:
                await session.execute(delete(User).where(User.id == user.id))


async def connect(pod: str, token: str, transport: str) -> socketio.AsyncClient:
    """A client of one pod.

    :raises Failed: it is refused.
    """
    client = socketio.AsyncClient(reconnection=False)
    try:
        await client.connect(
            f"http://{pod}", auth={"token": token}, transports=[transport],
            socketio_path="/ws/socket.io",
        )  # fmt: skip
    except socketio.exceptions.ConnectionError as error:
        raise Failed(f"pod {pod} refused the connection ({transport}): {error}") from None
    return client


async def note(
    chat: str, arrived: asyncio.Event, event: dict[str, object], *_offset: object
) -> None:
    """Set ``arrived`` when it is the event of the chat; its offset comes after it."""
    if event["chat_id"] == chat and "chat:list" in str(event["data"]):
        arrived.set()


async def exchange(http: httpx.AsyncClient, addresses: list[str], token: str) -> None:
    """Send one event at the first address, and see it arrive at all.

    :raises Failed: it was refused, or did not arrive everywhere.
    """
    transport = "websocket" if "websocket" in load_settings().transports else "polling"
    sender, *receivers = addresses if len(addresses) > 1 else addresses * 2
    try:
        made = await http.post(
            f"http://{sender}/api/v1/chats/new",
            json={"chat": {"title": "helm test"}}, headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
    except httpx.HTTPError as error:
        raise Failed(f"pod {sender} does not answer: {type(error).__name__} {error}") from None
    if made.status_code != 200:
        raise Failed(f"pod {sender} did not make a chat ({made.status_code}): {made.text}")
    chat = made.json()["id"]
    arrived = {pod: asyncio.Event() for pod in receivers}
    async with AsyncExitStack() as clients:
        for pod in receivers:
            client = await connect(pod, token, transport)
            clients.push_async_callback(client.disconnect)

            client.on("events", partial(note, chat, arrived[pod]))
        first = await connect(sender, token, transport)
        clients.push_async_callback(first.disconnect)
        say(f"a client is connected to each of {', '.join([sender, *receivers])} ({transport})")
        event = {"chat_id": chat, "data": {"type": "last_read_at"}}
        answer = await first.call("events:chat", event, timeout=SECONDS)
        if "error" in (answer or {}):
            raise Failed(f"pod {sender} did not take the event: {answer['error']}")
        for pod in receivers:
            try:
                await asyncio.wait_for(arrived[pod].wait(), 10)
            except TimeoutError:
                raise Failed(f"an event sent at pod {sender} did not reach pod {pod}") from None
            say(f"an event sent at pod {sender} arrived at pod {pod}")


async def run() -> None:
    """The whole test.

    :raises Failed: something is not as it should be.
    """
    settings = load_settings()
    async with httpx.AsyncClient(timeout=10) as http:
        addresses = await settled(http)
        if settings.jwt_jwks_url:
            say("no event is sent: tokens come from the identity provider (JWT_JWKS_URL)")
            return
        if settings.sqlalchemy_url.startswith("sqlite"):
            say("no event is sent: the database is a file of the only replica (SQLite)")
            return
        if len(addresses) == 1:
            say("there is one replica: both clients connect to it")
        _, issuer = create_verifier(settings)
        assert issuer is not None
        async with Database(settings.sqlalchemy_url) as database:
            await database.check()
            async with account(database) as user:
                await exchange(http, addresses, issuer.issue(user, SECONDS * 2))


async def main() -> int:
    """Run the test within its time; the exit code."""
    try:
        async with asyncio.timeout(SECONDS):
            await run()
    except TimeoutError:
        say(f"FAILED: it was not done within {SECONDS:g} s (test.timeoutSeconds)")
        return 1
    except (Failed, ConfigurationError) as failure:
        say(f"FAILED: {failure}")
        return 1
    say("passed")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
