"""The operator's objects: what it may do, what it is told, and that it finds its fleet."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest

from heliograph.backplane import RedisConfig
from heliograph.settings import Settings as AppSettings
from heliograph_operator.pods import CLIENTS_LABEL
from heliograph_operator.settings import Settings, load_settings
from tests.chart.cases import FILES, REDIS, SMALLEST
from tests.chart.helm import (
    FULLNAME,
    NAMESPACE,
    Object,
    Refused,
    Rendered,
    merged,
    nested,
    render,
    rendered,
)
from tests.chart.restricted import pods

NAME = f"{FULLNAME}-operator"
FORBIDDEN = {
    "secrets", "configmaps", "pods/exec", "pods/attach", "pods/portforward", "pods/eviction",
    "pods/ephemeralcontainers", "serviceaccounts/token",
    "delete", "deletecollection", "escalate", "bind", "impersonate",
}  # fmt: skip


def operated(**values: Any) -> Rendered:
    """The defaults with an operator, and some values changed."""
    return rendered(merged(SMALLEST, nested(operator__enabled=True, **values)))


def rules(one: Rendered, kind: str = "Role") -> list[Object]:
    """What the operator may do."""
    return [rule for each in one.all(kind, "operator") for rule in each["rules"]]


def test_nothing_of_it_is_there_unless_wanted() -> None:
    one = rendered(SMALLEST)
    assert [each["kind"] for each in one.objects if "operator" in each["metadata"]["name"]] == []
    assert not one.all("CustomResourceDefinition")


# -- rights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", FILES)
def test_nobody_has_a_wildcard_or_secrets_or_exec(case: str) -> None:
    one = rendered(FILES[case])
    for rule in rules(one) + rules(one, "ClusterRole"):
        named = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not [each for each in named if "*" in each], rule
        assert FORBIDDEN.isdisjoint([*rule["resources"], *rule["verbs"]]), rule


def test_it_may_see_nodes_only_when_it_is_to() -> None:
    assert not [each for each in operated().objects if each["kind"].startswith("Cluster")]
    one = operated(operator__watchNodes=True)
    assert rules(one, "ClusterRole") == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
    ]
    # A second release of the same name in another namespace has objects of its own.
    assert one.all("ClusterRole")[0]["metadata"]["name"] == f"{NAMESPACE}-{NAME}"


def test_its_rights_are_those_of_its_account_alone() -> None:
    one = operated(operator__watchNodes=True)
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    for kind in ("Role", "ClusterRole"):
        (binding,) = one.all(f"{kind}Binding")
        (role,) = one.all(kind)
        assert binding["subjects"] == [account]
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (
            kind,
            role["metadata"]["name"],
        )
    users = [name for name, pod in pods(one) if pod["spec"].get("serviceAccountName") == NAME]
    assert users == [f"Deployment {NAME}"]


def test_it_may_write_its_own_lease_only() -> None:
    leases = [rule for rule in rules(operated()) if "leases" in rule["resources"]]
    told = told_by(operated())
    own = [rule for rule in leases if rule["verbs"] != ["create"]]
    assert [rule["resourceNames"] for rule in own] == [[f"{told.operator_deployment}-operator"]]


# -- what it is told ------------------------------------------------------------------------


def environment(one: Rendered) -> dict[str, str]:
    """The operator's variables, as a kubelet fills them in."""
    (container,) = one.one("Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    filled: dict[str, str] = {}
    for each in container["env"]:
        match each:
            case {"value": str(value)}:
                for name, known in filled.items():
                    value = value.replace(f"$({name})", known)
            case {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}:
                value = base64.b64decode(one.one("Secret", name)["data"][key]).decode()
            case _:
                value = "the pod's name"
        filled[each["name"]] = value
    return filled


def told_by(one: Rendered) -> Settings:
    """What the operator makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("OPERATOR_", "WEBSOCKET_"))]:
            patch.delenv(name)
        for name, value in environment(one).items():
            patch.setenv(name, value)
        return load_settings()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("mode", ["sentinel", "cluster", "standalone"])
def test_it_and_the_app_are_told_the_same_of_redis(mode: str, tls: bool) -> None:
    one = operated(**{"redis__mode": mode, "redis__tls__enabled": tls})
    given = told_by(one)
    (container,) = one.one("Deployment")["spec"]["template"]["spec"]["containers"]
    apps = {each["name"]: each for each in container["env"]}
    (own,) = one.one("Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    for each in own["env"]:
        # The app's prefix is in its ConfigMap.
        if each["name"].startswith(("WEBSOCKET_", "REDIS_")) and each["name"] in apps:
            assert apps[each["name"]] == each
    # The app reads the same variables.
    config = RedisConfig.from_settings(
        AppSettings.model_validate(
            {name.lower(): value for name, value in environment(one).items()}
            | {"websocket_manager": "redis", "redis_tls_ca_file": ""}
        )
    )
    assert (config.username, config.password) == ("heliograph", environment(one)["REDIS_PASSWORD"])
    assert given.websocket_redis_cluster is (mode == "cluster")
    assert len(given.websocket_sentinel_hosts) == (3 if mode == "sentinel" else 0)
    assert bool(given.redis_tls_ca_file) is tls
    mounted = [each["mountPath"] for each in own["volumeMounts"]]
    assert ("/etc/heliograph/redis-ca" in mounted) is tls


def test_an_external_redis_is_told_too() -> None:
    values = merged(REDIS["external"], nested(operator__enabled=True))
    given = told_by(rendered(merged(SMALLEST, values)))
    assert given.websocket_redis_url.get_secret_value() == "redis://redis.example:6379/0"


def test_it_has_the_prefix_and_the_form_of_logs_of_the_app() -> None:
    logs = {"settings__LOG_FORMAT": "plain", "operator__logLevel": "debug"}
    given = told_by(operated(settings__REDIS_KEY_PREFIX="a", **logs))
    assert (given.redis_key_prefix, given.log_format, given.log_level) == ("a", "plain", "debug")
    assert told_by(operated()).redis_key_prefix == AppSettings().redis_key_prefix


@pytest.mark.parametrize("values", [{}, {"nameOverride": "helio", "fullnameOverride": "realtime"}])
def test_it_finds_its_fleet_and_no_other_pod(values: dict[str, str]) -> None:
    one = rendered(merged(SMALLEST, {**values, "operator": {"enabled": True}}))
    (app,) = one.all("Deployment", "app")
    (container,) = one.all("Deployment", "operator")[0]["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given["OPERATOR_DEPLOYMENT"] == app["metadata"]["name"]
    assert given["OPERATOR_NAMESPACE"] == NAMESPACE
    selector = dict(pair.split("=") for pair in given["OPERATOR_SELECTOR"].split(","))
    selected = [
        name for name, pod in pods(one) if selector.items() <= pod["metadata"]["labels"].items()
    ]
    assert selected == [f"Deployment {app['metadata']['name']}"]


def test_the_service_asks_for_the_label_that_the_operator_takes_away() -> None:
    for one in (operated(), rendered(SMALLEST)):
        labels = one.one("Deployment")["spec"]["template"]["metadata"]["labels"]
        assert (
            labels[CLIENTS_LABEL] == one.one("Service")["spec"]["selector"][CLIENTS_LABEL] == "yes"
        )
        # A Deployment that selected by it would lose the pod and make another.
        assert CLIENTS_LABEL not in one.one("Deployment")["spec"]["selector"]["matchLabels"]
        internal = one.one("Service", f"{FULLNAME}-internal")["spec"]["selector"]
        assert CLIENTS_LABEL not in internal, "metrics of a drained pod are asked for, too"


def test_replicas_report_the_names_of_their_pods() -> None:
    (container,) = operated().one("Deployment")["spec"]["template"]["spec"]["containers"]
    (named,) = [each for each in container["env"] if each["name"] == "POD_NAME"]
    assert named["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_its_ports_are_those_that_it_listens_on() -> None:
    one = operated(monitoring__serviceMonitor__enabled=True)
    given = told_by(one)
    (container,) = one.one("Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"health": given.operator_health_port, "metrics": given.operator_metrics_port}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}
    (port,) = one.one("Service", NAME)["spec"]["ports"]
    assert port["targetPort"] == "metrics"


def test_there_is_one_at_a_time() -> None:
    spec = operated().one("Deployment", NAME)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("name", [FULLNAME, NAME])
def test_each_service_monitor_selects_one_service(name: str) -> None:
    one = operated(monitoring__serviceMonitor__enabled=True)
    wanted = one.one("ServiceMonitor", name)["spec"]["selector"]["matchLabels"].items()
    services = {each["metadata"]["name"]: each["metadata"]["labels"] for each in one.all("Service")}
    selected = [service for service, labels in services.items() if wanted <= labels.items()]
    assert selected == [NAME if name == NAME else f"{FULLNAME}-internal"]


# -- the definition -------------------------------------------------------------------------


def test_the_definition_outlives_the_release() -> None:
    (found,) = operated().all("CustomResourceDefinition")
    assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    # A hook would not be upgraded with the release, and `crds/` never.
    assert "helm.sh/hook" not in found["metadata"]["annotations"]
    assert render(merged(SMALLEST, nested(operator__enabled=True)), upgrade=True).all(
        "CustomResourceDefinition"
    )


def test_another_release_may_bring_the_definition() -> None:
    one = operated(operator__crds__install=False)
    assert not one.all("CustomResourceDefinition")
    assert one.has("Deployment", NAME)


# -- rules between values -------------------------------------------------------------------

_ALONE = nested(redis__enabled=False, app__replicas=1, postgresql__enabled=False)
RULES: dict[str, dict[str, Any]] = {
    "operator.enabled is true, and the operator reaches replicas through Redis: set "
    "redis.enabled=true, or operator.enabled=false.": merged(
        _ALONE, nested(operator__enabled=True, ingress__enabled=False)
    ),
    "operator.enabled is true, but networkPolicy.apiServer lets it go nowhere: name addresses and "
    "ports of the Kubernetes API server.": nested(
        operator__enabled=True, networkPolicy__apiServer__ports=[]
    ),
    "operator.watchNodes is true, but there is no operator: set operator.enabled=true too.": nested(
        operator__watchNodes=True
    ),
}


@pytest.mark.parametrize("sentence", RULES)
def test_a_combination_that_cannot_work_is_refused_in_a_sentence(sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(merged(SMALLEST, RULES[sentence]))
    assert sentence in str(refused.value)
    assert str(refused.value).count("\n* ") == 1
