"""Servers for the client suites, and what only their side can do.

The servers of :data:`SERVERS` run in the loop of a test module. People are made without a
password, since hashing one takes longer than most checks.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from heliograph.delivery import user_room
from heliograph.settings import Settings
from tests.support.bare import until
from tests.support.server import RunningServer
from tests.support.together import Backing, serve_for_test

CALL_SECONDS = 4.0
"""Deadline of a call into the browser: short enough to wait for, long for a loaded machine."""

SERVERS: dict[str, dict[str, Any]] = {
    "main": {},
    "always_connect": {"always_connect": True},
    "no_recovery": {"connection_recovery_seconds": 0},
    "draining": {},
}

TRANSPORTS = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can sign in nowhere, but has a token."""

    id: str
    name: str
    token: str


class World:
    """The servers, by name."""

    def __init__(self, servers: dict[str, RunningServer]) -> None:
        self.servers = servers
        self._http = httpx.AsyncClient(timeout=30)
        self._people = 0

    async def person(self, server: str = "main") -> Account:
        """A new user."""
        self._people += 1
        name = f"Person {self._people}"
        identity = self.servers[server].services.identity
        user_id = str(uuid.uuid4())
        email = f"{user_id}@example.org"
        assert await identity.users.add(user_id, name, email, None, "user") is not None
        return Account(user_id, name, identity.issue_token(user_id, 3600))

    @property
    def root(self) -> Account:
        """The administrator of ``main``."""
        root = self.servers["main"].root
        return Account(root.id, root.name, root.token)

    async def bad_tokens(self) -> dict[str, str]:
        """Tokens that must be refused, by the code that must say why."""
        person = await self.person()
        issue = self.servers["main"].services.identity.issue_token
        claims = jwt.decode(person.token, options={"verify_signature": False})
        return {
            "malformed": "certainly.not.a-token",
            "expired": issue(person.id, -60),
            "foreign": jwt.encode(claims, "a key of somebody else, long enough", "HS256"),
            "unsigned": jwt.encode(claims, "", "none"),
            "nobody": issue(str(uuid.uuid4()), 3600),
        }

    async def ask(self, account: Account, method: str, path: str, body: Any = None) -> Any:
        """HTTP as somebody; the answer, whatever its status."""
        return await self._http.request(
            method,
            self.servers["main"].url + path,
            json=body,
            headers={"Authorization": f"Bearer {account.token}"},
        )

    async def setup(self, transport: str, **more: Any) -> dict[str, Any]:
        """What a Node suite needs to know."""
        root = self.root
        return {
            "transport": transport,
            "servers": {name: server.url for name, server in self.servers.items()},
            "root": {"id": root.id, "name": root.name, "token": root.token},
            "bad_tokens": await self.bad_tokens(),
            "call_seconds": CALL_SECONDS,
            **more,
        }

    async def close(self) -> None:
        """Close what is ours."""
        await self._http.aclose()

    # -- what a Node suite may ask for -----------------------------------------------

    async def control(self, request: dict[str, Any]) -> Any:
        """Do what ``request["do"]`` names, see the methods below."""
        server = self.servers[request.get("server", "main")]
        services = server.services
        match request["do"]:
            case "person":
                account = await self.person(request.get("server", "main"))
                return {"id": account.id, "name": account.name, "token": account.token}
            case "publish":
                await services.hub.publish(request["room"], request["event"], request["data"])
            case "end_transport":
                link = server.session(request["sid"]).link
                assert link is not None
                link.end(1012, "restart: for a test")
            case "detached":
                session = server.session(request["sid"])
                await until(lambda: not session.attached)
            case "flood":
                await self.flood(request["user_id"], request["count"])
            case "stored":
                return await self._stored(request["document_id"], settle=request["settle"])
            case "drain":
                for replica in server.replicas:
                    await replica.application.drain()
                for replica in server.replicas:
                    await replica.services.drain.cancel()  # somebody has to be there to return to
            case unknown:
                raise ValueError(f"cannot {unknown}")
        return None

    async def _stored(self, document_id: str, *, settle: bool) -> list[str]:
        """A document's log: the snapshot, if any, and the updates after it, in base 64.

        :param settle: compact the log first.
        """
        documents = self.servers["main"].services.documents
        if settle:
            await documents.settler.settle(document_id)
        logged = await documents.log.load(document_id)
        assert logged is not None
        assert not (settle and logged.updates), "the log is compacted"
        updates = [*([logged.snapshot] if logged.snapshot else []), *logged.updates]
        return [base64.b64encode(update).decode() for update in updates]

    async def flood(self, user_id: str, count: int) -> None:
        """Send ``flood`` events ``{number}`` to a user, from the moment its session is there.

        Quickly, but with pauses, so that other things (an upgrade) happen in between.
        """
        replicas = self.servers["main"].replicas
        hub = self.servers["main"].services.hub
        await until(lambda: any(any(each.services.hub.of_user(user_id)) for each in replicas))
        for number in range(count):
            await hub.publish(user_room(user_id), "flood", {"number": number})
            if number % 10 == 0:
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running_world(
    folder: Path, template: Path, backing: Backing | None = None
) -> AsyncIterator[World]:
    """Run the servers; their databases begin as copies of ``template``."""
    async with contextlib.AsyncExitStack() as stack:
        servers = {}
        for name, options in SERVERS.items():
            data = folder / name
            data.mkdir()
            shutil.copy(template, data / "heliograph.db")
            settings = Settings.model_validate(
                {
                    "port": 0,
                    "data_dir": data,
                    "echo_delay_ms": 5,
                    "websocket_event_caller_timeout": CALL_SECONDS,
                    **options,
                }
            )
            servers[name] = await stack.enter_async_context(serve_for_test(settings, backing))
        world = World(servers)
        stack.push_async_callback(world.close)
        yield world
