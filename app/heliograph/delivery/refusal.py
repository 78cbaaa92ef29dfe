"""How a handshake is refused, and whom that concerns.

With the refusal goes the proxy's sticky cookie, which would bring the client back to here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What every handshake is answered with.

    :ivar body: JSON text.
    :ivar parting: headers for the last answer to a client that polls, and for the websocket of a
        browser, which is opened for that and closed.
    """

    status: str
    headers: Headers
    body: bytes
    parting: Headers

    @classmethod
    def of(cls, *, code: str, why: str, expiry: Headers) -> Refusal:
        """503 as JSON ``{detail, code}``; ``expiry``: headers that expire the sticky cookie."""
        headers = [("Retry-After", "1"), ("Cache-Control", "no-store"), *expiry]
        body = orjson.dumps({"detail": why, "code": code})
        return cls("503 SERVICE UNAVAILABLE", headers, body, expiry)


@dataclass(frozen=True, slots=True)
class Shedding:
    """Clients are being moved elsewhere, and newcomers are welcome.

    :ivar cookie: name of the proxy's sticky cookie.
    """

    cookie: str
    refusal: Refusal

    def concerns(self, environ: dict[str, Any]) -> bool:
        """Whether a handshake comes from a client that was here before."""
        cookies = str(environ.get("HTTP_COOKIE", "")).split(";")
        return any(one.strip().partition("=")[0] == self.cookie for one in cookies)


def expiry_of(cookie: str, attributes: str) -> Headers:
    """The headers that expire a cookie, none for no cookie. Source: RFC 6265, section 5.3: the
    domain and path must be those with which it was set."""
    if not cookie:
        return []
    return [("Set-Cookie", "; ".join(filter(None, (f"{cookie}=", "Max-Age=0", attributes))))]
