"""Every row of the contract with a stock ``socket.io-client``, over each transport.

A test is a row over a transport; the suite itself (``contract.js``) runs once per
transport, and its results are looked up.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.clients.node import Run, run_node
from tests.clients.rows import ROWS
from tests.clients.world import TRANSPORTS, World

_SUITE_SECONDS = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TRANSPORTS)
async def suite(request: pytest.FixtureRequest, world: World) -> Run:
    """The results of the suite over one transport."""
    transport: str = request.param
    return await run_node(
        world, "contract.js", await world.setup(transport), timeout=_SUITE_SECONDS
    )


@pytest.mark.parametrize("row", ROWS)
def test_row_holds_for_socket_io_client(suite: Run, row: str) -> None:
    checks = suite.of_row(row)
    assert checks, f"no check of the row {row!r}"
    failures = suite.failures(checks)
    assert not failures, f"{row}: {ROWS[row]}\n\n{failures}"


def test_suite_checks_known_rows_only_and_leaves_nothing_behind(suite: Run) -> None:
    assert {row for result in suite.results for row in result.rows} <= set(ROWS)
    failures = suite.failures([result for result in suite.results if not result.rows])
    assert not failures, failures
    assert not suite.other, suite.other
