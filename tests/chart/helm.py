"""Helm, called as a library: the one place that knows how, so that a program could replace it.

Rendering is offline: ``lookup`` finds nothing, as on a first install. Helm refuses values that the
schema does not allow, and combinations that the chart does not, with ``Refused``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "charts" / "heliograph"
RELEASE = "fleet"
FULLNAME = "fleet-heliograph"
NAMESPACE = "chat"

Values = Mapping[str, Any]
Object = dict[str, Any]


class Refused(Exception):
    """Helm would not render these values; the text is what a person reads."""


@dataclass(frozen=True)
class Rendered:
    """What an install would send: objects in the order of their files, and NOTES.txt."""

    files: dict[str, str]
    objects: list[Object] = field(default_factory=list)

    @property
    def notes(self) -> str:
        """NOTES.txt."""
        return self.files["heliograph/templates/NOTES.txt"]

    def all(self, kind: str, component: str | None = None) -> list[Object]:
        """The objects of a kind, or those of one component."""
        return [
            found
            for found in self.objects
            if found["kind"] == kind
            and component in (None, found["metadata"]["labels"].get("app.kubernetes.io/component"))
        ]

    def one(self, kind: str, name: str = FULLNAME) -> Object:
        """The object of this kind and name."""
        found = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        names = [each["metadata"]["name"] for each in self.all(kind)]
        assert len(found) == 1, f"{kind} {name}: {len(found)} found, there are {names}"
        return found[0]

    def has(self, kind: str, name: str = FULLNAME) -> bool:
        """Whether there is such an object."""
        return any(each["metadata"]["name"] == name for each in self.all(kind))


@cache
def chart() -> helm_python.Chart:
    """The chart of this repository."""
    return helm_python.Chart.load(CHART)


def values_file(path: Path) -> dict[str, Any]:
    """A file of values."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def nested(**paths: Any) -> dict[str, Any]:
    """Values by their paths: ``nested(app__replicas=1)`` is ``{"app": {"replicas": 1}}``."""
    values: dict[str, Any] = {}
    for path, value in paths.items():
        *parents, last = path.split("__")
        at = values
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return values


def merged(base: Values, over: Values) -> dict[str, Any]:
    """``over`` laid on ``base``, as Helm does with one values file after another."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def render(values: Values, *, name: str = RELEASE, upgrade: bool = False) -> Rendered:
    """Render as an install (or an upgrade) of release ``name`` would.

    :raises Refused: with Helm's words.
    """
    try:
        files = chart().render(
            dict(values), name=name, namespace=NAMESPACE, is_install=not upgrade, is_upgrade=upgrade
        )
    except helm_python.HelmError as error:
        raise Refused(str(error)) from None
    objects = [
        found
        for path, text in sorted(files.items())
        if path.endswith(".yaml")
        for found in yaml.load_all(text, yaml.CSafeLoader)
        if found
    ]
    return Rendered(files, objects)


@cache
def _rendered(values: str) -> Rendered:
    return render(json.loads(values))


def rendered(values: Values) -> Rendered:
    """As :func:`render`, once for the same values: only to be read."""
    return _rendered(json.dumps(values))


def lint(values: Values) -> list[str]:
    """What ``helm lint --strict`` finds wrong: warnings and errors."""
    report = helm_python.lint(CHART, dict(values), strict=True, namespace=NAMESPACE)
    findings = [
        f"{message['path']}: {message['error']}"
        for message in report["messages"]
        if message["severity"] >= 2
    ]
    return findings + list(report["errors"])
