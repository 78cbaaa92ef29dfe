"""From an inbound event to a handler: find, authorise, validate, answer.

A handler is registered with the model of its payload and gets ``(session, payload)``;
what it returns is the ack. It refuses by raising :class:`HeliographError`. Anything a
client may send wrong (type, size, depth, a missing field, an unknown event) is refused
here, before any feature sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from heliograph.delivery import Inbound, Session
from heliograph.errors import BadPayload, HeliographError, Unauthenticated

P = TypeVar("P", bound=BaseModel)
EventHandler = Callable[[Session, P], Awaitable[Any]]
RawHandler = Callable[[Session, Inbound], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class _Route:
    model: type[BaseModel]
    handler: EventHandler[Any]
    public: bool


class Gateway:
    """The events this server understands."""

    def __init__(self) -> None:
        self._routes: dict[str, _Route] = {}
        self._dynamic: list[RawHandler] = []

    def on(
        self, *names: str, model: type[P], public: bool = False
    ) -> Callable[[EventHandler[P]], EventHandler[P]]:
        """Register a handler of one event under its name and aliases.

        :param public: also for sessions without a user (``ALWAYS_CONNECT``).
        """

        def register(handler: EventHandler[P]) -> EventHandler[P]:
            for name in names:
                self._routes[name] = _Route(model, handler, public)
            return handler

        return register

    def on_dynamic(self, handler: RawHandler) -> None:
        """Register a handler of events whose names are made at run time; it returns
        whether the event was its own."""
        self._dynamic.append(handler)

    async def __call__(self, session: Session, event: Inbound) -> None:
        """Handle one event of a session and answer it.

        :raises HeliographError: refused; nothing was changed.
        """
        route = self._routes.get(event.name)
        if route is None:
            for dynamic in self._dynamic:
                if session.user is not None and await dynamic(session, event):
                    return
            raise HeliographError(f"no such event: {event.name}", code="unknown_event")
        if session.user is None and not route.public:
            raise Unauthenticated("send user-join with a token first", code="token_missing")
        payload = parse(route.model, event.args[0] if event.args else {})
        result = await route.handler(session, payload)
        if event.ack_id is not None:
            session.acknowledge(event.ack_id, result)


def parse(model: type[P], raw: Any) -> P:
    """Validate a payload.

    :raises BadPayload: saying what and where; long values are not repeated.
    """
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise BadPayload(f"expected an object, got {type(raw).__name__}", path="")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, fault["loc"]))
        raise BadPayload(f"{path or 'payload'}: {fault['msg']}", path=path) from None
