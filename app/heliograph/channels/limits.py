"""What a channel takes in: sizes, and text that every database and client can hold.

NUL and half surrogate pairs pass JSON, but PostgreSQL refuses the first and no UTF-8
encoder takes the second; both are refused here, before anything is written.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from heliograph.errors import BadPayload, TooLarge

MAX_CONTENT = 100_000
"""Characters of a message."""

MAX_NAME = 200
"""Characters of a channel's name."""

MAX_DESCRIPTION = 2_000
"""Characters of a channel's description."""

MAX_REACTION = 100
"""Characters of a reaction's name."""

MAX_REACTIONS = 50
"""Different reactions to one message."""

MAX_EXTRA_BYTES = 65_536
"""Bytes of a message's ``data`` or ``meta`` as JSON."""

MAX_DEPTH = 64
"""Levels of nesting in them."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def text(value: str, path: str, *, most: int, least: int = 1) -> str:
    """``value``, if it fits.

    :raises TooLarge: longer than ``most`` characters.
    :raises BadPayload: shorter than ``least``, or not text that can be stored.
    """
    if len(value) > most:
        raise TooLarge(f"{path}: at most {most} characters, got {len(value)}", path=path)
    if len(value) < least:
        raise BadPayload(f"{path}: at least {least} character(s), got {len(value)}", path=path)
    if _UNSTORABLE.search(value):
        raise BadPayload(f"{path}: holds NUL or half a surrogate pair", path=path)
    return value


def line(value: str, path: str, *, most: int) -> str:
    """A name: :func:`text` without spaces around it and without control characters."""
    value = text(value.strip(), path, most=most)
    if _CONTROL.search(value):
        raise BadPayload(f"{path}: holds control characters", path=path)
    return value


def json_object(value: dict[str, Any] | None, path: str) -> dict[str, Any] | None:
    """A message's ``data`` or ``meta``, as it will be stored and sent.

    :raises TooLarge: over :data:`MAX_EXTRA_BYTES`.
    :raises BadPayload: nested deeper than :data:`MAX_DEPTH`, or without a JSON form.
    """
    if value is None:
        return None
    _check_depth(value, path)
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise BadPayload(f"{path}: cannot be sent as JSON: {error}", path=path) from None
    if len(encoded) > MAX_EXTRA_BYTES:
        raise TooLarge(
            f"{path}: at most {MAX_EXTRA_BYTES} bytes of JSON, got {len(encoded)}", path=path
        )
    # Once around: what has no JSON form (NaN) becomes null in the database as on the wire.
    normal: dict[str, Any] = orjson.loads(encoded)
    return normal


def _check_depth(value: Any, path: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise BadPayload(f"{path}: nested deeper than {MAX_DEPTH}", path=path)
