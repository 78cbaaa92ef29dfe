"""Positions and the offsets that carry them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.delivery.broker import Position
from heliograph.delivery.positions import BadOffset, Positions, base36


@given(st.integers(0, 2**63))
def test_base36_reads_back(number: int) -> None:
    assert int(base36(number), 36) == number


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), max_size=60),
)
def test_an_offset_rewinds_to_the_moment_it_was_given(
    baselines: list[int], deliveries: list[int]
) -> None:
    positions = Positions()
    rooms = [f"room{index}" for index in range(len(baselines))]
    for room, seq in zip(rooms, baselines, strict=True):
        positions.enter(room, Position("e", seq))
    moments: list[tuple[str | None, dict[str, int]]] = [
        (None, dict(zip(rooms, baselines, strict=True)))
    ]
    for chosen in deliveries:
        room = rooms[chosen % len(rooms)]
        given_out = positions.advance(room, positions.position(room).seq + 1)
        moments.append((given_out, {name: positions.position(name).seq for name in rooms}))
    for offset, then in reversed(moments):
        positions.rewind(offset)
        assert {name: positions.position(name).seq for name in rooms} == then


def test_an_offset_is_short_when_one_room_is_busy() -> None:
    positions = Positions()
    for index in range(100):
        positions.enter(f"room{index}", Position("e", 10_000))
    assert positions.advance("room7", 10_001) == "22s~7.7pt"


def test_a_room_entered_after_the_offset_starts_at_its_baseline() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    offset = positions.advance("a", 6)
    positions.enter("b", Position("e", 100))
    positions.advance("b", 101)
    positions.rewind(offset)
    assert positions.position("b").seq == 100


def test_a_left_room_is_not_mistaken_for_a_later_one() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    offset = positions.advance("a", 9)
    positions.leave("a")
    positions.enter("b", Position("e", 1))
    positions.rewind(offset)
    assert positions.position("b").seq == 1


NOT_OFFSETS = [
    "x", "1~0.1", "2", "2!", "21~a", "21~0.-", "21~!.1", "21~0.1.1", "21~0." + "z" * 70_000, "22",
]  # fmt: skip


@pytest.mark.parametrize("offset", NOT_OFFSETS)
def test_what_is_not_an_offset_is_refused(offset: str) -> None:
    positions = Positions()
    positions.enter("a", Position("e", 0))
    with pytest.raises(BadOffset):
        positions.rewind(offset)


def test_what_it_has_already_is_not_advanced_to() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    assert positions.advance("a", 5) is None
    assert positions.advance("a", 6) == "21~0.6"
    assert positions.advance("a", 6) is None
    assert positions.advance("a", 7) == "21~0.7"


def test_an_offset_is_refused_by_a_record_that_lacks_a_change_of_rooms() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    before = positions.advance("a", 6)
    record = positions.to_plain()
    positions.enter("b", Position("e", 1))
    after_entering = positions.advance("a", 7)
    positions.leave("b")
    after_leaving = positions.advance("a", 8)
    assert Positions.from_plain(record).at(before) == {"a": Position("e", 6)}
    for offset in (after_entering, after_leaving):
        with pytest.raises(BadOffset):
            Positions.from_plain(record).at(offset)
    newer = Positions.from_plain(positions.to_plain())
    assert newer.at(before) == {"a": Position("e", 6)}
    assert newer.at(after_leaving) == {"a": Position("e", 8)}


def test_positions_made_again_give_the_same_numbers_and_offsets() -> None:
    positions = Positions()
    for room in ("a", "b", "c"):
        positions.enter(room, Position("e", 5))
    positions.leave("b")
    again = Positions.from_plain(positions.to_plain())
    for each in (positions, again):
        each.enter("d", Position("f", 0))
    assert again.advance("d", 1) == positions.advance("d", 1)
    assert again.advance("a", 6) == positions.advance("a", 6)


def test_an_order_to_leave_is_void_for_who_was_admitted_after_it() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    assert not positions.obeys("a", 5)
    assert positions.obeys("a", 6)
    positions.enter("a", Position("e", 6))
    assert not positions.obeys("a", 6)
    assert not Positions.from_plain(positions.to_plain()).obeys("a", 6)
    assert positions.obeys("a", 7)
    assert not positions.obeys("b", 1)


def test_a_room_with_another_log_takes_whatever_comes() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 500))
    positions.advance("a", 501)
    positions.restart("a", "f")
    assert positions.advance("a", 1) is not None
    assert positions.position("a") == Position("f", 1)
