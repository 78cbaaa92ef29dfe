"""The CustomResourceDefinition as an API server reads it, without one.

Written from https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
(structural schemas, defaulting, pruning, validation rules): defaults are filled in first, unknown
fields are dropped, then the schema is checked, then the rules, in CEL.

Limit: what a rule may cost is known to a server only. It takes ``string(number)`` to be of any
length, so a ``messageExpression`` with one is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import yaml
from cel import evaluate
from jsonschema import Draft202012Validator

from tests.chart.helm import CHART, Object

FILE = CHART / "files" / "operator" / "crd.yaml"

_FORBIDDEN = {
    "$ref", "additionalItems", "definitions", "dependencies", "deprecated", "discriminator", "id",
    "patternProperties", "readOnly", "writeOnly", "xml",
}  # fmt: skip
_TYPES = {"array", "boolean", "integer", "number", "object", "string"}
_ABSENT = object()


def definition() -> Object:
    """The CRD as it is in the chart."""
    loaded: Object = yaml.safe_load(FILE.read_text())
    return loaded


def schema() -> Object:
    """The schema of its one version."""
    (version,) = definition()["spec"]["versions"]
    found: Object = version["schema"]["openAPIV3Schema"]
    return found


def nodes(node: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    """Every schema within a schema, with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


def unstructural(whole: Object) -> list[str]:
    """What keeps a schema from being structural, or a default from being one; a sentence each."""
    found = []
    for path, node in nodes(whole):
        where = path or "the root"
        if node.get("type") not in _TYPES:
            found.append(f"{where} has type {node.get('type')}")
        found += [f"{where} has {name}" for name in sorted(node.keys() & _FORBIDDEN)]
        if "properties" in node and "additionalProperties" in node:
            found.append(f"{where} has both properties and additionalProperties")
        keys = node.get("x-kubernetes-list-map-keys", [])
        missing = {*keys} - {*node.get("items", {}).get("required", [])}
        found += [f"{where}: the key {key} is not required" for key in sorted(missing)]
        if "default" in node:
            found += [f"{where}: the default: {fault}" for fault in _of_default(node)]
    return found


def _of_default(node: Object) -> list[str]:
    # A server holds a default against everything, but for the defaults within it.
    unknown = [f"{path} is unknown" for path in unknown_fields(node, node["default"])]
    return unknown + _faults(node, node["default"], _ABSENT)


def defaulted(node: Object, value: Any) -> Any:
    """A copy with the defaults filled in; a null counts as left out where there is one."""
    if isinstance(value, list) and "items" in node:
        return [defaulted(node["items"], each) for each in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for name, child in node.get("properties", {}).items():
        if "default" in child and result.get(name) is None:
            result[name] = copy.deepcopy(child["default"])
        if name in result:
            result[name] = defaulted(child, result[name])
    return result


def unknown_fields(node: Object, value: Any, path: str = "") -> list[str]:
    """Paths of the fields that a server would drop."""
    if isinstance(value, list):
        return [each for part in value for each in unknown_fields(node["items"], part, f"{path}[]")]
    if not isinstance(value, dict) or path == "metadata":
        return []
    known = node.get("properties", {})
    found = []
    for name, part in value.items():
        where = f"{path}.{name}".lstrip(".")
        found += unknown_fields(known[name], part, where) if name in known else [where]
    return found


def refusals(resource: Object, before: Object | None = None) -> list[str]:
    """What a server says against a resource, or against its change from ``before``.

    It drops unknown fields; here they are faults.
    """
    whole = schema()
    found = [f"{path}: unknown field" for path in unknown_fields(whole, resource)]
    old = _ABSENT if before is None else defaulted(whole, before)
    return found + _faults(whole, defaulted(whole, resource), old)


def _faults(node: Object, value: Any, old: Any) -> list[str]:
    checker = Draft202012Validator(node, format_checker=Draft202012Validator.FORMAT_CHECKER)
    found = [f"{each.json_path}: {each.message[:200]}" for each in checker.iter_errors(value)]
    # The rules of what has another shape cannot be read.
    return found or list(_rules(node, value, old))


def _rules(node: Object, value: Any, old: Any) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", []):
        names = {"self": _typed(node, value)}
        if "oldSelf" in rule["rule"]:
            if old is _ABSENT:
                continue
            names["oldSelf"] = _typed(node, old)
        try:
            holds = evaluate(rule["rule"], names)
        except (KeyError, TypeError, ValueError) as error:
            yield f"{rule['rule']}: {error}"
            continue
        if not holds:
            said = rule.get("messageExpression")
            yield str(evaluate(said, names)) if said else rule["message"]
    for name, child in node.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            was = old.get(name, _ABSENT) if isinstance(old, dict) else _ABSENT
            yield from _rules(child, value[name], was)
    # Elements of a list have no rules here.


def _typed(node: Object, value: Any) -> Any:
    """As a rule sees it: a number is a double, however it was written."""
    if node["type"] == "number":
        return float(value)
    if isinstance(value, dict):
        known = node.get("properties", {})
        return {name: _typed(known[name], part) for name, part in value.items() if name in known}
    return value
