"""The Kubernetes API's own schemas, by release: whether a server would know every field.

The schemas are those of kubernetes-validate, which reads them anew for each object; here each is
kept. Strict ones refuse unknown fields, which a server drops with a warning at best.
"""

from __future__ import annotations

import re
from functools import cache

from jsonschema import Draft202012Validator
from kubernetes_validate.utils import all_versions, schema_contents
from referencing import Registry, Resource

from tests.chart.helm import Object

RELEASES = tuple(f"1.{minor}" for minor in range(29, 38))

CUSTOM = {"ServiceMonitor", "HTTPRoute", "BackendConfig"}
"""Kinds that are no part of Kubernetes, and have no schema here."""


def faults(found: Object, release: str) -> list[str]:
    """What a server of this release would not take, as ``path: reason``."""
    if found["kind"] in CUSTOM:
        return []
    validator = _validator(found["apiVersion"], found["kind"], release)
    return [
        f"{found['kind']} {found['metadata']['name']}: {error.json_path}: {error.message[:300]}"
        for error in validator.iter_errors(found)
    ]


@cache
def _folder(release: str) -> str:
    version = [each for each in all_versions() if each.startswith(f"{release}.")][-1]
    return f"kubernetes-json-schema/v{version}-local-strict"


@cache
def _definitions(release: str) -> Registry[Object]:
    contents = schema_contents(f"{_folder(release)}/_definitions.json", release)
    definitions: Resource[Object] = Resource.from_contents(contents)
    empty: Registry[Object] = Registry()
    return definitions @ empty


@cache
def _validator(api_version: str, kind: str, release: str) -> Draft202012Validator:
    # apps/v1 is apps-v1, networking.k8s.io/v1 is networking-v1.
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = schema_contents(f"{_folder(release)}/{kind.lower()}-{group}.json", release)
    registry = Resource.from_contents(schema) @ _definitions(release)
    return Draft202012Validator(schema, registry=registry)
