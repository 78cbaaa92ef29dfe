"""Values that the tests render: each file of ``ci/``, each preset, each mode of Redis."""

from __future__ import annotations

from typing import Any

from tests.chart.helm import CHART, nested, values_file

FILES: dict[str, dict[str, Any]] = {
    path.stem: values_file(path) for path in sorted((CHART / "ci").glob("*.yaml"))
}

CONTROLLERS = (
    "traefik", "haproxy", "haproxytech", "nginx", "nginxinc", "alb", "gke", "agic", "none",
)  # fmt: skip

SMALLEST: dict[str, Any] = nested(postgresql__enabled=True, ingress__enabled=True)
"""Values with which the defaults install, behind Traefik."""

REDIS: dict[str, dict[str, Any]] = {
    "sentinel": nested(redis__mode="sentinel"),
    "cluster": nested(redis__mode="cluster"),
    "standalone": nested(redis__mode="standalone"),
    "external": nested(
        redis__mode="external", redis__external__url="redis://redis.example:6379/0",
    ),
}  # fmt: skip
