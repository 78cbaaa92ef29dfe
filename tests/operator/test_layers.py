"""What the operator's modules may import: nothing of the server; and plans are pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "operator" / "heliograph_operator"
MODULES = sorted(PACKAGE.rglob("*.py"))
PURE = {"pods", "reports", "gateway", "conditions", "happenings", "status", "times"}
OUTSIDE = {"asyncio", "aiohttp", "kopf", "redis", "socket", "time", "threading"}


def imported(module: Path) -> set[str]:
    """Names of modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_needs_the_server(module: Path) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] == "heliograph"}


def _is_pure(module: Path) -> bool:
    return module.parent.name == "plans" or (module.parent == PACKAGE and module.stem in PURE)


@pytest.mark.parametrize(
    "module", [one for one in MODULES if _is_pure(one)], ids=lambda module: str(module.stem)
)
def test_what_plans_has_no_clock_and_no_network(module: Path) -> None:
    names = {name.split(".")[0] for name in imported(module)}
    assert names.isdisjoint(OUTSIDE)
    above = {"actions", "kubernetes", "control", "loop", "process", "world"}
    inner = {".".join(name.split(".")[1:2]) for name in imported(module)}
    assert inner.isdisjoint(above)
