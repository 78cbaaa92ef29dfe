"""The HTTP half of the client: accounts, chats, tasks, channels, notes.

Every method raises :class:`ClientError` with a sentence for a person. Lists are read by
the page the terminal has room for, not to their end.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from heliograph.terminal.events import error_text, mapping
from heliograph.terminal.failures import ClientError

_TOKEN_CODES = ("token_missing", "token_invalid", "token_expired", "user_unknown")


class Api:
    """An HTTP client of one server; ``async with`` closes it.

    :param url: where the server is, e.g. ``http://127.0.0.1:8080``.
    :param timeout: seconds that one request may take.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.token = ""
        self._timeout = timeout
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL:
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ClientError(f"--url {url} is not an address such as http://127.0.0.1:8080")
        self._http = httpx.AsyncClient(base_url=parsed, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    # -- the person ------------------------------------------------------------------

    async def config(self) -> dict[str, Any]:
        """What the server tells every client, e.g. ``heartbeat_interval`` in seconds."""
        return await self._object("GET", "/api/config")

    async def sign_up(self, name: str, email: str, password: str) -> dict[str, Any]:
        """Create an account; from now on its token is sent."""
        return await self._sign("signup", name=name, email=email, password=password)

    async def sign_in(self, email: str, password: str) -> dict[str, Any]:
        """Take up an account; from now on its token is sent."""
        return await self._sign("signin", email=email, password=password)

    async def _sign(self, how: str, **body: str) -> dict[str, Any]:
        person = await self._object("POST", f"/api/v1/auths/{how}", body)
        self.token = str(person.get("token", ""))
        return person

    async def me(self) -> dict[str, Any]:
        """``{id, name, email, role}`` of the token's user."""
        return await self._object("GET", "/api/v1/auths/")

    # -- chats -----------------------------------------------------------------------

    async def models(self) -> list[dict[str, Any]]:
        """``[{id, name}]``."""
        return _items(await self._request("GET", "/api/models"))

    async def chats(self) -> list[dict[str, Any]]:
        """The latest chats."""
        return _items(await self._request("GET", "/api/v1/chats/"))

    async def new_chat(self, model: str) -> str:
        """The id of a new, empty chat."""
        chat = await self._object("POST", "/api/v1/chats/new", {"chat": {"models": [model]}})
        return str(chat["id"])

    async def chat(self, chat_id: str) -> dict[str, Any]:
        """A chat with its messages."""
        return await self._object("GET", f"/api/v1/chats/{_part(chat_id)}")

    async def complete(self, body: dict[str, Any]) -> list[str]:
        """Ask for an answer; the ids of the tasks that work on it."""
        reply = await self._object("POST", "/api/chat/completions", body)
        ids = reply.get("task_ids")
        return [str(task) for task in ids] if isinstance(ids, list) else []

    async def chat_tasks(self, chat_id: str) -> list[str]:
        """Ids of the tasks that work for a chat now."""
        reply = await self._object("GET", f"/api/tasks/chat/{_part(chat_id)}")
        ids = reply.get("task_ids")
        return [str(task) for task in ids] if isinstance(ids, list) else []

    async def stop_task(self, task_id: str) -> dict[str, Any]:
        """``{status: "stopped" | "gone", message}``, after the task's owner confirmed."""
        return await self._object("POST", f"/api/tasks/stop/{_part(task_id)}")

    # -- channels and notes ----------------------------------------------------------

    async def channels(self) -> list[dict[str, Any]]:
        """The channels of the user."""
        return _items(await self._request("GET", "/api/v1/channels/", params={"limit": 200}))

    async def channel_messages(self, channel_id: str, limit: int) -> list[dict[str, Any]]:
        """The latest messages, newest first."""
        path = f"/api/v1/channels/{_part(channel_id)}/messages"
        return _items(await self._request("GET", path, params={"skip": 0, "limit": limit}))

    async def post(self, channel_id: str, content: str) -> dict[str, Any]:
        """Write to a channel; the message as it is stored."""
        path = f"/api/v1/channels/{_part(channel_id)}/messages/post"
        return await self._object("POST", path, {"content": content})

    async def notes(self) -> list[dict[str, Any]]:
        """The latest notes."""
        return _items(await self._request("GET", "/api/v1/notes/"))

    # -- one request -----------------------------------------------------------------

    async def _object(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        reply = await self._request(method, path, body)
        if not isinstance(reply, dict):
            raise ClientError(f"{self.url}{path} did not answer as a Heliograph server does")
        return reply

    async def _request(
        self, method: str, path: str, body: Any = None, params: dict[str, int] | None = None
    ) -> Any:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            reply = await self._http.request(
                method, path, json=body, params=params, headers=headers
            )
        except httpx.TimeoutException:
            raise ClientError(
                f"the server at {self.url} did not answer within {self._timeout:g} s"
            ) from None
        except httpx.TransportError:
            raise not_reachable(self.url) from None
        except httpx.HTTPError as error:
            raise ClientError(f"the server at {self.url} did not answer: {error}") from None
        try:
            answer = reply.json()
        except ValueError:
            raise ClientError(
                f"{self.url}{path} answered {reply.status_code} and no JSON: "
                "is this a Heliograph server?"
            ) from None
        if reply.is_error:
            raise _refusal(answer, reply.status_code)
        return answer


def not_reachable(url: str) -> ClientError:
    """Nobody answers at ``url``."""
    return ClientError(
        f"no server answers at {url}. Start one with `make run`, or name another with --url.",
        code="not_reachable",
    )


def token_refused(code: str) -> ClientError:
    """The sentence for a token that the server does not take."""
    reasons = {
        "token_expired": "the token has expired",
        "token_invalid": "the token is not valid here",
        "token_missing": "no token was sent",
        "user_unknown": "the account does not exist any more",
    }
    reason = reasons.get(code, f"the token was refused ({code})")
    return ClientError(f"{reason}: sign in with --email, or give a fresh --token.", code=code)


def _refusal(answer: Any, status: int) -> ClientError:
    code = str(mapping(answer).get("code", ""))
    if code in _TOKEN_CODES:
        return token_refused(code)
    words = error_text(answer)
    if not mapping(answer):
        words = f"the server answered {status}"
    return ClientError(words, code=code)


def _items(answer: Any) -> list[dict[str, Any]]:
    """The entries of a list in either of its shapes: bare, or under ``data``/``items``."""
    if isinstance(answer, dict):
        answer = answer.get("data", answer.get("items"))
    return [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []


def _part(value: str) -> str:
    return quote(value, safe="")
