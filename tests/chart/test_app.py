"""The app's objects: what rolls them, what ends them, and who finds them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from tests.chart.cases import FILES, SMALLEST
from tests.chart.helm import CHART, FULLNAME, Object, Rendered, merged, nested, render, rendered


def changed(**values: Any) -> Rendered:
    """The defaults with some values changed."""
    return rendered(merged(SMALLEST, nested(**values)))


def app(one: Rendered) -> Object:
    """The app's container."""
    found: Object = one.all("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(container: Object) -> dict[str, Any]:
    """What a container is given by name: values, or references."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def checksums(one: Rendered) -> dict[str, str]:
    """The annotations that roll the pods."""
    annotations = one.one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    return {key: value for key, value in annotations.items() if key.startswith("checksum/")}


def test_a_setting_rolls_the_pods_and_nothing_else_does() -> None:
    before = checksums(changed())
    assert checksums(changed(settings__DRAIN_SECONDS=10)) != before
    assert checksums(changed(secrets__openaiApiKey="sk-1")) != before
    assert checksums(changed(app__replicas=5)) == before
    # Generated secrets differ from one rendering to the next, and must not roll anything.
    assert checksums(render(SMALLEST)) == checksums(render(SMALLEST))


def test_numbers_reach_the_app_as_they_were_written() -> None:
    data = changed(settings__WEBSOCKET_MAX_MESSAGE_BYTES=12345678, settings__ECHO_DELAY_MS=0.5)
    settings = data.one("ConfigMap")["data"]
    assert settings["WEBSOCKET_MAX_MESSAGE_BYTES"] == "12345678"
    assert settings["ECHO_DELAY_MS"] == "0.5"
    assert settings["ENABLE_SIGNUP"] == "true"
    assert "OPENAI_API_BASE_URL" not in settings


def test_the_replicas_are_not_set_when_they_are_scaled() -> None:
    assert changed().one("Deployment")["spec"]["replicas"] == 3
    scaled = changed(autoscaling__enabled=True)
    assert "replicas" not in scaled.one("Deployment")["spec"]
    metrics = scaled.one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [each["type"] for each in metrics] == ["Pods", "ContainerResource"]


def test_the_metric_is_one_that_the_app_exports() -> None:
    from prometheus_client import REGISTRY

    import heliograph.telemetry.metrics  # noqa: F401 # it registers them

    scaled = changed(autoscaling__enabled=True).one("HorizontalPodAutoscaler")
    name = scaled["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert name in {metric.name for metric in REGISTRY.collect()}


def test_a_rollout_never_has_fewer_replicas_than_wanted() -> None:
    spec = changed().one("Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert changed().one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not changed(app__replicas=1).has("PodDisruptionBudget")


def test_sqlite_is_never_opened_by_two_pods() -> None:
    spec = rendered(FILES["single"]).one("Deployment")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["replicas"] == 1


def test_the_time_to_end_covers_the_drain() -> None:
    one = rendered(FILES["production"])
    pod = one.one("Deployment")["spec"]["template"]["spec"]
    drain = float(one.one("ConfigMap")["data"]["DRAIN_SECONDS"])
    pause = float(app(one)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + 5 + drain + 10
    assert "lifecycle" not in app(rendered(FILES["extras"]))


def test_probes_ask_for_life_and_for_readiness() -> None:
    container = app(changed())
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_metrics_are_on_the_internal_service_only() -> None:
    for values in FILES.values():
        one = rendered(values)
        name = one.all("Deployment")[0]["metadata"]["name"]
        ports = one.one("Service", name)["spec"]["ports"]
        assert [port["name"] for port in ports] == ["http"]
        internal = one.one("Service", f"{name}-internal")["spec"]
        assert internal["clusterIP"] == "None"
        workers = app_workers(values)
        assert [port["name"] for port in internal["ports"]] == ["http", "metrics"] + [
            f"metrics-{worker}" for worker in range(1, workers)
        ]


def app_workers(values: dict[str, Any]) -> int:
    """The number of workers in values."""
    return int(values.get("app", {}).get("workers", 1))


def test_each_worker_has_its_metrics_scraped() -> None:
    one = rendered(FILES["production-cluster"])
    assert app(one)["args"] == ["serve", "--workers", "4", "--wait", "90"]
    endpoints = one.one("ServiceMonitor")["spec"]["endpoints"]
    named = {port["name"] for port in app(one)["ports"]}
    assert [each["port"] for each in endpoints] == [
        "metrics",
        "metrics-1",
        "metrics-2",
        "metrics-3",
    ]
    assert {each["port"] for each in endpoints} < named


def test_the_service_monitor_selects_the_internal_service() -> None:
    one = rendered(FILES["production"])
    wanted = one.one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    selected = [
        each["metadata"]["name"]
        for each in one.all("Service")
        if wanted <= each["metadata"]["labels"].items()
    ]
    assert selected == [f"{FULLNAME}-internal"]


def test_the_secret_key_is_long_and_in_no_other_object() -> None:
    one = render(SMALLEST)
    key = base64.b64decode(one.one("Secret")["data"]["WEBUI_SECRET_KEY"]).decode()
    assert len(key) >= 32
    others = [each for each in one.objects if each["kind"] != "Secret"]
    assert key not in yaml.safe_dump(others)


def test_secrets_in_values_are_in_secrets_only() -> None:
    for case, words in (
        ("production-cluster", ("not-a-secret", "neither-is-this", "secret@db.example")),
        ("external-cluster", ("secret@db.example", "user:password")),
    ):
        others = [each for each in rendered(FILES[case]).objects if each["kind"] != "Secret"]
        for word in words:
            assert word not in yaml.safe_dump(others), f"{case}: {word}"


def test_ones_own_secret_is_used_instead() -> None:
    one = rendered(FILES["production"])
    assert not one.has("Secret")
    key = environment(app(one))["WEBUI_SECRET_KEY"]["secretKeyRef"]
    assert key == {"name": "heliograph-secrets", "key": "WEBUI_SECRET_KEY"}


@pytest.mark.parametrize(
    ("case", "hook"), [("kind-sentinel", False), ("single", False), ("external", True)]
)
def test_the_database_is_migrated_once_before_the_app_starts(case: str, hook: bool) -> None:
    one = rendered(FILES[case])
    pod = one.one("Deployment")["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert ("--migrate" in pod["containers"][0]["args"]) is not hook
    assert bool(one.all("Job")) is hook
    if hook:
        job = one.one("Job", f"{FULLNAME}-migrate")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert job["spec"]["template"]["spec"]["serviceAccountName"] in ("default", "heliograph")


def test_a_hook_needs_nothing_that_the_release_has_yet_to_make() -> None:
    one = rendered(FILES["production-cluster"])
    hooks = [
        each for each in one.objects if "helm.sh/hook" in each["metadata"].get("annotations", {})
    ]
    before = {
        each["metadata"]["name"]
        for each in hooks
        if each["kind"] == "Secret"
        and each["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    }
    job = one.one("Job", f"{FULLNAME}-migrate")["spec"]["template"]["spec"]
    reference = environment(job["containers"][0])["DATABASE_URL"]["secretKeyRef"]
    assert reference["name"] in before
    assert "envFrom" not in job["containers"][0]


def test_the_helm_test_carries_the_script_and_the_apps_environment() -> None:
    one = changed()
    pod = one.one("Pod", f"{FULLNAME}-test-across-pods")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    script = (CHART / "files" / "test" / "across_pods.py").read_text()
    assert one.one("ConfigMap", f"{FULLNAME}-test")["data"]["across_pods.py"] == script
    given = environment(pod["spec"]["containers"][0])
    assert given.items() >= environment(app(one)).items()
    assert given["TEST_PODS"] == f"{FULLNAME}-internal.chat.svc:8080"
    assert given["TEST_PODS_WANTED"] == "3"


@pytest.mark.parametrize("case", FILES)
def test_the_notes_say_how_to_reach_it_and_what_is_missing(case: str) -> None:
    notes = rendered(FILES[case]).notes
    assert "helm test fleet --namespace chat --logs" in notes
    assert "<no value>" not in notes
    assert "%!" not in notes


def test_the_notes_warn_of_what_is_for_evaluation() -> None:
    notes = rendered(FILES["evaluation"]).notes
    assert "Not ready for production in these values:" in notes
    for words in ("postgresql.enabled", "ingress.enabled is false", "the secret key was generated"):
        assert words in notes
    assert "the database is SQLite" in rendered(FILES["single"]).notes
    assert "redis.mode is standalone" in rendered(FILES["standalone"]).notes
    assert "https://chat.example/" in rendered(FILES["production"]).notes
    assert "app.replicas is 1" in rendered(FILES["single"]).notes
