"""What the operator sees of Kubernetes: one picture, written by watches and by full lists.

Watches make it quick; lists make it right, since a watch that breaks off does not tell what was
deleted meanwhile. Both belong to one thread, the loop's.

Guarantee: a list never undoes what a watch told after the list was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from heliograph_operator.gateway import Gateway
from heliograph_operator.pods import Pod, is_cordoned, section

_T = TypeVar("_T")

Kind = Literal["pods", "nodes", "gateways"]


class World:
    """The picture.

    :ivar pods: those of the fleet that are not over, by name.
    :ivar gateways: by name.
    :ivar cordoned: names of nodes; ``None``: nodes are not seen.
    :ivar serves_gateways: whether the resource is known to the API server; ``None``: not asked.
    :ivar wake: set when something changed.
    """

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.gateways: dict[str, Gateway] = {}
        self.cordoned: set[str] | None = None
        self.serves_gateways: bool | None = None
        self.wake = asyncio.Event()
        self._count = 0
        self._changed: dict[tuple[Kind, str], int] = {}

    def mark(self) -> int:
        """A moment, for :meth:`replace`."""
        return self._count

    def event(self, kind: Kind, type: str | None, body: Any) -> None:
        """What a watch told.

        :param type: ``DELETED``, or any other.
        """
        name = section(body, "metadata").get("name")
        if not isinstance(name, str):
            return
        self._count += 1
        self._changed[kind, name] = self._count
        self._set(kind, name, None if type == "DELETED" else body)
        self.wake.set()

    def wrote(self, kind: Kind, body: Any) -> None:
        """What the API server answered to a write of ours, before a watch tells it."""
        name = section(body, "metadata").get("name")
        if isinstance(name, str) and name in self._known(kind):
            self._count += 1
            self._changed[kind, name] = self._count
            self._set(kind, name, body)

    def replace(self, kind: Kind, bodies: Iterable[Any], since: int) -> None:
        """What a list told.

        :param since: :meth:`mark` from before it was asked for.
        """
        listed = {
            name: body
            for body in bodies
            if isinstance(name := section(body, "metadata").get("name"), str)
        }
        if kind == "nodes" and self.cordoned is None:
            self.cordoned = set()
        for name in {*listed, *self._known(kind)}:
            if self._changed.get((kind, name), 0) <= since:
                self._set(kind, name, listed.get(name))
        for key in [key for key, count in self._changed.items() if count <= since]:
            del self._changed[key]

    def _known(self, kind: Kind) -> set[str]:
        if kind == "pods":
            return set(self.pods)
        return set(self.gateways) if kind == "gateways" else set(self.cordoned or ())

    def _set(self, kind: Kind, name: str, body: Any) -> None:
        if kind == "pods":
            _put(self.pods, name, Pod.of(body) if body is not None else None)
        elif kind == "gateways":
            _put(self.gateways, name, Gateway.of(body) if body is not None else None)
        elif self.cordoned is not None:
            if body is not None and is_cordoned(body):
                self.cordoned.add(name)
            else:
                self.cordoned.discard(name)


def _put(known: dict[str, _T], name: str, value: _T | None) -> None:
    if value is None:
        known.pop(name, None)
    else:
        known[name] = value
