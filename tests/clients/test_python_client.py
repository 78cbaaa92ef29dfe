"""Every row of the contract with python-socketio's client, over each transport."""

from __future__ import annotations

import pytest

from tests.clients.python_checks import run_checks
from tests.clients.rows import NODE_ONLY, ROWS, assert_rows_hold
from tests.clients.world import TRANSPORTS, World


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_python_socketio_finds_every_row_as_promised(
    world: World, transport: str, subtests: pytest.Subtests
) -> None:
    assert_rows_hold(await run_checks(world, transport), ROWS.keys() - NODE_ONLY, subtests)
