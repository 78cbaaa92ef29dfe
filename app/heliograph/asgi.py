"""The application put together: one process, one replica.

:class:`Application` is the ASGI app; ``heliograph serve`` runs it. Entering its lifespan
starts the features in the order in which they need each other, leaving it stops them in
reverse, so that what is in flight settles before the database closes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import socketio
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from heliograph.backplane import Backplane, RedisConfig
from heliograph.channels import Channels, RedisTurns
from heliograph.chat import Chat, RedisHotLog
from heliograph.cluster import Cluster
from heliograph.control import Control, Facts
from heliograph.delivery import (
    Broker,
    Calls,
    Drain,
    Hub,
    Lifecycle,
    MemoryBroker,
    MemorySessionRecords,
    RedisBroker,
    RedisSessionRecords,
    SessionRecords,
    Shed,
    SocketServer,
    expiry_of,
)
from heliograph.documents import Documents, Notes, Timing
from heliograph.edge import Gateway, Page, Services, StickyCookie, create_api, register_events
from heliograph.identity import Identity
from heliograph.live import Live
from heliograph.sessions import MemoryShares, RedisShares, Sessions, Shares
from heliograph.settings import Settings
from heliograph.store import Database, require_current
from heliograph.tasks import RedisTaskRegistry, Tasks
from heliograph.telemetry import LoopLag, get_logger, set_log_level

log = get_logger(__name__)

SOCKET_PATH = "/ws/socket.io"


class Application:
    """The ASGI application of one replica.

    :param page: left out, the page that ``make web`` built.
    :raises ConfigurationError: on construction, when a setting cannot work.
    """

    def __init__(self, settings: Settings, page: Page | None = None) -> None:
        self.settings = settings
        self.gateway = Gateway()
        self.services, self.sockets = _build(settings, self.gateway)
        self._control = _control(self.services, self.sockets)
        register_events(self.gateway, self.services)
        self.api = create_api(self.services, self._lifespan, page)
        self._socket_app = socketio.ASGIApp(self.sockets, socketio_path=SOCKET_PATH)
        self._app = StickyCookie(self._route, _expiry(settings), self.services.drain, SOCKET_PATH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: sockets under :data:`SOCKET_PATH`, HTTP everywhere else."""
        await self._app(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path == SOCKET_PATH or path.startswith(SOCKET_PATH + "/"):
            await self._socket_app(scope, receive, send)
        else:
            await self.api(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        services = self.services
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(services.database)
            await require_current(services.database)
            if services.backplane is not None:
                await services.backplane.start()
                stack.push_async_callback(services.backplane.stop)
            await services.hub.start()
            stack.push_async_callback(services.hub.stop)
            await stack.enter_async_context(services.cluster)
            await stack.enter_async_context(services.tasks)
            await services.lifecycle.start()
            stack.push_async_callback(services.lifecycle.stop)
            await stack.enter_async_context(services.sessions)
            await stack.enter_async_context(services.documents)
            await stack.enter_async_context(services.chat)
            await stack.enter_async_context(services.cluster.reaper)
            if self._control is not None:
                await stack.enter_async_context(self._control)
            stack.push_async_callback(self.drain)
            yield

    async def drain(self) -> None:
        """Send all clients away and stop what works for them, see :class:`Drain`. Idempotent."""
        if self._control is not None:
            self._control.leave()
        self.services.drain.begin("the server ends")
        await self.services.drain.finish()


@dataclass(frozen=True)
class _Hot:
    """Where the features keep what is hot; ``None`` stands for their own memory."""

    records: SessionRecords
    shares: Shares
    tasks: RedisTaskRegistry | None = None
    answers: RedisHotLog | None = None
    turns: RedisTurns | None = None


def _in_redis(settings: Settings, backplane: Backplane, hub: Hub, cluster: Cluster) -> _Hot:
    assert isinstance(hub.broker, RedisBroker)
    replica = cluster.replica
    seconds = settings.connection_recovery_seconds
    return _Hot(
        records=RedisSessionRecords(backplane, replica, cluster.peers, seconds),
        shares=RedisShares(backplane, cluster),
        tasks=RedisTaskRegistry(backplane, replica),
        answers=RedisHotLog(backplane, hub.broker, grace=settings.replica_lease_seconds),
        turns=RedisTurns(backplane),
    )


def _build(settings: Settings, gateway: Gateway) -> tuple[Services, SocketServer]:
    database = Database(settings.sqlalchemy_url)
    recovery_seconds = settings.connection_recovery_seconds
    backplane: Backplane | None = None
    broker: Broker = MemoryBroker(recovery_seconds)
    if settings.websocket_manager:
        backplane = Backplane(RedisConfig.from_settings(settings))
        broker = RedisBroker(backplane, recovery_seconds)
    hub = Hub(broker)
    live = Live(settings)
    cluster = Cluster.over(
        hub,
        backplane,
        lease_seconds=settings.replica_lease_seconds,
        lock_timeout=lambda: live.lock_timeout,
    )
    hot = _Hot(MemorySessionRecords(), MemoryShares())
    if backplane is not None:
        hot = _in_redis(settings, backplane, hub, cluster)
    lifecycle = Lifecycle(hub, hot.records, recovery_seconds)
    calls = Calls(hub, lifecycle, cluster.peers)
    identity = Identity(settings, database, hub)
    tasks = Tasks(cluster, hot.tasks)
    timing = Timing(rows=settings.document_settle_updates)
    documents = Documents.over(database, hub, lifecycle, cluster, backplane, timing)
    sockets = SocketServer(
        hub, lifecycle, calls, admission=identity.admit, handler=gateway, **_limits(settings)
    )
    live.on_change.append(lambda: sockets.retime(live.ping_interval, live.ping_timeout))
    live.on_change.append(lambda: set_log_level(live.log_level))
    drain = Drain(
        hub,
        sockets,
        tasks,
        seconds=settings.drain_seconds,
        per_second=settings.drain_clients_per_second,
        expiry=_expiry(settings),
    )
    services = Services(
        settings=settings,
        live=live,
        database=database,
        backplane=backplane,
        cluster=cluster,
        hub=hub,
        lifecycle=lifecycle,
        calls=calls,
        drain=drain,
        identity=identity,
        sessions=Sessions(hub, lifecycle, identity.users, hot.shares),
        tasks=tasks,
        chat=Chat(settings, database, hub, lifecycle, calls, tasks, cluster, hot.answers, live),
        channels=Channels(database, hub, hot.turns),
        documents=documents,
        notes=Notes(database, hub, documents),
    )
    return services, sockets


def _control(services: Services, sockets: SocketServer) -> Control | None:
    """The operator's hold on this replica; none for a single process."""
    settings, backplane, drain = services.settings, services.backplane, services.drain
    if backplane is None:
        return None
    shed = Shed(
        sockets,
        per_second=settings.drain_clients_per_second,
        cookie=settings.sticky_cookie,
        expiry=_expiry(settings),
    )
    tasks = services.tasks
    facts = Facts(services.hub, sockets, drain, services.live, lambda: tasks.count, LoopLag())
    replica = services.cluster.replica
    return Control(backplane, replica, services.live, drain, shed, facts, pod=settings.pod_name)


def _expiry(settings: Settings) -> list[tuple[str, str]]:
    return expiry_of(settings.sticky_cookie, settings.sticky_cookie_attributes)


def _limits(settings: Settings) -> dict[str, Any]:
    """What sockets may do, for :class:`SocketServer`."""
    return {
        "per_second": settings.websocket_max_messages_per_second,
        "connect_timeout": settings.websocket_connect_timeout,
        "queue_packets": settings.websocket_queue_messages,
        "queue_bytes": settings.websocket_queue_bytes,
        "transports": settings.transports,
        "allow_upgrades": settings.enable_websocket_support,
        "ping_interval": settings.websocket_server_ping_interval,
        "ping_timeout": settings.websocket_server_ping_timeout,
        "max_http_buffer_size": settings.websocket_max_message_bytes,
        "cors_allowed_origins": _origins(settings),
        "http_compression": False,
        "logger": settings.websocket_server_logging,
        "engineio_logger": settings.websocket_server_engineio_logging,
    }


def _origins(settings: Settings) -> object:
    if not settings.cors_allow_origin:
        return None  # python-engineio: same origin
    if "*" in settings.cors_allow_origin:
        return "*"
    return list(settings.cors_allow_origin)
