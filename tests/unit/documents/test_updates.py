"""What comes in from clients: refused without a trace, or taken in full."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pycrdt
import pytest

from heliograph.documents.updates import (
    BadUpdate,
    UpdateGate,
    check_update,
    coerce_update,
    guarded,
    known_clocks,
)
from heliograph.documents.wire import nesting, scan, state_clocks
from tests.unit.documents.yjs import Doc, copy, edits, mutate, nested_types, note

uint = pycrdt.write_var_uint


@pytest.mark.parametrize(
    "value", [b"\x00\x00", bytearray(2), memoryview(b"\x00\x00"), [0, 0], (0, 0)]
)
def test_an_update_may_come_as_binary_or_as_a_list_of_integers(value: object) -> None:
    assert coerce_update(value) == b"\x00\x00"


@pytest.mark.parametrize(
    "value", ["\x00\x00", None, 7, {"0": 0}, [256], [-1], [1.0], [True], ["0"], [None], [], b""]
)
def test_anything_else_is_malformed(value: object) -> None:
    with pytest.raises(BadUpdate) as refused:
        coerce_update(value)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize(
    "value", [bytes(11), [0] * 11, ["x"] * 11, memoryview(bytes(88)).cast("Q")]
)
def test_a_large_update_is_refused_before_it_is_converted(value: object) -> None:
    with pytest.raises(BadUpdate, match="at most 10") as refused:
        coerce_update(value, max_bytes=10)
    assert refused.value.code == "too_large"


def test_every_update_of_a_real_client_passes_and_is_applied() -> None:
    doc = note()
    peer = copy(doc)
    gate = UpdateGate(doc)
    for update in edits(doc, client_id=2):
        gate.apply(update)
        peer.apply_update(update)
    assert doc.get_update() == peer.get_update()


def test_the_same_update_twice_is_fine() -> None:
    doc = note()
    (update, *_) = edits(doc, client_id=2)
    gate = UpdateGate(doc)
    gate.apply(update)
    once = doc.get_update()
    gate.apply(update)
    assert doc.get_update() == once


def test_an_update_whose_predecessor_is_missing_is_refused_and_leaves_nothing_behind() -> None:
    doc = note()
    before = doc.get_update()
    first, second, *_ = edits(doc, client_id=2)
    gate = UpdateGate(doc)
    with pytest.raises(BadUpdate) as refused:
        gate.apply(second)
    assert refused.value.code == "missing"
    assert doc.get_update() == before
    gate.apply(first)
    peer = note()
    peer.apply_update(first)
    assert doc.get_update() == peer.get_update()  # `second` did not wait inside


def test_a_deletion_of_something_unknown_is_refused() -> None:
    ahead = note()
    doc = copy(ahead)
    text: Any = ahead.get("prosemirror", type=pycrdt.XmlFragment).children[0].children[0]
    text.insert(0, "later")
    at = ahead.get_state()
    del text[0:5]
    with pytest.raises(BadUpdate) as refused:
        check_update(doc, ahead.get_update(at))
    assert refused.value.code == "missing"


def test_changes_by_the_server_itself_need_not_pass_the_gate() -> None:
    doc = note()
    gate = UpdateGate(doc)
    first, second, *_ = edits(doc, client_id=2)
    gate.check(first)
    doc.apply_update(first)
    gate.apply(second)


def test_an_item_inside_something_that_holds_no_items_changes_nothing() -> None:
    doc: Doc = pycrdt.Doc(client_id=1)
    doc["t"] = pycrdt.Text("abc")
    before = doc.get_update()
    # Client 5: a good text in the root, then one inside item (1, 0), which is a text and no type.
    good = b"\x04\x01\x01t\x01x"
    stray = b"\x04\x00\x01\x00\x01y"
    update = b"\x01\x02\x05\x00" + good + stray + b"\x00"
    with pytest.raises(BadUpdate) as refused:
        UpdateGate(doc).apply(update)
    assert refused.value.code == "refused"
    assert doc.get_update() == before


@pytest.mark.parametrize(
    "update",
    [
        uint(2**28) + b"\x01\x01\x00",
        b"\x01" + uint(2**28) + b"\x01\x00",
        b"\x00" + uint(2**28) + b"\x01",
        b"\x00\x01\x01" + uint(2**28) + b"\x01",
        b"\x01\x01\x01\x00\x08\x01\x01t\x01\x76" + uint(2**27),
        b"\x01\x01\x01\x00\x08\x01\x01t\x01\x75" + uint(2**27),
        b"\x01\x01\x01\x00\x08\x01\x01t" + uint(2**27),
        b"\x01\x01\x01\x00\x02\x01\x01t" + uint(2**27),
    ],
)
def test_a_count_above_the_bytes_that_follow_is_refused_without_work(update: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(BadUpdate) as refused:
        check_update(pycrdt.Doc(), update)
    assert refused.value.code == "malformed"
    assert time.perf_counter() - started < 0.05  # natively up to 0.9 s and 540 MB


def test_a_value_nested_thousands_of_levels_deep_is_refused() -> None:
    deep = b"\x01\x01\x01\x00\x08\x01\x01t\x01" + b"\x75\x01" * 100_000 + b"\x7e\x00"
    with pytest.raises(BadUpdate) as refused:
        check_update(pycrdt.Doc(), deep)
    assert refused.value.code == "too_deep"


def test_types_nested_too_deep_in_one_update_are_refused() -> None:
    doc: Doc = pycrdt.Doc()
    with pytest.raises(BadUpdate) as refused:
        UpdateGate(doc, max_nesting=100).apply(nested_types(101))
    assert refused.value.code == "too_deep"
    assert doc.get_update() == b"\x00\x00"


def test_types_nested_too_deep_over_many_updates_are_refused() -> None:
    doc: Doc = pycrdt.Doc()
    gate = UpdateGate(doc, max_nesting=100)
    for step in range(10):
        gate.apply(nested_types(10, first_clock=step * 10))
    for gate_after in (gate, UpdateGate(doc, max_nesting=100)):
        with pytest.raises(BadUpdate) as refused:
            gate_after.apply(nested_types(1, first_clock=100))
        assert refused.value.code == "too_deep"


def test_many_types_side_by_side_are_not_deep() -> None:
    doc: Doc = pycrdt.Doc()
    gate = UpdateGate(doc, max_nesting=10)
    peer = note(paragraphs=200)
    gate.apply(peer.get_update())
    for update in edits(peer, client_id=9):
        gate.apply(update)
    assert nesting([doc.get_update()]) == 2


@pytest.mark.parametrize(
    ("update", "where"),
    [
        (b"", "ends after 0 bytes"),
        (b"\x00", "ends after 1 bytes"),
        (b"\x00\x00\x00", "1 bytes follow the end"),
        (b"\x01\x01\x01\x00\x04\x01\x01t\x02\xff\xfe\x00", "not UTF-8"),
        (b"\x01\x01\x01\x00\x04\x01\x01t\x00\x00\x00\x00", "an empty text"),
        (b"\x01\x01\x01\x00\x04\x02\x01t\x01x\x00", "unknown kind of parent 2"),
        (b"\x01\x01\x01\x00\x0b\x01\x01t\x01x\x00", "unknown content 11"),
        (b"\x01\x01\x01\x00\x07\x01\x01t\x0f\x00", "unknown shared type 15"),
        (b"\x01\x01\x01\x00\x08\x01\x01t\x01\x10\x00", "unknown kind of value 16"),
        (b"\x01\x01\x01\x00\x00\x00\x00", "an empty struct"),
        (b"\x01\x01\x01" + uint(2**31) + b"\x00\x01\x00", "out of range"),
        (b"\xff" * 12, "has no end"),
    ],
)
def test_a_malformed_update_is_refused_with_the_place(update: bytes, where: str) -> None:
    with pytest.raises(BadUpdate, match=where):
        scan(update)


def test_random_damage_never_ends_the_process_and_never_changes_the_document() -> None:
    rnd = random.Random(20_260_731)
    base = note()
    corpus = [base.get_update(), *(each for c in range(2, 8) for each in edits(base, c))]
    state = base.get_update()
    doc = copy(base)
    gate = UpdateGate(doc)
    outcomes: dict[str, int] = {}
    for _ in range(3_000):
        update = mutate(rnd, corpus)
        try:
            gate.check(update)
            outcome = "taken"
        except BadUpdate as refused:
            outcome = refused.code
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert doc.get_update() == state
        if outcome == "taken":
            reader = copy(base)
            reader.apply_update(update)  # what passed the gate applies without an error
    assert {"taken", "malformed", "missing"} <= outcomes.keys(), outcomes


def test_a_panic_of_the_native_library_is_refused() -> None:
    class Panic(BaseException):
        pass

    def panics() -> None:
        raise Panic("index out of bounds")

    with pytest.raises(BadUpdate, match="index out of bounds") as refused:
        guarded(panics)
    assert refused.value.code == "refused"


@pytest.mark.parametrize(
    "leaving", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_cancellation_and_exits_pass_through(leaving: type[BaseException]) -> None:
    def leaves() -> None:
        raise leaving

    with pytest.raises(leaving):
        guarded(leaves)


def test_a_state_vector_may_come_as_binary_or_integers_and_is_checked() -> None:
    vector = note().get_state()
    assert known_clocks(vector) == known_clocks(list(vector)) == vector
    assert list(state_clocks(vector)) == [1]
    for bad in (uint(2**28), b"\x01\x01", vector + b"\x00", b"\x02\x01\x05"):
        with pytest.raises(BadUpdate):
            known_clocks(bad)
