"""Watches pods, nodes and resources with kopf, in a thread of its own, and answers the probe.

kopf ends when the API server stays away for longer than its retries, or when a resource that it
watches is removed; and it cancels whatever its event loop does when it ends. So it has a loop of
its own, and begins anew while the operator goes on. Only ``on.event`` handlers are used: those
write nothing to objects, no annotations and no finalizers.

Limit: while it begins anew (a moment) nothing is seen but by the full lists.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import kopf

from heliograph_operator import metrics
from heliograph_operator.gateway import GROUP, PLURAL, VERSION
from heliograph_operator.kubernetes.api import ApiError, Login
from heliograph_operator.logs import get_logger
from heliograph_operator.world import Kind

log = get_logger(__name__)

_PAUSE_SECONDS = 2.0
_STOP_SECONDS = 10.0
_LOGIN_AGAIN_SECONDS = 5.0

Seen = Callable[[Kind, str | None, Any], None]


@dataclass(frozen=True)
class What:
    """What is watched.

    :ivar selector: labels of the pods.
    """

    namespace: str
    selector: str
    nodes: bool
    gateways: bool


class Watch:
    """The watching. :meth:`stop` it.

    :param seen: called in the event loop that made this, with each change.
    :param health: address of the probe, ``http://host:port/path``; empty: none.
    :param alive: why the operator is stuck, or empty; called in kopf's thread.
    """

    def __init__(
        self,
        what: What,
        login: Login,
        seen: Seen,
        *,
        health: str = "",
        alive: Callable[[], str] = str,
    ) -> None:
        self._what = what
        self._login = login
        self._seen = seen
        self._health = health
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._round: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @property
    def what(self) -> What:
        """What is watched now."""
        return self._what

    def watch(self, what: What) -> None:
        """Watch something else from now on."""
        if what != self._what:
            log.info("watch.changed", gateways=what.gateways, nodes=what.nodes)
            self._what = what
            self._again()

    async def stop(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._again()
        ended = await asyncio.to_thread(self._ended.wait, _STOP_SECONDS)
        if not ended:
            log.warning("watch.did_not_end")

    def _again(self) -> None:
        with self._lock:
            if self._round is not None:
                loop, stop = self._round
                loop.call_soon_threadsafe(stop.set)

    # -- in the thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                watched = self._what
                self._once(watched)
                metrics.WATCH_RESTARTS.inc()
                if watched == self._what:
                    self._stop.wait(_PAUSE_SECONDS)  # it broke off
        finally:
            self._ended.set()

    def _once(self, what: What) -> None:
        try:
            asyncio.run(self._round_of(what))
        except Exception as error:
            log.warning("watch.broke_off", error=f"{type(error).__name__}: {error}"[:300])

    async def _round_of(self, what: What) -> None:
        # An event of this loop: kopf waits for one of threads in a thread, which would stay.
        stop = asyncio.Event()
        with self._lock:
            self._round = (asyncio.get_running_loop(), stop)
        sessions: list[aiohttp.ClientSession] = []
        try:
            if self._stop.is_set() or what != self._what:
                return  # that was said before there was anything to stop
            await kopf.operator(
                registry=self._registry(what, sessions),
                settings=_settings(what),
                namespaces=[what.namespace],
                standalone=True,
                liveness_endpoint=self._health or None,
                stop_flag=stop,
            )
        finally:
            with self._lock:
                self._round = None
            # kopf closes its own only when it ends in peace.
            for session in sessions:
                await session.close()

    def _registry(self, what: What, sessions: list[aiohttp.ClientSession]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def credentials(**_: Any) -> kopf.AiohttpSession:
            try:
                found = await asyncio.to_thread(self._login)
                context = await asyncio.to_thread(found.as_ssl_context)
            except (ApiError, OSError, ValueError) as error:
                raise kopf.TemporaryError(str(error), delay=_LOGIN_AGAIN_SECONDS) from None
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
                headers=found.as_http_headers(),
            )
            sessions.append(session)
            return kopf.AiohttpSession(
                server=found.server,
                default_namespace=found.default_namespace,
                aiohttp_session=session,
            )

        @kopf.on.event("", "v1", "pods", registry=registry, id="pods")
        async def pods(event: kopf.RawEvent, **_: Any) -> None:
            self._tell("pods", event)

        if what.nodes:

            @kopf.on.event("", "v1", "nodes", registry=registry, id="nodes")
            async def nodes(event: kopf.RawEvent, **_: Any) -> None:
                self._tell("nodes", event)

        if what.gateways:

            @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="gateways")
            async def gateways(event: kopf.RawEvent, **_: Any) -> None:
                self._tell("gateways", event)

        @kopf.on.probe(registry=registry, id="loop")
        async def probe(**_: Any) -> str:
            stuck = self._alive()
            if stuck:
                # Any other error would be tried again for minutes within the request.
                raise kopf.PermanentError(stuck)
            return "running"

        return registry

    def _tell(self, kind: Kind, event: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(self._seen, kind, event["type"], event["object"])
        except RuntimeError:
            self._stop.set()  # the loop is closed: the process ends


def _settings(what: What) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # that would need rights to watch all definitions
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (1, 2, 3, 5)
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.queueing.idle_timeout = 1  # handlers are done in no time
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None
    settings.watching.label_selectors["pods"] = what.selector
    return settings
