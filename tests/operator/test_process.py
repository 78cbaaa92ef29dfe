"""The command: help, settings that are wrong, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import heliograph
import heliograph_operator
from heliograph_operator.settings import Settings
from tests.support.processes import free_port

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "OPERATOR_DEPLOYMENT": "fleet",
    "OPERATOR_NAMESPACE": "chat",
    "OPERATOR_SELECTOR": "app=fleet",
    "WEBSOCKET_REDIS_URL": "redis://127.0.0.1:1/0",
}


def command(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "heliograph_operator", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), **variables},
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def said(*arguments: str, **variables: str) -> tuple[int, str]:
    with command(*arguments, **variables) as process:
        output, _ = process.communicate(timeout=60)
        return process.returncode, output


def test_it_has_the_version_of_the_server() -> None:
    assert heliograph_operator.__version__ == heliograph.__version__


def test_help_names_every_setting() -> None:
    code, output = said("--help")
    assert code == 0
    for name in Settings.model_fields:
        assert name.upper() in output


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"OPERATOR_DEPLOYMENT": ""}, "OPERATOR_DEPLOYMENT: Field required"),
        ({"OPERATOR_DEPLOYMENT": "A B"}, "OPERATOR_DEPLOYMENT: String should match pattern"),
        ({"WEBSOCKET_REDIS_URL": "http://x"}, "must be redis://host:port/db"),
        ({"WEBSOCKET_REDIS_URL": "redis://x:y/0"}, "WEBSOCKET_REDIS_URL: Port could not be cast"),
        ({"WEBSOCKET_REDIS_URL": "redis://x/one"}, "WEBSOCKET_REDIS_URL: invalid literal"),
        ({"WEBSOCKET_SENTINEL_HOSTS": "a:b"}, "WEBSOCKET_SENTINEL_HOSTS: 'a:b': Port"),
        (
            {"WEBSOCKET_SENTINEL_HOSTS": "a", "WEBSOCKET_REDIS_CLUSTER": "True"},
            "WEBSOCKET_REDIS_CLUSTER and WEBSOCKET_SENTINEL_HOSTS exclude each other",
        ),
        ({"OPERATOR_METRICS_PORT": "70000"}, "OPERATOR_METRICS_PORT: Input should be less"),
    ],
)
def test_a_setting_that_is_wrong_is_named(changes: dict[str, str], sentence: str) -> None:
    code, output = said(**{**SETTINGS, **changes})
    assert code == 2
    assert sentence in output
    assert "Traceback" not in output


def test_it_ends_on_sigterm_though_nobody_answers() -> None:
    ports = {"OPERATOR_METRICS_PORT": free_port(), "OPERATOR_HEALTH_PORT": free_port()}
    with command(**SETTINGS, **{name: str(port) for name, port in ports.items()}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "kubernetes.away" in line:
                break
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "operator.ended" in output
    assert "Traceback" not in output
