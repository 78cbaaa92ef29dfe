"""The settings as tables: for ``heliograph config`` and for the documentation."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from heliograph.settings import Settings


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(value)
    return "–" if value == "" else f"`{value}`"


def markdown_table() -> str:
    """One row a variable: name, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [
        f"| `{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(rows)


def plain_table(settings: Settings) -> str:
    """``NAME = value``; secrets show as stars, what is not the default is marked ``*``."""
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        mark = " " if value == field.default else "*"
        lines.append(f"{mark} {name.upper()} = {value}")
    return "\n".join(lines)
