"""The rows of CONTRACT sections 3, 4, 5 and 7 that the suites check, from ``rows.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.clients.node import Run

ROWS: dict[str, str] = json.loads((Path(__file__).parent / "rows.json").read_text())

NODE_ONLY = {"5 call again", "7 recovery"}
"""Rows of connection state recovery, which python-socketio's client does not know."""


def assert_rows_hold(run: Run, rows: Iterable[str], subtests: pytest.Subtests) -> None:
    """Every row has checks, and all of them passed; each row that fails is reported by itself."""
    assert {row for result in run.results for row in result.rows} == set(rows)
    for row in rows:
        if failures := run.failures(run.of_row(row)):
            with subtests.test(row):
                pytest.fail(f"{row}: {ROWS[row]}\n\n{failures}", pytrace=False)
    stray = run.failures([result for result in run.results if not result.rows])
    assert not stray, stray
    assert not run.other, run.other
