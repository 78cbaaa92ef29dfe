"""Real Yjs clients in Node on a note, with the provider that other front ends may copy.

``HELIOGRAPH_SEED`` tries other random edits than the usual ones.
"""

from __future__ import annotations

import os

import pytest

from tests.clients.node import run_node
from tests.clients.world import World

_EDITS = 200
_SEED = int(os.environ.get("HELIOGRAPH_SEED", "20"))

_CHECKS = {
    "random edits of five clients with reconnects end equal everywhere",
    "a note seeded from Markdown opens in the editor without loss",
    "what the editor writes is what the server derives",
    "a change over HTTP reaches open editors and merges with theirs",
    "a client that was away with its own changes merges them",
    "cursors are shown to the others and go when their client goes",
    "who may only read is told, and keeps reading",
}


async def test_yjs_clients_and_the_server_end_with_the_same_note(
    world: World, subtests: pytest.Subtests
) -> None:
    setup = await world.setup("websocket", seed=_SEED, edits=_EDITS)
    run = await run_node(world, "yjs.js", setup, timeout=100)
    assert {result.check for result in run.results} == _CHECKS
    for result in run.results:
        if not result.ok:
            with subtests.test(result.check):
                pytest.fail(f"seed {_SEED}\n{run.failures([result])}", pytrace=False)
    assert not run.other, run.other
