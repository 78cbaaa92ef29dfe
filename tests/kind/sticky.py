"""Stickiness: sessions that poll stay with their replica, until that one drains."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.kind.cluster import Cluster, run
from tests.kind.faults import REPLICAS, app_whole

CLIENTS = 100
SECONDS = 6.0
_SCRIPT = Path(__file__).parent.parent / "clients" / "sticky.js"
_HANDSHAKE = "/ws/socket.io/?EIO=4&transport=polling"


async def cookie_name(url: str) -> str:
    """The name of the cookie that the way in gives. :raises AssertionError: it gives none."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        answer = await http.get(_HANDSHAKE)
    names = list(answer.cookies)
    assert len(names) == 1, f"A handshake ({answer.status_code}) got the cookies {names}, not one"
    return names[0]


async def polling_only(url: str, token: str) -> str:
    """A hundred polling clients at once, over all replicas; what was seen, as a sentence.

    :raises AssertionError: any error, or a replica without clients.
    """
    cookie = await cookie_name(url)
    setup = {"url": url, "token": token, "cookie": cookie, "clients": CLIENTS, "seconds": SECONDS}
    told = await run("node", str(_SCRIPT), given=json.dumps(setup) + "\n", timeout=90)
    seen: dict[str, Any] = json.loads(told)
    assert not seen["errors"], f"Polling clients met errors: {seen['errors']}"
    assert seen["connected"] == CLIENTS, f"{seen['connected']} of {CLIENTS} clients stayed"
    spread = sorted(seen["cookies"].values(), reverse=True)
    assert len(spread) == REPLICAS, f"The cookie `{cookie}` names {len(spread)} replicas: {spread}"
    shares = ", ".join(map(str, spread))
    return f"{CLIENTS} clients on {REPLICAS} replicas ({shares}), {seen['calls']} calls, no error"


@dataclass(frozen=True, slots=True)
class _Handshake:
    status: int
    cookie: str | None
    expired: bool


async def draining_cookie(cluster: Cluster, url: str) -> str:
    """Delete a pod; who comes back to it with its cookie is sent to another one, once.

    :raises AssertionError: the cookie is followed, or not expired, or another's is not followed.
    """
    cookie = await cookie_name(url)
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        known: dict[str, int] = Counter()
        for _ in range(REPLICAS * 10):
            given = await _shake_hands(http, cookie)
            assert given.status == 200, f"A handshake was answered {given.status}"
            assert given.cookie, f"A handshake without a cookie did not get `{cookie}`"
            known[given.cookie] += 1
            if len(known) == REPLICAS:
                break
        assert len(known) == REPLICAS, f"Handshakes went to {len(known)} replicas of {REPLICAS}"
        victim = (await cluster.pods("app"))[0]
        await cluster.delete_pods(victim.name)
        refused = await _until_refused(http, cookie, list(known))
        for other in set(known) - {refused}:
            again = await _shake_hands(http, cookie, other)
            assert again.status == 200, f"A replica that lives answered {again.status}"
            assert again.cookie in (None, other), "A cookie of a replica that lives was changed"
        anew = await _shake_hands(http, cookie)
        assert anew.status == 200, f"The next attempt was answered {anew.status}, not let in"
        assert anew.cookie not in (None, refused), "The next attempt was sent to the same replica"
    await app_whole(cluster)
    return "503 with the cookie expired; the next attempt was let in by another replica"


async def _until_refused(http: httpx.AsyncClient, cookie: str, known: list[str]) -> str:
    """The cookie with which a handshake was refused, once the pod has begun to drain."""
    for _ in range(100):
        for value in known:
            given = await _shake_hands(http, cookie, value)
            if given.status == 503:
                assert given.expired, f"503 came without `{cookie}` expired"
                return value
            assert given.status == 200, f"A handshake with a cookie was answered {given.status}"
            # Once the pod is gone its cookie is exchanged for another's: too late to see.
            assert given.cookie in (None, value), "The draining replica's cookie was replaced"
        await asyncio.sleep(0.1)
    raise AssertionError("No handshake was refused within 10 s of a pod's deletion")


async def _shake_hands(http: httpx.AsyncClient, cookie: str, value: str = "") -> _Handshake:
    headers = {"Cookie": f"{cookie}={value}"} if value else {}
    http.cookies.clear()
    answer = await http.get(_HANDSHAKE, headers=headers)
    lines = [line for line in answer.headers.get_list("set-cookie") if line.startswith(cookie)]
    expired = any("max-age=0" in line.lower() for line in lines)
    given = [line.split(";")[0].split("=", 1)[1] for line in lines]
    return _Handshake(answer.status_code, next(filter(None, given), None), expired)
