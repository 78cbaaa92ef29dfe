"""The awareness of one document: which session speaks for which Yjs client.

A Yjs client id belongs to the session that used it first. What a session says about
another's is an echo (providers send back what they got) and is passed over, or a forgery
and is refused. States are kept only to be shown to whoever joins later, and to be taken
back when their session goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from heliograph.documents.awareness import (
    MAX_AWARENESS_BYTES,
    AwarenessState,
    Dialect,
    decode_awareness,
    dialect_of,
    encode_awareness,
    removal,
    rewrite,
)
from heliograph.documents.updates import coerce_update
from heliograph.documents.wire import BadUpdate
from heliograph.errors import Forbidden, HeliographError

MAX_CLIENTS = 8
"""Yjs clients one session may speak for in a document at once."""

_MAX_REMEMBERED = 1_000
COLOR = re.compile(r"#[0-9a-fA-F]{6}")


_NOBODY: Mapping[int, str] = MappingProxyType({})


class UnknownClients(Exception):
    """Nobody here holds a client id; whether somebody elsewhere does must be looked up."""


@dataclass(slots=True)
class _Holder:
    """The session a client id belongs to; its user once the session has gone."""

    sid: str | None
    user_id: str
    clock: int


@dataclass(slots=True)
class _Said:
    dialect: Dialect = "y-protocols"
    states: dict[int, AwarenessState] = field(default_factory=dict)


class Cursors:
    """The awareness of one document's sessions."""

    def __init__(self) -> None:
        self._holders: dict[int, _Holder] = {}
        self._said: dict[str, _Said] = {}

    def take(
        self,
        sid: str,
        user: dict[str, str],
        update: object,
        elsewhere: Mapping[int, str] | None = _NOBODY,
    ) -> bytes | None:
        """Read an awareness update of a session and return what to relay of it, if anything.

        :param user: ``{id, name, color}``, which every state is made to say.
        :param elsewhere: the users of client ids that sessions at other replicas hold; when
            that is ``None``, somebody has to find out.
        :raises UnknownClients: ``elsewhere`` is needed.
        :raises HeliographError: ``bad_update``, ``too_large``, ``client_id_taken`` or
            ``too_many_clients``; nothing was changed.
        """
        try:
            data = coerce_update(update, MAX_AWARENESS_BYTES)
            dialect = dialect_of(data)
            told = decode_awareness(data)
        except BadUpdate as error:
            code = "too_large" if error.code == "too_large" else "bad_update"
            raise HeliographError(str(error), code=code, path="update") from error
        own = []
        for each in told:
            if each.client_id not in self._holders and each.state is not None:
                if elsewhere is None:
                    raise UnknownClients
                # What it says of another's there is passed over: how new it is, is not known.
                if elsewhere.get(each.client_id, user["id"]) != user["id"]:
                    continue
            if self._is_own(sid, user["id"], each, dialect):
                own.append(each)
        if not own:
            return None
        said = self._said.get(sid, _Said())
        shown = {each.client_id for each in own if each.state is not None}
        if len(said.states.keys() | shown) > MAX_CLIENTS:
            raise HeliographError(
                f"one session may show at most {MAX_CLIENTS} cursors", code="too_many_clients"
            )
        clean = encode_awareness((_clean(each, user["color"]) for each in own), dialect)
        relayed = rewrite(clean, {"id": user["id"], "name": user["name"]})
        said.dialect = dialect
        self._said[sid] = said
        for each in decode_awareness(relayed):
            if each.state is None:
                said.states.pop(each.client_id, None)
            else:
                said.states[each.client_id] = each
            self._hold(each.client_id, _Holder(sid, user["id"], each.clock))
        return relayed

    def _is_own(self, sid: str, user_id: str, each: AwarenessState, dialect: Dialect) -> bool:
        holder = self._holders.get(each.client_id)
        if holder is None:
            return each.state is not None
        if holder.sid == sid:
            return True
        if holder.user_id == user_id:
            # The same person on a new connection. Without clocks only a released id can be
            # told from an echo.
            released = dialect == "json" and holder.sid is None
            if released or each.clock > holder.clock:
                return True
        if each.clock <= holder.clock + (each.state is None):
            return False  # an echo of what this session was told
        raise Forbidden(
            f"client id {each.client_id} belongs to another session", code="client_id_taken"
        )

    def _hold(self, client_id: int, holder: _Holder) -> None:
        before = self._holders.pop(client_id, None)
        if before is not None and before.sid not in (None, holder.sid):
            # The old connection has not broken yet.
            assert before.sid is not None
            self._said[before.sid].states.pop(client_id, None)
        self._holders[client_id] = holder
        if len(self._holders) > _MAX_REMEMBERED:
            gone = next((c for c, each in self._holders.items() if each.sid is None), None)
            if gone is not None:
                del self._holders[gone]

    def clients(self, sid: str) -> tuple[int, ...]:
        """The Yjs clients a session shows now."""
        said = self._said.get(sid)
        return tuple(sorted(said.states)) if said is not None else ()

    def of(self, sid: str) -> bytes | None:
        """What a session shows now, as an update; ``None`` for nothing."""
        said = self._said.get(sid)
        if said is None or not said.states:
            return None
        return encode_awareness(said.states.values(), said.dialect)

    def remove(self, sid: str) -> bytes | None:
        """Take back what a session shows; the update that says so, if it showed anything."""
        said = self._said.pop(sid, None)
        clocks: dict[int, int] = {}
        for client_id, holder in self._holders.items():
            if holder.sid == sid:
                holder.sid = None
                if said is not None and client_id in said.states:
                    clocks[client_id] = holder.clock
        return removal(clocks, said.dialect) if said is not None and clocks else None


def _clean(each: AwarenessState, color: str) -> AwarenessState:
    # A colour ends up in other people's style sheets.
    told: Any = each.state.get("user") if each.state is not None else None
    if each.state is None or (isinstance(told, dict) and _is_color(told.get("color"))):
        return each
    user = {**told, "color": color} if isinstance(told, dict) else {"color": color}
    return AwarenessState(each.client_id, each.clock, {**each.state, "user": user})


def _is_color(value: object) -> bool:
    return isinstance(value, str) and COLOR.fullmatch(value) is not None
