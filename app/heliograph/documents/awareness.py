"""Who is where in a document: reading and writing awareness updates.

Purpose: the server relays awareness without keeping a document's state, but must know which clients
an update speaks for, put its own record of the user into it, and tell the others when a session has
gone.

Two dialects, told apart by the first byte: y-protocols (a count, then client id, clock and a JSON
text for each) and the one of Open WebUI's own client, UTF-8 JSON `{"<client id>": state}` without
clocks. What is rewritten keeps its dialect.

Limits: at most `max_states` states (fewer than 123, where the first byte would be a brace) and
`max_bytes` bytes. A state is a JSON object, or null for "gone". Awareness is volatile: nothing here
is stored.

Source: `y-protocols/awareness.js`, `encodeAwarenessUpdate` and `applyAwarenessUpdate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pycrdt import write_var_uint

from heliograph.documents.reader import MAX_INTEGER, BadUpdate, Reader

Dialect = Literal["y-protocols", "json"]

MAX_STATES = 100
MAX_AWARENESS_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AwarenessState:
    """One client's state.

    Its Yjs client id, its clock (0 in the JSON dialect), and a JSON object, or None for "gone".
    """

    client_id: int
    clock: int
    state: dict[str, Any] | None


def dialect_of(update: bytes) -> Dialect:
    """Which dialect an awareness update speaks."""
    return "json" if update[:1] == b"{" else "y-protocols"


def decode_awareness(
    update: bytes, *, max_states: int = MAX_STATES, max_bytes: int = MAX_AWARENESS_BYTES
) -> list[AwarenessState]:
    """Read an awareness update of either dialect.

    Args:
        update: as the client sent it.
        max_states: most states one update may carry.
        max_bytes: largest update.

    Raises:
        BadUpdate: `too_large` or `malformed`.
    """
    if len(update) > max_bytes:
        raise BadUpdate("too_large", f"{len(update)} bytes, and at most {max_bytes} are taken")
    states = _decode_json(update) if dialect_of(update) == "json" else _decode_binary(update)
    if len(states) > max_states:
        raise BadUpdate("too_large", f"{len(states)} states, and at most {max_states} are taken")
    return states


def encode_awareness(states: Iterable[AwarenessState], dialect: Dialect = "y-protocols") -> bytes:
    """Write an awareness update; the JSON dialect drops the clocks."""
    states = list(states)
    if dialect == "json":
        return _dump({str(each.client_id): each.state for each in states})
    out = bytearray(write_var_uint(len(states)))
    for each in states:
        text = _dump(each.state)
        out += write_var_uint(each.client_id) + write_var_uint(each.clock)
        out += write_var_uint(len(text)) + text
    return bytes(out)


def rewrite(
    update: bytes,
    user: Mapping[str, Any],
    *,
    max_states: int = MAX_STATES,
    max_bytes: int = MAX_AWARENESS_BYTES,
) -> bytes:
    """The same update with the server's record of the sender in every state.

    Args:
        update: as the client sent it.
        user: what `state.user` must say, at least `id` and `name`; its other keys (a colour) stay
            as the client set them.

    Raises:
        BadUpdate: see `decode_awareness`.
    """
    states = decode_awareness(update, max_states=max_states, max_bytes=max_bytes)
    return encode_awareness((_as_user(each, user) for each in states), dialect_of(update))


def removal(clocks: Mapping[int, int], dialect: Dialect = "y-protocols") -> bytes:
    """The update that says these clients are gone.

    Args:
        clocks: client id -> the last clock seen of it. The update carries the same, which
            receivers accept for "gone", so that a client which returns with the next one is shown.
    """
    gone = (AwarenessState(client_id, clock, None) for client_id, clock in clocks.items())
    return encode_awareness(gone, dialect)


def _as_user(each: AwarenessState, user: Mapping[str, Any]) -> AwarenessState:
    if each.state is None:
        return each
    told = each.state.get("user")
    merged = {**told, **user} if isinstance(told, dict) else dict(user)
    return AwarenessState(each.client_id, each.clock, {**each.state, "user": merged})


def _decode_binary(update: bytes) -> list[AwarenessState]:
    reader = Reader(update)
    states = []
    for _ in range(reader.count(3)):
        client_id, clock, text = reader.uint(), reader.uint(), reader.text()
        states.append(AwarenessState(client_id, clock, _object(_load(text)) if text else None))
    reader.done()
    return states


def _decode_json(update: bytes) -> list[AwarenessState]:
    try:
        told = _object(_load(update.decode()))
    except UnicodeDecodeError:
        raise BadUpdate("malformed", "awareness is not UTF-8") from None
    states = []
    for key, state in (told or {}).items():
        if not (key.isascii() and key.isdigit() and len(key) <= 16 and int(key) <= MAX_INTEGER):
            raise BadUpdate("malformed", f"{key[:40]!r} is no client id")
        states.append(AwarenessState(int(key), 0, _object(state)))
    return states


def _object(value: object) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise BadUpdate(
        "malformed", f"an awareness state is an object or null, not {type(value).__name__}"
    )


def _load(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadUpdate("malformed", f"awareness is not JSON: {str(error)[:100]}") from None
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _dump(value: object) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadUpdate("malformed", f"awareness is not JSON: {str(error)[:100]}") from None
