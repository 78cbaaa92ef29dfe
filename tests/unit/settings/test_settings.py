"""Settings: defaults, and refusals that name the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.errors import ConfigurationError
from heliograph.reference import markdown_table
from heliograph.settings import Settings, load_settings

BAD = {
    "PORT": "abc",
    "ENABLE_WEBSOCKET_SUPPORT": "perhaps",
    "WEBSOCKET_TRANSPORTS": "pigeon",
    "WEBSOCKET_MANAGER": "zookeeper",
    "WEBSOCKET_REDIS_URL": "http://localhost",
    "REDIS_KEY_PREFIX": "a b",
    "DELIVERY_DURABILITY": "perhaps",
    "WEBSOCKET_SERVER_PING_INTERVAL": "0",
    "WEBSOCKET_EVENT_CALLER_TIMEOUT": "-1",
    "WEBUI_SECRET_KEY": "short",
    "LOG_FORMAT": "xml",
    "JWT_JWKS_URL": "https://issuer.example/keys",
    "DATABASE_URL": "postgresql://localhost/x",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, BAD[name])
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


def test_several_bad_values_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError, match=r"PORT[\s\S]*LOG_LEVEL"):
        load_settings()


def test_a_secret_is_not_shown_in_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBUI_SECRET_KEY", "hunter2")
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_an_empty_variable_means_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert load_settings().port == 8080


def test_origins_are_separated_by_semicolons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ALLOW_ORIGIN", "https://a.example; https://b.example")
    assert load_settings().cors_allow_origin == ("https://a.example", "https://b.example")


def test_without_websockets_only_polling_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_WEBSOCKET_SUPPORT", "False")
    assert load_settings().transports == ["polling"]


def test_the_process_ends_with_2_and_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "PORT": "abc"}
    done = subprocess.run(
        [sys.executable, "-m", "heliograph.cli", "serve"],
        env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("heliograph: PORT:")
    assert len(done.stderr.splitlines()) == 1


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_documented_table_is_the_present_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    current = markdown_table() in page.read_text()
    assert current, "run `make docs`"


REDIS = {"WEBSOCKET_MANAGER": "redis", "WEBSOCKET_REDIS_URL": "redis://localhost/0"}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"WEBSOCKET_REDIS_URL": ""}, "WEBSOCKET_REDIS_URL"),
        ({"WEBSOCKET_REDIS_CLUSTER": "True", "WEBSOCKET_SENTINEL_HOSTS": "s"}, "SENTINEL_HOSTS"),
        (
            {"WEBSOCKET_REDIS_CLUSTER": "True", "WEBSOCKET_REDIS_URL": "redis://a/1"},
            "WEBSOCKET_REDIS_URL",
        ),
    ],
)
def test_redis_settings_that_exclude_each_other_are_refused(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (REDIS | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=named):
        load_settings()


def test_redis_settings_fall_back_to_the_general_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSOCKET_MANAGER", "redis")
    monkeypatch.setenv("REDIS_URL", "redis://general/0")
    monkeypatch.setenv("REDIS_SENTINEL_HOSTS", "one, two:26380")
    settings = load_settings()
    assert settings.websocket_redis_url.get_secret_value() == "redis://general/0"
    assert settings.websocket_sentinel_hosts == ("one", "two:26380")
    monkeypatch.setenv("WEBSOCKET_REDIS_URL", "redis://own/0")
    assert load_settings().websocket_redis_url.get_secret_value() == "redis://own/0"


def test_a_password_in_a_refused_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSOCKET_REDIS_URL", "http://user:hunter2@host")
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)
