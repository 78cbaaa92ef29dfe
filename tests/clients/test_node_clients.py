"""Every row of the contract with a stock ``socket.io-client``, over each transport."""

from __future__ import annotations

import pytest

from tests.clients.node import run_node
from tests.clients.rows import ROWS, assert_rows_hold
from tests.clients.world import TRANSPORTS, World

_SUITE_SECONDS = 100


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_socket_io_client_finds_every_row_as_promised(
    world: World, transport: str, subtests: pytest.Subtests
) -> None:
    run = await run_node(world, "contract.js", await world.setup(transport), timeout=_SUITE_SECONDS)
    assert_rows_hold(run, ROWS, subtests)
