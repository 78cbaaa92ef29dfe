"""The errors a client or an operator may see.

Every refusal carries a stable ``code`` and a sentence that says what to do. The
edge turns them into an error ack, an ``error`` event or an HTTP answer; nothing
else in the project builds such payloads.
"""

from __future__ import annotations

from typing import Any


class HeliographError(Exception):
    """A refusal with a stable code.

    :param message: one sentence for a person, naming the value or id.
    :param code: stable, machine-readable; defaults to the class's code.
    :param path: where in the payload the fault is, e.g. ``data.type``.
    """

    code = "error"
    status = 400

    def __init__(self, message: str, *, code: str | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        if code is not None:
            self.code = code

    def as_dict(self) -> dict[str, Any]:
        """``{code, message}``, and ``path`` when the fault has a place."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.path is not None:
            body["path"] = self.path
        return body


class BadPayload(HeliographError):
    """The payload does not fit its typed model."""

    code = "bad_payload"
    status = 422


class Unauthenticated(HeliographError):
    """No identity.

    Codes: ``token_missing``, ``token_invalid``, ``token_expired``, ``user_unknown``.
    """

    code = "token_invalid"
    status = 401


class Forbidden(HeliographError):
    """Known, but not allowed."""

    code = "forbidden"
    status = 403


class NotFound(HeliographError):
    """No such thing, or none that the caller may know of."""

    code = "not_found"
    status = 404


class Conflict(HeliographError):
    """The state of the thing does not allow it."""

    code = "conflict"
    status = 409


class TooLarge(HeliographError):
    """Over a stated size."""

    code = "too_large"
    status = 413


class RateLimited(HeliographError):
    """Too many in too short a time."""

    code = "rate_limited"
    status = 429


class Unavailable(HeliographError):
    """A service this needs does not answer now."""

    code = "unavailable"
    status = 503


class CallFailed(HeliographError):
    """A call into the browser got no answer.

    Codes: ``session_gone`` (no such session, or another user's), ``call_timeout``.
    """

    code = "session_gone"
    status = 409


class ConfigurationError(Exception):
    """A setting is bad; the message names its variable. The process exits with 2."""
