"""What emitter and caller accept: types, their aliases, and the shape of each one's data.

One table; an unknown type or a wrong shape is refused with the place of the fault.
Fields beyond those named pass through, as clients may understand more than we do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from heliograph.chat.text import clean_json
from heliograph.errors import BadPayload, CallFailed

_Text = Annotated[str, StringConstraints(max_length=4 * 1024 * 1024)]
_Label = Annotated[str, StringConstraints(max_length=10_000)]
_Things = Annotated[list[Any], Field(max_length=1_000)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Status(_Open):
    description: _Label
    done: bool = False
    hidden: bool = False


class _Content(_Open):
    content: _Text


class _Embeds(_Open):
    embeds: _Things
    replace: bool = False


class _Files(_Open):
    files: _Things


class _Source(_Open):
    type: str | None = None
    source: dict[str, Any] | None = None
    document: _Things = []
    metadata: _Things = []


class _Failure(_Open):
    error: Any


class _FollowUps(_Open):
    follow_ups: Annotated[list[_Label], Field(max_length=100)]


class _Active(_Open):
    active: bool


class _Notification(_Open):
    type: _Label = "info"
    content: _Label


class _Dialog(_Open):
    title: _Label = ""
    message: _Label = ""


class _Code(_Open):
    code: _Text


class _ToolServer(_Open):
    url: _Label


class _ToolCall(_Open):
    name: _Label
    params: dict[str, Any] = {}
    server: _ToolServer | None = None


class _Completion(_Open):
    form_data: dict[str, Any]


# The alias on the right is the one the contract's table of database actions uses.
ALIASES = {
    "chat:message:delta": "message",
    "chat:message": "replace",
    "chat:message:files": "files",
    "chat:message:embeds": "embeds",
    "citation": "source",
}

_EMITTED: dict[str, TypeAdapter[Any]] = {
    "status": TypeAdapter(_Status),
    "message": TypeAdapter(_Content),
    "replace": TypeAdapter(_Content),
    "embeds": TypeAdapter(_Embeds),
    "files": TypeAdapter(_Files),
    "source": TypeAdapter(_Source),
    "chat:completion": TypeAdapter(_Open),
    "chat:title": TypeAdapter(_Label),
    "chat:tags": TypeAdapter(Any),
    "chat:tasks:cancel": TypeAdapter(Any),
    "chat:active": TypeAdapter(_Active),
    "chat:list": TypeAdapter(Any),
    "chat:message:error": TypeAdapter(_Failure),
    "chat:message:follow_ups": TypeAdapter(_FollowUps),
    "notification": TypeAdapter(_Notification),
}

_CALLED: dict[str, TypeAdapter[Any]] = {
    "confirmation": TypeAdapter(_Dialog),
    "input": TypeAdapter(_Dialog),
    "execute:python": TypeAdapter(_Code),
    "execute:tool": TypeAdapter(_ToolCall),
    "request:chat:completion": TypeAdapter(_Completion),
}


@dataclass(frozen=True, slots=True)
class Emitted:
    """One event: ``kind`` as it was sent, ``action`` its short name, ``data`` clean JSON."""

    kind: str
    action: str
    data: Any


def parse_emitted(event: Any) -> Emitted:
    """Read ``{type, data}`` for the emitter.

    :raises BadPayload: code ``unknown_type``, or a wrong shape with its path.
    """
    kind, data = _split(event)
    action = ALIASES.get(kind, kind)
    if action not in _EMITTED:
        hint = "; it is a call, not an event" if kind in _CALLED else ""
        raise BadPayload(f"unknown event type {kind!r}{hint}", code="unknown_type", path="type")
    clean = clean_json(data)
    _check(_EMITTED[action], clean)
    if action == "source" and not clean.get("type") and clean.get("source") is None:
        raise BadPayload("data.source: a source without type needs one", path="data.source")
    return Emitted(kind, action, clean)


def parse_called(event: Any) -> tuple[str, dict[str, Any]]:
    """Read ``{type, data}`` for the caller; returns the type and the data.

    :raises BadPayload: code ``unknown_type``, or a wrong shape with its path.
    :raises CallFailed: ``not_supported`` for ``execute``: no JavaScript is run in a page.
    """
    kind, data = _split(event)
    if kind == "execute":
        raise CallFailed(
            "execute is not supported: this server never runs JavaScript in a page; "
            "use execute:python or a tool",
            code="not_supported",
        )
    if kind not in _CALLED:
        raise BadPayload(f"unknown call type {kind!r}", code="unknown_type", path="type")
    clean = clean_json({} if data is None else data)
    _check(_CALLED[kind], clean)
    return kind, clean


def _split(event: Any) -> tuple[str, Any]:
    if not isinstance(event, Mapping):
        raise BadPayload(f"expected {{type, data}}, got {type(event).__name__}", path="")
    kind = event.get("type")
    if not isinstance(kind, str):
        raise BadPayload("type: expected a string", path="type")
    return kind[:100], event.get("data")


def _check(adapter: TypeAdapter[Any], data: Any) -> None:
    try:
        adapter.validate_python(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(["data", *map(str, fault["loc"])])
        raise BadPayload(f"{path}: {fault['msg']}", path=path) from None
