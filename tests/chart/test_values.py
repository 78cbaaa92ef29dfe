"""The values: one source, typos refused everywhere, rules between them that say what to change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from heliograph import __version__
from heliograph.settings import Settings
from tests.chart.cases import FILES, SMALLEST
from tests.chart.helm import CHART, Refused, chart, merged, nested, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def test_what_is_generated_is_current() -> None:
    script = CHART.parents[1] / "scripts" / "generate-chart"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)
    Draft7Validator(SCHEMA).validate(chart().values)


def test_the_chart_is_of_this_version_of_the_app() -> None:
    assert chart().metadata["appVersion"] == __version__


def _fixed(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the objects whose keys are fixed."""
    if "properties" in node:
        yield path
        for name, child in node["properties"].items():
            yield from _fixed(child, (*path, name))


@pytest.mark.parametrize("path", [*_fixed(SCHEMA)], ids=".".join)
def test_a_typo_is_refused(path: tuple[str, ...]) -> None:
    values: dict[str, Any] = {"misspelled": True}
    for name in reversed(path):
        values = {name: values}
    with pytest.raises(Refused, match="misspelled"):
        render(merged(SMALLEST, values))


def _leaves(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, child in node.get("properties", {}).items():
        if "properties" in child:
            yield from _leaves(child, (*path, name))
        elif "type" in child:
            yield (*path, name)


@pytest.mark.parametrize("path", [*_leaves(SCHEMA)], ids=".".join)
def test_a_value_of_another_type_is_refused(path: tuple[str, ...]) -> None:
    node = SCHEMA
    for name in path:
        node = node["properties"][name]
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    wrong: Any = {"no": "such"} if "array" in types else [{"no": "such"}]
    values: Any = wrong
    for name in reversed(path):
        values = {name: values}
    errors = [*Draft7Validator(SCHEMA).iter_errors(values)]
    assert {tuple(error.absolute_path)[: len(path)] for error in errors} == {path}


def test_the_app_takes_every_setting_of_the_chart() -> None:
    known = {name.upper() for name in Settings.model_fields}
    settings = chart().values["settings"]
    assert settings.keys() <= known
    shown = {name.lower(): value for name, value in settings.items() if value != ""}
    Settings.model_validate(shown)
    # What is neither a value nor set by the chart cannot be configured at all.
    set_by_chart = {
        each["name"]
        for case in FILES.values()
        for each in render(case).all("Deployment")[0]["spec"]["template"]["spec"]["containers"][0][
            "env"
        ]
    }
    assert known - settings.keys() - set_by_chart == set()


_SQLITE = nested(redis__enabled=False, postgresql__enabled=False, app__replicas=1)
_EXTERNAL = nested(postgresql__enabled=False, externalDatabase__existingSecret="db")


def _rule(values: dict[str, Any], sentence: str) -> tuple[dict[str, Any], str]:
    return values, sentence


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "replicas without Redis": _rule(
        nested(redis__enabled=False),
        "app.replicas is 3, and replicas share nothing without Redis: set redis.enabled=true, or "
        "app.replicas=1.",
    ),
    "autoscaling without Redis": _rule(
        nested(redis__enabled=False, autoscaling__enabled=True),
        "autoscaling.maxReplicas is 10, and replicas share nothing without Redis: set "
        "redis.enabled=true, or autoscaling.enabled=false and app.replicas=1.",
    ),
    "workers without Redis": _rule(
        merged(_SQLITE, nested(app__workers=2, settings__WEBSOCKET_TRANSPORTS="websocket")),
        "app.workers is 2, and workers share nothing without Redis",
    ),
    "workers with polling": _rule(
        nested(app__workers=2),
        "app.workers is 2 while clients may poll, and nothing can keep a polling client on one "
        "process of a pod: set settings.WEBSOCKET_TRANSPORTS=websocket",
    ),
    "workers without websockets": _rule(
        nested(
            app__workers=2,
            settings__WEBSOCKET_TRANSPORTS="websocket",
            settings__ENABLE_WEBSOCKET_SUPPORT=False,
        ),
        "app.workers is 2 while clients may poll",
    ),
    "replicas with SQLite": _rule(
        nested(postgresql__enabled=False),
        "app.replicas is 3, and each replica would have an SQLite database of its own: set "
        "externalDatabase.url or externalDatabase.existingSecret, or postgresql.enabled=true for "
        "evaluation, or app.replicas=1.",
    ),
    "two databases": _rule(
        nested(externalDatabase__url="postgresql+asyncpg://a:b@c/d"),
        "both postgresql.enabled and externalDatabase are set: choose one database",
    ),
    "two addresses of a database": _rule(
        merged(_EXTERNAL, nested(externalDatabase__url="postgresql+asyncpg://a:b@c/d")),
        "externalDatabase.url and externalDatabase.existingSecret exclude each other",
    ),
    "a volume without SQLite": _rule(
        nested(app__persistence__enabled=True),
        "app.persistence is for SQLite, and the database is PostgreSQL",
    ),
    "a claim that is not used": _rule(
        merged(_SQLITE, nested(app__persistence__existingClaim="mine")),
        'app.persistence.existingClaim is "mine" but not used',
    ),
    "external Redis without an address": _rule(
        nested(redis__mode="external"),
        "redis.mode is external, but no address is given: set redis.external.url or "
        "redis.external.existingSecret.",
    ),
    "external Redis with two": _rule(
        nested(
            redis__mode="external",
            redis__external__url="redis://a",
            redis__external__existingSecret="b",
        ),
        "redis.external.url and redis.external.existingSecret exclude each other",
    ),
    "two secrets": _rule(
        nested(secrets__existingSecret="mine", secrets__openaiApiKey="sk-1"),
        "secrets.existingSecret is used instead of secrets.webuiSecretKey and secrets.openaiApiKey",
    ),
    "too little grace": _rule(
        nested(settings__DRAIN_SECONDS=60),
        "app.terminationGracePeriodSeconds is 45, less than preStopSleepSeconds 5 + stop of tasks "
        "5 + settings.DRAIN_SECONDS 60 + margin 10 = 80: a replica would be killed while it "
        "drains. Raise it to 80, or lower settings.DRAIN_SECONDS.",
    ),
    "a rollout that cannot finish": _rule(
        nested(app__progressDeadlineSeconds=50),
        "app.progressDeadlineSeconds is 50, not more than terminationGracePeriodSeconds 45 + "
        "minReadySeconds 10",
    ),
    "an impatient probe": _rule(
        nested(app__startupProbe__failureThreshold=45),
        "app.startupProbe allows periodSeconds 2 × failureThreshold 45 = 90 s, and a pod waits up "
        "to 90 s for Redis and the database",
    ),
    "an impatient proxy": _rule(
        nested(ingress__proxyTimeoutSeconds=45),
        "ingress.proxyTimeoutSeconds is 45, not more than settings.WEBSOCKET_SERVER_PING_INTERVAL "
        "25 + WEBSOCKET_SERVER_PING_TIMEOUT 20 = 45: the proxy would cut connections",
    ),
    "an ALB that cannot wait": _rule(
        nested(ingress__controller="alb", ingress__proxyTimeoutSeconds=4001),
        "ingress.proxyTimeoutSeconds is 4001, and an ALB takes 4000 at most",
    ),
    "polling without stickiness": _rule(
        nested(ingress__stickyCookie__enabled=False),
        "ingress.stickyCookie.enabled is false while clients may poll and app.replicas is 3",
    ),
    "polling with nothing at all": _rule(
        nested(ingress__controller="none", service__clientIPAffinitySeconds=0),
        "ingress.controller is none and service.clientIPAffinitySeconds is 0 while",
    ),
    "TLS without a certificate": _rule(
        nested(ingress__tls__enabled=True),
        "ingress.tls.enabled is true without a certificate",
    ),
    "a certificate without TLS": _rule(
        nested(ingress__tls__secretName="mine"),
        "ingress.tls.secretName or ingress.tls.external is set but not used",
    ),
    "a cookie that browsers refuse": _rule(
        nested(ingress__stickyCookie__sameSite="none"),
        "ingress.stickyCookie.sameSite is none, and browsers refuse such a cookie unless it is",
    ),
    "an ingress that nobody may use": _rule(
        nested(networkPolicy__ingressFrom=[]),
        "ingress.enabled is true, but networkPolicy.ingressFrom is empty",
    ),
    "a route to nowhere": _rule(
        nested(httpRoute__enabled=True),
        "httpRoute.enabled is true without a Gateway: set httpRoute.parentRefs",
    ),
    "a node port without a node": _rule(
        nested(service__nodePort=30000),
        "service.nodePort is 30000, and a Service of type ClusterIP has none",
    ),
    "autoscaling on nothing": _rule(
        nested(
            autoscaling__enabled=True,
            autoscaling__sessions__enabled=False,
            autoscaling__cpu__enabled=False,
        ),
        "autoscaling.enabled is true without a metric",
    ),
    "a metric without a name": _rule(
        nested(autoscaling__enabled=True, autoscaling__sessions__metric=""),
        "autoscaling.sessions.metric is empty",
    ),
    "percent of nothing": _rule(
        nested(autoscaling__enabled=True, app__resources={"requests": {"cpu": None}}),
        "autoscaling.cpu.enabled is true, but app.resources.requests.cpu is not set",
    ),
    "more than the most": _rule(
        nested(autoscaling__enabled=True, autoscaling__minReplicas=11),
        "autoscaling.minReplicas is 11, more than autoscaling.maxReplicas 10",
    ),
    "a budget that keeps all": _rule(
        nested(app__podDisruptionBudget__minAvailable=3),
        "app.podDisruptionBudget.minAvailable is 3 of 3 replicas, so that no node could",
    ),
    "a budget of all in percent": _rule(
        nested(app__podDisruptionBudget__minAvailable="100%"),
        "app.podDisruptionBudget.minAvailable is 100% of 3 replicas",
    ),
    "a budget of nothing": _rule(
        nested(app__podDisruptionBudget__maxUnavailable=0),
        "app.podDisruptionBudget.maxUnavailable is 0",
    ),
    "keys without an issuer": _rule(
        nested(settings__JWT_JWKS_URL="https://id.example/keys"),
        "settings.JWT_JWKS_URL needs settings.JWT_ISSUER and settings.JWT_AUDIENCE",
    ),
    "an issuer without keys": _rule(
        nested(settings__JWT_ISSUER="https://id.example/"),
        "settings.JWT_ISSUER and settings.JWT_AUDIENCE do nothing without settings.JWT_JWKS_URL",
    ),
    "a setting that is counted with": _rule(
        nested(settings__DRAIN_SECONDS=None),
        "settings.DRAIN_SECONDS is null, and the chart counts with it",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_combination_that_cannot_work_is_refused_in_a_sentence(rule: str) -> None:
    values, sentence = RULES[rule]
    with pytest.raises(Refused) as refused:
        render(merged(SMALLEST, values))
    assert sentence in str(refused.value)


def test_every_sentence_that_applies_is_said_at_once() -> None:
    values = nested(settings__DRAIN_SECONDS=60, ingress__tls__enabled=True, redis__enabled=False)
    with pytest.raises(Refused) as refused:
        render(merged(SMALLEST, values))
    assert str(refused.value).count("\n* ") == 3


def test_every_rule_is_tested() -> None:
    rules = (CHART / "templates" / "validate.yaml").read_text().count("append $faults")
    # One is said in two ways (minReplicas in numbers and percent), one ends by itself (null), and
    # two are said of both replicas and autoscaling, or in both ways of polling.
    assert rules == len(RULES) - 4


@pytest.mark.parametrize(
    "values",
    [
        nested(app__terminationGracePeriodSeconds=40),
        nested(ingress__proxyTimeoutSeconds=46),
        nested(app__podDisruptionBudget__minAvailable=2),
        nested(ingress__stickyCookie={"sameSite": "none", "secure": True}),
        nested(ingress__stickyCookie__enabled=False, settings__WEBSOCKET_TRANSPORTS="websocket"),
        nested(app__replicas=1, app__podDisruptionBudget__maxUnavailable=0),
        merged(_SQLITE, nested(ingress__stickyCookie__enabled=False)),
    ],
)
def test_what_just_fits_is_taken(values: dict[str, Any]) -> None:
    assert render(merged(SMALLEST, values)).has("Deployment")
