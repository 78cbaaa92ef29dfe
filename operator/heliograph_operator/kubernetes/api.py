"""The few requests that the operator makes itself, beside kopf's watching.

aiohttp is there with kopf, and the credentials are those that kopf knows how to find, so no
client library is needed for five kinds of objects.

Guarantee: whatever goes wrong with a request is an :class:`ApiError`, after ten seconds at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import kopf

from heliograph_operator.gateway import GROUP, PLURAL, VERSION

_REQUEST_SECONDS = 10.0
_CREDENTIALS_SECONDS = 60.0
_PAGE = 500

Login = Callable[[], kopf.ConnectionInfo]


class ApiError(Exception):
    """The API server refused, or did not answer.

    :ivar code: of HTTP; 0: no answer.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


def login() -> kopf.ConnectionInfo:
    """Credentials of the pod's service account, else of ``KUBECONFIG``.

    :raises ApiError: there are neither.
    """
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(
        settings=settings
    )
    if found is None:
        raise ApiError("no service account and no KUBECONFIG: nobody to talk to Kubernetes as")
    return found


class Api:
    """One namespace of the API server. Enter it.

    :param login: where the server is, and who we are; asked again each minute, since the kubelet
        renews tokens.
    """

    def __init__(self, namespace: str, login: Login = login) -> None:
        self.namespace = namespace
        self._login = login
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self._asked = 0.0

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    # -- what the operator does ------------------------------------------------------

    async def pods(self, selector: str) -> list[Any]:
        """All pods with these labels."""
        return await self._list(self._core("pods"), {"labelSelector": selector})

    async def nodes(self) -> list[Any]:
        """All nodes."""
        return await self._list("/api/v1/nodes", {})

    async def gateways(self) -> list[Any]:
        """All ``RealtimeGateway``s of the namespace.

        :raises ApiError: with code 404: the API server does not know the resource.
        """
        return await self._list(self._gateways(), {})

    async def serves_gateways(self) -> bool:
        """Whether the resource is there to stay: known, and not being removed.

        While a resource is removed its objects go first, which is no wish of anybody about them;
        nothing may be created of it any more then.
        """
        try:
            found = await self._request("GET", f"/apis/{GROUP}/{VERSION}")
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        for one in found.get("resources", []):
            if one.get("name") == PLURAL:
                return "create" in one.get("verbs", [])
        return False

    async def annotate_pod(self, name: str, patch: Mapping[str, Any]) -> Any:
        """Merge into a pod; what it is then."""
        return await self._patch(f"{self._core('pods')}/{quote(name)}", patch)

    async def patch_status(self, gateway: str, status: Mapping[str, Any]) -> Any:
        """Merge into the status of a ``RealtimeGateway``; what it is then."""
        return await self._patch(f"{self._gateways()}/{quote(gateway)}/status", {"status": status})

    async def tell(self, event: Mapping[str, Any]) -> None:
        """Create an Event."""
        await self._request("POST", self._core("events"), event)

    async def lease(self, name: str) -> Any:
        """The Lease; ``None``: there is none."""
        try:
            return await self._request("GET", f"{self._leases()}/{quote(name)}")
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def create_lease(self, lease: Mapping[str, Any]) -> Any:
        """Create it.

        :raises ApiError: with code 409: somebody was faster.
        """
        return await self._request("POST", self._leases(), lease)

    async def replace_lease(self, name: str, lease: Mapping[str, Any]) -> Any:
        """Replace the version that ``lease`` names.

        :raises ApiError: with code 409: it is another by now.
        """
        return await self._request("PUT", f"{self._leases()}/{quote(name)}", lease)

    # -- how -------------------------------------------------------------------------

    def _core(self, plural: str) -> str:
        return f"/api/v1/namespaces/{quote(self.namespace)}/{plural}"

    def _gateways(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{quote(self.namespace)}/{PLURAL}"

    def _leases(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{quote(self.namespace)}/leases"

    async def _list(self, path: str, query: Mapping[str, str]) -> list[Any]:
        items: list[Any] = []
        asked = {**query, "limit": str(_PAGE)}
        while True:
            found = await self._request("GET", path, query=asked)
            items += found.get("items") or []
            more = (found.get("metadata") or {}).get("continue")
            if not more:
                return items
            asked["continue"] = more

    async def _patch(self, path: str, patch: Mapping[str, Any]) -> Any:
        return await self._request("PATCH", path, patch, kind="application/merge-patch+json")

    async def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> Any:
        try:
            session = await self._enter()
            async with session.request(
                method,
                self._server + path,
                params=query,
                json=body,
                headers={"Content-Type": kind} if body is not None else None,
            ) as answer:
                if answer.status == 401:
                    self._asked = 0.0  # the token is old: read it again the next time
                if answer.status >= 400:
                    raise ApiError(
                        f"{method} {path}: {answer.status} {await _message(answer)}", answer.status
                    )
                return await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiError(f"{method} {path}: {str(error) or type(error).__name__}") from error

    async def _enter(self) -> aiohttp.ClientSession:
        now = time.monotonic()
        if self._session is None or now - self._asked > _CREDENTIALS_SECONDS or not self._asked:
            # Files of a few bytes, in a thread since they may be on a slow volume.
            found = await asyncio.to_thread(self._login)
            context = await asyncio.to_thread(found.as_ssl_context)
            await self._leave()
            self._server = found.server.rstrip("/")
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=10),
                headers={"User-Agent": "heliograph-operator", **found.as_http_headers()},
                timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            )
            self._asked = now
        return self._session

    async def _leave(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


async def _message(answer: aiohttp.ClientResponse) -> str:
    said = (await answer.text())[:2000]
    try:
        found = await answer.json(content_type=None)
        return str(found["message"])[:500]
    except (ValueError, TypeError, KeyError):
        return said[:200]
