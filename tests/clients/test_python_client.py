"""Every row of the contract with python-socketio's client, over each transport.

As in ``test_node_clients.py``, a test is a row over a transport; the checks run before,
all transports at once, and their results are looked up.
"""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from tests.clients.node import Run
from tests.clients.python_checks import run_checks
from tests.clients.rows import NODE_ONLY, ROWS
from tests.clients.world import TRANSPORTS, World


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs(world: World) -> dict[str, Run]:
    """The results over each transport."""
    found = await asyncio.gather(*(run_checks(world, transport) for transport in TRANSPORTS))
    return dict(zip(TRANSPORTS, found, strict=True))


@pytest.mark.parametrize("row", [row for row in ROWS if row not in NODE_ONLY])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_row_holds_for_python_socketio(runs: dict[str, Run], transport: str, row: str) -> None:
    checks = runs[transport].of_row(row)
    assert checks, f"no check of the row {row!r}"
    failures = runs[transport].failures(checks)
    assert not failures, f"{row}: {ROWS[row]}\n\n{failures}"


def test_the_suite_checks_known_rows_only(runs: dict[str, Run]) -> None:
    for run in runs.values():
        assert {row for result in run.results for row in result.rows} <= set(ROWS) - NODE_ONLY
