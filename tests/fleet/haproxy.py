"""HAProxy in front of replicas: sticky sessions by a cookie, websockets, health checks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.support.processes import Process, free_port

# Longer than WEBSOCKET_SERVER_PING_INTERVAL + WEBSOCKET_SERVER_PING_TIMEOUT, 25 s + 20 s.
_IDLE_SECONDS = 60

_CONFIG = """\
global
    # Servers that come and go; not the requests.
    log stdout format raw local0 notice

defaults
    log global
    mode http
    option forwardfor
    timeout connect 2s
    timeout queue 5s
    # A long poll and a websocket are silent between two pings.
    timeout client {idle}s
    timeout server {idle}s
    timeout tunnel {idle}s
    timeout check 4s
    # A replica that is gone: another one takes the request, and the cookie is set anew. So too
    # a handshake that one refuses (503) because it is about to end.
    retries 2
    option redispatch 1

frontend heliograph
    bind 127.0.0.1:{port}
    default_backend replicas

backend replicas
    # Websockets stay for long: the one with the fewest takes the next.
    balance leastconn
    # Polling needs it: a session's requests all go to the replica that has it. A replica that
    # ends expires it (STICKY_COOKIE), which HAProxy would take out without `preserve`.
    cookie {cookie} insert indirect nocache preserve
{again}    # No replica is ready without Redis; sessions stay where they are then.
    force-persist if {{ nbsrv(replicas) eq 0 }}
    option httpchk GET /ready?new=true
    http-check expect status 200
    # One that is about to end: only those with its cookie still go there.
    http-check disable-on-404
    # One that is gone is out within two seconds. One that is slow stays longer: its polling
    # sessions would be lost, at replicas that are no quicker.
    default-server check inter 1s fastinter 500ms fall 3 rise 1
{servers}
"""


# Nothing else is tried again: a request that failed may have had its effect.
_AGAIN = """\
    retry-on conn-failure empty-response 503
    http-request disable-l7-retry unless {{ path_beg /ws/socket.io }} {{ method GET }}
"""

STICKY_COOKIE = "SERVERID"
"""The cookie; replicas are to be told its name."""


class Server(Protocol):
    """Something on a port of this machine."""

    @property
    def name(self) -> str:
        """Its name in the configuration and in the cookie."""

    @property
    def port(self) -> int:
        """Where it listens."""


def find_haproxy() -> str:
    """The program; Debian puts it where only root's PATH looks."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which("haproxy", path=path)
    if found is None:
        raise RuntimeError("HAProxy is missing: apt-get install haproxy")
    return found


class HAProxy:
    """One HAProxy in front of ``replicas``.

    :param again: try a refused handshake at another replica. Most proxies cannot do that.
    """

    def __init__(
        self, folder: Path, replicas: Sequence[Server], port: int = 0, *, again: bool = True
    ) -> None:
        self.port = port or free_port()
        # A name: aiohttp, which the Python client is made of, keeps no cookies of bare addresses.
        self.url = f"http://localhost:{self.port}"
        file = folder / "haproxy.cfg"
        servers = "\n".join(
            f"    server {replica.name} 127.0.0.1:{replica.port} cookie {replica.name}"
            for replica in replicas
        )
        given = {
            "idle": _IDLE_SECONDS,
            "port": self.port,
            "servers": servers,
            "cookie": STICKY_COOKIE,
            "again": _AGAIN.format() if again else "",
        }
        file.write_text(_CONFIG.format(**given))
        self.process = Process([find_haproxy(), "-db", "-f", file], folder / "haproxy.log")
