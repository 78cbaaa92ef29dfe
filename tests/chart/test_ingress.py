"""Each ingress controller is told what it needs, on the object where it reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.cases import CONTROLLERS, FILES, SMALLEST
from tests.chart.helm import FULLNAME, Rendered, merged, nested, rendered
from tests.chart.test_app import app, environment

SERVICE_READERS = {"traefik", "haproxytech", "gke"}


def behind(controller: str, **values: Any) -> Rendered:
    """The defaults behind a controller."""
    values = {"ingress__controller": controller, **values}
    return rendered(merged(SMALLEST, nested(**values)))


def told(one: Rendered, kind: str) -> dict[str, str]:
    """The annotations of the Ingress, or of the public Service."""
    found: dict[str, str] = one.one(kind)["metadata"].get("annotations", {})
    return found


EXPECTED: dict[str, dict[str, str]] = {
    "traefik": {
        "traefik.ingress.kubernetes.io/service.sticky.cookie": "true",
        "traefik.ingress.kubernetes.io/service.sticky.cookie.name": "heliograph_replica",
        "traefik.ingress.kubernetes.io/service.sticky.cookie.httponly": "true",
        "traefik.ingress.kubernetes.io/service.sticky.cookie.samesite": "lax",
        "traefik.ingress.kubernetes.io/service.sticky.cookie.secure": "false",
    },
    "haproxy": {
        "haproxy-ingress.github.io/affinity": "cookie",
        "haproxy-ingress.github.io/session-cookie-name": "heliograph_replica",
        "haproxy-ingress.github.io/session-cookie-keywords": "indirect nocache httponly",
        "haproxy-ingress.github.io/session-cookie-same-site": "false",
        "haproxy-ingress.github.io/session-cookie-value-strategy": "pod-uid",
        "haproxy-ingress.github.io/balance-algorithm": "leastconn",
        "haproxy-ingress.github.io/timeout-server": "3600s",
        "haproxy-ingress.github.io/timeout-tunnel": "3600s",
        "haproxy-ingress.github.io/proxy-body-size": "8454144",
    },
    "haproxytech": {
        "haproxy.org/cookie-persistence": "heliograph_replica",
        "haproxy.org/timeout-server": "3600s",
        "haproxy.org/load-balance": "leastconn",
    },
    "nginx": {
        "nginx.ingress.kubernetes.io/affinity": "cookie",
        "nginx.ingress.kubernetes.io/affinity-mode": "persistent",
        "nginx.ingress.kubernetes.io/session-cookie-name": "heliograph_replica",
        "nginx.ingress.kubernetes.io/session-cookie-path": "/",
        "nginx.ingress.kubernetes.io/session-cookie-secure": "false",
        "nginx.ingress.kubernetes.io/session-cookie-samesite": "Lax",
        "nginx.ingress.kubernetes.io/session-cookie-change-on-failure": "true",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
        "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
        "nginx.ingress.kubernetes.io/proxy-buffering": "off",
        "nginx.ingress.kubernetes.io/proxy-body-size": "8454144",
    },
    "nginxinc": {
        "nginx.org/sticky-cookie-services":
            f"serviceName={FULLNAME} heliograph_replica httponly path=/",
        "nginx.org/websocket-services": FULLNAME,
        "nginx.org/proxy-read-timeout": "3600s",
        "nginx.org/proxy-send-timeout": "3600s",
        "nginx.org/proxy-buffering": "False",
        "nginx.org/client-max-body-size": "8454144",
    },
    "alb": {
        "alb.ingress.kubernetes.io/target-type": "ip",
        "alb.ingress.kubernetes.io/healthcheck-path": "/ready",
        "alb.ingress.kubernetes.io/target-group-attributes":
            "stickiness.enabled=true,stickiness.type=lb_cookie,"
            "stickiness.lb_cookie.duration_seconds=86400,"
            "deregistration_delay.timeout_seconds=40,"
            "load_balancing.algorithm.type=least_outstanding_requests",
        "alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=3600",
    },
    "gke": {
        "cloud.google.com/neg": '{"ingress": true}',
        "cloud.google.com/backend-config": '{"default":"fleet-heliograph"}',
    },
    "agic": {
        "appgw.ingress.kubernetes.io/cookie-based-affinity": "true",
        "appgw.ingress.kubernetes.io/request-timeout": "3600",
        "appgw.ingress.kubernetes.io/connection-draining": "true",
        "appgw.ingress.kubernetes.io/connection-draining-timeout": "40",
        "appgw.ingress.kubernetes.io/health-probe-path": "/ready",
    },
    "none": {},
}  # fmt: skip


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_controller_is_told_where_it_reads(controller: str) -> None:
    one = behind(controller)
    read, other = (
        ("Service", "Ingress") if controller in SERVICE_READERS else ("Ingress", "Service")
    )
    assert told(one, read) == EXPECTED[controller]
    assert told(one, other) == {}


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_without_a_cookie_only_the_timeouts_are_left(controller: str) -> None:
    one = behind(
        controller,
        ingress__stickyCookie__enabled=False,
        settings__WEBSOCKET_TRANSPORTS="websocket",
    )
    text = json.dumps([told(one, "Service"), told(one, "Ingress")])
    assert "cookie" not in text
    assert "sticki" not in text
    assert environment(app(one))["STICKY_COOKIE"] == ""


@pytest.mark.parametrize("controller", ["traefik", "haproxy", "nginx", "nginxinc"])
def test_pages_of_other_sites_get_a_cookie_that_browsers_send(controller: str) -> None:
    one = behind(controller, ingress__stickyCookie={"sameSite": "none", "secure": True})
    text = json.dumps([told(one, "Service"), told(one, "Ingress")])
    assert "secure" in text
    # It is expired with the attributes that it was set with, or it would stay.
    assert environment(app(one))["STICKY_COOKIE_ATTRIBUTES"] == "Path=/; Secure; SameSite=None"
    assert environment(app(one))["STICKY_COOKIE"] == "heliograph_replica"


@pytest.mark.parametrize("controller", ["alb", "gke", "agic", "none"])
def test_a_cookie_of_another_name_is_not_expired(controller: str) -> None:
    assert environment(app(behind(controller)))["STICKY_COOKIE"] == ""


def test_the_cookie_is_secure_when_clients_come_by_https() -> None:
    tls = behind("traefik", ingress__tls={"enabled": True, "secretName": "mine"})
    key = "traefik.ingress.kubernetes.io/service.sticky.cookie.secure"
    assert told(tls, "Service")[key] == "true"
    assert tls.one("Ingress")["spec"]["tls"] == [{"secretName": "mine"}]


def test_ones_own_annotations_win() -> None:
    key = "nginx.ingress.kubernetes.io/proxy-read-timeout"
    one = behind("nginx", ingress__annotations={key: "60", "example.com/a": "b"})
    assert told(one, "Ingress").items() >= {key: "60", "example.com/a": "b"}.items()
    service = behind("traefik", service__annotations={"example.com/a": "b"})
    assert told(service, "Service")["example.com/a"] == "b"


def test_gke_reads_a_backend_config() -> None:
    config = behind("gke").one("BackendConfig")["spec"]
    assert config["timeoutSec"] == 3600
    assert config["connectionDraining"] == {"drainingTimeoutSec": 40}
    assert config["sessionAffinity"]["affinityType"] == "GENERATED_COOKIE"
    assert config["healthCheck"]["requestPath"] == "/ready"
    assert config["healthCheck"]["port"] == 8080


def test_without_a_proxy_the_service_keeps_clients_by_address() -> None:
    service = rendered(merged(SMALLEST, nested(ingress__enabled=False))).one("Service")["spec"]
    assert service["sessionAffinity"] == "ClientIP"
    assert service["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert behind("none").one("Service")["spec"]["sessionAffinity"] == "ClientIP"
    # Behind a proxy all would come from few addresses.
    assert "sessionAffinity" not in behind("traefik").one("Service")["spec"]


@pytest.mark.parametrize("case", FILES)
def test_no_way_in_leads_to_the_metrics(case: str) -> None:
    one = rendered(FILES[case])
    name = one.all("Deployment")[0]["metadata"]["name"]
    for ingress in one.all("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"] == {"name": name, "port": {"name": "http"}}
    for route in one.all("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            assert [each["name"] for each in rule["backendRefs"]] == [name]


def test_hosts_are_those_of_the_values_or_any() -> None:
    rules = rendered(FILES["production"]).one("Ingress")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["chat.example", "www.chat.example"]
    anyone = behind("traefik").one("Ingress")["spec"]["rules"]
    assert ["host" in rule for rule in anyone] == [False]


def test_a_route_passes_on_what_is_experimental() -> None:
    spec = rendered(FILES["gateway"]).one("HTTPRoute")["spec"]
    assert spec["parentRefs"][0]["name"] == "public"
    assert spec["rules"][0]["sessionPersistence"] == {
        "sessionName": "heliograph_replica", "type": "Cookie",
    }  # fmt: skip
    assert spec["rules"][0]["timeouts"] == {"request": "0s"}
    bare = nested(httpRoute__enabled=True, httpRoute__parentRefs=[{"name": "public"}])
    rule = rendered(merged(SMALLEST, bare)).one("HTTPRoute")["spec"]["rules"][0]
    assert rule.keys() == {"matches", "backendRefs"}
