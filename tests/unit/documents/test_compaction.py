"""A log made small keeps every change, or is not made small."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pycrdt
import pytest

from heliograph.documents.compaction import compact, empty_state, state_since
from heliograph.documents.updates import BadUpdate
from tests.unit.documents.yjs import Doc, copy, edits, note


def test_an_empty_document_is_two_zero_bytes() -> None:
    assert empty_state() == compact(None, []) == pycrdt.Doc().get_update() == b"\x00\x00"


def test_a_snapshot_and_its_updates_become_one_state() -> None:
    base = note()
    updates = [*edits(base, 2), *edits(base, 3)]
    expected = copy(base)
    for update in updates:
        expected.apply_update(update)
    assert compact(base.get_update(), updates) == expected.get_update()


def test_the_order_of_the_updates_does_not_matter() -> None:
    base = note()
    updates = edits(base, 2)
    assert compact(base.get_update(), updates[::-1]) == compact(base.get_update(), updates)


def test_compacting_twice_changes_nothing() -> None:
    base = note()
    once = compact(base.get_update(), edits(base, 2))
    assert compact(once, []) == once
    assert compact(once, edits(base, 2)) == once


def test_a_log_with_a_hole_is_not_compacted() -> None:
    base = note()
    _, *rest = edits(base, 2)
    with pytest.raises(BadUpdate, match="part 1 ") as refused:
        compact(base.get_update(), rest)
    assert refused.value.code == "missing"


def test_a_damaged_log_is_not_compacted_and_the_error_names_the_part() -> None:
    with pytest.raises(BadUpdate, match="part 1:"):
        compact(note().get_update(), [b"\x01\x02\x03"])


def test_a_client_gets_only_what_it_is_missing() -> None:
    base = note()
    client: Doc = copy(base)
    updates = edits(base, 2)
    missing = state_since(base.get_update(), updates, client.get_state())
    assert len(missing) < len(compact(base.get_update(), updates)) / 2
    client.apply_update(missing)
    assert client.get_update() == compact(base.get_update(), updates)
    assert state_since(base.get_update(), updates, None) == compact(base.get_update(), updates)


def test_a_hostile_state_vector_is_refused() -> None:
    with pytest.raises(BadUpdate):
        state_since(note().get_update(), [], b"\xff\xff\xff\xff\x07")


def test_it_runs_in_a_worker_process() -> None:
    base = note()
    state, updates = base.get_update(), edits(base, 2)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(compact, state, updates).result(30) == compact(state, updates)
        with pytest.raises(BadUpdate) as refused:
            pool.submit(compact, state, updates[1:]).result(30)
    assert refused.value.code == "missing"
