"""The application's own facts: version, configuration for clients, usage, probes."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response

from heliograph import __version__
from heliograph.edge.http.deps import TheServices
from heliograph.errors import ConfigurationError

router = APIRouter(tags=["system"])

_READY_SECONDS = 3.0


@router.get("/api/version")
async def version(services: TheServices) -> dict[str, str]:
    """The running version; pages reload when it changes."""
    return {"version": __version__, "deployment_id": services.settings.deployment_id}


@router.get("/api/config")
async def config(services: TheServices) -> dict[str, Any]:
    """What a client needs to know before it signs in. Times in seconds."""
    settings, live = services.settings, services.live
    return {
        "status": True,
        "name": "Heliograph",
        "version": __version__,
        "features": {
            "auth": True,
            "enable_signup": settings.enable_signup and not settings.jwt_jwks_url,
            "enable_websocket": settings.enable_websocket_support,
            "enable_channels": True,
            "enable_notes": True,
        },
        "socket": {
            "path": "/ws/socket.io",
            "transports": settings.transports,
            "heartbeat_interval": live.heartbeat_interval,
            "ping_interval": live.ping_interval,
            "ping_timeout": live.ping_timeout,
            "recovery_seconds": settings.connection_recovery_seconds,
            "call_timeout": live.caller_timeout,
            "max_message_bytes": settings.websocket_max_message_bytes,
        },
    }


@router.get("/api/usage")
async def usage(services: TheServices) -> dict[str, Any]:
    """Models in use and people connected, now, on all replicas."""
    return await services.sessions.summary()


@router.get("/health")
async def health() -> dict[str, bool]:
    """Whether the process is alive."""
    return {"status": True}


@router.get("/ready")
async def ready(services: TheServices, response: Response, new: bool = False) -> dict[str, Any]:
    """Whether requests can be served: the database answers, events come and go. A replica that
    drains is ready, for the sessions that it still has, but not when it has none and stays; asked
    for ``new`` ones it answers 404, which tells HAProxy (``disable-on-404``) to send no more."""
    draining = not services.drain.running
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await services.database.check()
    except (ConfigurationError, TimeoutError) as error:
        response.status_code = 503
        detail = str(error) or "the database does not answer"
        return {"status": False, "draining": draining, "detail": detail}
    backplane = services.backplane
    if backplane is not None and not backplane.available:
        response.status_code = 503
        detail = f"Redis: {backplane.why_unavailable}"
        return {"status": False, "draining": draining, "detail": detail}
    if services.drain.resting:
        # There is nobody whom a proxy would cut off.
        response.status_code = 503
        detail = "drained: this replica takes nobody, until the drain is taken back"
        return {"status": False, "draining": True, "detail": detail}
    if new and draining:
        response.status_code = 404
    return {"status": True, "draining": draining}
