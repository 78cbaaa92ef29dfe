"""Every row of the contract with a stock ``socket.io-client``, over each transport.

A test is a row over a transport; the suite itself (``contract.js``) runs before, once for
each transport and all at once, and its results are looked up.
"""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from tests.clients.node import Run, run_node
from tests.clients.rows import ROWS
from tests.clients.world import TRANSPORTS, World

_SUITE_SECONDS = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs(world: World) -> dict[str, Run]:
    """The results over each transport."""

    async def run(transport: str) -> Run:
        setup = await world.setup(transport)
        return await run_node(world, "contract.js", setup, timeout=_SUITE_SECONDS)

    found = await asyncio.gather(*map(run, TRANSPORTS))
    return dict(zip(TRANSPORTS, found, strict=True))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_row_holds_for_socket_io_client(runs: dict[str, Run], transport: str, row: str) -> None:
    checks = runs[transport].of_row(row)
    assert checks, f"no check of the row {row!r}"
    failures = runs[transport].failures(checks)
    assert not failures, f"{row}: {ROWS[row]}\n\n{failures}"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_suite_checks_known_rows_only_and_leaves_nothing_behind(
    runs: dict[str, Run], transport: str
) -> None:
    run = runs[transport]
    assert {row for result in run.results for row in result.rows} <= set(ROWS)
    failures = run.failures([result for result in run.results if not result.rows])
    assert not failures, failures
    assert not run.other, run.other
