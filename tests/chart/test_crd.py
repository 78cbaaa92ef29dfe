"""The CustomResourceDefinition: what a server takes and refuses, and that the operator agrees."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from heliograph_operator import status
from heliograph_operator.gateway import GROUP, KIND, PLURAL, VERSION, Gateway, Spec
from heliograph_operator.plans import autotune, drains, tuning
from heliograph_operator.pods import Pod
from heliograph_operator.reports import NAMES, Report, by_pod
from tests.chart.cases import FILES
from tests.chart.crd import (
    defaulted,
    definition,
    nodes,
    refusals,
    schema,
    unknown_fields,
    unstructural,
)
from tests.chart.helm import Object, merged, rendered
from tests.docs.pages import DOCS, blocks

SPEC: Object = schema()["properties"]["spec"]
NOW = "2026-11-25T03:00:00Z"


def resource(**spec: Any) -> Object:
    """A resource with this spec besides its Deployment."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": "fleet", "generation": 3},
        "spec": {"deployment": "fleet", **spec},
    }


def read(body: Object) -> Gateway:
    """What the operator reads of it, with the server's defaults."""
    found = Gateway.of(defaulted(schema(), body))
    assert found is not None
    return found


def test_the_schema_is_structural() -> None:
    assert unstructural(schema()) == []


def test_the_checker_finds_what_is_not() -> None:
    broken = schema()
    spec = broken["properties"]["spec"]["properties"]
    spec["deployment"]["$ref"] = "#/elsewhere"
    del spec["settings"]["type"]
    spec["drain"]["default"] = {"cordonedNode": True}
    spec["autotune"]["default"] = {"enabled": "yes"}
    # Without the defaults within it, it has no min, which its rule reads.
    spec["autotune"]["properties"]["pingIntervalSeconds"]["default"] = {}
    assert unstructural(broken) == [
        "spec.deployment has $ref",
        "spec.settings has type None",
        "spec.autotune: the default: $.enabled: 'yes' is not of type 'boolean'",
        "spec.autotune.pingIntervalSeconds: the default: self.min <= self.max: 'min'",
        "spec.drain: the default: cordonedNode is unknown",
    ]


def test_every_field_says_what_it_is() -> None:
    silent = [path for path, node in nodes(schema()) if "description" not in node]
    # What is in `metadata`, and what an element of a list is, need no words.
    assert [path for path in silent if not path.endswith("[]")] == ["metadata"]


def test_its_names_are_those_that_the_operator_watches() -> None:
    found = definition()
    names = found["spec"]["names"]
    assert found["metadata"]["name"] == f"{PLURAL}.{GROUP}"
    assert (found["spec"]["group"], names["plural"], names["kind"]) == (GROUP, PLURAL, KIND)
    assert [each["name"] for each in found["spec"]["versions"]] == [VERSION]
    assert found["spec"]["scope"] == "Namespaced"
    assert found["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_its_columns_lead_to_what_there_is() -> None:
    known = {path for path, _ in nodes(schema())} | {"metadata.creationTimestamp"}
    for column in definition()["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[]", column["jsonPath"])
        assert path.removeprefix(".") in known, column["name"]


def _rule(sentence: str, **spec: Any) -> tuple[Object, str]:
    return resource(**spec), sentence


_TUNED = {"enabled": True}
RULES: dict[str, tuple[Object, str]] = {
    "longer than the proxy's patience": _rule(
        "settings.pingIntervalSeconds + settings.pingTimeoutSeconds (25 and 20 where they are left "
        "out) must be less than proxyTimeoutSeconds, or the proxy cuts connections that are alive: "
        "lower them, or raise the proxy's timeout and this value with it.",
        proxyTimeoutSeconds=60,
        settings={"pingIntervalSeconds": 40},
    ),
    "tuned beyond the proxy's patience": _rule(
        "autotune.pingIntervalSeconds.max + autotune.pingTimeoutSeconds.max must be less than "
        "proxyTimeoutSeconds: lower them, or raise the proxy's timeout and this value with it.",
        proxyTimeoutSeconds=120,
        autotune=_TUNED,
    ),
    "a ping interval that tuning cannot begin from": _rule(
        "settings.pingIntervalSeconds, where autotune begins, must lie within "
        "autotune.pingIntervalSeconds: change one of them.",
        settings={"pingIntervalSeconds": 5},
        autotune=_TUNED,
    ),
    "a ping timeout that tuning cannot begin from": _rule(
        "settings.pingTimeoutSeconds, where autotune begins, must lie within "
        "autotune.pingTimeoutSeconds: change one of them.",
        settings={"pingTimeoutSeconds": 90},
        autotune=_TUNED,
    ),
    "a lock timeout that tuning cannot begin from": _rule(
        "settings.lockTimeoutSeconds, where autotune begins, must lie within "
        "autotune.lockTimeoutSeconds: change one of them.",
        settings={"lockTimeoutSeconds": 29.5},
        autotune=_TUNED,
    ),
    "bounds of the ping interval": _rule(
        "min must not be more than max: exchange them.",
        autotune={"pingIntervalSeconds": {"min": 61}},
    ),
    "bounds of the ping timeout": _rule(
        "min must not be more than max: exchange them.",
        autotune={"pingTimeoutSeconds": {"max": 9}},
    ),
    "bounds of the lock timeout": _rule(
        "min must not be more than max: exchange them.",
        autotune={"lockTimeoutSeconds": {"min": 40, "max": 30}},
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_refuses_in_its_sentence(rule: str) -> None:
    body, sentence = RULES[rule]
    assert refusals(body) == [sentence]


def test_the_deployment_cannot_be_changed() -> None:
    other = merged(resource(), {"spec": {"deployment": "other"}})
    assert refusals(other, resource()) == [
        "deployment is fleet and cannot be changed: make another RealtimeGateway for other."
    ]
    assert refusals(resource(proxyTimeoutSeconds=100), resource()) == []


def test_every_rule_is_tested() -> None:
    rules = [
        rule for _, node in nodes(schema()) for rule in node.get("x-kubernetes-validations", [])
    ]
    assert len(rules) == len(RULES) + 1
    assert all(rule["message"].endswith(".") for rule in rules)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"settings": None, "autotune": None, "drain": None, "rebalance": None},
        {"proxyTimeoutSeconds": 46},
        {"proxyTimeoutSeconds": 60, "settings": {"pingIntervalSeconds": 39.5}},
        {"proxyTimeoutSeconds": 100},  # the bounds count only with autotune
        {"proxyTimeoutSeconds": 121, "autotune": _TUNED},
        {"settings": {"pingIntervalSeconds": 5}},
        {"settings": {"pingIntervalSeconds": 10, "lockTimeoutSeconds": 300}, "autotune": _TUNED},
        {"autotune": {"pingIntervalSeconds": {"min": 30, "max": 30}}},
    ],
    ids=str,
)
def test_what_just_fits_is_taken_and_followed(spec: Object) -> None:
    assert refusals(resource(**spec)) == []
    assert read(resource(**spec)).problem == ""


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"deployment": ""}, "''"),
        ({"deployment": "Fleet"}, "'Fleet' does not match"),
        ({"settings": {"pingIntervalSeconds": "10"}}, "'10' is not of type 'number'"),
        ({"settings": {"logLevel": "loud"}}, "'loud' is not one of"),
        ({"settings": {"pingInterval": 10}}, "spec.settings.pingInterval: unknown field"),
        ({"proxyTimeoutSeconds": 3600.5}, "3600.5 is not of type 'integer'"),
        ({"rebalance": {"enabled": "yes"}}, "'yes' is not of type 'boolean'"),
    ],
)
def test_what_has_another_shape_is_refused(spec: Object, fault: str) -> None:
    (said, *_) = refusals(resource(**spec))
    assert fault in said


def test_a_resource_names_its_deployment() -> None:
    body = resource()
    del body["spec"]["deployment"]
    assert refusals(body) == ["$.spec: 'deployment' is a required property"]


# -- the operator reads the same ------------------------------------------------------------


def test_the_defaults_are_those_of_the_operator() -> None:
    assert read(resource()).spec == Spec()


def test_the_settings_are_those_that_replicas_take() -> None:
    properties = SPEC["properties"]["settings"]["properties"]
    assert properties.keys() == NAMES.keys()
    assert all(NAMES[name] in each["description"] for name, each in properties.items())
    in_force = schema()["properties"]["status"]["properties"]["settings"]["properties"]
    assert in_force.keys() == NAMES.keys()


def _model_fields(model: Any, path: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        where = f"{path}.{field.alias or name}".lstrip(".")
        found.add(where)
        if hasattr(field.annotation, "model_fields"):
            found |= _model_fields(field.annotation, where)
    return found


def test_the_operator_knows_every_field_and_no_other() -> None:
    known = {path for path, _ in nodes(SPEC) if path}
    assert _model_fields(Spec) == known - {"deployment"}


def _numbers() -> list[tuple[str, str, float]]:
    return [
        (path, limit, node[limit])
        for path, node in nodes(SPEC)
        for limit in ("minimum", "maximum")
        # The sum of both pings says more of the least of this one.
        if limit in node and path != "proxyTimeoutSeconds"
    ]


@pytest.mark.parametrize(("path", "limit", "value"), _numbers())
def test_the_operator_takes_what_is_just_within_a_limit(
    path: str, limit: str, value: float
) -> None:
    assert read(_with(path, value)).problem == ""
    assert refusals(_with(path, value)) == []
    beyond = value + 1 if limit == "maximum" else value - 1
    assert refusals(_with(path, beyond)) != []
    # The operator has one form of bounds for pings and locks; replicas refuse what is left.
    assert path.startswith("autotune.") or "spec." in read(_with(path, beyond)).problem


def _with(path: str, value: float) -> Object:
    """A resource with one value; of bounds the other is as far away as the value allows."""
    *parents, last = path.split(".")
    inner: Any = {last: value}
    if last in ("min", "max"):
        inner = {"min": min(value, 1), "max": max(value, 1), last: value}
    for name in reversed(parents):
        inner = {name: inner}
    return merged(resource(proxyTimeoutSeconds=3600), {"spec": inner})


def _facts() -> status.Facts:
    values: dict[str, float | str] = {
        name: "info" if name == "LOG_LEVEL" else 10.0 for name in NAMES.values()
    }
    reports = (
        Report("r1", "a", connections=10, tasks=2, revision="abc", settings=values),
        Report("r2", "b", state="draining", connections=1, settings=values),
    )
    return status.Facts(
        pods={name: Pod(name, node="n") for name in ("a", "b", "c")},
        reports=reports,
        loads=by_pod(reports),
        orders={"b": drains.Order("it is annotated", 1_800_000_000.0)},
        settings=tuning.Order.of({"LOG_LEVEL": "debug"}),
    )


@pytest.mark.parametrize("error", ["", "ConnectionError: refused"])
def test_a_server_keeps_every_field_of_the_status(error: str) -> None:
    body = resource(autotune={"enabled": True})
    gateway = read(body)
    steps = autotune.Steps(2, 1, "an event loop was 700 ms late", NOW)
    written = status.body(gateway, replace(_facts(), redis_error=error), steps, now=NOW)
    if not error:
        known = schema()["properties"]["status"]["properties"]
        assert written.keys() == known.keys(), "and none is without a writer"
    assert unknown_fields(schema(), body | {"status": written}) == []
    assert refusals(body | {"status": written}) == []
    older = Gateway("older", "fleet")
    assert refusals(body | {"status": status.superseded(gateway, older, now=NOW)}) == []


# -- what people are shown ------------------------------------------------------------------


def _shown() -> dict[str, Object]:
    found = {
        f"operator.md, number {number}": each
        for page in sorted(DOCS.glob("*.md"))
        for number, block in enumerate(blocks(page))
        if block.language == "yaml" and f"kind: {KIND}" in block.code
        for each in yaml.safe_load_all(block.code)
    }
    notes = rendered(FILES["operator"]).notes
    (text,) = re.findall(r"<<'END'\n(.*?)^END$", notes, re.DOTALL | re.MULTILINE)
    return found | {"the notes after an install": yaml.safe_load(text)}


@pytest.mark.parametrize("where", _shown())
def test_examples_are_taken(where: str) -> None:
    shown = _shown()[where]
    assert refusals(shown) == []
    assert read(shown).problem == ""


def test_the_notes_name_the_deployment_and_the_proxys_timeout() -> None:
    one = rendered(merged(FILES["operator"], {"ingress": {"proxyTimeoutSeconds": 900}}))
    (text,) = re.findall(r"<<'END'\n(.*?)^END$", one.notes, re.DOTALL | re.MULTILINE)
    shown = yaml.safe_load(text)
    assert shown["spec"] == {
        "deployment": one.all("Deployment", "app")[0]["metadata"]["name"],
        "proxyTimeoutSeconds": 900,
    }
    assert "RealtimeGateway" not in rendered(FILES["evaluation"]).notes
